// The first use of kernels is told as it goes, and is over before the first run; steps are told when they are done.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { compile } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import type { CompileProgress } from "../device/pipelines.ts";
import { StepReports } from "../device/step_reports.ts";
import { exp } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { mean } from "../ops/reduce.ts";
import type { Tensor } from "../tensor/tensor.ts";

for (const backend of ["cpu", "webgpu"] as const) {
  Deno.test(`compiling is told kernel by kernel, once, and ends however it ends (${backend})`, async () => {
    const seen: CompileProgress[] = [];
    using device = await gpu({ backend, onCompile: (at) => seen.push(at) });
    const step = compile(device, (x: Tensor) => mean(exp(matmul(x, x))));
    const x = tensor(new Float32Array(64 * 64).fill(0.01), [64, 64]);
    step(x);
    const kernels = device.pipelines.count;
    assert(kernels >= 2);
    const begin = { done: 0, total: 0, ready: false }, end = { done: 0, total: 0, ready: true };
    const each = Array.from(
      { length: kernels },
      (_, done) => ({ done, total: kernels, ready: false }),
    );
    assertEquals(seen, [begin, end, begin, ...each, end]);
    seen.length = 0;
    step(x);
    assertEquals(seen, [], "what is known is not compiled again");
    const bad = compile(device, (x: Tensor) => matmul(x, tensor([1, 2, 3])));
    assertThrows(() => bad(x));
    assertEquals(seen, [begin, end]);
    seen.length = 0;
    step(tensor(new Float32Array(64 * 64), [64, 64]));
    step(tensor(new Float32Array(32 * 32), [32, 32]));
    assertEquals(seen.at(-1), end, "another shape is another program");
    device.onCompile = undefined;
    step(tensor(new Float32Array(16 * 16), [16, 16]));
  });
}

Deno.test("a program whose kernels are compiled runs at once: no driver compiles at the first dispatch", async () => {
  const code = `
    import { compile, exp, gpu, matmul, mean, softmax, tensor } from ${
    JSON.stringify(new URL("../mod.ts", import.meta.url).href)
  };
    const device = await gpu();
    const step = compile(device, (x) => mean(exp(matmul(softmax(matmul(x, x)), x))));
    const x = tensor(new Float32Array(64 * 64).fill(0.01), [64, 64]);
    const began = performance.now();
    step.program(x);
    const compiled = performance.now();
    await device.read(step(x));
    console.log(compiled - began, performance.now() - compiled);
  `;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code],
    // A driver that keeps kernels on disk would have nothing to compile.
    env: {
      MESA_SHADER_CACHE_DISABLE: "true",
      DENO_WEBGPU_BACKEND: "vulkan",
      XDG_RUNTIME_DIR: "/tmp",
    },
  }).output();
  const text = new TextDecoder().decode(stdout);
  const [compiling, running] = text.trim().split(" ").map(Number);
  assert(running < compiling / 3, `${text} ms; ${new TextDecoder().decode(stderr)}`);
});

/** A device whose work is done when the test says so. */
function slowDevice() {
  const waiting: (() => void)[] = [];
  return {
    finished: () => new Promise<void>((resolve) => void waiting.push(resolve)),
    finish: async (n: number) => {
      for (const resolve of waiting.splice(0, n)) resolve();
      await new Promise((resolve) => setTimeout(resolve));
    },
  };
}

Deno.test("a step is reported when it is done, not when it is handed over, and in order", async () => {
  const device = slowDevice(), seen: string[] = [];
  const reports = new StepReports(device, (done, total) => void seen.push(`${done}/${total}`));
  for (let step = 1; step <= 4; step++) reports.handed(step, 4);
  await device.finish(0);
  assertEquals(seen, []);
  await device.finish(2);
  assertEquals(seen, ["1/4", "2/4"]);
  const settled = reports.settled();
  await device.finish(2);
  await settled;
  assertEquals(seen, ["1/4", "2/4", "3/4", "4/4"]);
});

Deno.test("what a report throws ends the run at its next step; after the end nothing is reported", async () => {
  const device = slowDevice();
  const failing = new StepReports(device, () => {
    throw new Error("enough");
  });
  failing.handed(1, 2);
  await device.finish(1);
  assertThrows(() => failing.handed(2, 2), Error, "enough");
  await assertRejects(() => failing.settled(), Error, "enough");

  const seen: number[] = [];
  const ended = new StepReports(device, (done) => void seen.push(done));
  ended.handed(1, 2);
  ended.end();
  await device.finish(1);
  assertEquals(seen, []);
  const silent = new StepReports(device, undefined);
  silent.handed(1, 1);
  await silent.settled();
});
