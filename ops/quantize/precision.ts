/** Numbers rounded to fewer digits: to other floats, and to integers with a scale. Storage stays what it is. */
import type { Tensor } from "../../tensor/tensor.ts";
import {
  expectChoice,
  expectFloats,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { axisOf, ShapeError, show } from "../../tensor/shape.ts";
import { abs, add, clamp, div, mul, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, greater, less, where } from "../elementwise/compare.ts";
import { bitcastConvertType, leftShift, logicalAnd, rightShift } from "../elementwise/logic.ts";
import { round } from "../elementwise/rounding.ts";
import { stopGradient } from "../gradient.ts";
import { reshape } from "../movement.ts";
import { repeat } from "../shape/flip.ts";

/** A float of fewer digits, by its name in NumPy's `ml_dtypes`. */
export type FloatFormat =
  | "bfloat16"
  | "float16"
  | "float8_e4m3fn"
  | "float8_e4m3fnuz"
  | "float8_e5m2"
  | "float8_e5m2fnuz"
  | "float4_e2m1fn";
/** An integer of fewer bits. */
export type IntegerFormat =
  | "int2"
  | "uint2"
  | "int4"
  | "uint4"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16";

/** Floats: digits of the mantissa, the least exponent of a normal number, the largest number, and what lies beyond it. */
const FLOATS: Readonly<Record<FloatFormat, readonly [number, number, number, number]>> = {
  bfloat16: [7, -126, (2 - 2 ** -7) * 2 ** 127, Infinity],
  float16: [10, -14, 65504, Infinity],
  float8_e4m3fn: [3, -6, 448, NaN],
  float8_e4m3fnuz: [3, -7, 240, NaN],
  float8_e5m2: [2, -14, 57344, Infinity],
  float8_e5m2fnuz: [2, -15, 57344, NaN],
  float4_e2m1fn: [1, 0, 6, 6],
};
/** Integers: the least and the largest. */
const INTEGERS: Readonly<Record<IntegerFormat, readonly [number, number]>> = {
  int2: [-2, 1],
  uint2: [0, 3],
  int4: [-8, 7],
  uint4: [0, 15],
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
};

/** `y`, as if it were x to derivatives, where x is not beyond its range. */
function through(y: Tensor, x: Tensor, inside: Tensor): Tensor {
  const kept = where(inside, x, 0);
  return add(stopGradient(y), sub(kept, stopGradient(kept)));
}

/** f32 rounded to a format: to the nearest, of two the even one. */
function rounded(x: Tensor, format: FloatFormat, saturate: boolean): [y: Tensor, inside: Tensor] {
  const [digits, least, most, beyond] = FLOATS[format];
  // The exponent of each, by which its last digit becomes 1; both powers of 2 within what f32 holds.
  const low = Math.max(least, digits - 125) + 127;
  const exponent = clamp(rightShift(bitcastConvertType(abs(x), "u32"), 23), low, 254);
  const power = (bits: Tensor) => bitcastConvertType(leftShift(bits, 23), "f32");
  // Both are powers of 2: dividing by the one would not be exact on every GPU, multiplying by the other is.
  const y = mul(
    round(mul(x, power(sub(254 + digits, exponent)))),
    power(sub(exponent, digits)),
  );
  const over = saturate ? most : beyond;
  const outside = greater(abs(y), most);
  const sign = where(less(x, 0), -over, over);
  return [where(outside, sign, y), logicalAnd(equal(outside, 0), equal(x, x))];
}

/**
 * `x` rounded to what another float holds, in x's own type: what storing it there and reading it back gives. Derivatives pass
 * as if nothing were rounded, and are 0 where a number is too large.
 *
 * @param x `[…]`, f32 or f16
 * @param format the float. Numbers of "bfloat16" below 2⁻¹¹⁸ keep fewer digits
 * @param options `saturate`: whether what is too large becomes the largest number, and not ∞, or NaN where the format has no
 *   ∞. Default false
 * @returns of x's shape and element type
 * @throws TypeError for another format
 */
export function reducePrecision(
  x: Tensor,
  format: FloatFormat,
  options: { readonly saturate?: boolean } = {},
): Tensor {
  const op = "reducePrecision";
  expectFloats(op, { x });
  expectChoice(op, "the format", format, Object.keys(FLOATS));
  expectOptions(op, 2, options, { saturate: "true or false" });
  const f = cast(x, "f32");
  const [y, inside] = rounded(f, format, options.saturate ?? false);
  return cast(through(y, f, inside), x.dtype);
}

/** Options of {@linkcode quantize}, {@linkcode dequantize} and {@linkcode fakeQuantize}. */
export interface QuantizeOptions {
  /** What 0 becomes: of the scale's shape, of any type. Default 0. */
  readonly zero?: Tensor;
  /** The axis along which scales lie. Default −1. */
  readonly axis?: number;
}

const OPTIONS = { zero: "any", axis: "number" } as const;

/** Scales, or zeros, as they broadcast against x: one for all, one for each place of an axis, or one for each block of it. */
function spreadOver(op: string, t: Tensor, x: Tensor, axis: number): Tensor {
  if (t.size === 1) return reshape(cast(t, "f32"), []);
  const a = axisOf(op, axis, x.shape.length), n = x.shape[a];
  if (t.shape.length === 1 && t.size === n) {
    return reshape(cast(t, "f32"), x.shape.map((d, i) => i === a ? d : 1));
  }
  const block = Math.ceil(n / (t.shape[a] || 1));
  if (
    t.shape.length !== x.shape.length ||
    t.shape.some((d, i) => i === a ? d * block !== n : d !== x.shape[i])
  ) {
    throw new ShapeError(op, `${show(t.spec)} for axis ${a} of ${show(x.spec)}`);
  }
  return repeat(cast(t, "f32"), block, a);
}

/** Looks at the arguments; scale and zero as they broadcast. */
function scaled(op: string, x: Tensor, scale: Tensor, options: QuantizeOptions, at: number) {
  expectTensors(op, { x, scale });
  expectOptions(op, at, options, OPTIONS);
  const { zero, axis = -1 } = options;
  if (zero) expectTensors(op, { x, scale, "options.zero": zero });
  if (!isFloat(scale.dtype)) {
    throw new ShapeError(op, `the scale is ${show(scale.spec)}, not a float`);
  }
  return {
    by: spreadOver(op, scale, x, axis),
    from: zero && spreadOver(op, zero, x, axis),
  };
}

/** x / scale + zero in f32, rounded, and whether it was in range. */
function steps(
  op: string,
  x: Tensor,
  scale: Tensor,
  format: FloatFormat | IntegerFormat,
  options: QuantizeOptions,
): [Tensor, Tensor] {
  const { by, from } = scaled(op, x, scale, options, 3);
  expectChoice(op, "the format", format, Object.keys({ ...INTEGERS, ...FLOATS }));
  expectFloats(op, { x });
  const part = div(cast(x, "f32"), by);
  if (!(format in INTEGERS)) {
    return rounded(from ? add(part, from) : part, format as FloatFormat, true);
  }
  const [low, high] = INTEGERS[format as IntegerFormat];
  const whole = from ? add(round(part), from) : round(part);
  const y = clamp(whole, low, high);
  return [y, equal(y, whole)];
}

/**
 * Numbers in steps of a scale: x / scale + zero, rounded (of two to the even one) and kept within the format.
 *
 * @param x `[…]`, f32 or f16
 * @param scale one, `[n]` for an axis, or x's axes with one number for each block of an axis
 * @param format "int8", "uint4", … or a float
 * @returns i32, u32 for a format without sign, f32 for a float; without derivative
 * @throws ShapeError when the scale fits neither; TypeError for another format
 */
export function quantize(
  x: Tensor,
  scale: Tensor,
  format: FloatFormat | IntegerFormat,
  options: QuantizeOptions = {},
): Tensor {
  const [y] = steps("quantize", x, scale, format, options);
  return cast(
    y,
    format.startsWith("f") || format.startsWith("b")
      ? "f32"
      : format.startsWith("u")
      ? "u32"
      : "i32",
  );
}

/**
 * What {@linkcode quantize} made steps of: (x − zero) · scale.
 *
 * @param x `[…]` of any element type
 * @returns of the scale's element type
 * @throws ShapeError when the scale does not fit
 */
export function dequantize(x: Tensor, scale: Tensor, options: QuantizeOptions = {}): Tensor {
  const { by, from } = scaled("dequantize", x, scale, options, 2);
  const f = cast(x, "f32");
  return cast(mul(from ? sub(f, from) : f, by), scale.dtype);
}

/**
 * `x` as it is after {@linkcode quantize} and {@linkcode dequantize}, for training with rounded numbers: derivatives by x pass
 * as if nothing were rounded, and are 0 out of range (Jacob et al., 2018). Scale and zero are constants to it.
 *
 * @param x `[…]`, f32 or f16
 * @returns of x's shape and element type
 * @throws ShapeError when the scale does not fit; TypeError for another format
 */
export function fakeQuantize(
  x: Tensor,
  scale: Tensor,
  format: FloatFormat | IntegerFormat,
  options: QuantizeOptions = {},
): Tensor {
  const [y, inside] = steps("fakeQuantize", x, scale, format, options);
  const { by, from } = scaled("fakeQuantize", x, scale, options, 3);
  const back = mul(from ? sub(y, from) : y, by);
  return cast(through(back, cast(x, "f32"), inside), x.dtype);
}
