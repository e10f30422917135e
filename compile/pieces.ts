/**
 * Values that are larger than what an adapter binds at once, or than its largest buffer, lie in pieces. Kernels know
 * nothing of it: they index one array, and become kernels of several by their text, as f16 is packed (`packed.ts`). Where
 * a piece ends is the same in every kernel, so that pieces may lie anywhere, each in a buffer that can be made.
 */
import { Tensor } from "../tensor/tensor.ts";
import { type AdapterProfile, size } from "../tensor/kernel.ts";
import { BYTES, type DType } from "../tensor/dtype.ts";
import { byteSize, show } from "../tensor/shape.ts";
import { withAccesses } from "./accesses.ts";
import { BindingError } from "./errors.ts";
import type { LoweredDispatch, LoweredUse, Scratch, Window } from "./lower.ts";

/** Pieces begin at multiples of this: the strictest alignment that WebGPU may ask of a storage binding. */
export const ALIGN = 256;

/** Bytes of a value. */
export const bytesOf = (m: Tensor | Scratch): number =>
  m instanceof Tensor ? byteSize(m.spec) : m.bytes;

/** The most bytes of a piece: what can be bound, of a buffer that can be made. */
export const largestPiece = ({ maxBinding, maxBuffer }: AdapterProfile): number =>
  Math.max(ALIGN, Math.floor(Math.min(maxBinding, maxBuffer) / ALIGN) * ALIGN);

/** In how many pieces a value of so many bytes lies. */
export const pieceCount = (bytes: number, most: number): number =>
  Math.max(1, Math.ceil(bytes / most));

/** The pieces of a value of so many bytes, all of one size but the last. */
export function piecesOf(bytes: number, most: number): Window[] {
  const count = pieceCount(bytes, most);
  const each = Math.ceil(bytes / count / ALIGN) * ALIGN;
  return Array.from({ length: count }, (_, i) => ({
    offset: i * each,
    bytes: Math.min(each, bytes - i * each),
  })).filter((w) => w.bytes > 0 || w.offset === 0);
}

/** Which of the ranges in which a value lies is bound: that of a piece, or a part of the one that holds all of it. */
export function boundRange<R extends Window & { readonly from: number }>(
  ranges: readonly R[],
  window: Window | undefined,
): R {
  const from = window?.offset ?? 0;
  const range = ranges.find((r) => r.from === from) ?? ranges[0];
  if (!window || ranges.length > 1) return range;
  return { ...range, offset: range.offset + from, bytes: window.bytes };
}

/** What messages call a value. */
export function nameOf(memory: Tensor | Scratch, label: string): string {
  if (!(memory instanceof Tensor)) return `scratch memory of ${label}`;
  const { name } = (memory.node.attrs ?? {}) as { name?: unknown };
  // What is no part of anything is called by its number.
  const called = typeof name === "string" ? name.replace(/^\d+$/, "argument $&") : undefined;
  return `${called ?? `a value of ${label}`} ${show(memory.spec)}`;
}

/**
 * The dispatch with every value that is too large for one binding bound in pieces.
 *
 * @throws BindingError where it would then bind more buffers than the adapter lets it
 */
export function inPieces(d: LoweredDispatch, profile: AdapterProfile): LoweredDispatch {
  const most = largestPiece(profile);
  if (d.buffers.every((b) => bytesOf(b.memory) <= most)) return d;
  let body = d.body;
  const buffers = d.buffers.flatMap((b): LoweredUse[] => {
    if (bytesOf(b.memory) <= most) return [b];
    const parts = piecesOf(bytesOf(b.memory), most);
    body = cut(body, b, parts);
    return parts.map((window, i) => ({ ...b, name: pieceName(b.name, i), window }));
  });
  // What is read in two ways takes two bindings.
  const types = new Map<Tensor | Scratch, Set<string>>();
  for (const { memory, type } of d.buffers) {
    types.set(memory, new Set([...types.get(memory) ?? [], type]));
  }
  const count = [...types].reduce((n, [m, of]) => n + of.size * pieceCount(bytesOf(m), most), 0);
  if (count > profile.maxStorageBuffers) {
    const [largest] = [...types.keys()].sort((a, b) => bytesOf(b) - bytesOf(a));
    throw new BindingError(
      nameOf(largest, d.label),
      bytesOf(largest),
      most,
      `binds at once; in pieces of that size ${d.label} would bind ${count} buffers, and ` +
        `${profile.maxStorageBuffers} are the most`,
    );
  }
  return { ...d, buffers, body };
}

const pieceName = (name: string, i: number): string => `${name}_piece${i}`;

/** Bytes of an element of a buffer, by its WGSL type. */
function elementBytes(type: string): number {
  const [, lanes = "1", of] = /^(?:vec([234])<)?(\w+)>?$/.exec(type)!;
  return Number(lanes) * BYTES[of as DType];
}

/**
 * A kernel's text with a buffer in pieces, and the functions by which it reads and writes elements. What is read of f16 is an
 * f32, as packed halves are.
 */
function cut(body: string, { name, type }: LoweredUse, parts: readonly Window[]): string {
  const step = elementBytes(type);
  const got = type.replace("f16", "f32");
  const value = (x: string) => got === type ? x : `${got}(${x})`;
  const from = (i: number) => size(parts[i].offset / step, `${name}_from${i}`);
  /** One statement for each piece, given the place in it. */
  const each = (statement: (x: string) => string) =>
    parts.map((_, i) => {
      const test = i + 1 < parts.length ? `if (i < ${from(i + 1)}) ` : "";
      return `${test}{ ${statement(`${pieceName(name, i)}[i${i ? ` - ${from(i)}` : ""}]`)} }`;
    }).join(" else ");
  const used = { read: false, written: false };
  const text = withAccesses(body, { name, type }, {
    read(index) {
      used.read = true;
      return `${name}_at(${index})`;
    },
    write(index, v) {
      used.written = true;
      return `${name}_put(${index}, ${v})`;
    },
  });
  const load = each((x) => `v = ${value(x)};`), store = each((x) => `${x} = v;`);
  return [
    text,
    ...used.read ? [`fn ${name}_at(i: u32) -> ${got} { var v = ${got}(); ${load} return v; }`] : [],
    ...used.written ? [`fn ${name}_put(i: u32, v: ${type}) { ${store} }`] : [],
  ].join("\n");
}
