/**
 * Whole numbers as sums of multiples. What stays the same in a loop is found in them, and a division by a constant is
 * done term by term as far as what is known of the terms allows: indices are counted in vectors, and coordinates are
 * digits of an index, which mostly fall apart into the workgroup's part and the invocation's.
 */
import { type Expr, type Func, partsOf, type Variable } from "../wgsl/tree.ts";
import type { Interval } from "../wgsl/intervals.ts";

/** A multiple of something computed. */
export interface Term {
  readonly factor: number;
  readonly of: Expr;
}

/** A number as a sum. */
export interface Sum {
  readonly terms: readonly Term[];
  readonly constant: number;
}

/** What is known of the numbers of a kernel. */
export interface Known {
  /** Whether what a division divides never wraps around on the way. */
  even(e: Expr): boolean;
  /** What a whole number can be, wherever it is computed. */
  between(e: Expr): Interval;
  /** Whether a `let` may be written out: what it was made of has not changed since. */
  opens(v: Variable): boolean;
  /** What divisions that have a name came to. */
  readonly quotients: Map<Variable, Sum | undefined>;
}

const U32 = { scalar: "u32", width: 1 } as const;
const number = (v: number): Expr => ({ kind: "const", type: U32, values: [v >>> 0] });
const binary = (op: string, left: Expr, right: Expr): Expr => ({
  kind: "binary",
  type: U32,
  op,
  left,
  right,
});

/** The sum of one term. */
export const whole = (e: Expr): Sum => ({ terms: [{ factor: 1, of: e }], constant: 0 });

const DIVISIONS: ReadonlySet<string> = new Set(["/", "%", ">>"]);
const divides = (e: Expr): boolean => e.kind === "binary" && DIVISIONS.has(e.op);

/** A sum, to be computed. */
export function written({ terms, constant }: Sum): Expr {
  const parts = terms.map(({ factor, of }) => factor === 1 ? of : binary("*", of, number(factor)));
  if (constant || !parts.length) parts.push(number(constant));
  return parts.reduce((a, b) => binary("+", a, b));
}

/** An expression as a sum; as the sum of itself where nothing better is exact. */
export function sumOf(e: Expr, known: Known): Sum {
  const terms: Term[] = [];
  let constant = 0;
  const add = (sum: Sum, factor: number) => {
    constant += factor * sum.constant;
    terms.push(...sum.terms.map((t) => ({ factor: factor * t.factor, of: t.of })));
  };
  const visit = (e: Expr, factor: number): void => {
    if (e.kind === "const") {
      constant += factor * e.values[0];
      return;
    }
    if (e.kind === "variable" && e.variable.value && known.opens(e.variable)) {
      const { value } = e.variable;
      if (!divides(value)) return visit(value, factor);
      const parts = named(e.variable, value, known);
      if (parts) return add(parts, factor);
    }
    if (e.kind === "binary") {
      const { left, right, op } = e;
      if (op === "+") {
        visit(left, factor);
        visit(right, factor);
        return;
      }
      if (op === "*" && right.kind === "const") return visit(left, factor * right.values[0]);
      if (op === "*" && left.kind === "const") return visit(right, factor * left.values[0]);
      if (op === "<<" && right.kind === "const") {
        return visit(left, factor * 2 ** (right.values[0] & 31));
      }
      const parts = divided(e, known);
      if (parts) return add(parts, factor);
    }
    terms.push({ factor, of: e });
  };
  visit(e, 1);
  // A constant such as 2³² − 1 stands for −1; factors must stay small enough to be exact.
  if (constant >= 2 ** 31) constant -= 2 ** 32;
  const exact = Number.isSafeInteger(constant) && Math.abs(constant) < 2 ** 31 &&
    terms.every((t) => t.factor < 2 ** 31);
  return exact ? { terms, constant } : whole(e);
}

/** The sum that a division with a name is; nothing where a division is left of it. */
function named(v: Variable, value: Expr, known: Known): Sum | undefined {
  if (!known.quotients.has(v)) {
    const parts = divided(value, known);
    known.quotients.set(v, parts?.terms.some((t) => divides(t.of)) ? undefined : parts);
  }
  return known.quotients.get(v);
}

/**
 * A quotient or a remainder by a constant as a sum: a part that is a multiple of the divisor, and a rest, which is as good
 * as gone where it is smaller than the divisor. Nothing where that is of no use.
 */
function divided(e: Expr, known: Known): Sum | undefined {
  if (e.kind !== "binary" || e.right.kind !== "const" || !divides(e)) return undefined;
  if (e.type.scalar !== "u32" || e.type.width !== 1 || !known.even(e)) return undefined;
  const by = e.op === ">>" ? 2 ** (e.right.values[0] & 31) : e.right.values[0];
  const of = sumOf(e.left, known);
  if (!(by > 0) || of.constant < 0 || of.terms.some((t) => t.factor < 0)) return undefined;
  const multiples: Term[] = [], others: Term[] = [];
  for (const t of of.terms) {
    const part = quotient(t, by, known);
    if (part) multiples.push(part);
    else others.push(t);
  }
  const over = of.constant % by;
  const most = others.reduce((n, t) => n + t.factor * known.between(t.of).hi, over);
  const rest: Sum = { terms: others, constant: over };
  const useful = multiples.length > 0 || of.constant >= by;
  if (e.op === "%") {
    if (most < by) return rest;
    return useful ? whole(binary("%", written(rest), number(by))) : undefined;
  }
  const constant = (of.constant - over) / by;
  if (most < by) return { terms: multiples, constant };
  if (!useful) return undefined;
  const left = { factor: 1, of: binary("/", written(rest), number(by)) };
  return { terms: [...multiples, left], constant };
}

/** A term divided by a number that it is a multiple of; nothing where it is none. */
function quotient({ factor, of }: Term, by: number, known: Known): Term | undefined {
  if (factor % by === 0) return { factor: factor / by, of };
  const { lo, step } = known.between(of);
  if (by % factor || (factor * lo) % by || (factor * step) % by) return undefined;
  return { factor: 1, of: binary("/", of, number(by / factor)) };
}

/** Whether an expression is the same throughout a loop, and may be computed before it. */
export function settled(e: Expr, changed: ReadonlySet<Variable>): boolean {
  if (e.kind === "load" || (e.kind === "invoke" && !pure(e.target))) return false;
  if (e.kind === "variable") return !changed.has(e.variable);
  return partsOf(e).every((p) => settled(p, changed));
}

/** Whether a function computes its result from its parameters alone. */
function pure({ body: [only, ...more] }: Func): boolean {
  const plain = (e: Expr): boolean =>
    e.kind !== "load" && e.kind !== "invoke" && partsOf(e).every(plain);
  return only?.kind === "return" && !more.length && !!only.value && plain(only.value);
}
