/** The operands of {@link Gemm}: matrices and weights, windows over an image, and pixels as the summed index. */
import { type BufferUse, size, storageType } from "../../tensor/kernel.ts";
import type { Spec } from "../../tensor/shape.ts";
import type { Operand } from "./problem.ts";

/** An input of the op as a buffer, read in vectors where its innermost extent allows. */
function inputBuffer(
  name: string,
  input: number,
  spec: Spec,
  width: 1 | 4 = spec.shape.at(-1)! % 4 === 0 ? 4 : 1,
): { buffer: BufferUse; width: 1 | 4 } {
  const type = storageType(spec.dtype, width);
  return { buffer: { name, ref: { input }, access: "read", type }, width };
}

const value = (width: 1 | 4): string => width === 4 ? "vec4<f32>" : "f32";

/** Reads flat element index `base + offset` (both multiples of the width). */
function read(name: string, width: 1 | 4, base: string, offset: string): string {
  return width === 4
    ? `vec4<f32>(${name}[(${base} >> 2u) + (${offset} >> 2u)])`
    : `f32(${name}[${base} + ${offset}])`;
}

/** Where the elements of a {@linkcode matrix} operand lie: strides in elements, 1 along the innermost axis. */
export interface Strides {
  /** Of a batch: a stride, or an offset as a u32 expression in its number. */
  readonly batch: number | ((z: string) => string);
  readonly row: number;
  readonly k: number;
  /** Offset of a segment, as a u32 expression in its number. */
  readonly segment?: (segment: string) => string;
}

/** A u32 expression times a number that moves with shapes. */
const scaled = (i: string, by: number, name: string): string =>
  by === 1 ? i : `${i} * ${size(by, name)}`;

const batchOffset = (batch: Strides["batch"]): string =>
  typeof batch === "function" ? `${batch("z")} + ` : batch ? `z * ${size(batch)} + ` : "";

/** A strided operand: a matrix in either orientation, or the weights of a convolution tap by tap. */
export function matrix(
  name: string,
  input: number,
  spec: Spec,
  s: Strides,
  wanted?: 1 | 4,
): Operand {
  const { buffer, width } = inputBuffer(name, input, spec, wanted);
  const copy = widened(buffer, spec, width);
  const load = (id: string, k: string) =>
    read(name, width, `${id}p`, s.k === 1 ? `(${k})` : `((${k}) * ${size(s.k, `${name}k`)})`);
  return {
    get narrow() {
      return matrix(name, input, copy ? inF32(spec) : spec, s, 1);
    },
    copy,
    buffer,
    width,
    along: s.k === 1 ? "k" : "row",
    row: (r, id) => `let ${id}r = ${batchOffset(s.batch)}${scaled(r, s.row, `${name}row`)};`,
    enter: (rowId, segment, id) =>
      `let ${id}p = ${rowId}r${s.segment ? ` + ${s.segment(segment)}` : ""};`,
    load,
    raw: load,
  };
}

/** A grid of rows sliding over an NHWC image: row (b, i, j) and tap (p, q) read one pixel's channels. */
export interface Sliding {
  /** Extents of the image that is read. */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Extents of the grid of rows. */
  readonly rows: readonly [h: number, w: number];
  /** Images of one product; those of product z begin at image z · images. */
  readonly images: number;
  /** How many products there are. */
  readonly batch: number;
  /** Pixels between neighbouring rows. */
  readonly step: readonly [y: number, x: number];
  /** Pixels between neighbouring taps. */
  readonly apart: readonly [y: number, x: number];
  /** Pixel that row (0, 0) reads at tap (0, 0); may lie outside. */
  readonly origin: readonly [y: number, x: number];
  /** Taps in a row of the window, a u32 expression. */
  readonly taps: string;
  /** Whether taps move forwards (1) or backwards (−1) over the image. */
  readonly direction: 1 | -1;
  /** How often each pixel stands in a row and in a column of what the grid slides over. Default 1. */
  readonly upsample?: number;
  /** Rows that stand for so many times so many neighbouring ones, whose windows of so many taps follow each other. */
  readonly repeated?: { readonly times: number; readonly window: number };
}

/** Pixels under a window: m = (b, i, j), segment = tap, k = channel. Outside the image there are zeros. */
export function sliding(name: string, input: number, spec: Spec, w: Sliding): Operand {
  const { buffer, width } = inputBuffer(name, input, spec);
  const [h, wd] = w.rows;
  const raw = (id: string, k: string) => read(name, width, `${id}p`, `(${k})`);
  return {
    get narrow() {
      return framed(name, this, w);
    },
    get copy() {
      return framedCopy(buffer, spec, w);
    },
    buffer,
    width,
    along: "k",
    row: (r, id) =>
      `let ${id}m = ${r};
let ${id}y = ((${id}m / ${size(wd, "across")}) % ${size(h, "down")}) * ${
        size(w.step[0], "stepY")
      } + ${size(w.origin[0], "originY")};
let ${id}x = (${id}m % ${size(wd, "across")}) * ${size(w.step[1], "stepX")} + ${
        size(w.origin[1], "originX")
      };
let ${id}b = (${id}m / ${size(h * wd, "pixels")}${w.batch > 1 ? ` + z * ${w.images}u` : ""}) * ${
        size(w.height, "height")
      };`,
    // Coordinates left of or above the image wrap to huge numbers, so one comparison tests both sides.
    enter: (rowId, segment, id) =>
      `${tapOf(w, rowId, segment, id)}
let ${id}ok = (${id}y < ${extent(w.height, "height", w)}) & (${id}x < ${
        extent(w.width, "width", w)
      });
let ${id}p = ((${rowId}b + ${pixelOf(`${id}y`, w)}) * ${size(w.width, "width")} + ${
        pixelOf(`${id}x`, w)
      }) * ${size(w.channels, "channels")};`,
    load: (id, k) => `select(${value(width)}(), ${raw(id, k)}, ${id}ok)`,
    raw,
    inside: (id) => `${id}ok`,
  };
}

/** Where pixels stand several times: the extent of what is slid over, and the pixel at a place there. */
const extent = (pixels: number, name: string, { upsample = 1 }: { readonly upsample?: number }) =>
  upsample === 1 ? size(pixels, name) : size(pixels * upsample, `${name}Up`);
const pixelOf = (place: string, { upsample = 1 }: { readonly upsample?: number }) =>
  upsample === 1 ? place : `${place} / ${upsample}u`;

/** The place that a row reads at a tap. */
function tapOf(w: Sliding, rowId: string, segment: string, id: string) {
  const { taps, apart, direction, repeated } = w;
  const sign = direction === 1 ? "+" : "-";
  const times = (n: number) => n === 1 ? "" : ` * ${n}u`;
  if (repeated) {
    return `let ${id}q = (${segment}) / ${repeated.window}u;
let ${id}t = (${segment}) % ${repeated.window}u;
let ${id}y = ${rowId}y + ${id}q / ${repeated.times}u ${sign} ${id}t / ${taps}${times(apart[0])};
let ${id}x = ${rowId}x + ${id}q % ${repeated.times}u ${sign} ${id}t % ${taps}${times(apart[1])};`;
  }
  return `let ${id}y = ${rowId}y ${sign} (${segment}) / ${taps}${times(apart[0])};
let ${id}x = ${rowId}x ${sign} (${segment}) % ${taps}${times(apart[1])};`;
}

/** The same windows over a copy that has one pixel of zeros in front: what lies outside the image reads that one. */
function framed(name: string, wide: Operand, w: Sliding): Operand {
  const load = (id: string, k: string) => read(name, 1, `${id}p`, `(${k})`);
  const operand: Operand = {
    buffer: { name, ref: { scratch: 0 }, access: "read", type: "f32" },
    width: 1,
    along: "k",
    get narrow() {
      return operand;
    },
    row: wide.row,
    enter: (rowId, segment, id) =>
      `${tapOf(w, rowId, segment, id)}
let ${id}ok = (${id}y < ${extent(w.height, "", w)}) & (${id}x < ${extent(w.width, "", w)});
let ${id}p = select(0u, ((${rowId}b + ${pixelOf(`${id}y`, w)}) * ${w.width}u + ${
        pixelOf(`${id}x`, w)
      }) * ${w.channels}u + ${w.channels}u, ${id}ok);`,
    load,
    raw: load,
  };
  return operand;
}

function framedCopy(source: BufferUse, spec: Spec, w: Sliding): Operand["copy"] {
  const width = w.channels % 4 === 0 ? 4 : 1;
  const first = w.channels / width;
  const steps = first + spec.shape.reduce((n, d) => n * d, 1) / width;
  const at = `${source.name}[i - ${first}u]`;
  const type = value(width);
  return {
    bytes: steps * width * 4,
    source,
    code: {
      name: "frame",
      steps,
      type,
      body: `if (i < ${first}u) { framed[i] = ${type}(); } else { framed[i] = ${type}(${at}); }`,
    },
  };
}

const inF32 = (spec: Spec): Spec => ({ ...spec, dtype: "f32" });

/** Of f16, a copy in f32. */
function widened(source: BufferUse, spec: Spec, width: 1 | 4): Operand["copy"] {
  if (spec.dtype !== "f16") return undefined;
  const size = spec.shape.reduce((n, d) => n * d, 1);
  const type = value(width);
  return {
    bytes: size * 4,
    source,
    code: {
      name: "widen",
      steps: size / width,
      type,
      body: `framed[i] = ${type}(${source.name}[i]);`,
    },
  };
}

/**
 * Pixels as the summed index: segment = (b, line of the output), k = place in that line; row = channel and z = tap, or
 * row = (tap, channel), which fills a tile where there are few channels.
 */
export interface Pixels {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Lines of the output per image. */
  readonly lines: number;
  /** Images of one product, and taps of a window: z counts the taps of the first product, then those of the next. */
  readonly images: number;
  readonly window: number;
  /** Whether rows count taps, too. */
  readonly tapsInRows: boolean;
  /** How many products there are. */
  readonly batch: number;
  readonly step: readonly [y: number, x: number];
  /** Pixels between neighbouring taps. */
  readonly apart: readonly [y: number, x: number];
  /** Padding above and left of the image. */
  readonly pad: readonly [top: number, left: number];
  /** Taps in a row of the window, a u32 expression. */
  readonly taps: string;
  /** How often each pixel stands in a row and in a column of what windows move over. Default 1. */
  readonly upsample?: number;
}

/** The image side of a weight gradient: the pixel that each output pixel saw through a tap. */
export function pixels(
  name: string,
  input: number,
  spec: Spec,
  w: Pixels,
  wanted?: 1 | 4,
): Operand {
  const { buffer, width } = inputBuffer(name, input, spec, wanted);
  const copy = widened(buffer, spec, width);
  const grouped = w.batch > 1;
  const inRows = w.tapsInRows;
  /** Statements with the place of the first pixel that a tap sees. */
  const seen = (id: string, tap: string) =>
    `let ${id}y = ${tap} / ${w.taps} * ${w.apart[0]}u - ${w.pad[0]}u;
let ${id}x = ${tap} % ${w.taps} * ${w.apart[1]}u - ${w.pad[1]}u;`;
  const product = inRows ? "z" : `z / ${w.window}u`;
  const across = (id: string, k: string) => `((${k}) * ${w.step[1]}u + ${inRows ? id : name}x)`;
  const raw = (id: string, k: string) =>
    read(name, width, `${id}p`, `(${pixelOf(across(id, k), w)} * ${size(w.channels, "channels")})`);
  const inside = (id: string, k: string) =>
    `${id}ok & (${across(id, k)} < ${extent(w.width, "width", w)})`;
  return {
    get narrow() {
      return pixels(name, input, copy ? inF32(spec) : spec, w, 1);
    },
    copy,
    buffer,
    width,
    along: "row",
    prelude: `${inRows ? "" : seen(name, grouped ? `(z % ${w.window}u)` : "z")}
let ${name}b = ${grouped ? `${product} * ${w.images}u` : "0u"};`,
    row: (r, id) =>
      inRows
        ? `let ${id}t = (${r}) / ${w.channels}u; let ${id}r = (${r}) % ${w.channels}u;
${seen(id, `${id}t`)}`
        : `let ${id}r = ${r};`,
    enter: (rowId, segment, id) =>
      `${inRows ? `let ${id}x = ${rowId}x;` : ""}
let ${id}y = ((${segment}) % ${size(w.lines, "lines")}) * ${w.step[0]}u + ${inRows ? rowId : name}y;
let ${id}p = (((${segment}) / ${size(w.lines, "lines")} + ${name}b) * ${
        size(w.height, "height")
      } + ${pixelOf(`${id}y`, w)}) * ${size(w.width * w.channels, "line")} + ${rowId}r;
let ${id}ok = ${id}y < ${extent(w.height, "height", w)};`,
    load: (id, k) => `select(${value(width)}(), ${raw(id, k)}, ${inside(id, k)})`,
    raw,
    inside,
  };
}
