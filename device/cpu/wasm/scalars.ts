/** Which instructions an operation is, for scalars and for vectors of four. */
import type { Scalar, Type } from "../wgsl/tree.ts";
import type { ValueType } from "./code.ts";

/** What a value is in WebAssembly: f16 computes as f32, vectors of any width lie in four lanes. */
export function valueType({ scalar, width }: Type): ValueType {
  if (width > 1) return "v128";
  return scalar === "f32" || scalar === "f16" ? "f32" : "i32";
}

/** Whether its lanes are floats. */
export const floats = (s: Scalar): boolean => s === "f32" || s === "f16";

const COMPARE: Readonly<Record<string, string>> = {
  "==": "eq",
  "!=": "ne",
  "<": "lt",
  ">": "gt",
  "<=": "le",
  ">=": "ge",
};
const FLOAT: Readonly<Record<string, string>> = { "+": "add", "-": "sub", "*": "mul", "/": "div" };
const WHOLE: Readonly<Record<string, string>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "&": "and",
  "|": "or",
  "^": "xor",
  "&&": "and",
  "||": "or",
};

/** The one instruction of a binary operation, or undefined where it takes more. */
export function binaryOp(op: string, { scalar, width }: Type): string | undefined {
  const vector = width > 1;
  const compare = COMPARE[op];
  if (floats(scalar)) {
    const name = compare ?? FLOAT[op];
    return name && `${vector ? "f32x4" : "f32"}.${name}`;
  }
  if (compare) {
    const order = compare === "eq" || compare === "ne" ? "" : scalar === "i32" ? "_s" : "_u";
    return `${vector ? "i32x4" : "i32"}.${compare}${order}`;
  }
  const name = WHOLE[op];
  if (!name) return undefined;
  return vector && "&|^".includes(op) ? `v128.${name}` : `${vector ? "i32x4" : "i32"}.${name}`;
}

/** Built-in functions of floats that are one instruction. */
export const FLOAT_CALLS: Readonly<Record<string, string>> = {
  abs: "abs",
  floor: "floor",
  ceil: "ceil",
  trunc: "trunc",
  round: "nearest",
  sqrt: "sqrt",
};
