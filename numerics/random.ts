/**
 * Random numbers on the host, from a seed and a path of counters.
 *
 * Why counters and not a running state: the draw for (step, example) is then the same whether training ran through,
 * was resumed at that step, or loads its pictures ahead and out of order.
 *
 * Philox-2×32-10: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */

/** A stream of random numbers. */
export interface Random {
  /** Uniform in [0, 1), with 53 random bits. */
  uniform(): number;
  /** A whole number, uniform in [low, high], both included. */
  integer(low: number, high: number): number;
  /** One element, each as likely. */
  pick<T>(from: readonly T[]): T;
}

/** The Philox-2×32-10 block: two words from two counter words and a key. */
export function philox(counter0: number, counter1: number, key: number): [number, number] {
  const multiplier = 0xd256d193;
  let c0 = counter0 >>> 0, c1 = counter1 >>> 0, k = key >>> 0;
  for (let round = 0; round < 10; round++) {
    const [high, low] = multiply(multiplier, c0);
    c0 = (high ^ k ^ c1) >>> 0;
    c1 = low;
    k = (k + 0x9e3779b9) >>> 0;
  }
  return [c0, c1];
}

/** The high and low words of a 32×32-bit product. */
function multiply(a: number, b: number): [number, number] {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16); // Under 2^33: exact.
  const other = a0 * b1 + (middle % 65536);
  const high = a1 * b1 + Math.floor(middle / 65536) + Math.floor(other / 65536);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/**
 * The stream of a seed and a path, for example `hostRandom(seed, step, example)`.
 *
 * @param seed any safe integer
 * @param path whole numbers ≥ 0; streams of different paths are independent
 * @throws {RangeError} for a seed or a path element that is not a whole number
 */
export function hostRandom(seed: number, ...path: number[]): Random {
  let key = fold(0x6d6f6f6e, seed, "seed");
  for (const element of path) key = fold(key, element, "path element");
  let counter = 0, spare: number | undefined;
  const word = () => {
    if (spare !== undefined) {
      const kept = spare;
      spare = undefined;
      return kept;
    }
    const [first, second] = philox(counter, Math.floor(counter / 2 ** 32), key);
    counter++;
    spare = second;
    return first;
  };
  const uniform = () => {
    const high = word() >>> 5, low = word() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  };
  const integer = (low: number, high: number) => low + Math.floor(uniform() * (high - low + 1));
  return { uniform, integer, pick: (from) => from[integer(0, from.length - 1)] };
}

function fold(key: number, value: number, what: string): number {
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`${what} ${value} is not a whole number`);
  }
  return philox(value, Math.floor(value / 2 ** 32), key)[0];
}
