/**
 * Keys as tensors: made from a seed, split, and folded with numbers. Where the host knows a key's value, as it does outside
 * of programs, new keys are computed there and are constants; within a program a kernel gives the same ones.
 */
import { apply, Tensor } from "../../tensor/tensor.ts";
import { expectNumber, expectTensors } from "../../tensor/arguments.ts";
import { alike } from "../../tensor/batch.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { defineOp } from "../../tensor/op.ts";
import { sameShape, ShapeError, show } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import { expand } from "../broadcast.ts";
import { iota } from "../create/create.ts";
import { constantValues, tensor } from "../leaf.ts";
import { reshape, slice } from "../movement.ts";
import { expectKey } from "./expect_key.ts";
import { foldInKernel } from "./kernel.ts";
import { FOLD, foldKey, type Key, seedKey, threefry } from "./threefry.ts";

/** Keys `[…, 2]` and numbers `[…]` to keys `[…, 2]`. */
const foldOp = defineOp<Record<string, never>>({
  name: "foldIn",
  shape([key, data]) {
    const lead = key.shape.slice(0, -1);
    if (key.dtype !== "u32" || key.shape.at(-1) !== 2) {
      throw new ShapeError("foldIn", `the key must be u32[2], not ${show(key)}`);
    }
    if (data.dtype !== "u32" || !sameShape(lead, data.shape)) {
      throw new ShapeError("foldIn", `numbers must be u32, not ${show(data)}`);
    }
    return [key];
  },
  vjp: () => [undefined, undefined],
  batch: alike,
  reference([keys, data]) {
    const made = Array.from(
      data,
      (n, i) => threefry([keys[2 * i], keys[2 * i + 1]], [n, FOLD]),
    );
    return [Float64Array.from(made.flat())];
  },
  lowering: { kind: "kernel", epilogue: false, build: foldInKernel },
});

/** The key of a tensor, where the host knows it. */
const knownKey = (key: Tensor): Key | undefined => {
  const words = constantValues(key);
  return words && key.dtype === "u32" && words.length === 2 ? [words[0], words[1]] : undefined;
};

const keyTensor = (key: Key): Tensor => tensor(Uint32Array.from(key));

/**
 * A key on the host: that of a seed, of a tensor whose value the host knows, or two numbers as they are.
 *
 * @throws TypeError for a tensor that was computed on a device, or is an argument of a program
 */
export function hostKey(who: string, key: Tensor | Key | number): Key {
  if (typeof key === "number") return seedKey(who, key);
  if (!(key instanceof Tensor)) return foldable(who, key);
  const known = knownKey(key);
  if (known) return known;
  throw new TypeError(
    `${who}: the key ${show(key.spec)} is not known on the host: make it by ` +
      "randomKey(seed), randomSplit or foldIn outside of a program",
  );
}

function foldable(who: string, key: Key): Key {
  if (Array.isArray(key) && key.length === 2 && key.every((word) => word === word >>> 0)) {
    return key;
  }
  throw new TypeError(`${who}: the key is ${what(key)}, not a seed, a key, or two u32`);
}

/**
 * The key of a seed: where all randomness of a program begins.
 *
 * @param seed a whole number from 0 to 2⁵³ − 1
 * @returns `[2]` u32
 * @throws RangeError for any other number
 */
export function randomKey(seed: number): Tensor {
  return keyTensor(seedKey("randomKey", seed));
}

/**
 * New keys from one, independent of each other and of what the old one draws: `const [a, b] = randomSplit(key)`. The old
 * key is best not used for anything else. Key i is `foldIn(key, i)`, however many there are.
 *
 * @param key `[2]` u32
 * @param count how many. Default 2
 * @returns keys, each `[2]` u32. Many in one tensor, for `vmap` and `scan`, are `foldIn(key, iota(count, "u32"))`
 */
export function randomSplit(key: Tensor, count = 2): Tensor[] {
  expectKey("randomSplit", key);
  expectNumber("randomSplit", 1, "count", count);
  wholeNumber("randomSplit", "count", count);
  if (knownKey(key)) return Array.from({ length: count }, (_, i) => foldIn(key, i));
  const all = foldIn(key, iota(count, "u32"));
  return Array.from({ length: count }, (_, i) => reshape(slice(all, 0, i, i + 1), [2]));
}

/** A new key of the host from a key and a number. */
export function foldIn(key: Key, data: number): [number, number];
/**
 * A new key from a key and a number: one key per step, per image, per worker.
 *
 * @param key `[2]` u32; or two u32 of the host, which give two
 * @param data a u32; or, of a tensor's key, a tensor `[…]` of them
 * @returns `[2]` u32; `[…, 2]` of many numbers
 * @throws RangeError when `data` is a number and no u32; ShapeError when a tensor is none of u32
 */
export function foldIn(key: Tensor, data: number | Tensor): Tensor;
export function foldIn(key: Tensor | Key, data: number | Tensor): Tensor | [number, number] {
  if (!(key instanceof Tensor)) return foldKey(key, data as number);
  expectKey("foldIn", key);
  if (typeof data === "number") {
    const known = knownKey(key);
    if (data !== data >>> 0) throw new RangeError(`foldIn takes a u32, not ${data}`);
    return known ? keyTensor(foldKey(known, data)) : foldIn(key, tensor(data, [], "u32"));
  }
  expectTensors("foldIn", { key, data });
  return apply(foldOp, [expand(key, [...data.shape, 2]), data], {})[0];
}
