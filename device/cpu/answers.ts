/** Whether the CPU device can be opened: asked before anything of it is loaded. */

/** A module whose one function returns a vector. */
// deno-fmt-ignore
const VECTOR = Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
  1, 5, 1, 0x60, 0, 1, 0x7b, // type: () → v128
  3, 2, 1, 0,
  10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b, // i8x16.splat(0)
);

/** Where `WebAssembly` has vectors, so that a CPU device can be opened. */
export const cpuAnswers = (): boolean =>
  typeof WebAssembly === "object" && WebAssembly.validate(VECTOR);
