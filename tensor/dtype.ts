/**
 * Element types: what a tensor may hold on the device, how many bytes each takes, and which JavaScript typed array
 * carries it on the host. Arithmetic on `f16` storage is always done in `f32` (see `docs/design.md`, "Numbers").
 */

/** Element type of a tensor. */
export type DType = "f32" | "f16" | "i32" | "u32" | "bool";

/** How elements of a type lie in memory, and what kernels see: truth values are words, 0 and 1, since buffers of WebGPU have no bool. */
export const storedAs = <D extends DType>(dtype: D): Exclude<D, "bool"> | "u32" =>
  dtype === "bool" ? "u32" : dtype as Exclude<D, "bool">;

/** Type of a value in arithmetic: f16 is computed in f32, truth values count as what they are stored as. */
export type Arithmetic = "f32" | "i32" | "u32";
export const arithmetic = (dtype: DType): Arithmetic => dtype === "f16" ? "f32" : storedAs(dtype);

/** Host arrays that can be uploaded to or read from a tensor. */
export type HostArray = Float32Array | Float16Array | Int32Array | Uint32Array;

/** Bytes of one element. */
export const BYTES: Readonly<Record<DType, number>> = {
  f32: 4,
  f16: 2,
  i32: 4,
  u32: 4,
  bool: 4,
};

/** The typed array of each element type; of truth values, that of what they are stored as. */
export const ARRAYS = {
  f32: Float32Array,
  f16: Float16Array,
  i32: Int32Array,
  u32: Uint32Array,
  bool: Uint32Array,
} as const;

/** Whether the type holds real numbers (and so has derivatives). */
export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f16";

/** Views raw bytes (as read back from a buffer) as a host array of the given type. */
export function viewBytes(dtype: DType, bytes: ArrayBuffer, length: number): HostArray {
  return new ARRAYS[dtype](bytes, 0, length);
}
