/**
 * Random numbers by counter: element `i` of draw `stream` under a key is a pure function of the three
 * (`ops/random/threefry.ts`), with the same bits on the host and on every device (`ops/random/strict.ts`).
 *
 * Why keys are tensors: a key is then an argument of a compiled program, which draws new numbers without being compiled
 * anew, an element of what `vmap` maps over, and a part of what `scan` carries. What the host knows of a key is computed
 * there (`ops/random/keys.ts`), so that no device is needed to split one.
 */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectOptions } from "../tensor/arguments.ts";
import { expectShape } from "../tensor/host.ts";
import { type Shape, ShapeError, show, sizeOf } from "../tensor/shape.ts";
import { alike } from "../tensor/batch.ts";
import { defineOp, type Op } from "../tensor/op.ts";
import * as words from "./random/distributions.ts";
import { expectKey } from "./random/expect_key.ts";
import { type Distribution, type DrawAttrs, drawKernel } from "./random/kernel.ts";
import { HOST } from "./random/strict.ts";
import { FOLD, type Key, threefry } from "./random/threefry.ts";

export { type Key, keyFromSeed, threefry } from "./random/threefry.ts";
export { foldIn, randomKey, randomSplit } from "./random/keys.ts";

/** Options of the drawing functions. */
export interface DrawOptions {
  /** Number of the draw under its key, below 2³² − 1; different streams are independent. Default 0. */
  readonly stream?: number;
}

const DISTRIBUTIONS = {
  randomBits: { dtype: "u32", one: (_, w) => w },
  randomUniform: { dtype: "f32", one: words.uniform },
  randomNormal: { dtype: "f32", pair: words.normalPair },
  randomExponential: { dtype: "f32", one: words.exponential },
  randomGumbel: { dtype: "f32", one: words.gumbel },
  randomLaplace: { dtype: "f32", one: words.laplace },
  randomTruncatedNormal: { dtype: "f32", one: (m, w, { cut }) => words.truncated(m, w, cut!) },
} as const satisfies Record<string, Distribution>;

/** Under one key, element pairs (2p, 2p + 1) come from counter (p, stream). */
function drawOnHost({ one, pair }: Distribution, key: Key, count: number, attrs: DrawAttrs) {
  const y = new Float64Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry(key, [i / 2, attrs.stream]);
    const [first, second] = one ? [one(HOST, a, attrs), one(HOST, b, attrs)] : pair!(HOST, a, b);
    y[i] = first;
    if (i + 1 < count) y[i + 1] = second;
  }
  return y;
}

function defineDraw(name: keyof typeof DISTRIBUTIONS) {
  const distribution: Distribution = DISTRIBUTIONS[name];
  return defineOp<DrawAttrs>({
    name,
    shape([key], { shape, stream }) {
      if (key.dtype !== "u32" || key.shape.at(-1) !== 2) {
        throw new ShapeError(name, `the key must be u32[2], not ${show(key)}`);
      }
      if (!Number.isInteger(stream) || stream < 0 || stream >= FOLD) {
        throw new ShapeError(name, `stream ${stream} is not a whole number below 2^32 - 1`);
      }
      return [{ shape: [...key.shape.slice(0, -1), ...shape], dtype: distribution.dtype }];
    },
    vjp: () => [undefined],
    batch: alike,
    reference([keys], _specs, attrs, [out]) {
      const y = new Float64Array(sizeOf(out.shape));
      const count = sizeOf(attrs.shape);
      for (let i = 0; i < keys.length / 2; i++) {
        const key: Key = [keys[2 * i], keys[2 * i + 1]];
        y.set(drawOnHost(distribution, key, count, attrs), i * count);
      }
      return [y];
    },
    lowering: {
      kind: "kernel",
      epilogue: true,
      build: (ctx) => drawKernel(name, distribution, ctx),
    },
  });
}

const bitsOp = defineDraw("randomBits");
const uniformOp = defineDraw("randomUniform");
const normalOp = defineDraw("randomNormal");
const exponentialOp = defineDraw("randomExponential");
const gumbelOp = defineDraw("randomGumbel");
const laplaceOp = defineDraw("randomLaplace");
const truncatedOp = defineDraw("randomTruncatedNormal");

/** Options that every drawing function has. */
export const DRAW_OPTIONS = { stream: "number" } as const;

/** Checks a key and a shape, which are the first arguments of every drawing function. */
export function expectDraw(op: string, key: Tensor, shape: Shape): void {
  expectKey(op, key);
  expectShape(op, 1, shape);
}

function draw(op: Op<DrawAttrs>, key: Tensor, shape: Shape, options: DrawOptions): Tensor {
  expectDraw(op.name, key, shape);
  expectOptions(op.name, 2, options, DRAW_OPTIONS);
  return apply(op, [key], { shape, stream: options.stream ?? 0 })[0];
}

/** Random u32, all bits uniform. `key`: `[2]` u32. */
export const randomBits = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(bitsOp, key, shape, options);

/** Uniform f32 in [0, 1), multiples of 2⁻²⁴. `key`: `[2]` u32. */
export const randomUniform = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(uniformOp, key, shape, options);

/** Normal f32 of mean 0 and variance 1, at most 6.8 in magnitude. `key`: `[2]` u32. */
export const randomNormal = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(normalOp, key, shape, options);

/** Exponential f32 of mean 1, between 1.1e-10 and 22.9. `key`: `[2]` u32. */
export const randomExponential = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(exponentialOp, key, shape, options);

/** Standard Gumbel f32, between −3.14 and 22.9: the largest of many draws is distributed so. `key`: `[2]` u32. */
export const randomGumbel = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(gumbelOp, key, shape, options);

/** Laplace f32 of mean 0 and scale 1 (variance 2), at most 22.9 in magnitude. `key`: `[2]` u32. */
export const randomLaplace = (key: Tensor, shape: Shape, options: DrawOptions = {}): Tensor =>
  draw(laplaceOp, key, shape, options);

/** Options of {@linkcode randomTruncatedNormal}. */
export interface TruncatedOptions extends DrawOptions {
  /** The least, in standard deviations. Default −2. */
  readonly lower?: number;
  /** The most. Default 2. */
  readonly upper?: number;
}

/**
 * Standard normal f32, given that it lies between two bounds, which may be far out in one tail. With other bounds than ±∞ its
 * variance is below 1: 0.774 between −2 and 2. `key`: `[2]` u32.
 *
 * @throws RangeError when `lower` is not below `upper`, or less than 1e-37 of the distribution lies between them
 */
export function randomTruncatedNormal(
  key: Tensor,
  shape: Shape,
  options: TruncatedOptions = {},
): Tensor {
  const name = "randomTruncatedNormal";
  expectDraw(name, key, shape);
  expectOptions(name, 2, options, { ...DRAW_OPTIONS, lower: "number", upper: "number" });
  const cut = cutAt(options.lower ?? -2, options.upper ?? 2);
  return apply(truncatedOp, [key], { shape, stream: options.stream ?? 0, cut })[0];
}

/** What is computed of the bounds once, in float64. */
function cutAt(lower: number, upper: number): words.Cut {
  if (!(lower < upper)) {
    throw new RangeError(`randomTruncatedNormal: lower ${lower} is not below upper ${upper}`);
  }
  const below = words.normalBelow(lower), above = words.normalBelow(-upper);
  // Between bounds on one side of 0, as a difference of tails, which are small.
  const between = lower > 0
    ? words.normalBelow(-lower) - above
    : words.normalBelow(Math.min(upper, 0)) - below + (upper > 0 ? 0.5 - above : 0);
  if (!(between > 1e-37)) {
    throw new RangeError(
      `randomTruncatedNormal: less than 1e-37 of the distribution lies from ${lower} to ${upper}`,
    );
  }
  const most = 3e38, within = (x: number) => Math.min(most, Math.max(-most, x));
  const left = Math.min(between, Math.max(0, 0.5 - below));
  return { lower: within(lower), upper: within(upper), below, above, between, left };
}

const onHost =
  (distribution: Distribution) => (key: Key, count: number, { stream = 0 }: DrawOptions = {}) =>
    drawOnHost(distribution, key, count, { shape: [count], stream });

/** What {@linkcode randomBits} draws, computed on the host. */
export const hostBits = onHost(DISTRIBUTIONS.randomBits);
/** What {@linkcode randomUniform} draws, computed on the host. */
export const hostUniform = onHost(DISTRIBUTIONS.randomUniform);
/** What {@linkcode randomNormal} draws, computed on the host. */
export const hostNormal = onHost(DISTRIBUTIONS.randomNormal);
