/** Functions of one and two arguments beyond arithmetic, driven over the edges by `tests/edges_test.ts`. */
import * as m from "../../ops/mod.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Closeness, Unary } from "./edges.ts";

const ALL = ["f32", "f16", "i32", "u32", "bool"] as const;
const INTEGERS = ["i32", "u32", "bool"] as const;
const FLOATS = ["f32", "f16"] as const;
const exactly = { relative: 0 };
const steps = (f: (x: Tensor) => Tensor, types: readonly DType[] = FLOATS): Unary => ({
  f,
  types,
  close: exactly,
  derivative: false,
});
/** Beyond 1e18 a square is beyond f32, where the derivative's text has one. */
const moderate = (v: number) => !(Math.abs(v) > 1e18) || !isFinite(v);

export const UNARY_MORE: Record<string, Unary> = {
  ceil: steps(m.ceil),
  trunc: steps(m.trunc),
  round: steps(m.round),
  sign: steps(m.sign, ALL),
  "fmod 3": { f: (x) => m.fmod(x, 3), types: INTEGERS, derivative: false },
  "remainder 3": { f: (x) => m.remainder(x, 3), types: INTEGERS, derivative: false },
  "remainder of halves": {
    f: (x) => m.remainder(x, 2.5),
    keep: (v) => !(Math.abs(v) > 100),
    close: { absolute: 1e-5 },
    derivative: false,
  },
  "mod −3": { f: (x) => m.mod(x, -3), types: ["i32"], derivative: false },
  expm1: { f: m.expm1 },
  log1p: { f: m.log1p },
  exp2: { f: m.exp2 },
  log2: { f: m.log2, close: { absolute: 3e-7 } },
  log10: { f: m.log10, close: { absolute: 3e-7 } },
  cbrt: { f: m.cbrt, keep: (v) => v !== 0 },
  sinh: { f: m.sinh },
  cosh: { f: m.cosh },
  softplus: { f: m.softplus },
  logSigmoid: { f: m.logSigmoid },
  asin: { f: m.asin, close: { absolute: 3e-7 } },
  acos: { f: m.acos, close: { absolute: 3e-7 } },
  atan: { f: m.atan, close: { absolute: 3e-7 }, keep: moderate },
  asinh: { f: m.asinh, close: { absolute: 3e-7 }, keep: moderate },
  acosh: { f: m.acosh, close: { absolute: 3e-7 }, keep: moderate },
  atanh: { f: m.atanh, close: { absolute: 3e-7 }, keep: moderate },
  tan: { f: m.tan, keep: (v) => !(Math.abs(v) > 100), close: { absolute: 2e-6 } },
  "atan2 1": { f: (x) => m.atan2(x, 1), close: { absolute: 3e-7 }, keep: moderate },
  isNan: steps(m.isNan),
  isFinite: steps(m.isFinite),
  isInf: steps(m.isInf),
  logicalNot: steps(m.logicalNot, ALL),
  bitwiseNot: steps(m.bitwiseNot, INTEGERS),
  bitwiseCount: steps(m.bitwiseCount, INTEGERS),
  "bits as i32": {
    f: (x) => m.bitcastConvertType(x, "i32"),
    types: ["f32", "u32"],
    keep: (v) => !Number.isNaN(v),
    derivative: false,
  },
  leakyRelu: { f: (x) => m.leakyRelu(x) },
  elu: { f: (x) => m.elu(x) },
  celu: { f: (x) => m.celu(x, 2) },
  selu: { f: m.selu },
  relu6: { f: m.relu6, types: ALL },
  hardSigmoid: { f: m.hardSigmoid },
  hardSwish: { f: m.hardSwish, keep: (v) => !(Math.abs(v) > 1e30) || Number.isNaN(v) },
  hardTanh: { f: m.hardTanh },
  mish: { f: m.mish, keep: (v) => v !== Infinity && v !== -Infinity, close: { absolute: 1e-6 } },
  softsign: { f: m.softsign, keep: moderate },
  shrink: { f: (x) => m.shrink(x) },
  ...Object.fromEntries(
    [0, 1, 2, 3, -1, 0.5, -0.5, 17, Infinity, -Infinity, NaN].map((n) => [
      `pow by a tensor of ${n}`,
      {
        f: (x: Tensor) => m.pow(x, m.full(x.shape, n, x.dtype)),
        derivative: false,
      },
    ]),
  ),
};

/** A function of two arguments: the types that it takes, and whether it has a derivative that is compared at every pair. */
export interface Binary {
  readonly f: (a: Tensor, b: Tensor) => Tensor;
  readonly types: readonly DType[];
  readonly close?: Closeness;
  readonly derivative?: boolean;
}

export const BINARY_MORE: Record<string, Binary> = {
  greater: { f: m.greater, types: ALL },
  lessEqual: { f: m.lessEqual, types: ALL },
  notEqual: { f: m.notEqual, types: ALL },
  logicalAnd: { f: m.logicalAnd, types: ALL },
  logicalOr: { f: m.logicalOr, types: ALL },
  logicalXor: { f: m.logicalXor, types: ALL },
  bitwiseAnd: { f: m.bitwiseAnd, types: INTEGERS },
  bitwiseOr: { f: m.bitwiseOr, types: INTEGERS },
  bitwiseXor: { f: m.bitwiseXor, types: INTEGERS },
  leftShift: { f: m.leftShift, types: INTEGERS },
  rightShift: { f: m.rightShift, types: INTEGERS },
  fmod: { f: m.fmod, types: INTEGERS },
  remainder: { f: m.remainder, types: INTEGERS },
  atan2: { f: m.atan2, types: FLOATS, close: { absolute: 4e-7 }, derivative: false },
  pow: { f: m.pow, types: FLOATS, close: { relative: 2e-5 }, derivative: false },
  logAddExp: { f: m.logAddExp, types: FLOATS, close: { absolute: 1e-6 }, derivative: false },
};
