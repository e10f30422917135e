/**
 * What the GEMM generator computes: C[z, m, n] = Σₖ A[z, m, k] · B[z, k, n], where A and B are seen through loaders. A
 * matrix in any orientation, the pixels under a convolution's window and a weight tensor are all such operands, so one
 * generator serves matmul and all three passes of a convolution (implicit GEMM: no im2col copy is ever made).
 *
 * K is split in two: `segments` × `length`. What stays the same along a segment (which tap of a window, whether it falls
 * into the padding) is computed once per segment and not once per multiplication.
 */
import type { BufferUse } from "../../tensor/kernel.ts";

/**
 * One side of the product. "Row" means m for A and n for B. The three code pieces are called with a name prefix `id`
 * that is unique per row group; what one declares as `${id}…` the next may use. All index arithmetic is u32.
 */
export interface Operand {
  readonly buffer: BufferUse;
  /** The index along which memory is contiguous: loads of four go that way. */
  readonly along: "k" | "row";
  /** Elements per load. With 4, the extent along {@linkcode along} is a multiple of 4. */
  readonly width: 1 | 4;
  /** Statements that depend on `z` alone. */
  readonly prelude?: string;
  /** Statements that depend on the row (a multiple of 4 when four rows are loaded at once). */
  row(r: string, id: string): string;
  /** Statements that depend on the row (declared under `rowId`) and on the segment. */
  enter(rowId: string, segment: string, id: string): string;
  /** The element, or four of them as a vector, at place `k` of the segment; zero where there is nothing. */
  load(id: string, k: string): string;
  /** The same with anything where there is nothing, so that nobody has to wait for it to tell. */
  raw(id: string, k: string): string;
  /** Whether there is something at place `k`, a bool; left out where there always is. */
  readonly inside?: (id: string, k: string) => string;
  /** The same, read element by element. */
  readonly narrow: Operand;
  /** A copy in f32 that pays, since windows leave the image or f16 would be read one by one: {@linkcode narrow} reads it. */
  readonly copy?: { readonly bytes: number; readonly source: BufferUse; readonly code: FramedCopy };
}

/** WGSL of a copy: how many steps it takes, and what each stores at `i` of the buffer `framed`. */
export interface FramedCopy {
  readonly name: string;
  readonly steps: number;
  readonly type: string;
  readonly body: string;
}

/** One product. */
export interface Gemm {
  readonly label: string;
  readonly m: number;
  readonly n: number;
  /** Products of the same form, told apart by `z`. */
  readonly batch: number;
  readonly segments: number;
  readonly length: number;
  readonly a: Operand;
  readonly b: Operand;
  /** Which row of n numbers in the output (m, z) is, as a u32 expression. */
  row(m: string, z: string): string;
}

/** Arithmetic operations of a product. */
export const flopsOf = (g: Gemm): number => 2 * g.batch * g.m * g.n * g.segments * g.length;

/** Wraps a constant that may be negative for u32 arithmetic, which wraps around. */
export const u32 = (value: number): string => `${value >>> 0}u`;
