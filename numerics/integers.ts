/** Whole numbers. */

/** The largest whole number that divides both. */
export const commonDivisor = (a: number, b: number): number =>
  b === 0 ? a : commonDivisor(b, a % b);

/** A whole number, 0 or more, in as few bytes of seven bits as it takes, the lowest first (unsigned LEB128). */
export function varint(x: number): number[] {
  const out: number[] = [];
  for (; x > 127; x = Math.floor(x / 128)) out.push(x % 128 + 128);
  return [...out, x];
}
