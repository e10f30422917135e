import { assert, assertEquals, assertThrows } from "@std/assert";
import { compile, evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { grad, valueAndGrad, vjp } from "../autograd/grad.ts";
import { checkpoint } from "../autograd/checkpoint.ts";
import {
  adamInit,
  type AdamState,
  adamw,
  clipByGlobalNorm,
  type Named,
} from "../autograd/optimizer.ts";
import { add, exp, mul, square, sub } from "../ops/elementwise/arithmetic.ts";
import { sin } from "../ops/elementwise/trigonometry.ts";
import { sum } from "../ops/broadcast.ts";
import { concat } from "../ops/concat.ts";
import { mean } from "../ops/reduce.ts";
import { cutGradient, stopGradient } from "../ops/gradient.ts";
import { input, tensor } from "../ops/leaf.ts";
import { embedding, replaceRows } from "../ops/embedding/embedding.ts";
import { ShapeError } from "../tensor/shape.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { relativeError, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";

const vector = (n: number, seed: number) =>
  tensor(Float32Array.from({ length: n }, uniform(seed)), [n]);

/** A little elementwise network with shared weights, deep enough for checkpoints to matter. */
function chain(
  x: Tensor,
  w: Tensor,
  wrap: <F extends (x: Tensor) => Tensor>(f: F) => (x: Tensor) => Tensor,
): Tensor {
  const block = wrap((h: Tensor) => sin(add(mul(h, w), square(h))));
  return sum(square(block(block(block(x)))));
}

Deno.test("a gradient walks only from the loss to what is wanted", () => {
  const [x, w, frozen] = [0, 1, 2].map((i) => input({ shape: [4], dtype: "f32" }, i));
  const loss = sum(mul(mul(x, w), exp(frozen)));
  const before = tapeOf([loss]).length;
  const [gw] = vjp([[loss, tensor([1], [])]], [w]);
  const names = tapeOf([gw!]).map((n) => n.op.name);
  // exp is needed as a factor, but never differentiated.
  assertEquals(names.filter((n) => n === "exp").length, 1);
  assert(tapeOf([gw!]).length <= before + 6);
});

Deno.test("nothing depends on a wanted tensor: its cotangent is a symbolic zero", () => {
  const [x, y] = [0, 1].map((i) => input({ shape: [4], dtype: "f32" }, i));
  assertEquals(vjp([[sum(x), tensor([1], [])]], [y]), [undefined]);
});

Deno.test("stopGradient and cutGradient pass values and hold back gradients", () => {
  const x = tensor([1, 2, 3], [3]);
  const [g] = vjp([[sum(square(cutGradient(x, 0, 0))), tensor([1], [])]], [x]);
  assertEquals([...interpret([g!])[0]], [0, 4, 6]);
  const [none] = vjp([[sum(square(stopGradient(x))), tensor([1], [])]], [x]);
  assertEquals(none, undefined);
});

Deno.test("second derivatives come from differentiating the gradient", () => {
  const x = tensor([0.3, -0.7], [2]);
  const [g] = vjp([[sum(sin(x)), tensor([1], [])]], [x]);
  const [h] = vjp([[sum(g!), tensor([1], [])]], [x]);
  const [values] = interpret([h!]);
  assert(relativeError(values, [-Math.sin(0.3), Math.sin(0.7)]) < 1e-7);
});

Deno.test("a function is differentiated by its arguments, whatever they were made of", () => {
  const x = tensor([0.5, 1.5], [2]);
  const product = (p: { a: Tensor; b: Tensor }) => sum(mul(p.a, p.b));
  const of = (b: Tensor) => interpret(Object.values(grad(product)({ a: x, b }))).map((v) => [...v]);
  assertEquals(of(square(x)), [[0.25, 2.25], [0.5, 1.5]]);
  assertEquals(of(x), [[0.5, 1.5], [0.5, 1.5]], "one tensor given twice is two arguments");
  const table = replaceRows(tensor([1, 2, 3, 4], [2, 2]), tensor([5, 6], [1, 2]), [1]);
  const row = tensor([1], [1], "u32");
  const { t } = grad((p: { t: Tensor }) => sum(square(embedding(p.t, row))))({ t: table });
  assertEquals([...interpret([t])[0]], [0, 0, 10, 12]);
  // By `vjp` it is the other way round: what b was made of counts.
  const [total] = vjp([[product({ a: x, b: square(x) }), tensor([1], [])]], [x]);
  assertEquals([...interpret([total!])[0]], [0.75, 6.75]);
});

Deno.test("a cotangent of another shape or type than its tensor is refused", () => {
  const x = tensor([1, 2], [2]);
  assertThrows(
    () => vjp([[sum(x), tensor([1, 1, 1])]], [x]),
    ShapeError,
    "output 0 is f32[], its cotangent f32[3]",
  );
  assertThrows(() => vjp([[square(x), tensor([1, 1], [2], "f16")]], [x]), ShapeError, "f16[2]");
});

Deno.test("what lies inside of a checkpointed function can be differentiated by, too", () => {
  const x = tensor([0.5, 1], [2]);
  let inside = x;
  const y = checkpoint((a: Tensor) => square(inside = mul(a, 3)))(x);
  const seed = tensor([1, 1]);
  assertEquals([...interpret([vjp([[y, seed]], [inside])[0]!])[0]], [3, 6]);
  assertEquals([...interpret([vjp([[y, seed]], [x])[0]!])[0]], [9, 18]);
});

test("a checkpointed function gives the same gradient and keeps less", async (device) => {
  const x = vector(4096, 1);
  const w = vector(4096, 2);
  const run = (wrap: <F extends (x: Tensor) => Tensor>(f: F) => (x: Tensor) => Tensor) =>
    valueAndGrad((p: { w: Tensor }) => chain(x, p.w, wrap))({ w });
  const plain = run((f) => f);
  const kept = run((f) => checkpoint(f));
  const [a, b] = [plain, kept].map((r) => interpret([r.value, r.grads.w]));
  assertEquals(a[0][0], b[0][0]);
  assert(relativeError(b[1], a[1]) < 1e-12);
  const onDevice = evaluate(device, kept);
  assert(relativeError(await device.read(onDevice.grads.w) as Float32Array, a[1]) < 1e-4);
  const sums = (t: Tensor) => tapeOf([t]).filter((n) => n.op.name === "add").length;
  assert(sums(kept.grads.w) > sums(plain.grads.w), "the backward pass recomputes the block");
});

test("AdamW's scale is a factor of one parameter's rate, decay included", async (device) => {
  const x = vector(8, 5), g = vector(8, 6);
  const options = { rate: 0.5, decay: 0.1, scale: (path: string) => path === "slow" ? 0.25 : 1 };
  const moved = adamw(adamInit({ fast: x, slow: x }), { fast: g, slow: g }, options);
  const [from, fast, slow] = await Promise.all(
    [x, moved.params.fast, moved.params.slow].map((t) => device.read(evaluate(device, t))),
  ) as Float32Array[];
  const step = (to: Float32Array) => to.map((v, i) => v - from[i]);
  assert(relativeError(step(slow), step(fast).map((v) => v / 4)) < 1e-5);
});

test("AdamW follows the published update over 30 steps, compiled and donated", async (device) => {
  const target = vector(64, 3);
  const loss = (p: Named) => mean(square(sub(p.w, target)));
  const step = compile(device, (state: AdamState, rate: Tensor) => {
    const { value, grads } = valueAndGrad(loss)(state.params);
    return { state: adamw(state, grads, { rate, decay: 0.01 }), loss: value };
  }, { donate: [0] });
  let state = evaluate(device, adamInit({ w: vector(64, 4) }));
  const p = Float64Array.from(await device.read(state.params.w) as Float32Array);
  const t = (target.node.attrs as { data: Float32Array }).data;
  const m = new Float64Array(64);
  const v = new Float64Array(64);
  const allocated: number[] = [];
  for (let k = 1; k <= 30; k++) {
    const rate = 1e-2 / k;
    state = step(state, tensor([rate], [])).state;
    allocated.push(device.buffers.allocated);
    for (let i = 0; i < 64; i++) {
      const g = 2 * (p[i] - t[i]) / 64;
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.999 * v[i] + 0.001 * g * g;
      p[i] = p[i] * (1 - rate * 0.01) -
        rate * (m[i] / (1 - 0.9 ** k)) / (Math.sqrt(v[i] / (1 - 0.999 ** k)) + 1e-8);
    }
  }
  assert(relativeError(await device.read(state.params.w) as Float32Array, p) < 1e-5);
  assertEquals(new Set(allocated).size, 1, "no step allocates");
});

Deno.test("clipping scales all gradients by one factor", () => {
  const { grads, norm } = clipByGlobalNorm({ a: tensor([3], [1]), b: tensor([4], [1]) }, 1);
  const [n, a, b] = interpret([norm, grads.a, grads.b]);
  assertEquals(n[0], 5);
  assert(Math.abs(a[0] - 0.6) < 1e-6 && Math.abs(b[0] - 0.8) < 1e-6);
});

test("a tensor is refused after its memory was donated, and a result after it was overwritten", async (device) => {
  const step = compile(device, (s: Tensor) => ({ s: add(s, 1), total: sum(s) }), { donate: [0] });
  const s0 = evaluate(device, tensor([1, 2, 3, 4]));
  const one = step(s0);
  assertThrows(() => step(s0), Error, "donated");
  step(one.s);
  await device.item(one.total).then(
    () => assert(false),
    (e) => assert(/ran again/.test(e.message)),
  );
});

test("an argument that is to be donated and is not there is refused", (device) => {
  const step = compile(device, (s: Tensor, by?: Tensor) => add(s, by ?? 1), { donate: [0, 1] });
  step(evaluate(device, tensor([1])), evaluate(device, tensor(2)));
  const message = "options.donate names argument 1; the call has 1, counted from 0";
  assertThrows(() => step(tensor([1])), RangeError, message);
});

test("a checkpointed function that reads an empty tensor computes what it computes without", async (device) => {
  const none = tensor(new Float32Array(0), [0, 3]);
  const x = tensor([[1, 2, 3], [4, 5, 6]]);
  const f = checkpoint((t: Tensor) => mul(concat([t, none], 0), 2));
  const values = await device.read(evaluate(device, f(x)));
  assertEquals(Array.from(values), [2, 4, 6, 8, 10, 12]);
});
