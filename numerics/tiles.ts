/**
 * The inner loop of float64 products in WebAssembly, two numbers an instruction: the module is put together here, byte
 * by byte, from the loop that is to run.
 *
 * Why: a merge is a few billion multiply-adds in double precision, which WebGPU does not have and plain JavaScript does
 * one at a time. Every engine that has WebGPU has WebAssembly's vectors; their results are the same on every machine.
 */
import { varint } from "./integers.ts";

/** Rows of a packed strip, and the side of a tile. */
export const SIDE = 4;

/** WebAssembly memory and the loop over tiles in it. */
export interface Tiles {
  /** At least `count` numbers of memory, valid until the next call. */
  numbers(count: number): Float64Array;
  /**
   * A row of 4×4 tiles: `C += A · Bᵢᵀ` for strips Bᵢ that follow one another. Places and lengths in bytes.
   *
   * @param a a strip: 4 rows, packed so that the numbers of a column are neighbours
   * @param b the first of `count` strips like it
   * @param c the first tile's corner
   * @param stride from one row of C to the next
   * @param length of a strip
   */
  run(a: number, b: number, c: number, stride: number, length: number, count: number): void;
}

const sized = (bytes: number[]): number[] => [...varint(bytes.length), ...bytes];
const section = (id: number, bytes: number[]): number[] => [id, ...sized(bytes)];
const named = (text: string): number[] => sized([...new TextEncoder().encode(text)]);

const get = (local: number) => [0x20, local], set = (local: number) => [0x21, local];
const i32 = (n: number) => [0x41, n]; // Signed, so under 64.
const vector = (code: number, ...rest: number[]) => [0xfd, ...varint(code), ...rest];
const load = (offset: number) => vector(0, 3, ...varint(offset));
const loadBoth = (offset: number) => vector(10, 3, ...varint(offset)); // One number in both halves.
const store = (offset: number) => vector(11, 3, ...varint(offset));
const add = vector(240), multiply = vector(242), zero = vector(12, ...new Array(16).fill(0));
const [plus, minus, below] = [0x6a, 0x6b, 0x49];
const again = [0x0d, 0], loop = [0x03, 0x40], end = 0x0b;

/** The module's bytes. */
function assemble(): Uint8Array<ArrayBuffer> {
  const [a, b, c, stride, length, count] = [0, 1, 2, 3, 4, 5]; // Parameters.
  const [p, stop] = [6, 7]; // i32
  const left = 8, right = 9, x = 10; // v128: two columns each of B's strip, one number of A's.
  const sums = 11; // Row r of the tile is in sums + 2 r and the one after it.
  const step = 8 * SIDE;
  const rows = [0, 1, 2, 3];
  const body = [
    ...[...loop],
    ...rows.flatMap((r) => [...zero, ...set(sums + 2 * r), ...zero, ...set(sums + 2 * r + 1)]),
    ...[...get(a), ...set(p), ...get(a), ...get(length), plus, ...set(stop)],
    ...[...loop],
    ...[...get(b), ...load(0), ...set(left), ...get(b), ...load(16), ...set(right)],
    ...rows.flatMap((r) => [
      ...[...get(p), ...loadBoth(8 * r), ...set(x)],
      ...[left, right].flatMap((half, h) => [
        ...[...get(x), ...get(half), ...multiply],
        ...[...get(sums + 2 * r + h), ...add, ...set(sums + 2 * r + h)],
      ]),
    ]),
    ...[...get(b), ...i32(step), plus, ...set(b), ...get(p), ...i32(step), plus, ...set(p)],
    ...[...get(p), ...get(stop), below, ...again, end],
    ...[...get(c), ...set(p)],
    ...rows.flatMap((r) => [
      ...[0, 1].flatMap((h) => [
        ...[...get(p), ...get(p), ...load(16 * h), ...get(sums + 2 * r + h), ...add],
        ...store(16 * h),
      ]),
      ...[...get(p), ...get(stride), plus, ...set(p)],
    ]),
    ...[...get(c), ...i32(step), plus, ...set(c)],
    ...[...get(count), ...i32(1), minus, ...set(count), ...get(count), ...again, end, end],
  ];
  const locals = [2, 2, 0x7f, 11, 0x7b]; // Two groups: two i32, eleven v128.
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, ...sized(new Array(6).fill(0x7f)), 0]),
    ...section(2, [1, ...named("host"), ...named("memory"), 2, 0, 0]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...named("tiles"), 0, 0]),
    ...section(10, [1, ...sized([...locals, ...body])]),
  ]);
}

let made: Tiles | undefined;

/** The module, made when it is first needed. */
export function tiles(): Tiles {
  if (made) return made;
  const memory = new WebAssembly.Memory({ initial: 0 });
  const module = new WebAssembly.Module(assemble());
  const { exports } = new WebAssembly.Instance(module, { host: { memory } });
  const page = 65536;
  return made = {
    run: exports.tiles as Tiles["run"],
    numbers(count) {
      const missing = 8 * count - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / page));
      return new Float64Array(memory.buffer);
    },
  };
}
