/**
 * Initializers: how parameters are drawn, by key. Each is a function that gives a function of key and shape, as in JAX, so that a
 * layer can be told how to draw what it needs.
 *
 * How many numbers a unit takes in and gives out (its fans) is read off the shape as the library's layers have it: `[out, in]` of
 * `linear` for two axes, `[…, in, out]` of `conv` for more, whose leading axes are a window. Options say otherwise.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { DType } from "../tensor/dtype.ts";
import { axisOf, type Shape, ShapeError, sizeOf } from "../tensor/shape.ts";
import { expectDType, expectNumber, expectOptions, expectTensors } from "../tensor/arguments.ts";
import { calledAs } from "../tensor/called.ts";
import { expectShape } from "../tensor/host.ts";
import { expectRange, expectSize } from "../autograd/named.ts";
import { full } from "../ops/create/create.ts";
import { mul, sub } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { tensor } from "../ops/leaf.ts";
import { permute, reshape } from "../ops/movement.ts";
import { hostNormal, randomNormal, randomTruncatedNormal, randomUniform } from "../ops/random.ts";
import { hostKey } from "../ops/random/keys.ts";
import { qr } from "../numerics/dense.ts";

/** Draws a parameter: `[2]` u32, a shape, and an element type, f32 by default. */
export type Initializer = (key: Tensor, shape: Shape, dtype?: DType) => Tensor;

/** An initializer that speaks for itself: the ops that it draws with are not what its user called. */
const initializer =
  (name: string, draw: (key: Tensor, shape: Shape, dtype: DType) => Tensor): Initializer =>
  (key, shape, dtype = "f32") => {
    expectShape(name, 1, shape);
    expectDType(name, dtype);
    return calledAs(name, () => draw(key, shape, dtype));
  };

/** The same of those that draw: the key is looked at, too, before anything is worked out of the shape. */
const drawn = (name: string, draw: Parameters<typeof initializer>[1]): Initializer => {
  const of = initializer(name, draw);
  return (key, shape, dtype) => {
    expectTensors(name, { key });
    return of(key, shape, dtype);
  };
};

/** One number everywhere. The key is not used. */
export function constant(value: number): Initializer {
  expectNumber("constant", 0, "value", value);
  return initializer("constant", (_key, shape, dtype) => full(shape, value, dtype));
}

/** Zeros. */
export const zeros: Initializer = initializer(
  "zeros",
  (_key, shape, dtype) => full(shape, 0, dtype),
);

/** Ones. */
export const ones: Initializer = initializer(
  "ones",
  (_key, shape, dtype) => full(shape, 1, dtype),
);

/** Normal of mean 0. */
export function normal(deviation = 0.01): Initializer {
  expectSize("normal", "argument 1 (deviation)", deviation);
  return drawn(
    "normal",
    (key, shape, dtype) => cast(mul(randomNormal(key, shape), deviation), dtype),
  );
}

/** Uniform from 0 to below `scale`, as in JAX. */
export function uniform(scale = 0.01): Initializer {
  expectSize("uniform", "argument 1 (scale)", scale);
  return drawn(
    "uniform",
    (key, shape, dtype) => cast(mul(randomUniform(key, shape), scale), dtype),
  );
}

/** Options of {@linkcode truncatedNormal}. */
export interface Bounds {
  /** The least, in deviations. Default −2. */
  readonly lower?: number;
  /** The most. Default 2. */
  readonly upper?: number;
}

/** Normal of mean 0, between bounds in deviations. `deviation` is that before it is cut. */
export function truncatedNormal(deviation = 0.01, bounds: Bounds = {}): Initializer {
  expectSize("truncatedNormal", "argument 1 (deviation)", deviation);
  expectOptions("truncatedNormal", 1, bounds, { lower: "number", upper: "number" });
  return drawn(
    "truncatedNormal",
    (key, shape, dtype) => cast(mul(randomTruncatedNormal(key, shape, bounds), deviation), dtype),
  );
}

/** Options of {@linkcode varianceScaling}. */
export interface FanOptions {
  /** Axis of what a unit takes in. Default the last of two axes, the last but one of more. */
  readonly inAxis?: number;
  /** Axis of what it gives out. Default the first of two axes, the last of more. */
  readonly outAxis?: number;
}

/** Numbers of {@linkcode varianceScaling}. */
export interface VarianceOptions extends FanOptions {
  /** Factor of the variance. Default 1. */
  readonly scale?: number;
  /** What the variance is divided by. Default "in". */
  readonly mode?: "in" | "out" | "average";
  /** Default "normal". `truncated` is a normal one cut at ±2 deviations, of the same variance. */
  readonly distribution?: "normal" | "truncated" | "uniform";
}

/**
 * How many numbers go into a unit, and come out.
 *
 * @throws ShapeError where a shape has fewer than two axes
 */
export function fans(shape: Shape, options: FanOptions = {}): { in: number; out: number } {
  expectShape("fans", 0, shape);
  const rank = shape.length;
  if (rank < 2) {
    throw new ShapeError("fans", `[${shape}] has no axes for what comes in and goes out`);
  }
  const { inAxis = rank === 2 ? 1 : rank - 2, outAxis = rank === 2 ? 0 : rank - 1 } = options;
  const [a, b] = [axisOf("fans", inAxis, rank), axisOf("fans", outAxis, rank)];
  if (a === b) {
    throw new ShapeError("fans", `axis ${a} of [${shape}] is both what comes in and goes out`);
  }
  const window = shape.reduce((n, d, i) => i === a || i === b ? n : n * d, 1);
  return { in: shape[a] * window, out: shape[b] * window };
}

/** Deviation of a normal distribution that is cut at ±2. */
const CUT = 0.87962566103423978;

/**
 * Draws whose variance is `scale` over a fan, so that signals keep their size from layer to layer.
 *
 * @throws TypeError for another mode or distribution; RangeError when the scale is below 0 or not finite. What it gives throws ShapeError for
 *   a shape of fewer than two axes
 */
export function varianceScaling(options: VarianceOptions = {}): Initializer {
  const name = "varianceScaling";
  expectOptions(name, 0, options, {
    scale: "number",
    mode: "any",
    distribution: "any",
    inAxis: "number",
    outAxis: "number",
  });
  const { scale = 1, mode = "in", distribution = "normal", inAxis, outAxis } = options;
  expectSize(name, "options.scale", scale);
  const one = (option: string, value: string, all: readonly string[]) => {
    if (!all.includes(value)) {
      throw new TypeError(
        `${name}: options.${option} is ${JSON.stringify(value)}, not one of ${all}`,
      );
    }
  };
  one("mode", mode, ["in", "out", "average"]);
  one("distribution", distribution, ["normal", "truncated", "uniform"]);
  return drawn(name, (key, shape, dtype) => {
    const fan = fans(shape, { inAxis, outAxis });
    const by = mode === "average" ? (fan.in + fan.out) / 2 : fan[mode];
    // Of nothing, nothing is drawn.
    const deviation = Math.sqrt(scale / Math.max(1, by));
    switch (distribution) {
      case "normal":
        return normal(deviation)(key, shape, dtype);
      case "truncated":
        return truncatedNormal(deviation / CUT)(key, shape, dtype);
      case "uniform": {
        const bound = Math.sqrt(3) * deviation;
        return cast(mul(sub(mul(randomUniform(key, shape), 2), 1), bound), dtype);
      }
    }
  });
}

const scaled = (
  name: string,
  scale: number,
  mode: "in" | "average",
  distribution: "truncated" | "uniform",
): (options?: FanOptions) => Initializer =>
(options = {}) => {
  expectOptions(name, 0, options, { inAxis: "number", outAxis: "number" });
  return drawn(name, varianceScaling({ ...options, scale, mode, distribution }));
};

/** For layers before ReLUs (He et al. 2015, "Kaiming"): variance 2 / in, truncated normal. */
export const heNormal: (options?: FanOptions) => Initializer = scaled(
  "heNormal",
  2,
  "in",
  "truncated",
);
/** The same, uniform. */
export const heUniform: (options?: FanOptions) => Initializer = scaled(
  "heUniform",
  2,
  "in",
  "uniform",
);
/** For layers before tanh (Glorot & Bengio 2010, "Xavier"): variance 2 / (in + out), truncated normal. */
export const glorotNormal: (options?: FanOptions) => Initializer = scaled(
  "glorotNormal",
  1,
  "average",
  "truncated",
);
/** The same, uniform. */
export const glorotUniform: (options?: FanOptions) => Initializer = scaled(
  "glorotUniform",
  1,
  "average",
  "uniform",
);
/** For layers before SELU (LeCun et al. 1998): variance 1 / in, truncated normal. */
export const lecunNormal: (options?: FanOptions) => Initializer = scaled(
  "lecunNormal",
  1,
  "in",
  "truncated",
);
/** The same, uniform. */
export const lecunUniform: (options?: FanOptions) => Initializer = scaled(
  "lecunUniform",
  1,
  "in",
  "uniform",
);

/** Options of {@linkcode orthogonal}. */
export interface OrthogonalOptions {
  /** Factor of everything. Default 1. */
  readonly gain?: number;
  /** Axis that is not joined with others. Default the first of two axes, the last of more: what goes out. */
  readonly axis?: number;
}

/**
 * Uniformly random matrices with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014). They are decomposed on the
 * host in float64, so the key is one that the host knows: not an argument of a compiled function.
 */
export function orthogonal(options: OrthogonalOptions = {}): Initializer {
  expectOptions("orthogonal", 0, options, { gain: "number", axis: "number" });
  const { gain = 1 } = options;
  expectRange(
    "orthogonal",
    "options.gain",
    gain,
    (gain) => Number.isFinite(Math.fround(gain)),
    "a finite f32",
  );
  return drawn("orthogonal", (key, shape, dtype) => {
    const rank = shape.length;
    if (rank < 2) throw new ShapeError("orthogonal", `[${shape}] is no matrix`);
    const axis = axisOf("orthogonal", options.axis ?? (rank === 2 ? 0 : rank - 1), rank);
    const out = shape[axis], rest = out ? sizeOf(shape) / out : 0;
    const [rows, cols] = [Math.max(out, rest), Math.min(out, rest)];
    const drawn = hostNormal(hostKey("orthogonal", key), rows * cols);
    // R's diagonal is not negative, without which the draw would not be uniform.
    const { Q } = qr({ rows, cols, data: drawn });
    const values = Float64Array.from({ length: out * rest }, (_, i) => {
      const [a, b] = [Math.floor(i / rest), i % rest];
      return gain * Q.data[out >= rest ? a * cols + b : b * cols + a];
    });
    const others = [...shape.keys()].filter((i) => i !== axis);
    const matrix = reshape(tensor(values, [out, rest], "f32"), [
      out,
      ...others.map((i) => shape[i]),
    ]);
    const back = [...shape.keys()].map((i) => i === axis ? 0 : others.indexOf(i) + 1);
    return cast(permute(matrix, back), dtype);
  });
}
