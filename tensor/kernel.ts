/**
 * What a kernel author writes and what the compiler needs from it: WGSL with named buffers, a grid, and scratch space.
 * Binding numbers, buffer offsets and barriers are the compiler's business.
 */
import { type DType, storedAs } from "./dtype.ts";
import type { Spec } from "./shape.ts";
import { size } from "./sizes.ts";

import { f32 } from "./f32.ts";
export { f32 };
export { realSize, size } from "./sizes.ts";

/** The facts about an adapter that choose kernels. */
export interface AdapterProfile {
  /** Our own CPU device: no workgroup memory, no barriers, one invocation after the other, vectors of four. */
  readonly cpu: boolean;
  /** Whether shaders may use f16; where not, it is stored all the same, and read as halves of words. */
  readonly f16: boolean;
  /** Bytes of workgroup memory. */
  readonly workgroupStorage: number;
  /** Most invocations of a workgroup. */
  readonly maxInvocations: number;
  /** Largest storage binding in bytes. */
  readonly maxBinding: number;
  /** Most storage buffers that one kernel binds. */
  readonly maxStorageBuffers: number;
  /** Largest buffer in bytes. */
  readonly maxBuffer: number;
}

/** Which memory a named buffer of a dispatch stands for. */
export type BufferRef =
  | { readonly input: number }
  | { readonly output: number }
  | { readonly scratch: number };

/** One buffer of a dispatch. */
export interface BufferUse {
  readonly name: string;
  readonly ref: BufferRef;
  readonly access: "read" | "write";
  /** Element type of the WGSL runtime array, such as `f32` or `vec4<f16>`. */
  readonly type: string;
}

/** One dispatch: buffers by name, WGSL without binding declarations, and the workgroup grid. */
export interface Dispatch {
  readonly label: string;
  readonly buffers: readonly BufferUse[];
  readonly body: string;
  readonly grid: readonly [number, number, number];
  /** Arithmetic operations (2 per multiply-add), for `profile()`. */
  readonly flops?: number;
  /** It lays out one input, in scratch memory that is kept: done again only for another input ({@linkcode Keeps}). */
  readonly once?: boolean;
}

/**
 * Whether scratch memory of so many bytes, made from one input alone, may be kept from run to run: the input is mostly that
 * of the run before, as weights are, and there is room. Kernels which are told so mark what makes it as `once`.
 */
export type Keeps = (input: number, bytes: number) => boolean;

/** Everything that computes one node: dispatches in order, and the bytes of each scratch buffer they share. */
export interface KernelPlan {
  readonly dispatches: readonly Dispatch[];
  readonly scratch?: readonly number[];
}

/** How a kernel stores output 0 when elementwise work has been fused behind it. */
export interface Epilogue {
  /** Elements per store: 4 where the innermost extent of output 0 is a multiple of 4, else 1. */
  readonly width: 1 | 4;
  /** Whether values are stored as they are: nothing is fused, nothing converted. */
  readonly plain: boolean;
  /** Extra buffers that the fused expression reads; to be listed in the storing dispatch. */
  readonly buffers: readonly BufferUse[];
  /**
   * WGSL statements that take `value` (f32, or vec4<f32> with width 4) for flat element index `index` of output 0 and
   * store the fused result. `index` is a u32 expression; with width 4 it must be a multiple of 4. Whoever knows the place
   * along the innermost axis says so, and spares a division.
   */
  store(index: string, value: string, place?: Place): string;
}

/** A flat index as `row * inner + column`, u32 expressions. */
export interface Place {
  /** Extent of output 0 along its innermost axis. */
  readonly inner: number;
  readonly row: string;
  readonly column: string;
}

/** What `build` gets. */
export interface KernelContext<A> {
  readonly inputs: readonly Spec[];
  readonly outputs: readonly Spec[];
  readonly attrs: A;
  readonly profile: AdapterProfile;
  /** The buffers to list and the statements to emit for storing output 0 (plain store when nothing is fused). */
  readonly epilogue: Epilogue;
  readonly keeps: Keeps;
}

/** Storage type of a buffer read or written in vectors of `width`. */
export function storageType(dtype: DType, width: 1 | 4): string {
  const type = storedAs(dtype);
  return width === 4 ? `vec4<${type}>` : type;
}

/** A workgroup grid for `groups` workgroups in a row, folded where it exceeds the limit per dimension. */
export function foldGrid(groups: number): [number, number, number] {
  if (groups <= 65535) return [Math.max(1, groups), 1, 1];
  const y = Math.ceil(groups / 65535);
  return [Math.ceil(groups / y), y, 1];
}

/** WGSL for the flat workgroup number under {@linkcode foldGrid}, folded or not: one text does for both. */
export const flatGroup = (grid: readonly [number, number, number]): string =>
  `(wid.y * ${size(grid[0])} + wid.x)`;

/** Numbers that one accumulator takes one after the other before it is added to the next. */
const RADIX = 16;

/** A loop of one invocation that adds numbers up; see {@linkcode sumLoop}. */
export interface SumLoop {
  /** Name of the loop's variable, a u32. */
  readonly index: string;
  /** Where it starts, and the first that it doesn't reach: names or literals. */
  readonly from: string;
  readonly to: string;
  /** What is added to it at each turn. Default 1. */
  readonly step?: number;
  /** Most turns that it takes. */
  readonly most: number;
  /** A condition without which the loop ends, too. */
  readonly while?: string;
  /** Accumulators by name, declared before the loop, with their WGSL types. */
  readonly sums: Readonly<Record<string, string>>;
  /** One turn; an accumulator is written to as `into(name)`. */
  readonly turn: (into: (name: string) => string) => string;
}

/**
 * WGSL of a loop whose rounding errors grow with the logarithm of its length: runs of a few numbers are added up, then
 * runs of these sums, and so on. One after the other, as many errors as numbers would come together.
 */
export function sumLoop(
  { index, from, to, step = 1, most, while: until, sums, turn }: SumLoop,
): string {
  let levels = 1;
  const below = Object.entries(sums);
  while (below.length && RADIX ** levels < most) levels++;
  const named = (name: string, level: number) => level + 1 === levels ? name : `${name}_${level}`;
  const at = (level: number) => level ? `${index}_${level}` : index;
  let body = turn((name) => named(name, 0));
  for (let level = 0; level < levels; level++) {
    const outer = level + 1 === levels;
    const span = step * RADIX ** level;
    if (level) {
      body = [
        `let ${at(level)}end = min(${outer ? to : `${at(level + 1)}end`}, ${
          at(level)
        } + ${span}u);`,
        ...below.map(([s, type]) => `var ${named(s, level - 1)} = ${type}();`),
        body,
        ...below.map(([s]) => `${named(s, level)} += ${named(s, level - 1)};`),
      ].join("\n");
    }
    const [start, end] = outer ? [from, to] : [at(level + 1), `${at(level + 1)}end`];
    body = `for (var ${at(level)} = ${start}; ${at(level)} < ${end}${
      until ? ` && ${until}` : ""
    }; ${at(level)} += ${span}u) { ${body} }`;
  }
  return body;
}

/** A number of any type of arithmetic as WGSL source that keeps every bit of it. */
export function number(value: number, type: "f32" | "i32" | "u32"): string {
  if (type === "u32") return `${value}u`;
  // The smallest i32 is no literal of WGSL: its digits alone would be too large.
  if (type === "i32") return value === -2147483648 ? "(-2147483647 - 1)" : `i32(${value})`;
  return f32(value);
}

/** How {@linkcode perItem} lays out its invocations. */
export interface PerItem {
  /** How many there are. */
  readonly count: number;
  /** What its number is called, among them; `lid` is its number in the workgroup. */
  readonly name: string;
  /** Invocations of a workgroup. Default 64. */
  readonly workgroup?: number;
  /** WGSL before the entry point. */
  readonly declarations?: string;
}

/** A kernel's body and grid: one invocation for each of some items, which does `work` (WGSL statements). */
export function perItem(
  { count, name, workgroup = 64, declarations = "" }: PerItem,
  work: string,
): Pick<Dispatch, "body" | "grid"> {
  const grid = foldGrid(Math.ceil(count / workgroup));
  return {
    grid,
    body: `${declarations}@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let ${name} = ${flatGroup(grid)} * ${workgroup}u + lid;
  if (${name} >= ${size(count)}) { return; }
  ${work}
}`,
  };
}
