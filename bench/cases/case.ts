/**
 * What a case of the benchmark is: operands that every library gets alike, what its result is, and how near a library must
 * come to PyTorch's answer in double precision, so that no fast but wrong answer enters the table.
 */
import { sizeOf } from "../../tensor/shape.ts";
import { uniforms } from "../portable_weights.ts";

/** What the axes of an array are, where libraries differ: images are NHWC in a case, kernels HWIO. */
export type Layout = "image" | "kernel";

export interface ArrayOf {
  readonly shape: readonly number[];
  readonly layout?: Layout;
}

export interface Operand extends ArrayOf {
  /** Values are uniform in [−scale, scale); 1 where nothing is said. */
  readonly scale?: number;
  /** What is added to them. */
  readonly shift?: number;
  /** Whole numbers in [0, below). */
  readonly below?: number;
  /** One 1 in each row of the last axis, all else 0: what is to be told apart. */
  readonly oneHot?: true;
  /** Known numbers, all of them whole. */
  readonly values?: readonly number[];
}

/** An operation, or a step of training a small model: a function of operands, which every library has by the case's name. */
export interface OpCase {
  readonly kind: "op";
  /** Name for `--cases`. */
  readonly name: string;
  /** Name in the table. */
  readonly title: string;
  readonly operands: Readonly<Record<string, Operand>>;
  readonly results: readonly ArrayOf[];
  /** Arithmetic operations (2 per multiply-add) of products; undefined where memory decides. */
  readonly flops?: number;
}

/** Operands by name, flat and row-major. */
export type Operands = Readonly<Record<string, Float32Array>>;

/** Whole numbers are handed over as such. */
export const isWhole = ({ below, values }: Operand): boolean =>
  below !== undefined || values !== undefined;

/** The same operands for every library. */
export const operandsOf = (c: OpCase): Operands =>
  Object.fromEntries(
    Object.entries(c.operands).map(([name, o]) => [name, valuesOf(`${c.name}.${name}`, o)]),
  );

function valuesOf(name: string, o: Operand): Float32Array {
  if (o.values) return Float32Array.from(o.values);
  const size = sizeOf(o.shape);
  const below = (n: number, count: number) =>
    uniforms(name, count).map((u) => Math.floor((u + 1) / 2 * n));
  if (o.below) return below(o.below, size);
  if (!o.oneHot) return uniforms(name, size, o.scale).map((v) => v + (o.shift ?? 0));
  const row = o.shape.at(-1)!;
  const values = new Float32Array(size);
  below(row, size / row).forEach((hot, i) => values[i * row + hot] = 1);
  return values;
}

/** A permuted copy: axis `i` of the result is axis `order[i]` of `data`. */
export function permuted(
  data: ArrayLike<number>,
  shape: readonly number[],
  order: readonly number[],
): Float32Array {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  const extents = order.map((axis) => shape[axis]);
  return Float32Array.from({ length: data.length }, (_, flat) => {
    let from = 0;
    for (let i = order.length - 1; i >= 0; i--) {
      from += (flat % extents[i]) * strides[order[i]];
      flat = Math.floor(flat / extents[i]);
    }
    return data[from];
  });
}

/** Axes of a case's array, in the order of libraries that have channels first, and back. */
const FIRST = { image: [0, 3, 1, 2], kernel: [3, 2, 0, 1] };
const LAST = { image: [0, 2, 3, 1], kernel: [2, 3, 1, 0] };

/** An array as libraries want it that have channels first: NCHW and OIHW. */
export function channelsFirst(data: Float32Array, { shape, layout }: ArrayOf) {
  if (!layout) return { data, shape };
  const order = FIRST[layout];
  return { data: permuted(data, shape, order), shape: order.map((axis) => shape[axis]) };
}

/** A result of such a library in the case's layout. */
export function channelsLast(data: ArrayLike<number>, { shape, layout }: ArrayOf) {
  if (!layout) return data;
  return permuted(data, FIRST[layout].map((axis) => shape[axis]), LAST[layout]);
}

/** Most values of a result that are compared. */
const COMPARED = 24;

/** Which values of a result are compared: all of a small one. */
export function placesOf(size: number): number[] {
  if (size <= COMPARED) return Array.from({ length: size }, (_, i) => i);
  return Array.from(uniforms("places", COMPARED), (u) => Math.floor((u + 1) / 2 * size));
}

/**
 * Compares results with the right ones.
 *
 * @param sizes how long each result is to be
 * @param got every result of the case, flat
 * @param right its values at {@linkcode placesOf} places
 * @returns the largest error, relative to the largest of the right values of that result
 * @throws when a result is missing or has another length
 */
export function deviation(
  sizes: readonly number[],
  got: readonly ArrayLike<number>[],
  right: readonly (readonly number[])[],
): number {
  const errors = sizes.map((size, i) => {
    if (got[i]?.length !== size) {
      throw new Error(`result ${i} has ${got[i]?.length} elements, expected ${size}`);
    }
    const largest = Math.max(...right[i].map(Math.abs));
    return Math.max(...placesOf(size).map((k, j) => Math.abs(got[i][k] - right[i][j]))) / largest;
  });
  return errors.some(Number.isNaN) ? Infinity : Math.max(...errors);
}
