/**
 * The element types of a safetensors file, and the JavaScript arrays that carry them.
 *
 * Why bf16 becomes f32 on reading: JavaScript has no array for it, WebGPU has no type for it, and every bf16 number is
 * an f32 number, so nothing is lost. All numbers are little-endian, as in the files and on every machine that runs
 * WebGPU.
 */

/** Element type as named in safetensors files. The 8-bit and smaller floats of quantised models are not read. */
export type FileDType =
  | "BOOL"
  | "U8"
  | "I8"
  | "I16"
  | "U16"
  | "F16"
  | "BF16"
  | "I32"
  | "U32"
  | "F32"
  | "F64"
  | "I64"
  | "U64";

/** The array that holds elements of type `D` after reading; BF16 is widened to `Float32Array`. */
export type FileArray<D extends FileDType = FileDType> = D extends "F32" | "BF16" ? Float32Array
  : D extends "F16" ? Float16Array
  : D extends "F64" ? Float64Array
  : D extends "BOOL" | "U8" ? Uint8Array
  : D extends "I8" ? Int8Array
  : D extends "I16" ? Int16Array
  : D extends "U16" ? Uint16Array
  : D extends "I32" ? Int32Array
  : D extends "U32" ? Uint32Array
  : D extends "I64" ? BigInt64Array
  : BigUint64Array;

const MAKERS: {
  readonly [D in FileDType]: new (
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ) => FileArray<D>;
} = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Float16Array,
  BF16: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
};

/** Bytes that one element takes in a file. */
export const FILE_BYTES: Readonly<Record<FileDType, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
};

/** Whether `name` is an element type that can be read. */
export const isFileDType = (name: unknown): name is FileDType =>
  typeof name === "string" && Object.hasOwn(FILE_BYTES, name);

/** Whether elements of a type are real numbers, of any width. */
export const isReal = (dtype: FileDType): boolean => /^B?F\d/.test(dtype);

/** The element type under which an array is written unless another is asked for. */
export function fileDTypeOf(array: FileArray): FileDType {
  if (array instanceof Float32Array) return "F32";
  if (array instanceof Float16Array) return "F16";
  if (array instanceof Float64Array) return "F64";
  if (array instanceof Int32Array) return "I32";
  if (array instanceof BigInt64Array) return "I64";
  if (array instanceof Uint8Array) return "U8";
  if (array instanceof Int8Array) return "I8";
  if (array instanceof Int16Array) return "I16";
  if (array instanceof Uint16Array) return "U16";
  if (array instanceof Uint32Array) return "U32";
  return "U64";
}

/** Truth values as files hold them: 1 for whatever is not 0. */
const truth = (array: Uint8Array | Uint32Array): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(array, (v) => Number(v !== 0));

/**
 * Interprets the bytes of a file as elements; truth values are 0 and 1, whatever a byte says. `bytes` is not copied unless it
 * must be (BF16, or a crooked offset).
 */
export function arrayOf<D extends FileDType>(
  dtype: D,
  bytes: Uint8Array<ArrayBuffer>,
): FileArray<D> {
  const size = FILE_BYTES[dtype];
  const straight = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = straight;
  const length = straight.length / size;
  if (dtype === "BOOL" && bytes.some((byte) => byte > 1)) return truth(bytes) as FileArray<D>;
  if (dtype === "BF16") {
    return widenBF16(new Uint16Array(buffer, byteOffset, length)) as FileArray<D>;
  }
  if (dtype === "F16" && !HALVES) {
    return widenF16(new Uint16Array(buffer, byteOffset, length)) as FileArray as FileArray<D>;
  }
  return new MAKERS[dtype](buffer, byteOffset, length);
}

/**
 * The bytes of `array` as elements of type `dtype`: itself, or rounded to nearest-even for F16 and BF16; as BOOL, 1 for whatever
 * is not 0 in bytes, or in the words that a device has for truth values.
 */
export function bytesOf(array: FileArray, dtype: FileDType): Uint8Array {
  let from: ArrayBufferView = array;
  if (dtype === "BOOL" && (array instanceof Uint8Array || array instanceof Uint32Array)) {
    from = truth(array);
  } else if (fileDTypeOf(array) !== dtype) {
    const floats = isFloatArray(array) ? array : undefined;
    if (floats && dtype === "BF16") from = narrowBF16(floats);
    else if (floats && dtype === "F16") {
      from = HALVES ? new Float16Array(floats) : halfBits(toFloat32(floats));
    } else if (floats && dtype === "F32") from = new Float32Array(floats);
    else if (floats && dtype === "F64") from = new Float64Array(floats);
    else throw new TypeError(`a ${array.constructor.name} can't be written as ${dtype}`);
  }
  return new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
}

/** Real numbers of any width as f32. Throws `TypeError` for arrays of integers. */
export function toFloat32(array: FileArray): Float32Array {
  if (array instanceof Float32Array) return array;
  if (array instanceof Float16Array || array instanceof Float64Array) {
    return new Float32Array(array);
  }
  throw new TypeError(`a ${array.constructor.name} does not hold real numbers`);
}

const isFloatArray = (array: FileArray): array is Float16Array | Float32Array | Float64Array =>
  array instanceof Float32Array || array instanceof Float16Array || array instanceof Float64Array;

/** Whether there is a `Float16Array`: in the bundle something without `from` stands for it where there is none. */
const HALVES = "from" in Float16Array;

/** f16 as f32, which holds every one of them; for runtimes that have no `Float16Array`. */
export const widenF16 = (halves: Uint16Array): Float32Array<ArrayBuffer> =>
  Float32Array.from(halves, (half) => {
    const exponent = half >>> 10 & 31, fraction = half & 1023;
    const size = exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31
      ? (fraction ? NaN : Infinity)
      : (1024 + fraction) * 2 ** (exponent - 25);
    return half & 0x8000 ? -size : size;
  });

/** bf16 is the upper half of an f32. */
function widenBF16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

function narrowBF16(floats: Float16Array | Float32Array | Float64Array): Uint16Array {
  const wide = floats instanceof Float32Array ? floats : new Float32Array(floats);
  const bits = new Uint32Array(wide.buffer, wide.byteOffset, wide.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i];
    // Rounding would carry a NaN's payload over into infinity or zero.
    halves[i] = Number.isNaN(wide[i]) ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/** Bits of the nearest f16, ties to even, as `Float16Array` has them; for runtimes that have none. */
export function halfBits(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  return Uint16Array.from(bits, (b) => {
    const sign = b >>> 16 & 0x8000, exponent = (b >>> 23 & 0xff) - 112, fraction = b & 0x7fffff;
    if (exponent === 143 && fraction) return sign | 0x7e00;
    if (exponent >= 31) return sign | 0x7c00;
    if (exponent < -10) return sign;
    // Below the smallest normal number the leading one is written out, and shifted with the rest.
    const [whole, shift] = exponent > 0
      ? [exponent << 23 | fraction, 13]
      : [fraction | 0x800000, 14 - exponent];
    const half = whole >>> shift, rest = whole & (1 << shift) - 1, middle = 1 << shift - 1;
    // A carry out of the fraction is the next exponent, and out of the largest number infinity.
    return sign | half + (rest > middle || rest === middle && half & 1 ? 1 : 0);
  });
}
