/**
 * Numbers of a kernel that move with shapes: extents, strides, bounds. A kernel's text has them marked, and whoever makes
 * WGSL of it decides what becomes of the marks: literals, where a compiler that knows them gains from it, or data of the
 * dispatch, so that one compiled kernel serves many shapes. What is known only by shapes and changes what a kernel looks
 * like (unrolled loops, extents of arrays, which branch there is) is no such number, and is not marked.
 */
import { f32 } from "./f32.ts";

/** A u32 in WGSL that moves with shapes. A name stands for one number in the whole kernel. */
export const size = (value: number, name = ""): string => `⟨${name}=${value >>> 0}u⟩`;

/** An f32 in WGSL that moves with shapes. */
export const realSize = (value: number, name = ""): string => `⟨${name}=${Math.fround(value)}f⟩`;

const MARK = /⟨(\w*)=([^⟩]*)([uf])⟩/g;

/** The number of a mark as a literal. */
const literal = (digits: string, type: string): string =>
  type === "u" ? `${digits}u` : f32(Number(digits));

/** A kernel's text with its numbers as literals. */
export const withLiterals = (text: string): string =>
  text.replace(MARK, (_, _name, digits, type) => literal(digits, type));

/** Most numbers that a dispatch is given as data; what comes after is written out. */
export const MOST_SIZES = 64;

/** Bytes that a dispatch's numbers take, whether it has any or not: the alignment that WebGPU may ask of them. */
export const SIZES_BYTES = 4 * MOST_SIZES;

/** A kernel whose numbers are data. */
export interface SizedText {
  readonly text: string;
  /** WGSL of the structure `Sizes`; empty where there are no numbers. */
  readonly structure: string;
  /** The numbers, as words. */
  readonly words: Uint32Array<ArrayBuffer>;
}

/**
 * A kernel's text with its numbers read from a variable `sizes`.
 *
 * @throws Error where one name stands for two numbers
 */
export function withData(text: string): SizedText {
  const fields: { name: string; type: string; digits: string }[] = [];
  const named = new Map<string, { field: string; digits: string }>();
  const out = text.replace(MARK, (_, name: string, digits: string, type: string) => {
    const known = name ? named.get(name) : undefined;
    if (known) {
      if (known.digits === digits) return known.field;
      throw new Error(`the number ${name} of a kernel is ${known.digits} and ${digits}`);
    }
    let field = literal(digits, type);
    if (fields.length < MOST_SIZES) {
      field = `sizes.n${fields.length}`;
      fields.push({ name: `n${fields.length}`, type: `${type}32`, digits });
    }
    if (name) named.set(name, { field, digits });
    return field;
  });
  const words = new Uint32Array(fields.length);
  const reals = new Float32Array(words.buffer);
  fields.forEach(({ type, digits }, i) => (type === "f32" ? reals : words)[i] = Number(digits));
  const members = fields.map(({ name, type }) => `${name}: ${type}`).join(", ");
  return { text: out, structure: fields.length ? `struct Sizes { ${members} }` : "", words };
}
