// What `moongate doctor --measure` is made of: ceilings, time, sections, single steps of a program, answers, random weights.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Examiner } from "../cli/doctor/full/answers.ts";
import { Budget, Skipped } from "../cli/doctor/full/budget.ts";
import { measureCeilings } from "../cli/doctor/full/ceilings.ts";
import { hotKernels, kinds } from "../cli/doctor/full/kinds.ts";
import { Lab, randomParams, subjectOf } from "../cli/doctor/full/lab.ts";
import { pageOf } from "../cli/doctor/full/page.ts";
import type { Ceilings, MeasuredRecord } from "../cli/doctor/full/record.ts";
import { bitsOf } from "../cli/doctor/full/program.ts";
import { outcome, problems } from "../cli/doctor/full/run.ts";
import { reportPage } from "../cli/shared/report.ts";
import { compile, type Compiled } from "../compile/compile.ts";
import { stepAlone, watchSteps } from "../compile/inspect/apart.ts";
import { profile } from "../compile/inspect/profile.ts";
import { gpu } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import { DeviceError } from "../device/errors.ts";
import { add, mul } from "../ops/elementwise/arithmetic.ts";
import { matmul } from "../ops/matmul.ts";
import { sin } from "../ops/elementwise/trigonometry.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { onDevice, test } from "./support/devices.ts";
import { ABOUT, LEAST } from "./support/measure.ts";

onDevice("cpu", "ceilings are possible, and what they take is given back", async (device) => {
  const before = device.buffers.allocated;
  const lab = new Lab(device, await subjectOf("miniature"), () => Promise.resolve(device));
  const whole = new Budget(60), stage = { lab, extent: LEAST, whole, room: whole };
  let found: Partial<Ceilings> = {};
  await measureCeilings(stage, (part) => found = { ...found, ...part });
  assertEquals(device.buffers.allocated, before);
  // Bounds that no machine misses by being slow or busy: from a clock that stands still, or the wrong unit, they are missed.
  for (const pace of [found.f32FlopPerSecond!, found.bytesPerSecond!]) {
    assert(pace > 2e7 && pace < 1e15, `${pace}`);
  }
  assertEquals(found.copiedBytes! % 2 ** 24, 0);
});

Deno.test("a section keeps what it found before it failed or was given up, and says why it did", async () => {
  const budget = new Budget(1e3);
  const failed = await outcome<{ a: number; b: number }>(budget, (put) => {
    put({ a: 1 });
    put({ b: 2 });
    return Promise.reject(new DeviceError("no more"));
  });
  assertEquals([failed.state, failed.why, failed.a, failed.b], ["failed", "no more", 1, 2]);
  const skipped = await outcome(budget, () => Promise.reject(new Skipped("too slow")));
  assertEquals([skipped.state, skipped.why], ["skipped", "too slow"]);
  // A mistake of ours is said with its place.
  const mistake = await outcome(budget, () => Promise.reject(new TypeError("x is no y")));
  assertMatch(mistake.why!, /TypeError: x is no y\n\s+at /);
  const none = await outcome(new Budget(0), () => Promise.reject(new Error("never begun")));
  assertEquals([none.state, none.why], ["skipped", "no time is left: give more --minutes"]);
});

Deno.test("a budget refuses what would take longer than what is left, and everything once it was ended", () => {
  let clock = 0;
  const controller = new AbortController();
  const whole = new Budget(100, controller.signal, () => clock);
  const part = whole.part(0.25);
  assertEquals([whole.left, part.left], [100, 25]);
  clock = 20_000;
  assertEquals([whole.left, part.left], [80, 5]);
  whole.need(80, "all");
  const refused = (run: () => void) => {
    try {
      run();
    } catch (error) {
      if (error instanceof Skipped) return error.message;
    }
    return undefined;
  };
  assertEquals(
    refused(() => whole.need(90, "a walk")),
    "a walk would take about 1:30, and 1:20 are left: give more --minutes",
  );
  clock = 200_000;
  assertEquals([whole.left, whole.part(1).left], [0, 0]);
  assert(refused(() => whole.need(1, "a walk")));
  clock = 0;
  controller.abort();
  assertEquals(whole.left, 0);
  assertEquals(refused(() => whole.check()), "stopped by Ctrl-C");
});

/** A product's answer is right by both references; one that is off, or no number, is not. */
async function checkAnswers(
  device: Device,
  compiled: Compiled<[Tensor, Tensor], unknown>,
  args: [Tensor, Tensor],
) {
  using examiner = new Examiner(device);
  const { dispatches } = compiled.plan(...args);
  const { step } = dispatches.find((d) => d.flops)!;
  await watchSteps(compiled, args, new Set([step]), async (seen) => {
    const [[t, values]] = seen.outputs;
    const look = (change: (v: number) => number, flop = 0) => {
      const other = values.map((v, i) => i === 5 ? change(v) : v);
      return examiner.examine({ ...seen, outputs: new Map([[t, other]]) }, flop);
    };
    for (const flop of [0, 1e12]) {
      const right = await look((v) => v, flop);
      // The CPU is no reference of its own.
      if (flop && device.facts.backend === "cpu") {
        assertEquals(right, undefined);
        continue;
      }
      assertEquals([right!.right, right!.reference], [true, flop ? "CPU" : "float64"]);
      assert(right!.error! < 1e-5);
      const off = await look((v) => v + 1, flop);
      assertEquals([off!.right, off!.error! > 1e-2], [false, true]);
    }
    const broken = await look(() => NaN);
    assertEquals([broken!.right, broken!.error], [false, null]);
    return true;
  });
}

test("steps of a program are watched as it runs, and are the same alone", async (device) => {
  const fn = (a: Tensor, b: Tensor) => {
    const product = matmul(a, b);
    return add(matmul(sin(product), b), mul(product, 2));
  };
  const values = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
  const a = device.upload(values, [8, 8]), b = device.upload(values, [8, 8]);
  const compiled = compile(device, fn);
  const right = await device.read(compiled(a, b));
  const { dispatches } = compiled.plan(a, b);
  const wanted = new Set(dispatches.map(({ step }) => step));
  let last: ArrayLike<number> = [];
  await watchSteps(compiled, [a, b], wanted, async ({ step, reads, outputs }) => {
    const alone = compile(device, stepAlone(step));
    const given = [...reads].map(([t, data]) => device.upload(data, t.shape, t.dtype));
    for (const [i, t] of alone(...given).entries()) {
      last = outputs.get(step.outputs[i])!;
      assertEquals(Float64Array.from(await device.read(t) as Float32Array), last);
    }
    alone.free();
    device.free(...given);
    wanted.delete(step);
    return true;
  });
  assertEquals([wanted.size, last], [0, Float64Array.from(right as Float32Array)]);
  await checkAnswers(device, compiled, [a, b]);
  const timed = await profile(compiled, [a, b], { repeats: 1 });
  const hot = hotKernels(timed, dispatches, 40, { f32FlopPerSecond: 1e9, bytesPerSecond: 1e9 });
  const all = hot.reduce((n, h) => n + h.share, 0);
  assert(all > 0.9 && all < 1 + 1e-9, `${all}`);
  for (const { flop, milliseconds, ofFlops, share, dispatches: n } of hot) {
    assert(Math.abs(share - n * milliseconds / timed.milliseconds) < 1e-9);
    if (!milliseconds) continue;
    assert(Math.abs(ofFlops! - flop / milliseconds / 1e6) < 1e-9);
  }
  assertEquals(hotKernels(timed, dispatches, 1).length, 1);
  const products = kinds(timed, dispatches).find(({ kind }) => kind === "matmul")!;
  assert(products.flop >= 2 * 2 * 8 ** 3);
  compiled.free();
  device.free(a, b);
});

Deno.test("random parameters are of the size that they should have, and differ from each other", async () => {
  using device = await gpu({ backend: "cpu", threads: 1 });
  const { config, schedule } = await subjectOf("miniature");
  const lab = new Lab(
    device,
    { name: "miniature", config, schedule, load: (d) => randomParams(d, config) },
    () => Promise.reject(new Error("opened again")),
  );
  const before = device.buffers.allocated;
  const { params } = await lab.model();
  assertEquals(device.buffers.allocated - before, lab.weights);
  const at = (path: string) =>
    path.split(".").reduce((o, k) => (o as Record<string, unknown>)[k], params.unet as unknown);
  const read = async (path: string) => [...await device.read(at(path) as Tensor)] as number[];
  const variance = (v: number[]) => v.reduce((n, x) => n + x * x, 0) / v.length;
  const [q, k] = await Promise.all(
    ["to_q", "to_k"].map((name) =>
      read(`down_blocks.1.attentions.0.transformer_blocks.0.attn1.${name}.weight`)
    ),
  );
  const inputs = Math.sqrt(q.length);
  assert(Math.abs(variance(q) * inputs - 1) < 0.1, `${variance(q) * inputs}`);
  assert(q.some((v, i) => v !== k[i]));
  const norm = await read("down_blocks.1.attentions.0.norm.weight");
  assert(norm.every((v) => v >= 0.9 && v <= 1.1) && new Set(norm).size > 1);
  lab.free();
  assertEquals(device.buffers.allocated, before);
  // What a failed section left to be reported is not the next one's.
  device.fail(new DeviceError("of the section before"));
  assertEquals(await lab.renew(), false);
  await device.settled();
});

Deno.test("other bits the second time and wrong kernels are problems; one bit makes other bits", async () => {
  using device = await gpu({ backend: "cpu", threads: 1 });
  const ended = { state: "measured", seconds: 1 } as const;
  const { facts, profile } = device;
  const good: MeasuredRecord = {
    ...{ ...ABOUT, device: facts, profile, seconds: 1, complete: true },
    training: { 1: { ...ended, sameBits: true }, 8: { ...ended, state: "skipped" } },
    sampling: { ...ended, sameBits: true },
    kernels: { ...ended, wrong: 0 },
  };
  assertEquals(problems(good), []);
  const bad: MeasuredRecord = {
    ...good,
    training: { ...good.training, 4: { ...ended, sameBits: false } },
    kernels: { ...ended, wrong: 2 },
    pytorch: { ...ended, state: "failed", why: "no torch\nat line 1" },
  };
  assertEquals(problems(bad), [
    "batch 4: a second run gives other bits",
    "PyTorch failed: no torch",
    "2 kernels are wrong",
  ]);
  const values = Float32Array.of(1, 2, 3);
  const all = [values, values.slice(), Float32Array.of(1, 2, 3.0000002)]
    .map((v) => device.upload(v, [3]));
  const [one, same, other] = await Promise.all(all.map((t) => bitsOf(device, [all[0], t])));
  assertEquals([one === same, one === other], [true, false]);
});

Deno.test("what was measured and is kept here is whole, without a fault, and has a page", async () => {
  const folder = new URL("../docs/measured", import.meta.url).pathname;
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assert(names.includes("llvmpipe.json") && names.includes("cpu.json"));
  for (const name of names) {
    const record: MeasuredRecord = JSON.parse(await Deno.readTextFile(`${folder}/${name}`));
    assertEquals([name, record.format, record.complete, problems(record)], [name, 1, true, []]);
    assert((await reportPage(pageOf(record))).includes(record.device.description));
  }
});
