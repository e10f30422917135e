/** Compiled programs explain themselves, are measured, and are debugged dispatch by dispatch. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { apply, type Tensor } from "../tensor/tensor.ts";
import { alike } from "../tensor/batch.ts";
import { defineOp } from "../tensor/op.ts";
import { valueAndGrad } from "../autograd/grad.ts";
import { adamInit, type AdamState, adamw } from "../autograd/optimizer.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { debugRun } from "../compile/inspect/debug.ts";
import { explain } from "../compile/inspect/explain.ts";
import { interpret } from "../compile/interpret.ts";
import { profile, profileTable } from "../compile/inspect/profile.ts";
import type { Device } from "../device/device.ts";
import { DeviceError } from "../device/errors.ts";
import { attention } from "../ops/attention.ts";
import { add, div, mul, square, sub } from "../ops/elementwise/arithmetic.ts";
import { sin } from "../ops/elementwise/trigonometry.ts";
import { input, tensor } from "../ops/leaf.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { reshape } from "../ops/movement.ts";
import { sum } from "../ops/broadcast.ts";
import { mean } from "../ops/reduce.ts";
import { ownDevice, testDevice, uniform } from "./support/check.ts";
import { test, testBoth } from "./support/devices.ts";

function random(shape: number[], seed: number): Tensor {
  const r = uniform(seed);
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, r), shape);
}

/** An op whose kernel doubles every value but the one at `at`, for which it stores the WGSL expression `wrong`. */
const faultyOp = defineOp<{ readonly at: number; readonly wrong: string }>({
  name: "faultyDouble",
  shape: ([x]) => [x],
  vjp: () => [undefined],
  batch: alike,
  reference: ([x]) => [x.map((v) => 2 * v)],
  lowering: {
    kind: "kernel",
    epilogue: false,
    build: ({ inputs: [x], attrs }) => ({
      dispatches: [{
        label: "faulty doubling",
        buffers: [
          { name: "X", ref: { input: 0 }, access: "read", type: "f32" },
          { name: "Y", ref: { output: 0 }, access: "write", type: "f32" },
        ],
        grid: [x.shape[0], 1, 1],
        body: `@compute @workgroup_size(1) fn main(@builtin(workgroup_id) wid: vec3<u32>) {
  let i = wid.x;
  if (i == ${attrs.at}u) { Y[i] = ${attrs.wrong}; } else { Y[i] = 2.0 * X[i]; }
}`,
      }],
    }),
  },
});

const faulty = (x: Tensor, at: number, wrong: string): Tensor =>
  apply(faultyOp, [x], { at, wrong })[0];

/** A training step with attention, a donated state, fused elementwise work and a reduction. */
async function trainingStep(on?: Device) {
  const device = on ?? await testDevice();
  const step = compile(device, (state: AdamState, x: Tensor) => {
    const { value, grads } = valueAndGrad((p: AdamState["params"]) => {
      const h = sin(linear(x, p.w, p.b));
      const heads = reshape(h, [2, 6, 2, 4]);
      return mean(square(sub(attention(heads, heads, heads), 0.3)));
    })(state.params);
    return { state: adamw(state, grads, { rate: 1e-2 }), loss: value };
  }, { donate: [0] });
  const state = evaluate(device, adamInit({ w: random([8, 8], 1), b: random([8], 2) }));
  return { device, step, state, x: random([12, 8], 3) };
}

test("explain names tape, fused ops, every dispatch and every value's place, in aligned columns", async () => {
  const { step, state, x } = await trainingStep();
  const plan = step.plan(state, x);
  const text = explain(plan);
  assertStringIncludes(text, `tape: ${plan.tape.length} nodes`);
  assertStringIncludes(text, `dispatches: ${plan.dispatches.length} (steps: `);
  for (const [i, d] of plan.dispatches.entries()) {
    const row = text.split("\n").find((l) => l.startsWith(`  #${i} `));
    assertStringIncludes(row!, d.label.slice(0, 30));
    assertStringIncludes(row!, `${d.grid.join("×")} groups`);
  }
  assertStringIncludes(text, "attentionGrad(");
  assertStringIncludes(text, "written in place");
  assertMatch(text, /lower bound .* KiB/);
  const places = text.split("\n").filter((l) => /^ {2}slab \d/.test(l));
  assertEquals(places.length, plan.memory.places.size);
  assertEquals(new Set(places.map((l) => l.indexOf("#"))).size, 1, "lifetimes start in one column");
});

testBoth(
  "explain says the same of the CPU device as of an adapter: tape, dispatches and places",
  async (devices) => {
    const heads: string[][] = [];
    for (const device of devices) {
      const { step, state, x } = await trainingStep(device);
      const lines = explain(step.plan(state, x)).split("\n");
      heads.push(
        lines.filter((l) => /^\S/.test(l)).map((l) =>
          l.replace(/ \(.* B\)$/, "").replaceAll(/\d[\d.]*/g, "0")
        ),
      );
      const rows = lines.filter((l) => /^ {2}#\d/.test(l));
      assert(rows.every((r) => / groups +.*→/.test(r)), rows[0]);
    }
    assertEquals(heads[0], heads[1]);
  },
);

test("explain shows a chain of elementwise ops as one dispatch", async () => {
  const step = compile(await testDevice(), (x: Tensor) => mul(square(add(x, 1)), 3));
  const text = explain(step.plan(random([4, 4], 1)));
  assertStringIncludes(text, "dispatches: 1 (steps: 1, fused: 1, operations: 3)");
  assertMatch(text, /#0 +add·square·mul .* %0 → %\d+/);
});

const COLUMNS = ["dispatch", "time", "share", "work", "bytes", "pace", "traffic", "fused from"];

test("profile measures every dispatch with either clock, and consumes no donated argument", async () => {
  // Of its own: what earlier tests dropped comes back to theirs at any time.
  using device = await ownDevice();
  const { step, state, x } = await trainingStep(device);
  const before = Array.from(await device.read(state.params.w), Number);
  const allocated = device.buffers.allocated;
  step.program(state, x);
  const held = device.buffers.allocated - allocated;
  for (const wall of [false, true]) {
    const p = await profile(step, [state, x], { repeats: 2, wall });
    assertEquals(p.dispatches.length, step.plan(state, x).dispatches.length);
    const stamps = !wall && device.facts.features.includes("timestamp-query");
    assertEquals(p.clock, stamps ? "timestamps" : "wall");
    assert(p.milliseconds > 0 && p.dispatches.every((d) => d.milliseconds >= 0 && d.bytes > 0));
    // 12×8 times 8×8, and nothing else in this program has that many operations of that kind.
    assert(
      p.dispatches.some((d) => d.flops === 2 * 12 * 8 * 8),
      "the matrix product has its FLOPs",
    );
    const table = profileTable(p, 3);
    assertStringIncludes(table, `${p.dispatches.length - 3} more`);
    assertMatch(table, /\d [kMG]?FLOP\/s +[\d.]+ [kMG]?B\/s/);
    const columns = table.split("\n")[0].trim().split(/ {2,}/);
    assertEquals(columns, COLUMNS);
  }
  assertEquals(Array.from(await device.read(state.params.w), Number), before);
  assertEquals(
    device.buffers.allocated - allocated,
    held,
    "all that profiling allocated was given back",
  );
  const { loss } = step(state, x);
  assert(Number.isFinite(await device.item(loss)));
});

test("debugRun finds nothing wrong with a training step, and leaves its arguments usable", async () => {
  const { device, step, state, x } = await trainingStep();
  const report = await debugRun(step, [state, x]);
  assertEquals(report.problem, undefined);
  assertEquals(report.checked, step.plan(state, x).dispatches.length);
  assert(report.worst.error > 0 && report.worst.error < 1e-4, `worst error ${report.worst.error}`);
  const next = step(state, x);
  assert(Number.isFinite(await device.item(next.loss)));
});

test("debugRun names the first wrong dispatch, its tensor and the differing values", async (device) => {
  const x = tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [6]);
  const w = random([6, 6], 4);
  const step = compile(device, (x: Tensor, w: Tensor) => {
    const y = faulty(sin(x), 3, "7.25");
    return sum(matmul(reshape(y, [1, 6]), w));
  });
  const { problem, checked } = await debugRun(step, [x, w]);
  assert(problem);
  assertEquals(problem.kind, "differs");
  assertEquals(problem.label, "faulty doubling");
  assertEquals(problem.ops, ["faultyDouble"]);
  assertEquals([problem.index, problem.actual], [3, 7.25]);
  assert(Math.abs(problem.expected! - 2 * Math.sin(4)) < 1e-6);
  assertEquals(checked, problem.dispatch + 1);
  assertMatch(
    problem.message,
    /^dispatch #1 faulty doubling .*%\d+ f32\[6\] is 7\.25 at index 3, -1\.51\d+ expected/,
  );
});

test("debugRun tells apart what a dispatch got wrong from what it was given", async () => {
  // The fault is small enough to pass, and is then amplified: the amplifying dispatch is right about what it reads.
  const step = compile(await testDevice(), (x: Tensor) => {
    const y = faulty(x, 0, "2.0 * X[i] + 1e-3");
    return sum(square(mul(sub(y, 2), 1e3)));
  });
  const x = tensor(Float32Array.of(1, 1, 4), [3]);
  assertEquals((await debugRun(step, [x], { tolerance: 1e-3 })).problem, undefined);
  assertEquals((await debugRun(step, [x], { tolerance: 1e-5 })).problem?.label, "faulty doubling");
});

test("debugRun reports NaN and infinity even without the reference", async (device) => {
  const x = tensor(Float32Array.of(0, 0, 1), [3]);
  const step = compile(device, (x: Tensor) => sum(faulty(div(x, x), 1, "1.0")));
  const { problem } = await debugRun(step, [x], { reference: false });
  assertEquals(problem?.kind, "not finite");
  assertEquals([problem?.dispatch, problem?.index], [0, 0]);
  assertStringIncludes(problem!.message, "is NaN at index 0");
});

test("debugRun names a kernel that does not compile", async () => {
  using device = await ownDevice();
  const step = compile(device, (x: Tensor) => faulty(x, 0, "no_such_thing"));
  const x = tensor(Float32Array.of(1, 2), [2]);
  await assertRejects(() => debugRun(step, [x]), DeviceError, 'compiling kernel "faulty doubling"');
});

Deno.test("the interpreter computes nothing behind a value that is given", () => {
  const x = input({ shape: [2], dtype: "f32" }, 0);
  const y = sin(x);
  const [z] = interpret([mul(y, 2)], new Map([[y, Float64Array.of(3, 4)]]));
  assertEquals([...z], [6, 8]);
});
