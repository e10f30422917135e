// Optimizers against PyTorch and optax, compiled and donated; the laws by which transformations compose.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as m from "../mod.ts";
import * as optim from "../optim/mod.ts";
import { interpret } from "../compile/interpret.ts";
import type { Device } from "../device/device.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { relativeError, testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

type Golden = Record<string, Record<string, number[]>>;
const golden: { torch: Golden; optax: Golden } = JSON.parse(
  await Deno.readTextFile(new URL("golden/optimizers.json", import.meta.url)),
);

// The formulas of tests/golden/optimizers.py, with the leaves in a tree of objects and lists.
const SHAPES = { w: [3, 4], k: [2, 3, 4], b: [4], s: [] as number[] };
const NAMES = Object.keys(SHAPES) as (keyof typeof SHAPES)[];
const STEPS = 12;
type Params = { layer: { w: Tensor; k: Tensor }; rest: [Tensor, Tensor] };
const made = (f: (index: number, i: number) => number): Params => {
  const [w, k, b, s] = NAMES.map((name, index) => {
    const size = SHAPES[name].reduce((x, y) => x * y, 1);
    return m.tensor(Float32Array.from({ length: size }, (_, i) => f(index, i)), SHAPES[name]);
  });
  return { layer: { w, k }, rest: [b, s] };
};
const start = () => made((index, i) => Math.cos(0.7 * i + index));
const gradients = (step: number) =>
  made((index, i) => (1.5 + Math.sin(step)) * Math.sin(1.7 * i + 0.9 * step + index));
const byName = ({ layer: { w, k }, rest: [b, s] }: Params) => ({ w, k, b, s });

const rms = { rate: 0.02, epsilonOutside: true, decay: 0.9 };
const matrices = (_path: string, t: Tensor) => t.shape.length > 1;
const OPTIMIZERS: Record<string, Record<string, () => optim.Transform>> = {
  torch: {
    "sgd": () => optim.sgd({ rate: 0.05 }),
    "sgd momentum": () => optim.sgd({ rate: 0.05, momentum: 0.9 }),
    "sgd nesterov": () => optim.sgd({ rate: 0.05, momentum: 0.9, nesterov: true }),
    "adam": () => optim.adam({ rate: 0.02 }),
    "adamw": () => optim.adamw({ rate: 0.02, decay: 0.1 }),
    "rmsprop": () => optim.rmsprop({ ...rms, decay: 0.9 }),
    "rmsprop all": () => optim.rmsprop({ ...rms, momentum: 0.8, centered: true }),
  },
  optax: {
    "sgd nesterov": () => optim.sgd({ rate: 0.05, momentum: 0.9, nesterov: true }),
    "adam": () => optim.adam({ rate: 0.02 }),
    "adamw": () => optim.adamw({ rate: 0.02, decay: 0.1 }),
    "adamw masked": () => optim.adamw({ rate: 0.02, decay: 0.1, mask: matrices }),
    "lion": () => optim.lion({ rate: 0.01, decay: 0.1 }),
    "rmsprop": () => optim.rmsprop({ rate: 0.02 }),
    "rmsprop centered": () => optim.rmsprop({ rate: 0.02, centered: true }),
    "adafactor": () => optim.adafactor({ rate: 0.1, minDim: 3 }),
    "adafactor all": () =>
      optim.adafactor({ minDim: 2, momentum: 0.9, decay: 0.01, decayRate: 0.7 }),
    "adafactor bare": () => optim.adafactor({ rate: 0.1, relative: false, clip: Infinity }),
    "clip": () => optim.chain(optim.clip(0.3), optim.sgd({ rate: 0.1 })),
    "norm and schedule": () =>
      optim.chain(
        optim.clipByGlobalNorm(1),
        optim.adam({ rate: optim.cosineSchedule(0.05, 10, 0.005) }),
      ),
    "ema": () => optim.chain(optim.ema(0.8), optim.scale(-0.1)),
    "ema raw": () => optim.chain(optim.ema(0.8, { debias: false }), optim.scale(-0.1)),
    "masked": () =>
      optim.chain(
        optim.masked(optim.scaleByAdam(), ["layer.w", "rest.0"]),
        optim.scale(-0.1),
      ),
  },
};

type State = { params: Params; optimizer: optim.OptimizerState };
const stepOf = (optimizer: optim.Transform) => (state: State, grads: Params): State => {
  const [updates, next] = optimizer.update(grads, state.optimizer, state.params);
  return { params: optim.applyUpdates(state.params, updates), optimizer: next };
};

/** All parameters after some steps, each compiled into one program whose state is donated. */
async function run(device: Device, optimizer: optim.Transform, steps = STEPS) {
  const step = m.compile(device, stepOf(optimizer), { donate: [0] });
  const params = start();
  let state = m.evaluate(device, { params, optimizer: optimizer.init(params) });
  const allocated = new Set<number>();
  for (let i = 0; i < steps; i++) {
    state = step(state, gradients(i));
    allocated.add(device.buffers.allocated);
  }
  const values: Record<string, Float32Array> = {};
  for (const [name, t] of Object.entries(byName(state.params))) {
    values[name] = await device.read(t) as Float32Array;
  }
  step.free();
  device.free(...m.flatten<Tensor>(state).map(([, t]) => t));
  return { values, allocated };
}

test("optimizers do what PyTorch's and optax's do, in place and without a further allocation", async (device) => {
  for (const [source, of] of Object.entries(OPTIMIZERS)) {
    const expected = golden[source as "torch" | "optax"];
    assertEquals(Object.keys(of), Object.keys(expected));
    for (const [name, make] of Object.entries(of)) {
      const { values, allocated } = await run(device, make());
      for (const leaf of NAMES) {
        const e = relativeError(values[leaf], expected[name][leaf]);
        assert(e < 1e-5, `${name} of ${source}: "${leaf}" is off by ${e}`);
      }
      assertEquals(allocated.size, 1, `${name}: steps allocate`);
    }
  }
});

test("the same steps give the same bits", async (device) => {
  for (const make of [OPTIMIZERS.optax["norm and schedule"], OPTIMIZERS.optax.adafactor]) {
    const [a, b] = [await run(device, make(), 7), await run(device, make(), 7)];
    assertEquals(a.values, b.values);
  }
});

test("a step with the gradient is one program, whose updates are fused into a kernel each", async (device) => {
  const optimizer = optim.adamw({ rate: optim.warmUpSchedule(0.1, 5), mask: matrices });
  const loss = (p: Params) =>
    m.flatten<Tensor>(p).map(([, t]) => m.sum(m.square(t))).reduce((a, b) => m.add(a, b));
  const step = m.compile(device, (state: State) => {
    const { value, grads } = m.valueAndGrad(loss)(state.params);
    return { state: stepOf(optimizer)(state, grads), value };
  }, { donate: [0] });
  const params = start();
  let state = m.evaluate(device, { params, optimizer: optimizer.init(params) });
  const plan = step.plan(state);
  // A sum and an update for each of four leaves; the rest are numbers of the step.
  assert(plan.dispatches.length <= 18, m.explain(plan));
  const losses: number[] = [];
  for (let i = 0; i < 20; i++) {
    const out = step(state);
    state = out.state;
    losses.push(await device.item(out.value));
  }
  assert(losses.at(-1)! < losses[0] / 5, `${losses}`);
});

test("the one function adamw and the transformation are one arithmetic", async (device) => {
  const params = byName(start()), grads = byName(gradients(3));
  const transformation = optim.adamw({ rate: 0.02, decay: 0 });
  let one = m.adamInit(params);
  let state = transformation.init(params), moved = params;
  for (let i = 0; i < 3; i++) {
    one = m.adamw(one, grads, { rate: 0.02, decay: 0 });
    const [updates, next] = transformation.update(grads, state, moved);
    [moved, state] = [optim.applyUpdates(moved, updates), next];
  }
  for (const name of NAMES) {
    const [a, b] = [one.params[name], moved[name]].map((t) => m.evaluate(device, t));
    const e = relativeError(
      await device.read(a) as Float32Array,
      await device.read(b) as Float32Array,
    );
    assert(e < 1e-6, `${name}: ${e}`);
  }
});

const values = (tree: unknown) =>
  interpret(m.flatten<Tensor>(tree as m.Tree<Tensor>).map(([, t]) => t)).map((v) => [...v]);
/** Updates of some steps, and the state behind them, in float64. */
function updatesOf(optimizer: optim.Transform, steps = 3) {
  let state = optimizer.init(start());
  const all: number[][][] = [];
  for (let i = 0; i < steps; i++) {
    const [updates, next] = optimizer.update(gradients(i), state, start());
    all.push(values(updates));
    state = next;
  }
  return all;
}

Deno.test("transformations compose: chains of chains, of none, masks of all and of nothing, rates and schedules", () => {
  const parts = [
    optim.clip(0.5),
    optim.trace(0.9),
    optim.scaleByAdam(),
    optim.addDecayedWeights(0.1),
    optim.ema(0.5),
    optim.scale(-0.3),
    optim.clipByGlobalNorm(2),
  ];
  const some = fc.array(fc.constantFrom(...parts), { maxLength: 3 });
  fc.assert(
    fc.property(some, some, (a, b) => {
      const flat = updatesOf(optim.chain(...a, ...b));
      assertEquals(updatesOf(optim.chain(optim.chain(...a), optim.chain(...b))), flat);
      assertEquals(updatesOf(optim.masked(optim.chain(...a, ...b), () => true)), flat);
    }),
    { numRuns: 15 },
  );
  const none = updatesOf(optim.chain());
  assertEquals(none, [0, 1, 2].map((i) => values(gradients(i))));
  assertEquals(updatesOf(optim.masked(optim.scale(9), () => false)), none);
  const tree = { layer: { w: true, k: true }, rest: [true, true] } as const;
  assertEquals(
    updatesOf(optim.masked(optim.scale(9), tree)),
    updatesOf(optim.masked(optim.scale(9), ["**"])),
  );
  assertEquals(
    updatesOf(optim.sgd({ rate: optim.constantSchedule(0.5) })),
    updatesOf(optim.sgd({ rate: 0.5 })),
  );
  assertEquals(
    updatesOf(optim.sgd({ rate: m.scalar(0.5) })),
    updatesOf(optim.chain(optim.scale(-0.5))),
  );
});

Deno.test("a mask leaves no state of what it leaves out; Adafactor keeps rows and columns alone", () => {
  const params = start();
  const state = optim.masked(optim.scaleByAdam(), ["layer.*"]).init(params);
  assertEquals(m.flatten(state as m.Tree<Tensor>).map(([path]) => path), [
    ...["m.layer.w", "m.layer.k", "v.layer.w", "v.layer.k"],
    ...["corrections.0", "corrections.1"],
  ]);
  const large = { w: m.zeros([200, 300]), b: m.zeros([300]) };
  const sizes = m.flatten<Tensor>(optim.adafactor().init(large) as m.Tree<Tensor>)
    .map(([, t]) => t.size);
  assertEquals(sizes.reduce((a, b) => a + b), 200 + 300 + 300 + 1);
});

Deno.test("f16 parameters are trained by f32 updates, and incrementalUpdate is a mean of two", () => {
  const w = m.tensor([1, 2], [2], "f16"), g = m.tensor([0.5, 60000], [2], "f16");
  const optimizer = optim.chain(
    optim.clipByGlobalNorm(1e9),
    optim.adamw({ rate: 0.25, decay: 1e-9 }),
    optim.trace(0.5),
  );
  const state = optimizer.init({ w });
  const [updates, next] = optimizer.update({ w: g }, state, { w });
  assertEquals(updates.w.dtype, "f32");
  assertEquals(
    m.flatten<Tensor>(next as m.Tree<Tensor>).map(([, t]) => t.dtype),
    Array(5).fill("f32"),
  );
  const moved = optim.applyUpdates({ w }, updates);
  assertEquals(moved.w.dtype, "f16");
  assert(relativeError(values(moved)[0], [0.75, 1.75]) < 1e-6);
  for (const share of [0.25, m.scalar(0.25)]) {
    const mean = optim.incrementalUpdate({ w: m.tensor([4, 8]) }, { w: m.tensor([0, 4]) }, share);
    assertEquals(values(mean), [[1, 5]]);
  }
});

Deno.test("leaves whose paths read alike, or stand in another order, are not taken for one another", () => {
  const tree = (a: number, b: number) => ({ "x.y": m.tensor([a]), x: { y: m.tensor([b]) } });
  for (const make of [() => optim.adam({ rate: 1 }), () => optim.clipByGlobalNorm(1e9)]) {
    const optimizer = make();
    const [updates] = optimizer.update(tree(3, -5), optimizer.init(tree(0, 0)), tree(1, 1));
    const [a, b] = values(updates).map(([v]) => Math.sign(v));
    assertEquals(a, -b);
  }
  const masked = optim.masked(optim.scale(2), (_path, t) => t.shape.length === 0);
  const one = { a: m.tensor([1]), b: m.scalar(1) };
  assertEquals(values(masked.update(one, masked.init(one), one)[0]), [[1], [2]]);
  const twice = { a: one.b, b: one.b, c: one.b };
  const middle = optim.masked(optim.scale(2), ["b"]);
  assertEquals(values(middle.update(twice, middle.init(twice), twice)[0]), [[1], [2], [1]]);
  const adam = optim.scaleByAdam();
  const state = adam.init({ a: m.tensor([1]), b: m.tensor([1, 2]) });
  const turned = { b: m.tensor([1, -2]), a: m.tensor([-1]) };
  const [updates] = adam.update(turned, state);
  assertEquals(Object.keys(updates), ["b", "a"]);
  assertEquals(values(updates).flat().map(Math.sign), [1, -1, -1]);
});

Deno.test("nothing, NaN and one number: trees without leaves, gradients that are none, a bare tensor", () => {
  for (const make of Object.values(OPTIMIZERS).flatMap((of) => Object.values(of))) {
    let optimizer: optim.Transform;
    optimizer = make();
    if (make === OPTIMIZERS.optax.masked) optimizer = optim.masked(optim.scaleByAdam(), () => true);
    assertEquals(optimizer.update({}, optimizer.init({}), {})[0], {});
    const one = m.tensor([1, 2, 3]);
    const state = optimizer.init(one);
    const [update] = optimizer.update(m.tensor([1, NaN, 1]), state, one);
    assertEquals(update.shape, [3]);
    const seen = [...interpret([update])[0]].map(Number.isNaN);
    assert(seen[1], "a NaN is seen");
    const empty = { w: m.zeros([0, 3]) };
    assertEquals(optimizer.update(empty, optimizer.init(empty), empty)[0].w.shape, [0, 3]);
  }
});

Deno.test("what does not fit is refused by name, before anything is compiled", () => {
  const w = m.tensor([1, 2]), params = { w };
  const adam = optim.adam({ rate: 1 }), state = adam.init(params);
  // deno-lint-ignore no-explicit-any
  const any = optim as any;
  const cases: [() => unknown, string][] = [
    [() => any.adam({}), "adam: options.rate is undefined"],
    [() => any.adam({ rate: -1 }), "is -1, not a finite f32 of at least 0"],
    [() => any.adam({ rate: 1, lr: 2 }), 'adam: there is no option "lr"'],
    [() => any.adamw({ rate: 1, beta1: 1 }), "options.beta1 is 1, not from 0 to below 1"],
    [() => any.adamw({ rate: 1, decay: -1 }), "adamw: options.decay is -1"],
    [() => any.sgd({ rate: 1, momentum: 1 }), "sgd: options.momentum is 1, not from 0 to below 1"],
    [() => any.sgd({ rate: { kind: "cosin" } }), "sgd: options.rate is an object with kind"],
    [() => any.sgd(), "sgd: argument 1 (options) is undefined"],
    [() => any.rmsprop({ rate: 1, centered: 1 }), "options.centered is the number 1"],
    [() => any.adafactor({ minDim: 0 }), "options.minDim is 0, not at least 1"],
    [() => any.clip(-1), "clip: argument 1 (limit) is -1"],
    [() => any.clip("1"), 'is the string "1", not a number'],
    [() => any.clipByGlobalNorm(NaN), "clipByGlobalNorm: argument 1 (maxNorm) is NaN"],
    [() => any.scale(Infinity), "scale: argument 1 (factor) is Infinity, not a finite f32"],
    [() => any.chain(optim.clip(1), 3), "chain: argument 2 is the number 3, not a transformation"],
    [() => adam.update({ w: 3 as unknown as Tensor }, state), 'gradient "w" is the number 3'],
    [
      () => adam.update({ w: m.tensor([1]) }, state, params),
      'gradient "w" is f32[1], the parameter f32[2]',
    ],
    [
      () => adam.update({ v: w }, state, params as never),
      'trees of different form: "w" is in tree 2 alone',
    ],
    [() => adam.update({}, state, params as never), "trees of different form"],
    [() => adam.update({ w: m.tensor(Uint32Array.of(1, 2)) }, state), 'gradient "w" is u32[2]'],
    [
      () => adam.update(params, {}, params),
      "the state is an empty object, not that of 2 transformations",
    ],
    [
      () => optim.addDecayedWeights(1).update(params, {}),
      "takes the parameters as its third argument",
    ],
    [() => optim.masked(adam, ["v"]).init(params), 'the pattern "v" matches no parameter'],
    [() => optim.masked(adam, { v: true }).init(params), 'the mask of "w" is undefined'],
    [() => optim.masked(adam, 3 as never).init(params), "the mask is the number 3"],
    [() => optim.applyUpdates(params, { w: m.tensor([1]) }), 'update "w" is f32[1]'],
    [() => optim.applyUpdates(params, {} as never), "trees of different form"],
  ];
  for (const [call, message] of cases) assertThrows(call, Error, message);
});

test("a learning rate that is an argument of the step", async () => {
  const device = await testDevice();
  const step = m.compile(device, (params: { w: Tensor }, rate: Tensor) => {
    const optimizer = optim.sgd({ rate });
    const [updates] = optimizer.update({ w: m.ones([2]) }, optimizer.init(params), params);
    return optim.applyUpdates(params, updates);
  });
  const params = { w: m.tensor([1, 2]) };
  assertEquals([...await device.read(step(params, m.scalar(0.5)).w)], [0.5, 1.5]);
  assertEquals([...await device.read(step(params, m.scalar(1)).w)], [0, 1]);
});

test("steps within scan are the loop's; under vmap each of several models is trained as alone", async (device) => {
  const optimizer = optim.adamw({ rate: optim.cosineSchedule(0.1, 10) });
  const target = m.tensor([1, -2, 3]);
  const loss = (p: { w: Tensor }) => m.sum(m.square(m.sub(p.w, target)));
  const step = (s: { params: { w: Tensor }; optimizer: optim.OptimizerState }) => {
    const [updates, next] = optimizer.update(m.grad(loss)(s.params), s.optimizer, s.params);
    return { params: optim.applyUpdates(s.params, updates), optimizer: next };
  };
  const trained = (w: Tensor) => {
    const begun = { params: { w }, optimizer: optimizer.init({ w }) };
    return m.scan((s) => [step(s), loss(s.params)] as const, begun, undefined, { length: 8 });
  };
  const begun = m.tensor([[0, 0, 0], [5, 5, 5]]);
  const [last, losses] = m.evaluate(device, trained(m.tensor([5, 5, 5])));
  const from = { w: m.tensor([5, 5, 5]) };
  let alone = { params: from, optimizer: optimizer.init(from) };
  for (let i = 0; i < 8; i++) alone = step(alone);
  const expected = interpret([alone.params.w])[0];
  assert(relativeError(await device.read(last.params.w) as Float32Array, expected) < 1e-5);
  const falling = await device.read(losses);
  assert(falling.every((v, i) => i === 0 || v < falling[i - 1]), `${falling}`);
  const both = m.evaluate(device, m.vmap((w: Tensor) => trained(w)[0].params.w)(begun));
  assert(relativeError((await device.read(both)).slice(3) as Float32Array, expected) < 1e-5);
});
