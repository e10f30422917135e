/** Types of expressions. Every name is looked up, every implied conversion written down, constants computed. */
import { builtinCall, refuseCall, unified } from "./builtins.ts";
import { WgslError } from "./error.ts";
import { coerce, concrete, foldBinary, foldUnary, held, isFloat } from "./fold.ts";
import type { Syntax, TypeName } from "./syntax.ts";
import {
  type Buffer,
  type Expr,
  type Func,
  type Scalar,
  showType,
  type Type,
  type Variable,
} from "./tree.ts";
import { type as T } from "./tree.ts";

/** What a name stands for; a constant stands for its value. */
export type Named = Buffer | Variable | Func | Expr;

/** Where names are looked up. */
export interface Names {
  find(name: string): Named | undefined;
  /** Whether f16 was enabled. */
  readonly f16: boolean;
  /** Notes that the function being checked calls another. */
  called(target: Func): void;
}

const SHORT: Readonly<Record<string, Scalar>> = { f: "f32", h: "f16", i: "i32", u: "u32" };
const SCALARS: ReadonlySet<string> = new Set(["f32", "f16", "i32", "u32", "bool"]);

/** The type behind a name, or undefined where it is no scalar or vector. */
export function typeOf(t: TypeName, names: Names): Type | undefined {
  const found = plainType(t);
  if (found?.scalar === "f16" && !names.f16) {
    throw new WgslError(t.line, "f16 is used without `enable f16;`");
  }
  return found;
}

function plainType({ name, args }: TypeName): Type | undefined {
  if (SCALARS.has(name) && !args.length) return T(name as Scalar);
  const vec = /^vec([234])([fhiu]?)$/.exec(name);
  if (!vec) return undefined;
  const width = Number(vec[1]);
  if (vec[2]) return args.length ? undefined : T(SHORT[vec[2]], width);
  const of = args.length === 1 ? plainType(args[0]) : undefined;
  return of?.width === 1 ? T(of.scalar, width) : undefined;
}

/** Checks an expression. */
export function check(e: Syntax, names: Names): Expr {
  const { line } = e;
  switch (e.kind) {
    case "number":
      return literal(e.text, line);
    case "name":
      return named(e.name, names, line);
    case "unary":
      return e.op === "("
        ? check(e.of, names)
        : unary(e.op as "-" | "!" | "~", check(e.of, names), line);
    case "binary":
      return binary(e.op, check(e.left, names), check(e.right, names), line);
    case "index":
      return indexed(e.of, check(e.at, names), names, line);
    case "member":
      return swizzle(check(e.of, names), e.name, line);
    case "call":
      return call(e.callee, e.args, names, line);
  }
}

function literal(text: string, line: number): Expr {
  const hex = /^0x/i.test(text);
  const suffix = /[iu]$/.exec(text)?.[0] ?? (hex ? "" : /[fh]$/.exec(text)?.[0] ?? "");
  const digits = suffix ? text.slice(0, -1) : text;
  const whole = hex || /^\d+$/.test(digits);
  if (whole && !hex && /^0\d/.test(digits)) {
    throw new WgslError(line, `${text} is no number of WGSL`);
  }
  if (!whole && (suffix === "i" || suffix === "u")) {
    throw new WgslError(line, `${text} is no whole number`);
  }
  const e: Expr = {
    kind: "const",
    type: T(whole && !/[fh]/.test(suffix) ? "int" : "float"),
    values: [Number(digits)],
  };
  if (!Number.isSafeInteger(e.values[0]) && e.type.scalar === "int") {
    throw new WgslError(line, `${text} is too large`);
  }
  if (e.type.scalar === "float" && !Number.isFinite(e.values[0])) {
    throw new WgslError(line, `${text} is too large`);
  }
  return suffix ? coerce(e, T(SHORT[suffix]), line) : e;
}

function named(name: string, names: Names, line: number): Expr {
  if (name === "true" || name === "false") {
    return { kind: "const", type: T("bool"), values: [Number(name === "true")] };
  }
  const found = names.find(name);
  if (!found) throw new WgslError(line, `there is no variable "${name}"`);
  if (found.kind === "variable" && !("variable" in found)) {
    return { kind: "variable", type: found.type, variable: found };
  }
  if (found.kind === "buffer" || found.kind === "function") {
    throw new WgslError(line, `"${name}" is a ${found.kind} and no value`);
  }
  return found as Expr;
}

function unary(op: "-" | "!" | "~", of: Expr, line: number): Expr {
  const { scalar } = of.type;
  const fine = op === "-"
    ? scalar !== "bool" && scalar !== "u32" && scalar !== "f16"
    : op === "!"
    ? scalar === "bool"
    : scalar === "i32" || scalar === "u32";
  if (!fine) throw new WgslError(line, `${op} is not defined for ${showType(of.type)}`);
  return foldUnary(op, of) ?? { kind: "unary", type: of.type, op, of };
}

const COMPARE = new Set(["==", "!=", "<", ">", "<=", ">="]);
const SHIFT = new Set(["<<", ">>"]);

/** A scalar beside a vector stands for a vector. */
function widened(e: Expr, width: number): Expr {
  if (e.type.width === width) return e;
  const type = T(e.type.scalar, width);
  if (e.kind === "const") return { kind: "const", type, values: Array(width).fill(e.values[0]) };
  return { kind: "splat", type, of: e };
}

function shifted(op: string, value: Expr, by: Expr, line: number): Expr {
  const left = by.kind === "const" ? value : concrete(value, line);
  const right = coerce(by, T("u32", left.type.width), line);
  const { scalar } = left.type;
  if (isFloat(scalar) || scalar === "bool") {
    throw new WgslError(line, `${op} is not defined for ${showType(left.type)}`);
  }
  if (right.kind === "const" && right.values.some((v) => v > 31)) {
    throw new WgslError(line, `a shift by more than 31 bits`);
  }
  return foldBinary(op, left, right, left.type, line) ??
    { kind: "binary", type: left.type, op, left, right };
}

/** A binary operation, also that of a compound assignment. */
export function binary(op: string, a: Expr, b: Expr, line: number): Expr {
  if (SHIFT.has(op)) return shifted(op, a, b, line);
  const mixes = "+-*/%".includes(op);
  const width = Math.max(a.type.width, b.type.width);
  if (mixes && Math.min(a.type.width, b.type.width) === 1) {
    a = widened(a, width);
    b = widened(b, width);
  }
  const [left, right] = unified([a, b], line);
  const { scalar } = left.type;
  if (!defined(op, scalar, width)) {
    throw new WgslError(line, `${op} is not defined for ${showType(left.type)}`);
  }
  const type = COMPARE.has(op) ? T("bool", width) : left.type;
  const folded = foldBinary(op, left, right, type, line);
  if (folded) return folded;
  return {
    kind: "binary",
    type,
    op,
    left: concrete(left, line),
    right: concrete(right, line),
  };
}

function defined(op: string, scalar: Scalar, width: number): boolean {
  if (scalar === "f16") return false;
  if (op === "&&" || op === "||") return scalar === "bool" && width === 1;
  if (op === "&" || op === "|") return !isFloat(scalar);
  if (op === "^") return !isFloat(scalar) && scalar !== "bool";
  if (op === "==" || op === "!=") return true;
  return scalar !== "bool";
}

/** The element of a buffer, or the component of a vector, at a place. */
function indexed(of: Syntax, at: Expr, names: Names, line: number): Expr {
  const index = concrete(at, line);
  if (index.type.width !== 1 || (index.type.scalar !== "u32" && index.type.scalar !== "i32")) {
    throw new WgslError(line, `an index is no ${showType(index.type)}`);
  }
  const named = of.kind === "name" ? names.find(of.name) : undefined;
  if (named?.kind === "buffer") {
    return { kind: "load", type: named.element, buffer: named, index };
  }
  const value = concrete(check(of, names), line);
  return component(value, index, line);
}

function component(value: Expr, index: Expr, line: number): Expr {
  const { scalar, width } = value.type;
  if (width === 1) throw new WgslError(line, `${showType(value.type)} has no components`);
  if (index.kind !== "const") return { kind: "lane", type: T(scalar), of: value, index };
  const [lane] = index.values;
  if (!(lane >= 0 && lane < width)) {
    throw new WgslError(line, `${showType(value.type)} has no component ${lane}`);
  }
  return lanes(value, [lane]);
}

function lanes(of: Expr, chosen: readonly number[]): Expr {
  const type = T(of.type.scalar, chosen.length);
  if (of.kind === "const") return { kind: "const", type, values: chosen.map((i) => of.values[i]) };
  return { kind: "swizzle", type, of, lanes: chosen };
}

function swizzle(of: Expr, name: string, line: number): Expr {
  const sets = ["xyzw", "rgba"];
  const set = sets.find((s) => [...name].every((c) => s.includes(c)));
  const chosen = [...name].map((c) => set?.indexOf(c) ?? -1);
  const { width } = of.type;
  if (width === 1 || !set || name.length > 4 || chosen.some((i) => i >= width)) {
    throw new WgslError(line, `${showType(of.type)} has no component "${name}"`);
  }
  return lanes(of, chosen);
}

function call(callee: TypeName, given: readonly Syntax[], names: Names, line: number): Expr {
  const target = names.find(callee.name);
  if (target?.kind === "function") return invoke(target, given, names, line);
  const to = typeOf(callee, names);
  const args = given.map((a) => check(a, names));
  if (to) return construct(to, args, line);
  if (callee.name === "bitcast") {
    const type = callee.args.length === 1 ? typeOf(callee.args[0], names) : undefined;
    return bitcast(type, args.map((a) => concrete(a, line)), line);
  }
  if (/^vec[234]$/.test(callee.name) && !callee.args.length && args.length) {
    const [first] = args.map((a) => concrete(a, line));
    return construct(T(first.type.scalar, Number(callee.name[3])), args, line);
  }
  if (callee.args.length) return refuseCall(callee.name, line);
  return builtinCall(callee.name, args, line);
}

function invoke(target: Func, given: readonly Syntax[], names: Names, line: number): Expr {
  const { parameters, name } = target;
  if (target.entry) throw new WgslError(line, `"${name}" is an entry point and cannot be called`);
  if (given.length !== parameters.length) {
    throw new WgslError(line, `${name} takes ${parameters.length} arguments, not ${given.length}`);
  }
  const args = given.map((a, i) => coerce(check(a, names), parameters[i].type, line));
  names.called(target);
  return { kind: "invoke", type: target.result ?? T("bool", 0), target, args };
}

function bitcast(to: Type | undefined, args: readonly Expr[], line: number): Expr {
  const numbers = (t: Type) => t.scalar !== "bool" && t.scalar !== "f16";
  if (!to || args.length !== 1 || !numbers(to) || !numbers(args[0].type)) {
    throw new WgslError(line, "bitcast goes between f32, i32 and u32");
  }
  if (args[0].type.width !== to.width) {
    throw new WgslError(line, `bitcast of ${showType(args[0].type)} to ${showType(to)}`);
  }
  return { kind: "bitcast", type: to, of: args[0] };
}

function construct(to: Type, args: readonly Expr[], line: number): Expr {
  if (!args.length) return { kind: "const", type: to, values: Array(to.width).fill(0) };
  if (args.length === 1 && (args[0].type.width === to.width)) return convert(args[0], to, line);
  if (args.length === 1 && args[0].type.width === 1) {
    return widened(coerce(args[0], T(to.scalar), line), to.width);
  }
  const parts = args.map((a) => coerce(a, T(to.scalar, a.type.width), line));
  const width = parts.reduce((n, p) => n + p.type.width, 0);
  if (width !== to.width || to.width === 1) {
    throw new WgslError(line, `${showType(to)} is not made of ${args.length} such values`);
  }
  if (parts.every((p) => p.kind === "const")) {
    return { kind: "const", type: to, values: parts.flatMap((p) => p.values) };
  }
  return { kind: "make", type: to, parts };
}

function convert(of: Expr, to: Type, line: number): Expr {
  const { scalar } = of.type;
  if (scalar === to.scalar) return of;
  if (of.kind !== "const") return { kind: "convert", type: to, of };
  const whole = to.scalar === "i32" || to.scalar === "u32";
  if (scalar === "int" && whole) return coerce(of, to, line);
  const [low, high] = to.scalar === "i32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  const value = (v: number) =>
    whole && isFloat(scalar) ? Math.min(high, Math.max(low, Math.trunc(v))) : held(v, to.scalar);
  const values = of.values.map(value);
  if (values.some((v) => !Number.isFinite(v))) {
    throw new WgslError(line, `${of.values} is no ${showType(to)}`);
  }
  return { kind: "const", type: to, values };
}
