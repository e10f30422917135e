/**
 * Values that are larger than what an adapter binds at once, or than its largest buffer, lie in pieces. Kernels know
 * nothing of it: they index one array, and become kernels of several by their text, as f16 is packed (`packed.ts`). Where
 * a piece ends is the same in every kernel, so that pieces may lie anywhere, each in a buffer that can be made.
 */
import { Tensor } from "../tensor/tensor.ts";
import { type AdapterProfile, size } from "../tensor/kernel.ts";
import { BYTES, type DType } from "../tensor/dtype.ts";
import { byteSize, show } from "../tensor/shape.ts";
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

/** A kernel would have to bind more than the adapter can, or a buffer would be larger than any that it makes. */
export class BindingError extends RangeError {
  /** Always "BindingError". */
  override name = "BindingError";
  /**
   * Puts the message together.
   *
   * @param what a value, by what holds it
   * @param bytes that it takes
   * @param limit in bytes
   * @param why what the limit is of
   */
  constructor(
    readonly what: string,
    readonly bytes: number,
    readonly limit: number,
    why: string,
  ) {
    super(
      `${what} takes ${bytes} bytes, more than the ${limit} that this adapter ${why}. ` +
        `Smaller pictures, smaller batches or f16 take less`,
    );
  }
}

/** What messages call a value. */
export function nameOf(memory: Tensor | Scratch, label: string): string {
  if (!(memory instanceof Tensor)) return `scratch memory of ${label}`;
  const { name } = (memory.node.attrs ?? {}) as { name?: unknown };
  return `${typeof name === "string" ? name : `a value of ${label}`} ${show(memory.spec)}`;
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
  const helpers: string[] = [];
  const buffers = d.buffers.flatMap((b): LoweredUse[] => {
    if (bytesOf(b.memory) <= most) return [b];
    const parts = piecesOf(bytesOf(b.memory), most);
    const found = through(body, b);
    body = found.text;
    helpers.push(...accessors(b, parts, found));
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
  return { ...d, buffers, body: `${helpers.join("\n")}\n${body}` };
}

const pieceName = (name: string, i: number): string => `${name}_piece${i}`;

/** Bytes of an element of a buffer, by its WGSL type. */
function elementBytes(type: string): number {
  const [, lanes = "1", of] = /^(?:vec([234])<)?(\w+)>?$/.exec(type)!;
  return Number(lanes) * BYTES[of as DType];
}

/** Functions that read and write elements of a value in pieces. What is read of f16 is an f32, as packed halves are. */
function accessors(
  { name, type }: LoweredUse,
  parts: readonly Window[],
  { reads, writes }: Through,
): string[] {
  const step = elementBytes(type);
  const got = type.replace("f16", "f32");
  const value = (x: string) => got === type ? x : `${got}(${x})`;
  /** One statement for each piece, given the piece and the place in it. */
  const each = (statement: (piece: string) => string) =>
    parts.map(({ offset, bytes }, i) => {
      const place = offset ? `i - ${size(offset / step)}` : "i";
      const end = i + 1 < parts.length ? `if (i < ${size((offset + bytes) / step)}) ` : "";
      return `${end}{ ${statement(`${pieceName(name, i)}[${place}]`)} }`;
    }).join(" else ");
  return [
    ...reads
      ? [
        `fn ${name}_at(i: u32) -> ${got} { var v = ${got}(); ${
          each((x) => `v = ${value(x)};`)
        } return v; }`,
      ]
      : [],
    ...writes ? [`fn ${name}_put(i: u32, v: ${type}) { ${each((x) => `${x} = v;`)} }`] : [],
  ];
}

/** A text that reads and writes an array by functions. */
interface Through {
  readonly text: string;
  readonly reads: boolean;
  readonly writes: boolean;
}

/** Where a bracket that opens before `at` is closed. */
function closing(text: string, at: number): number {
  let depth = 1;
  while (depth > 0) {
    depth += "([{".includes(text[at]) ? 1 : ")]}".includes(text[at]) ? -1 : 0;
    at++;
  }
  return at;
}

/** Where the statement at `at` ends. */
function semicolon(text: string, at: number): number {
  while (text[at] !== ";") at = "([{".includes(text[at]) ? closing(text, at + 1) : at + 1;
  return at;
}

/** What follows an element that is written: which part of it, and how. */
const WRITTEN = /^((?:\.\w+|\[[^\]]*\])*)\s*(=(?!=)|[-+*/%&|^]=|<<=|>>=|\+\+|--)/;

/** The text with `name[i]` as `name_at(i)`, and `name[i] = v` as `name_put(i, v)`; what else is written is read first. */
function through(text: string, { name, type }: LoweredUse): Through {
  let out = "";
  let from = 0;
  let reads = false;
  let writes = false;
  const inner = (part: string): string => {
    const found = through(part, { name, type } as LoweredUse);
    reads ||= found.reads;
    writes ||= found.writes;
    return found.text;
  };
  const start = new RegExp(`\\b${name}\\[`, "g");
  for (let found = start.exec(text); found; found = start.exec(text)) {
    const open = found.index + found[0].length;
    const close = closing(text, open);
    const index = inner(text.slice(open, close - 1));
    const [written, part, how] = WRITTEN.exec(text.slice(close)) ?? [];
    out += text.slice(from, found.index);
    if (written === undefined) {
      reads = true;
      out += `${name}_at(${index})`;
      from = close;
    } else {
      from = semicolon(text, close);
      writes = true;
      if (!part && how === "=") {
        out += `${name}_put(${index}, ${inner(text.slice(close + written.length, from)).trim()})`;
      } else {
        reads = true;
        const rest = inner(text.slice(close, from++));
        out += `{ var element_ = ${name}_at(${index}); element_${rest}; ` +
          `${name}_put(${index}, ${type}(element_)); }`;
      }
    }
    start.lastIndex = from;
  }
  return { text: out + text.slice(from), reads, writes };
}
