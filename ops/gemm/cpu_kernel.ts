/**
 * GEMM for the CPU device: one invocation computes tiles of a few rows by eight columns, whose accumulators stay in the
 * sixteen vector registers there are. B is packed into panels of eight columns first, so that a step of K reads two
 * vectors that follow each other, whatever B's orientation; A is read number by number, each going to all lanes of a
 * register by the load itself. A panel stays in the first cache while the tiles below each other use it.
 */
import { flatGroup, foldGrid } from "../../tensor/kernel.ts";
import { type Block, Fragment } from "./fragment.ts";
import type { Gemm, Operand } from "./problem.ts";
import type { GemmKernel } from "./register.ts";

/** Rows of a tile, and vectors of four in each. */
export interface CpuTile {
  readonly rows: number;
  readonly vectors: number;
}

/** How a product is computed. */
export interface CpuChoice {
  readonly tile: CpuTile;
  readonly splits: number;
  /** Tiles below each other that one invocation computes. */
  readonly stack: number;
  /** Whether B is packed first. */
  readonly packed: boolean;
}

/** Tiles to choose from: at most twelve accumulators, so that operands find registers too. */
const TILES: readonly CpuTile[] = [
  ...[6, 5, 4, 3, 2, 1].map((rows) => ({ rows, vectors: 2 })),
  ...[12, 8, 4].map((rows) => ({ rows, vectors: 1 })),
];

/** All tiles, for tests. */
export const cpuTiles = (): readonly CpuTile[] => TILES;
/** Those of eight columns. */
export const WIDE_TILES: readonly CpuTile[] = TILES.filter((t) => t.vectors === 2);

/** Clock cycles of a step of K, as measured: few sums wait for each other, many keep both multipliers busy. */
const cycles = ({ rows, vectors }: CpuTile): number =>
  Math.max((rows + vectors) / 2, 4, 2.9 + 0.26 * rows * vectors);

/** Pieces of work that keep the cores of a large machine busy; fixed, so that results do not depend on the machine. */
const ENOUGH = 64;
/** Most tiles below each other: their rows of A stay in the second cache while panel after panel uses them. */
const STACK = 16;
/** Shortest part of K. */
const PART = 1024;

/**
 * The tile that wastes least, and how the work is cut.
 *
 * @param tiles what to choose from
 */
export function chooseCpu(g: Gemm, from: readonly CpuTile[] = TILES): CpuChoice {
  const count = (t: CpuTile) => Math.ceil(g.m / t.rows) * Math.ceil(g.n / (4 * t.vectors));
  const cost = (t: CpuTile) => count(t) * cycles(t);
  const tile = from.reduce((best, t) => cost(t) < cost(best) ? t : best);
  const tiles = count(tile) * g.batch;
  const down = Math.ceil(g.m / tile.rows);
  const total = g.segments * g.length;
  const few = tiles < ENOUGH / 8
    ? Math.min(Math.ceil(ENOUGH / 8 / tiles), Math.floor(total / PART))
    : 1;
  const splits = Math.max(1, g.segments > 1 ? Math.min(few, g.segments) : few);
  const stack = Math.max(1, Math.min(STACK, down, Math.floor(tiles * splits / ENOUGH)));
  // What is read once or twice is read where it lies; of a sum of nothing nothing is read.
  const direct = total === 0 || (g.b.along === "row" && g.b.width === 4 && down <= 2);
  return { tile, splits, stack, packed: !direct };
}

/** Columns that panels have together, and vectors of a panel's step. */
export const panelsOf = (g: Gemm, { vectors }: CpuTile): number => Math.ceil(g.n / (4 * vectors));

/** Bytes of the panels. */
export const packedBytes = (g: Gemm, tile: CpuTile): number =>
  g.batch * panelsOf(g, tile) * g.segments * g.length * tile.vectors * 16;

/** Packing: an invocation takes one segment of one panel. */
export function packKernel(g: Gemm, tile: CpuTile): GemmKernel {
  const panels = panelsOf(g, tile);
  const { vectors } = tile;
  const b = new Fragment(g.b, g.n, 4 * vectors, "n0", "b");
  const tail = g.length % 4;
  const grid = foldGrid(panels * g.segments);
  const step = (places: number) =>
    `${b.load("k", 0, places)}
${
      Array.from(
        { length: places * vectors },
        (_, i) =>
          `panel[at + k * ${vectors}u + ${i}u] = ${
            b.vector(i % vectors, Math.floor(i / vectors))
          };`,
      ).join("\n")
    }`;
  return {
    grid: [grid[0], grid[1], g.batch],
    body: `@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wid: vec3<u32>) {
  let group = ${flatGroup(grid)};
  if (group >= ${panels * g.segments}u) { return; }
  let z = wid.z;
  let s = group % ${g.segments}u;
  let n0 = group / ${g.segments}u * ${4 * vectors}u;
  let at = (z * ${panels}u + group / ${g.segments}u) * ${g.segments * g.length * vectors}u + s * ${
      g.length * vectors
    }u;
  ${g.b.prelude ?? ""}
  ${b.setup()}
  ${b.enter("s")}
  ${g.length >= 4 ? `for (var k = 0u; k < ${g.length - tail}u; k += 4u) {\n${step(4)}\n}` : ""}
  ${tail ? `{ let k = ${g.length - tail}u;\n${step(tail)}\n}` : ""}
}`,
  };
}

/** Columns of B as they were packed. */
class Panel implements Block {
  readonly count: number;
  constructor(readonly g: Gemm, readonly tile: CpuTile) {
    this.count = 4 * tile.vectors;
  }
  setup(): string {
    const { g, tile } = this;
    return `let pb = (z * ${panelsOf(g, tile)}u + n0 / ${this.count}u) * ${
      g.segments * g.length * tile.vectors
    }u;`;
  }
  enter(segment: string): string {
    return `let pp = pb + ${segment} * ${this.g.length * this.tile.vectors}u;`;
  }
  load(k: string, from: number, to: number): string {
    const { vectors } = this.tile;
    const lines: string[] = [];
    for (let kk = from; kk < to; kk++) {
      for (let j = 0; j < vectors; j++) {
        lines.push(
          `let ${this.vector(j, kk)} = panel[pp + (${k}) * ${vectors}u + ${kk * vectors + j}u];`,
        );
      }
    }
    return lines.join("\n");
  }
  take(): string {
    return "";
  }
  element(i: number, kk: number): string {
    return `${this.vector(i >> 2, kk)}.${"xyzw"[i & 3]}`;
  }
  vector(j: number, kk: number): string {
    return `p${j}_${kk}`;
  }
}

/**
 * The product. `put` is a WGSL function that stores four columns and checks bounds.
 *
 * @param a how A is read: number by number, or along K four at a time
 */
export function cpuKernel(
  g: Gemm,
  choice: CpuChoice,
  put: string,
  a: Operand = g.a.narrow,
): GemmKernel {
  const { tile: { rows, vectors }, splits, stack } = choice;
  const down = Math.ceil(g.m / rows);
  const blocks = Math.ceil(down / stack);
  const panels = panelsOf(g, choice.tile);
  const grid = foldGrid(blocks * panels);
  const b = choice.packed
    ? new Panel(g, choice.tile)
    : new Fragment(g.b, g.n, 4 * vectors, "n0", "b");
  const each = [...Array(rows).keys()];
  const columns = [...Array(vectors).keys()];
  const setup = each.map((i) => a.row(`min(m0 + ${i}u, ${g.m - 1}u)`, `a${i}_`)).join("\n");
  const cells = each.map((i) => columns.map((j) => `var c${i}_${j} = vec4<f32>();`).join(" "));
  const puts = each.map((i) =>
    columns.map((j) => `put(m0 + ${i}u, n0 + ${4 * j}u, z, split, c${i}_${j});`).join(" ")
  );
  return {
    grid: [grid[0], grid[1], g.batch * splits],
    body: `${put}
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wid: vec3<u32>) {
  let group = ${flatGroup(grid)};
  if (group >= ${blocks * panels}u) { return; }
  let z = wid.z / ${splits}u;
  let split = wid.z % ${splits}u;
  let n0 = group % ${panels}u * ${4 * vectors}u;
  let first = group / ${panels}u * ${stack}u;
  let last = min(first + ${stack}u, ${down}u);
  ${a.prelude ?? ""} ${choice.packed ? "" : g.b.prelude ?? ""}
  ${b.setup()}
  for (var tile = first; tile < last; tile++) {
  let m0 = tile * ${rows}u;
  ${setup}
  ${cells.join("\n")}
  ${summation(g, choice, a, b)}
  ${puts.join("\n")}
  }
}`,
  };
}

/** The loops over segments and along them. */
function summation(
  g: Gemm,
  { tile: { rows, vectors }, splits }: CpuChoice,
  a: Operand,
  b: Block,
): string {
  if (g.segments * g.length === 0) return "";
  const along = splits > 1 && g.segments === 1;
  const per = along
    ? Math.ceil(Math.ceil(g.length / splits) / 4) * 4
    : Math.ceil(g.segments / splits);
  const tail = g.length % 4;
  const whole = g.length - tail;
  const step = (places: number) => {
    const lines: string[] = [];
    if (a.width === 4) {
      for (let i = 0; i < rows; i++) lines.push(`let a${i} = ${a.load(`a${i}_s`, "k")};`);
    }
    for (let kk = 0; kk < places; kk++) {
      lines.push("{", b.load("k", kk, kk + 1));
      for (let i = 0; i < rows; i++) {
        const value = a.width === 4
          ? `a${i}.${"xyzw"[kk]}`
          : a.load(`a${i}_s`, kk ? `k + ${kk}u` : "k");
        const sums = Array.from(
          { length: vectors },
          (_, j) => `c${i}_${j} += a * ${b.vector(j, kk)};`,
        );
        lines.push(`{ let a = vec4<f32>(${value}); ${sums.join(" ")} }`);
      }
      lines.push("}");
    }
    return lines.join("\n");
  };
  const from = along ? `min(split * ${per}u, ${whole}u)` : "0u";
  const to = along ? `min(split * ${per}u + ${per}u, ${whole}u)` : `${whole}u`;
  const here = along ? `if (split == ${splits - 1}u)` : "";
  const segment = `${
    Array.from({ length: rows }, (_, i) => a.enter(`a${i}_`, "s", `a${i}_s`)).join("\n")
  }
${b.enter("s")}
for (var k = ${from}; k < ${to}; k += 4u) {
${step(4)}
}
${tail ? `${here} { let k = ${whole}u;\n${step(tail)}\n}` : ""}`;
  if (g.segments === 1) return `let s = 0u;\n${segment}`;
  const end = splits === 1 ? `${g.segments}u` : `min((split + 1u) * ${per}u, ${g.segments}u)`;
  return `for (var s = split * ${per}u; s < ${end}; s++) {
${segment}
}`;
}
