/**
 * The generator: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011), on the host; and keys as two numbers of the host.
 *
 * Why a counter and no running state: element i of a draw is a pure function of key and i, so a draw can be repeated
 * anywhere, in any order, by any number of threads.
 */
import { what } from "../../tensor/what.ts";
import { expectList, expectNumber } from "../../tensor/arguments.ts";

/** 64 bits of key, as two u32. On the device: a tensor `[2]` u32. */
export type Key = readonly [number, number];

/** Of the rounds, by fours, and the word that the third key is made with. */
export const ROTATIONS = [[13, 15, 26, 6], [17, 29, 16, 24]];
export const PARITY = 0x1bd11bda;
/** Counter word reserved for deriving keys, so that no draw repeats their bits. */
export const FOLD = 0xffffffff;

/** Threefry-2x32-20: 64 random bits for a 64-bit counter under a key. All words are u32. */
export function threefry([k0, k1]: Key, [c0, c1]: readonly [number, number]): [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ PARITY];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let group = 0; group < 5; group++) {
    for (const r of ROTATIONS[group % 2]) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    }
    x0 = (x0 + keys[(group + 1) % 3]) | 0;
    x1 = (x1 + keys[(group + 2) % 3] + group + 1) | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
}

/** A new key of the host from one and a number. */
export function foldKey(key: Key, data: number): [number, number] {
  expectList("foldIn", 0, "key", key, "[0, 1]");
  expectNumber("foldIn", 1, "data", data);
  if (key.length !== 2 || key.some((word) => word !== word >>> 0)) {
    throw new RangeError(`foldIn: the key is [${key}], not two u32`);
  }
  if (data !== data >>> 0) throw new RangeError(`foldIn takes a u32, not ${data}`);
  return threefry(key, [data, FOLD]);
}

/**
 * The key of a seed, as two numbers of the host; `randomKey` gives the same one as a tensor.
 *
 * @param seed a whole number from 0 to 2⁵³ − 1
 * @throws RangeError for any other number
 */
export const keyFromSeed = (seed: number): [number, number] => seedKey("keyFromSeed", seed);

/** The same for another function, which names itself. */
export function seedKey(op: string, seed: number): [number, number] {
  if (typeof seed !== "number") {
    throw new TypeError(`${op}: argument 1 (seed) is ${what(seed)}, not a number`);
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`${op}: a seed is a whole number from 0 to 2^53 - 1, not ${seed}`);
  }
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}
