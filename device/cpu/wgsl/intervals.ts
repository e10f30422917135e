/** Intervals of whole numbers with a step: what is known of an index before it is computed. */

/** Numbers `lo, lo + step, …, hi`; `step` is 0 where there is one number. */
export interface Interval {
  readonly lo: number;
  readonly hi: number;
  readonly step: number;
  /** Whether a sum or product on the way may have left the range of its type, and came back at the other end. */
  readonly wrapped?: boolean;
}

const WORDS = 2 ** 32;

/** Any u32, or any i32. */
export const anything = (signed: boolean): Interval =>
  signed
    ? { lo: -(2 ** 31), hi: 2 ** 31 - 1, step: 1, wrapped: true }
    : { lo: 0, hi: WORDS - 1, step: 1, wrapped: true };

/** One number. */
export const only = (v: number): Interval => ({ lo: v, hi: v, step: 0 });

function gcd(a: number, b: number): number {
  a = Math.abs(a);
  b = Math.abs(b);
  while (b) [a, b] = [b, a % b];
  return a;
}

/** The interval with its upper end on a step. */
export function interval(lo: number, hi: number, step: number): Interval {
  if (hi <= lo || step === 0) return only(lo);
  return { lo, hi: lo + Math.floor((hi - lo) / step) * step, step };
}

/** What lies in one of two. */
export function join(a: Interval, b: Interval): Interval {
  const step = gcd(gcd(a.step, b.step), a.lo - b.lo);
  const wrapped = a.wrapped || b.wrapped;
  return { ...interval(Math.min(a.lo, b.lo), Math.max(a.hi, b.hi), step), wrapped };
}

/** The part of an interval between two numbers; where there is none, one of its ends. */
export function within(a: Interval, lo: number, hi: number): Interval {
  const low = a.lo >= lo ? a.lo : a.step ? a.lo + Math.ceil((lo - a.lo) / a.step) * a.step : a.lo;
  return { ...interval(low, Math.min(a.hi, hi), a.step), wrapped: a.wrapped };
}

/** Brings a result back into its type, or gives up. */
function fitted(lo: number, hi: number, step: number, signed: boolean, wrapped = false): Interval {
  const all = anything(signed);
  if (lo >= all.lo && hi <= all.hi) return { ...interval(lo, hi, step), wrapped };
  if (!signed && Math.floor(lo / WORDS) === Math.floor(hi / WORDS) && Math.abs(hi) < 2 ** 52) {
    const off = Math.floor(lo / WORDS) * WORDS;
    return { ...interval(lo - off, hi - off, step), wrapped: true };
  }
  return all;
}

/** The results of an operation on two intervals. */
export function operate(op: string, a: Interval, b: Interval, signed: boolean): Interval {
  const wrapped = a.wrapped || b.wrapped;
  switch (op) {
    case "+":
      return fitted(a.lo + b.lo, a.hi + b.hi, gcd(a.step, b.step), signed, wrapped);
    case "-":
      return fitted(a.lo - b.hi, a.hi - b.lo, gcd(a.step, b.step), signed, wrapped);
    case "*": {
      const ends = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
      if (ends.some((e) => !Number.isSafeInteger(e))) return anything(signed);
      const step = gcd(gcd(a.lo * b.step, b.lo * a.step), a.step * b.step);
      return fitted(Math.min(...ends), Math.max(...ends), step, signed, wrapped);
    }
    case "<<":
      return b.step === 0 ? operate("*", a, only(2 ** (b.lo & 31)), signed) : anything(signed);
  }
  if (a.lo < 0 || b.lo < 0) return anything(signed);
  switch (op) {
    case "/": {
      if (b.lo < 1) return { lo: 0, hi: a.hi, step: 1 };
      const exact = b.step === 0 && a.lo % b.lo === 0 && a.step % b.lo === 0;
      const lo = Math.floor(a.lo / b.hi);
      return interval(lo, Math.floor(a.hi / b.lo), exact ? a.step / b.lo : 1);
    }
    case "%": {
      if (b.lo < 1) return { lo: 0, hi: a.hi, step: 1 };
      if (a.hi < b.lo) return { ...a, wrapped: false };
      if (b.step) return interval(0, b.hi - 1, 1);
      const step = gcd(a.step, b.lo);
      return interval(step ? a.lo % step : a.lo % b.lo, b.lo - 1, step);
    }
    case ">>":
      return b.step === 0
        ? operate("/", a, only(2 ** (b.lo & 31)), signed)
        : { lo: 0, hi: a.hi, step: 1 };
    case "&":
      return interval(0, Math.min(a.hi, b.hi), 1);
    case "|":
    case "^": {
      const top = 2 ** Math.ceil(Math.log2(Math.max(a.hi, b.hi) + 1)) - 1;
      return interval(op === "|" ? Math.max(a.lo, b.lo) : 0, top, 1);
    }
  }
  return anything(signed);
}

/** The smaller, or the larger, of two. */
export function extreme(f: "min" | "max", a: Interval, b: Interval): Interval {
  const step = gcd(gcd(a.step, b.step), a.lo - b.lo);
  const pick = Math[f];
  return interval(pick(a.lo, b.lo), pick(a.hi, b.hi), step);
}
