/** Arithmetic on constants, at compile time: exact for abstract numbers, by the rules of the type for the others. */
import { WgslError } from "./error.ts";
import { type Expr, type Scalar, showType, type Type } from "./tree.ts";

/** A number as its type holds it, wrapped or rounded. */
export function held(value: number, scalar: Scalar): number {
  switch (scalar) {
    case "f32":
      return Math.fround(value);
    case "f16":
      return new Float16Array([value])[0];
    case "i32":
      return value | 0;
    case "u32":
      return value >>> 0;
    case "bool":
      return value ? 1 : 0;
    default:
      return value;
  }
}

/** Whether a type holds this number as it is (rounding is no loss). */
function fits(value: number, scalar: Scalar): boolean {
  if (scalar === "i32") return Number.isInteger(value) && value === (value | 0);
  if (scalar === "u32") return Number.isInteger(value) && value === value >>> 0;
  if (scalar === "int") return Number.isSafeInteger(value);
  return Number.isFinite(held(value, scalar));
}

/** The kinds of number that an abstract one turns into by itself. */
const BECOMES: Readonly<Record<string, readonly Scalar[]>> = {
  int: ["int", "i32", "u32", "f32", "f16", "float"],
  float: ["float", "f32", "f16"],
};

/** Whether an expression is, or turns by itself into, this type. */
export function agrees(e: Expr, to: Type): boolean {
  if (e.type.width !== to.width) return false;
  return e.type.scalar === to.scalar || (BECOMES[e.type.scalar]?.includes(to.scalar) ?? false);
}

/** An expression as this type: abstract numbers turn into it, others must have it. */
export function coerce(e: Expr, to: Type, line: number): Expr {
  if (e.type.scalar === to.scalar && e.type.width === to.width) return e;
  if (e.kind !== "const" || !agrees(e, to)) {
    throw new WgslError(line, `expected ${showType(to)}, found ${showType(e.type)}`);
  }
  for (const v of e.values) {
    if (!fits(v, to.scalar)) throw new WgslError(line, `${v} is no ${to.scalar}`);
  }
  return { kind: "const", type: to, values: e.values.map((v) => held(v, to.scalar)) };
}

/** What an abstract number becomes where nothing else is asked. */
export function concrete(e: Expr, line: number): Expr {
  const { scalar, width } = e.type;
  if (scalar === "int") return coerce(e, { scalar: "i32", width }, line);
  return scalar === "float" ? coerce(e, { scalar: "f32", width }, line) : e;
}

const FLOATS: ReadonlySet<Scalar> = new Set<Scalar>(["f32", "f16", "float"]);
/** Whether a scalar is a real number. */
export const isFloat = (s: Scalar): boolean => FLOATS.has(s);

/** One operation on two numbers of a type; undefined where it is left to run time. */
function compute(op: string, a: number, b: number, s: Scalar): number | undefined {
  const whole = !isFloat(s) && s !== "bool";
  switch (op) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return s === "i32" || s === "u32" ? Math.imul(a, b) : a * b;
    case "/":
      return whole ? (b === 0 ? undefined : Math.trunc(a / b)) : a / b;
    case "%":
      return b === 0 ? undefined : a % b;
    case "<<":
      return s === "int" ? a * 2 ** b : a << (b & 31);
    case ">>":
      return s === "u32" ? a >>> (b & 31) : s === "i32" ? a >> (b & 31) : Math.floor(a / 2 ** b);
    case "&":
    case "|":
    case "^":
      if (s === "int") return undefined;
      return op === "&" ? a & b : op === "|" ? a | b : a ^ b;
    case "&&":
      return a & b;
    case "||":
      return a | b;
    case "==":
      return Number(a === b);
    case "!=":
      return Number(a !== b);
    case "<":
      return Number(a < b);
    case ">":
      return Number(a > b);
    case "<=":
      return Number(a <= b);
    case ">=":
      return Number(a >= b);
  }
}

/** A binary operation on two constants, or undefined where they are none or the result waits for run time. */
export function foldBinary(
  op: string,
  left: Expr,
  right: Expr,
  result: Type,
  line: number,
): Expr | undefined {
  if (left.kind !== "const" || right.kind !== "const") return undefined;
  const { scalar } = left.type;
  const values: number[] = [];
  for (let i = 0; i < left.values.length; i++) {
    const v = compute(op, left.values[i], right.values[i], scalar);
    if (v === undefined) return undefined;
    const wrapped = scalar === "i32" || scalar === "u32";
    if (!wrapped && !fits(v, result.scalar)) {
      throw new WgslError(
        line,
        `${left.values[i]} ${op} ${right.values[i]} is no ${result.scalar}`,
      );
    }
    values.push(held(v, result.scalar));
  }
  return { kind: "const", type: result, values };
}

/** A unary operation on a constant. */
export function foldUnary(op: string, of: Expr): Expr | undefined {
  if (of.kind !== "const") return undefined;
  const f = op === "-" ? (v: number) => -v : op === "!" ? (v: number) => 1 - v : (v: number) => ~v;
  if (op === "~" && of.type.scalar === "int") return undefined;
  return { ...of, values: of.values.map((v) => held(f(v), of.type.scalar)) };
}
