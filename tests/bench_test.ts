// The benchmark's own arithmetic: a table that compares wrong results, or divides the wrong way round, is worse than none.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Case,
  CASES,
  deviation,
  type Operands,
  operandsOf,
  permuted,
} from "../bench/cases.ts";
import { expectedOf } from "../bench/reference.ts";
import { Child } from "../bench/child.ts";
import { DEVICES } from "../bench/contenders.ts";
import { missing, options, whole } from "../bench/options.ts";
import { circumstances, joined, page, type Run, table } from "../bench/report.ts";

const softmax = CASES.find((c) => c.kind === "softmax") as Case;

Deno.test("a result that is off, too short, missing or NaN is not taken for right", () => {
  const [{ size, at }] = expectedOf(softmax, operandsOf(softmax));
  const right = Float32Array.from({ length: size }, (_, k) => k < 1e5 ? 0 : NaN);
  assertEquals(deviation([right], [{ size, at }]), Infinity);
  assertThrows(() => deviation([right.subarray(1)], [{ size, at }]), Error, "expected");
  assertThrows(() => deviation([], [{ size, at }]), Error, "output 0");
  const close = Float32Array.from({ length: 64 }, (_, k) => k + (k % 2 ? 1e-3 : 0));
  const error = deviation([close], [{ size: 64, at: (k) => k }]);
  assert(error > 1e-3 / 64 && error < 1e-3 / 32, `${error}`);
});

Deno.test("an MLP's gradient is the slope of its loss", () => {
  const c = {
    ...CASES.find((c) => c.kind === "mlp-grad")!,
    batch: 3,
    inputs: 4,
    hidden: 5,
    outputs: 2,
  };
  assert(c.kind === "mlp-grad");
  const operands = Object.fromEntries(
    Object.entries(operandsOf(c)).map(([name, v]) => [name, Float64Array.from(v)]),
  );
  const loss = () => {
    const { x, y, w1, b1, w2, b2 } = operands;
    let sum = 0;
    for (let n = 0; n < 3; n++) {
      const h = [0, 1, 2, 3, 4].map((j) =>
        Math.max(0, b1[j] + [0, 1, 2, 3].reduce((s, i) => s + x[n * 4 + i] * w1[i * 5 + j], 0))
      );
      for (let o = 0; o < 2; o++) {
        sum += (b2[o] + h.reduce((s, v, j) => s + v * w2[j * 2 + o], 0) - y[n * 2 + o]) ** 2;
      }
    }
    return sum / 6;
  };
  const gradients = expectedOf(c, operands as unknown as Operands);
  ["w1", "b1", "w2", "b2"].forEach((name, i) => {
    assertEquals(gradients[i].size, operands[name].length);
    for (let k = 0; k < operands[name].length; k++) {
      const before = operands[name][k];
      operands[name][k] = before + 1e-6;
      const up = loss();
      operands[name][k] = before - 1e-6;
      const slope = (up - loss()) / 2e-6;
      operands[name][k] = before;
      assert(Math.abs(slope - gradients[i].at(k)) < 1e-7, `${name}[${k}]: ${slope}`);
    }
  });
});

const outcome = (peer: string, ...ms: number[]) => ({ peer, case: "softmax", ms });
const ran: Run = {
  device: "cpu",
  machines: [{ name: "a machine", busy: 0.25 }, { name: "a machine", busy: 0.01 }],
  outcomes: [
    { ...outcome("PyTorch", 1, 1, 1), library: "PyTorch 2" },
    outcome("jax-js jit", 5, 4, 6),
    outcome("moongate", 2, 1, 3, 2, 4),
    outcome("jax-js", 9, 9, 9),
    { peer: "tfjs", case: "softmax", failure: "wrong by 1" },
    { peer: "onnxruntime-web", case: "softmax" },
  ],
};

Deno.test("the ratio is the best peer's time over ours; neither wrong results nor native libraries are peers", () => {
  assertEquals(
    table(ran).split("\n").at(-1),
    "| softmax 4096×256 | 2.00 | 9.00 | 5.00 | wrong | – | **2.50×** | 4.00× | 1.00 | 0.500× |",
  );
  const said = circumstances(ran);
  for (
    const part of [
      "Machine: a machine; other work took at most 25.0 %",
      "Batches: 3 of each",
      "PyTorch 2",
    ]
  ) {
    assert(said.includes(part), said);
  }
});

Deno.test("a section takes the place of its device's alone", () => {
  const mark = (device: string) => `<!-- deno task bench, ${device} -->`;
  const before = `a\n${mark("cpu")}\nold\n<!-- end -->\nb\n${mark("webgpu")}\nold\n<!-- end -->\n`;
  const cpu = page(before, "cpu", "new");
  assertEquals(cpu, before.replace("old\n", "\nnew\n\n"));
  assertEquals(page(cpu, "cpu", "new"), cpu);
  const both = page(cpu, "webgpu", "new");
  assertEquals(both.split("new").length, 3);
  assertThrows(() => page("a", "cpu", "new"), Error, 'no "<!-- deno');
  const kept = Deno.readTextFileSync(new URL("../docs/benchmarks.md", import.meta.url));
  for (const device of DEVICES) assert(page(kept, device, "new").includes("\nnew\n"));
});

Deno.test("what was measured before is kept with what is measured now, which takes its place", () => {
  const now: Run = {
    ...ran,
    machines: [{ name: "b", busy: 0 }],
    outcomes: [outcome("moongate", 7)],
  };
  const both = joined(ran, now);
  assertEquals(both.outcomes.length, ran.outcomes.length);
  assertEquals(both.outcomes.filter((o) => o.peer === "moongate"), [outcome("moongate", 7)]);
  assertEquals(both.machines.length, 3);
  assertEquals(joined(undefined, now), now);
  assertThrows(() => joined({ ...ran, device: "webgpu" }, now), Error, "webgpu");
});

Deno.test("axes are permuted as in numpy.transpose", () => {
  assertEquals([...permuted([0, 1, 2, 3, 4, 5], [1, 2, 3], [2, 0, 1])], [0, 3, 1, 4, 2, 5]);
});

Deno.test("the command line takes known names only, and writes the page for whole runs only", () => {
  assertEquals(options(["--cases=softmax", "--rounds=2"]).cases, [softmax]);
  assertThrows(() => options(["--cases=soft"]), Error, "none of");
  assertThrows(() => options(["--rounds=0"]), Error, "positive");
  assertThrows(() => options(["--quick"]), Error, "Unknown option");
  assertThrows(() => options(["--device=gpu"]), Error, "none of cpu, webgpu");
  assertThrows(() => options(["--peers=PyTorch"]), Error, "--python=PATH");
  const { peers, cases } = options(["--write", "--python=p"]);
  const names = (of: readonly { name: string }[]) => of.map(({ name }) => name);
  assertEquals(names(cases), names(CASES));
  assertEquals([peers[0].name, peers.at(-1)!.name], ["moongate", "PyTorch"]);
  assertEquals(missing(whole("cpu"), names(cases), names(peers)), []);
  assertEquals(
    missing(whole("cpu"), ["softmax"], ["moongate"]).slice(0, 2),
    ["matmul-512", "matmul-1024"],
  );
  assertEquals(missing(whole("cpu"), names(cases), names(peers.slice(0, -1))), ["PyTorch"]);
  assertEquals(missing(whole("webgpu"), names(cases.slice(0, 6)), names(peers)), []);
});

Deno.test("a process that answers is asked; one that dies or is silent says why", async () => {
  const child = (code: string, limit = 20_000) => new Child(Deno.execPath(), ["eval", code], limit);
  const echo = child(
    `console.log("noise"); console.log('outcome {"ready":true}');
    for await (const chunk of Deno.stdin.readable) console.log("outcome " + chunk.length);`,
  );
  assertEquals(await echo.ask(), { ready: true });
  assertEquals(await echo.ask("four"), 5);
  echo.end();
  await assertRejects(() => child("throw new Error('no luck')").ask(), Error, "no luck");
  await assertRejects(
    () => child("setTimeout(() => {}, 1e5)", 1000).ask(),
    Error,
    "no answer in 1 s",
  );
  const missing = new Child("/nowhere/python", [], 20_000);
  await assertRejects(() => missing.ask(), Error, "/nowhere/python");
});
