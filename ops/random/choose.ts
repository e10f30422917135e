/**
 * Draws that choose: truth values, classes, orders, and elements of something. All are made of draws whose bits are the same on
 * every device, and of comparisons, so they choose the same everywhere.
 */
import { calledAs } from "../../tensor/called.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { expectNumber, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { expectShape } from "../../tensor/host.ts";
import { axisOf, sameShape, type Shape, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import { expand } from "../broadcast.ts";
import { add } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { less } from "../elementwise/compare.ts";
import { take } from "../index/take.ts";
import { tensor } from "../leaf.ts";
import { reshape, slice } from "../movement.ts";
import { argmax } from "../order/fold.ts";
import { argsort, searchsorted, topK } from "../order/sort.ts";
import {
  DRAW_OPTIONS,
  type DrawOptions,
  expectDraw,
  hostBits,
  randomBits,
  randomGumbel,
  randomUniform,
} from "../random.ts";
import { expectKey } from "./expect_key.ts";
import { randomInt } from "./integers.ts";
import type { Key } from "./threefry.ts";

/**
 * Truth values, true with probability `p`: a mask of what is kept, for one.
 *
 * @param key `[2]` u32
 * @param p a number, or a tensor `[…]` of floats; steps of 2⁻²⁴ count
 * @param shape default that of `p`, which must broadcast to it
 * @returns bool
 */
export function randomBernoulli(
  key: Tensor,
  p: number | Tensor = 0.5,
  shape?: Shape,
  options: DrawOptions = {},
): Tensor {
  const name = "randomBernoulli";
  if (typeof p === "number") {
    expectDraw(name, key, shape ?? []);
    if (!(p >= 0 && p <= 1)) throw new RangeError(`${name}: p ${p} is not from 0 to 1`);
  } else {
    expectTensors(name, { key, p });
    expectDraw(name, key, shape ?? p.shape);
    if (!isFloat(p.dtype)) throw new ShapeError(name, `p is f32 or f16, not ${show(p.spec)}`);
  }
  expectOptions(name, 3, options, DRAW_OPTIONS);
  const of = typeof p === "number" ? p : cast(p, "f32");
  const drawn = calledAs(
    name,
    () => less(randomUniform(key, shape ?? (typeof p === "number" ? [] : p.shape), options), of),
  );
  if (shape && !sameShape(drawn.shape, shape)) {
    throw new ShapeError(name, `p ${show((p as Tensor).spec)} does not broadcast to [${shape}]`);
  }
  return drawn;
}

/** Options of {@linkcode randomCategorical}. */
export interface CategoricalOptions extends DrawOptions {
  /** The axis of the classes. Default the last. */
  readonly axis?: number;
  /** Shape of the result: that of the logits without their axis (default), with more axes before it for more draws. */
  readonly shape?: Shape;
}

/**
 * Classes by their unnormalized log-probabilities: the place of the largest logit once Gumbel noise is added.
 *
 * @param key `[2]` u32
 * @param logits `[…, classes, …]`, f32 or f16; −∞ is never drawn
 * @returns u32
 */
export function randomCategorical(
  key: Tensor,
  logits: Tensor,
  options: CategoricalOptions = {},
): Tensor {
  const name = "randomCategorical";
  expectKey(name, key);
  expectTensors(name, { key, logits });
  expectOptions(name, 2, options, { ...DRAW_OPTIONS, axis: "number", shape: "any" });
  if (!isFloat(logits.dtype)) {
    throw new ShapeError(name, `logits are f32 or f16, not ${show(logits.spec)}`);
  }
  const axis = axisOf(name, options.axis ?? -1, logits.shape.length);
  const each = logits.shape.toSpliced(axis, 1);
  const shape = options.shape ?? each;
  expectShape(name, 2, shape);
  const more = shape.length - each.length;
  if (more < 0 || !sameShape(shape.slice(more), each)) {
    throw new ShapeError(name, `options.shape [${shape}] does not end in [${each}]`);
  }
  if (!logits.shape[axis]) throw new ShapeError(name, `no class in ${show(logits.spec)}`);
  const all = [...shape.slice(0, more), ...logits.shape];
  const { stream } = options;
  const drawn = calledAs(name, () => randomGumbel(key, all, { stream }));
  return argmax(add(drawn, cast(logits, "f32")), more + axis);
}

/** So many sorts make an order of n in which chance ties no longer show, as in JAX: ties keep their places. */
const rounds = (n: number): number =>
  Math.max(1, Math.ceil(3 * Math.log(Math.max(1, n)) / Math.log(0xffffffff)));

/**
 * A random order of the first whole numbers; or a tensor in a random order.
 *
 * @param key `[2]` u32
 * @param x how many numbers, or a tensor of any element type, whose slices along `axis` change places
 * @returns `[x]` u32, or x's shape
 */
export function randomPermutation(key: Tensor, x: number | Tensor, axis = 0): Tensor {
  const name = "randomPermutation";
  expectDraw(name, key, []);
  expectNumber(name, 2, "axis", axis);
  if (typeof x !== "number") {
    expectTensors(name, { key, x });
    const a = axisOf(name, axis, x.shape.length);
    return take(x, randomPermutation(key, x.shape[a]), a);
  }
  const n = wholeNumber(name, "the count", x);
  const sorted = (stream: number) => argsort(randomBits(key, [n], { stream }));
  let order = sorted(0);
  for (let round = 1; round < rounds(n); round++) order = take(order, sorted(round));
  return order;
}

/** What {@linkcode randomPermutation} gives for a number, computed on the host. */
export function hostPermutation(key: Key, n: number): Uint32Array {
  let order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let stream = 0; stream < rounds(n); stream++) {
    const bits = hostBits(key, n, { stream });
    // Bits above, places below, in one number: sorted without a function that compares.
    const packed = BigUint64Array.from(order, (_, i) => BigInt(bits[i]) << 32n | BigInt(i)).sort();
    order = Uint32Array.from(packed, (both) => order[Number(both & 0xffffffffn)]);
  }
  return order;
}

/** Options of {@linkcode randomChoice}. */
export interface ChoiceOptions {
  /** Whether an element may come several times. Default true. */
  readonly replace?: boolean;
  /** How likely each is, in proportion: numbers of the host. Of a tensor, `randomCategorical` takes logits. Default: all alike. */
  readonly p?: ArrayLike<number>;
  /** Along which axis elements lie. Default 0. */
  readonly axis?: number;
}

/**
 * Elements of a tensor, or whole numbers below one, by chance.
 *
 * @param key `[2]` u32
 * @param from how many numbers, or a tensor of any element type, whose slices along `axis` are chosen
 * @param shape of what is chosen
 * @returns `shape` u32; of a tensor its shape, with `shape` in place of `axis`
 * @throws RangeError when there are fewer to choose from than are wanted without repetition, or a probability is below 0
 */
export function randomChoice(
  key: Tensor,
  from: number | Tensor,
  shape: Shape = [],
  options: ChoiceOptions = {},
): Tensor {
  const name = "randomChoice";
  expectDraw(name, key, []);
  expectShape(name, 2, shape);
  expectOptions(name, 3, options, { replace: "true or false", p: "any", axis: "number" });
  if (typeof from !== "number") {
    expectTensors(name, { key, from });
    const axis = axisOf(name, options.axis ?? 0, from.shape.length);
    return take(from, randomChoice(key, from.shape[axis], shape, options), axis);
  }
  const n = wholeNumber(name, "the count", from), count = sizeOf(shape);
  const { replace = true, p } = options;
  const likely = p === undefined ? undefined : weightsOf(name, p, n);
  const possible = likely ? likely.filter((w) => w > 0).length : n;
  if (count && possible < (replace ? 1 : count)) {
    const how = replace ? "" : " without repetition";
    throw new RangeError(`${name}: ${count} of ${possible} possible ones${how}`);
  }
  if (!count) return expand(tensor(0, [], "u32"), shape);
  if (replace) {
    return likely ? byWeight(key, likely, shape) : randomInt(key, shape, 0, n, { dtype: "u32" });
  }
  const order = likely
    ? topK(add(randomGumbel(key, [n]), tensor(likely.map(Math.log))), count)[1]
    : slice(randomPermutation(key, n), 0, 0, count);
  return reshape(order, shape);
}

function weightsOf(name: string, p: ArrayLike<number>, n: number): Float64Array {
  const weights = typeof p === "object" && p !== null && !(p instanceof Tensor) && Array.from(p);
  if (!weights || !weights.every((w) => typeof w === "number")) {
    throw new TypeError(`${name}: options.p is ${what(p)}, not a list of numbers`);
  }
  if (weights.length !== n) {
    throw new RangeError(`${name}: options.p has ${weights.length} numbers for ${n} elements`);
  }
  const bad = weights.findIndex((w) => !(w >= 0 && w < Infinity));
  if (bad >= 0) throw new RangeError(`${name}: options.p has ${weights[bad]} at ${bad}`);
  // Their sum is a number, too.
  const most = weights.reduce((a, b) => Math.max(a, b), 0) || 1;
  return Float64Array.from(weights, (w) => most > 1e300 ? w / most : w);
}

/** By what share of all words lies below each of those that can be drawn: computed once, on the host. */
function byWeight(key: Tensor, weights: Float64Array, shape: Shape): Tensor {
  const some = [...weights.keys()].filter((i) => weights[i] > 0);
  const total = weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  const ends = some.slice(0, -1).map((i) => {
    sum += weights[i];
    return Math.min(0xffffffff, Math.max(1, Math.round(sum / total * 2 ** 32)));
  });
  if (!ends.length) return expand(tensor(some[0], [], "u32"), shape);
  const at = searchsorted(tensor(Uint32Array.from(ends)), randomBits(key, shape), {
    side: "right",
  });
  return take(tensor(Uint32Array.from(some)), at);
}
