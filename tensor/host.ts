/**
 * Values from the host: whatever a caller has, as the typed array of an element type. A number is converted by its value
 * or refused by its place, never by its bits; nothing is guessed of what has no element type of its own.
 */
import { ARRAYS, type DType, type HostArray } from "./dtype.ts";
import { isWhole, RANGE } from "./element.ts";
import { checkShape, type Shape, ShapeError, sizeOf, type Spec } from "./shape.ts";
import { expectDType, expectList } from "./arguments.ts";
import { what } from "./what.ts";

/** Typed arrays whose values can be taken; those without an element type of their own are converted. */
export type NumberArray =
  | HostArray
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | BigInt64Array
  | BigUint64Array;

/** What a tensor can be made of: a number, a typed array, or a list of such things, nested as deep as the shape. */
export type TensorData = number | boolean | bigint | NumberArray | readonly TensorData[];

/** The element type that a typed array gives where none is asked for. */
const NATURAL: readonly (readonly [type: { new (n: number): NumberArray }, dtype: DType])[] = [
  [Float32Array, "f32"],
  [Float64Array, "f32"],
  [Float16Array, "f16"],
  [Int32Array, "i32"],
  [Int16Array, "i32"],
  [Int8Array, "i32"],
  [BigInt64Array, "i32"],
  [Uint32Array, "u32"],
  [Uint16Array, "u32"],
  [Uint8Array, "u32"],
  [Uint8ClampedArray, "u32"],
  [BigUint64Array, "u32"],
];

/** Host values with their shape and element type. */
export interface HostValues {
  readonly data: HostArray;
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * The values of data, in the caller's own array where that is already what is asked for.
 *
 * @param op who asks, for messages
 * @param shape extents; those of the nesting when left out
 * @param dtype element type; that of the data when left out
 * @throws TypeError for what holds no numbers, or numbers of several kinds; ShapeError for a ragged list or another count
 *   than the shape's; RangeError, with its place, for a number that the element type does not hold
 */
export function hostValues(
  op: string,
  data: TensorData,
  shape?: Shape,
  dtype?: DType,
): HostValues {
  if (dtype !== undefined) expectDType(op, dtype);
  if (shape !== undefined) expectShape(op, 1, shape);
  const gathered = new Gathered(op);
  gathered.add(data, 0);
  const nested = gathered.shape;
  const type = dtype ?? gathered.dtype;
  if (shape && sizeOf(shape) !== gathered.count) {
    throw new ShapeError(op, `${gathered.count} values for shape [${shape}]`);
  }
  if (shape && nested.length > 1 && nested.join() !== shape.join()) {
    throw new ShapeError(op, `values nested as [${nested}] for shape [${shape}]: leave one out`);
  }
  return { data: gathered.into(type), shape: shape ? [...shape] : nested, dtype: type };
}

/** Refuses what is no list of extents; `at` is the argument's position, from 0. */
export function expectShape(op: string, at: number, shape: unknown): void {
  expectList(op, at, "shape", shape, "[2, 3]");
  checkShape(op, shape);
}

/** The leaves of nested data in order, what shape they make, and which element types they come in. */
class Gathered {
  /** Extents by depth, known once the first list of that depth has been seen. */
  readonly shape: number[] = [];
  readonly #parts: (NumberArray | (number | boolean | bigint)[])[] = [];
  readonly #kinds = new Set<DType>();
  /** Where in the nested list it is that is looked at, by depth. */
  readonly #place: number[] = [];
  /** How deep numbers lie: the same everywhere, or the list is ragged. */
  #depth: number | undefined;
  count = 0;

  constructor(readonly op: string) {}

  get dtype(): DType {
    const kinds = [...this.#kinds];
    if (kinds.length > 1) {
      throw new TypeError(
        `${this.op}: the values are of several kinds (${kinds.join(", ")}); say which element type`,
      );
    }
    return kinds[0] ?? "f32";
  }

  add(data: unknown, depth: number): void {
    if (isNumber(data)) {
      this.#atDepth(depth);
      this.#kinds.add(kindOf(data));
      const last = this.#parts.at(-1);
      if (Array.isArray(last)) last.push(data);
      else this.#parts.push([data]);
      this.count++;
    } else if (Array.isArray(data)) {
      this.#extent(depth, data.length);
      // Not forEach, which would pass over the holes of a sparse list.
      for (let i = 0; i < data.length; i++) {
        this.#place.length = depth;
        this.#place.push(i);
        this.add(data[i], depth + 1);
      }
    } else this.#typed(data, depth);
  }

  #typed(data: unknown, depth: number): void {
    const dtype = NATURAL.find(([type]) => data instanceof type)?.[1];
    if (!dtype) {
      const place = depth ? `value ${this.count} is ` : "cannot be made of ";
      throw new TypeError(`${this.op}: ${place}${what(data)}${remedy(data)}`);
    }
    const array = data as NumberArray;
    if ((array.buffer as ArrayBuffer).detached) {
      throw new TypeError(
        `${this.op}: the memory of ${what(data)} was transferred to another thread (detached)`,
      );
    }
    this.#extent(depth, array.length);
    this.#atDepth(depth + 1);
    this.#kinds.add(dtype);
    this.#parts.push(array);
    this.count += array.length;
  }

  #extent(depth: number, length: number): void {
    if (this.#depth !== undefined && depth >= this.#depth) {
      this.#ragged("a list beside a number", depth);
    }
    this.shape[depth] ??= length;
    if (this.shape[depth] !== length) {
      this.#ragged(`a list of ${length} beside one of ${this.shape[depth]}`, depth);
    }
  }

  #atDepth(depth: number): void {
    if (depth !== (this.#depth ??= Math.max(depth, this.shape.length))) {
      this.#ragged("a number beside a list", depth);
    }
  }

  #ragged(detail: string, depth: number): never {
    const place = this.#place.slice(0, depth).map((i) => `[${i}]`).join("");
    throw new ShapeError(
      this.op,
      `the nested list is ragged: ${detail}${place && ` at ${place}`}, value ${this.count}`,
    );
  }

  /** The values as an element type. */
  into(dtype: DType): HostArray {
    const [only] = this.#parts;
    // Truth values have no array that holds nothing else.
    const as = (part: unknown) => dtype !== "bool" && part instanceof ARRAYS[dtype];
    if (this.#parts.length === 1 && as(only)) return only as HostArray;
    const to = new ARRAYS[dtype](this.count);
    let at = 0;
    for (const part of this.#parts) {
      if (as(part)) to.set(part as Float32Array, at);
      else convert(this.op, part, to, dtype, at);
      at += part.length;
    }
    return to;
  }
}

const isNumber = (x: unknown): x is number | boolean | bigint =>
  typeof x === "number" || typeof x === "boolean" || typeof x === "bigint";

/** Truth values are bool, bigints i32, every other number f32. */
const kindOf = (x: number | boolean | bigint): DType =>
  typeof x === "boolean" ? "bool" : typeof x === "bigint" ? "i32" : "f32";

/** Copies value by value; floats are rounded to the nearest, integers must be held exactly. */
function convert(
  op: string,
  from: ArrayLike<number | boolean | bigint>,
  to: HostArray,
  dtype: DType,
  offset: number,
): void {
  const whole = isWhole(dtype);
  const [low, high] = whole ? RANGE[dtype] : [0, 0];
  for (let i = 0; i < from.length; i++) {
    const x = Number(from[i]);
    const at = offset + i;
    to[at] = x;
    const held = whole
      ? Number.isInteger(x) && x >= low && x <= high
      : !Number.isFinite(x) || Number.isFinite(to[at]);
    if (held) continue;
    const why = dtype === "bool"
      ? 'is neither 0 nor 1 of bool: cast(x, "bool") takes whatever is not 0 for true'
      : whole && Number.isFinite(x) && !Number.isInteger(x)
      ? `is no whole number of ${dtype}`
      : whole
      ? `does not lie in ${low} … ${high} of ${dtype}`
      : `is beyond the largest of ${dtype}`;
    throw new RangeError(`${op}: value ${at}, ${from[i]}, ${why}`);
  }
}

/** Numbers, or truth values, in lists nested as deep as a shape; of a scalar the number itself. */
export type NestedNumbers = number | boolean | NestedNumbers[];

/** Row-major values as nested lists. */
export function nest(values: HostArray, { shape, dtype }: Spec): NestedNumbers {
  let at = 0;
  const level = (axis: number): NestedNumbers =>
    axis === shape.length
      ? dtype === "bool" ? !!values[at++] : values[at++]
      : Array.from({ length: shape[axis] }, () => level(axis + 1));
  return level(0);
}

/** What to do instead, where it is known. */
function remedy(x: unknown): string {
  if (what(x).startsWith("the tensor")) return ": ops take it as it is, and concat joins several";
  if (x instanceof ArrayBuffer || x instanceof DataView || x instanceof SharedArrayBuffer) {
    return ": bytes have no element type; look at them through a typed array such as Float32Array";
  }
  if (typeof (x as Iterable<unknown>)?.[Symbol.iterator] === "function" && typeof x !== "string") {
    return ": spread it into a list, [...values]";
  }
  return "; it takes numbers, typed arrays and lists of them";
}
