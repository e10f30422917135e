/** Logic and bits: what is true is not 0, and every answer is `bool`; bits are those of integers, and of bool its one. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectDType, expectFloats, expectTensors } from "../../tensor/arguments.ts";
import type { DType } from "../../tensor/dtype.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import type { Wgsl } from "../../tensor/op.ts";
import { equal, notEqual } from "./compare.ts";
import { defineMap } from "./define.ts";
import { applyMap, expectOperands, type Operand } from "./map.ts";
import { isNan as isNanBits, isNotFinite } from "./nan.ts";

const bits = (name: string, operator: string, reference: (a: number, b: number) => number) =>
  defineMap({
    name,
    arity: 2,
    takes: "bits",
    expression: ([a, b]) => `(${a} ${operator} ${b})`,
    reference: ([a, b]) => reference(a, b),
    vjp: [null, null],
  });
const andOp = bits("bitwiseAnd", "&", (a, b) => a & b);
const orOp = bits("bitwiseOr", "|", (a, b) => a | b);
const xorOp = bits("bitwiseXor", "^", (a, b) => a ^ b);

const notOp = defineMap({
  name: "bitwiseNot",
  arity: 1,
  takes: "only integers",
  expression: ([a]) => `(~${a})`,
  reference: ([a]) => ~a,
  vjp: [null],
});

/** A shift; by 32 bits or more, or by less than none, nothing is left but the sign. */
const shift = (name: string, operator: "<<" | ">>") =>
  defineMap({
    name,
    arity: 2,
    takes: "only integers",
    expression([a, b], _attrs, w) {
      const words = w.type("u32");
      const by = w.let(`${words}(${b})`);
      const signed = operator === ">>" && w.out === "i32";
      const all = signed ? `(${a} >> ${words}(31u))` : w.number(0);
      return `select(${all}, ${a} ${operator} min(${by}, ${words}(31u)), ${by} < ${words}(32u))`;
    },
    // Below 0 by its sign, whatever the type.
    reference([a, b]) {
      const by = b >>> 0;
      return operator === ">>" ? Math.floor(a / 2 ** Math.min(by, 32)) : by < 32 ? a << by : 0;
    },
    vjp: [null, null],
  });
const leftOp = shift("leftShift", "<<");
const rightOp = shift("rightShift", ">>");

const countOp = defineMap({
  name: "bitwiseCount",
  arity: 1,
  takes: "only integers",
  expression: ([a], _attrs, w) => `${w.type("u32")}(countOneBits(${a}))`,
  reference: ([a]) => {
    let n = 0;
    for (let left = a >>> 0; left; left >>>= 1) n += left & 1;
    return n;
  },
  vjp: [null],
  dtype: () => "u32",
});

/** Element types of 32 bits. */
const WORDS = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;
type Word = keyof typeof WORDS;

const bitcastOp = defineMap<{ readonly dtype: Word; readonly from: Word }>({
  name: "bitcastConvertType",
  arity: 1,
  takes: "integers",
  expression: ([a], { dtype }, w) => `bitcast<${w.type(dtype)}>(${a})`,
  reference: ([a], { dtype, from }) => new WORDS[dtype](WORDS[from].of(a).buffer)[0],
  vjp: [null],
  dtype: (_inputs, { dtype }) => dtype,
});

/** A test of a float's bits. */
const test = (
  name: string,
  holds: (a: string, words: string) => string,
  reference: (a: number) => boolean,
) =>
  defineMap({
    name,
    arity: 1,
    expression: ([a], _attrs, w: Wgsl) => {
      const words = w.type("u32");
      return `select(${words}(0u), ${words}(1u), ${holds(a, words)})`;
    },
    reference: ([a]) => Number(reference(a)),
    vjp: [null],
    dtype: () => "bool",
  });
const nanOp = test("isNan", isNanBits, Number.isNaN);
const finiteOp = test("isFinite", (a, words) => `!${isNotFinite(a, words)}`, Number.isFinite);

/** Bits that both have. Integers, or bool. */
export const bitwiseAnd = (a: Operand, b: Operand): Tensor => applyMap(andOp, [a, b], undefined);
/** Bits that one of them has. Integers, or bool. */
export const bitwiseOr = (a: Operand, b: Operand): Tensor => applyMap(orOp, [a, b], undefined);
/** Bits that only one of them has. Integers, or bool. */
export const bitwiseXor = (a: Operand, b: Operand): Tensor => applyMap(xorOp, [a, b], undefined);
/** Every bit turned. Integers, or bool. */
export const bitwiseNot = (a: Tensor): Tensor =>
  isBool(a) ? equal(a, 0) : applyMap(notOp, [a], undefined);
/** How many bits are 1, as `u32`. Integers only. */
export const bitwiseCount = (a: Tensor): Tensor => applyMap(countOp, [a], undefined);
/** `a · 2ᵇ`, the bits beyond the type lost; 0 for b of 32 and more. Integers only. */
export const leftShift = (a: Operand, b: Operand): Tensor => applyMap(leftOp, [a, b], undefined);
/** `a / 2ᵇ` cut downwards: the sign of `i32` is kept. Integers only. */
export const rightShift = (a: Operand, b: Operand): Tensor => applyMap(rightOp, [a, b], undefined);

/**
 * The same bits as another type of as many: `f32`, `i32` and `u32` among each other.
 *
 * @throws ShapeError for f16 and bool
 */
export function bitcastConvertType(a: Tensor, dtype: DType): Tensor {
  expectTensors("bitcastConvertType", { a });
  expectDType("bitcastConvertType", dtype);
  const from = a.dtype;
  if (!(from in WORDS && dtype in WORDS)) {
    throw new ShapeError(
      "bitcastConvertType",
      `${show(a.spec)} as ${dtype}: f16 and bool have other bits`,
    );
  }
  return from === dtype
    ? a
    : applyMap(bitcastOp, [a], { dtype: dtype as Word, from: from as Word });
}

/** True where `a` is NaN. */
export const isNan = (a: Tensor): Tensor => applyMap(nanOp, [a], undefined);
/** True where `a` is neither NaN nor infinite. */
export const isFinite = (a: Tensor): Tensor => applyMap(finiteOp, [a], undefined);
/** True where `a` is ∞ or −∞. */
export function isInf(a: Tensor): Tensor {
  expectFloats("isInf", { a });
  return equal(bitwiseOr(isFinite(a), isNan(a)), 0);
}

const isBool = (a: unknown): a is Tensor => (a as Tensor | undefined)?.dtype === "bool";

/** Whether each is true, NaN too. */
const truth = (a: Operand): Tensor => isBool(a) ? a : notEqual(a, 0);

/** What a function of truth values says of two operands, in the name of the function that was called. */
function ofTruth(op: string, f: (a: Tensor, b: Tensor) => Tensor, a: Operand, b: Operand): Tensor {
  expectOperands(op, [a, b]);
  return calledAs(op, () => f(truth(a), truth(b)));
}

/** True where both are not 0. */
export function logicalAnd(a: Operand, b: Operand): Tensor {
  return ofTruth("logicalAnd", bitwiseAnd, a, b);
}
/** True where one of them is not 0. */
export function logicalOr(a: Operand, b: Operand): Tensor {
  return ofTruth("logicalOr", bitwiseOr, a, b);
}
/** True where only one of them is not 0. */
export function logicalXor(a: Operand, b: Operand): Tensor {
  return ofTruth("logicalXor", bitwiseXor, a, b);
}
/** True where `a` is 0. */
export function logicalNot(a: Tensor): Tensor {
  expectTensors("logicalNot", { a });
  return equal(a, 0);
}
