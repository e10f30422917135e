/**
 * GEMM for software adapters: every invocation keeps a block of outputs in registers and reads its operands straight
 * from memory. Workgroup memory only costs there (it is ordinary memory, filled and read again), and a load costs the
 * same whether or not all lanes read one address: a step per lane. So the lanes of a workgroup lie along one index, and
 * what they would all read alike is loaded once, spread over them, and handed round by subgroup broadcasts, which are
 * register moves. Measured on llvmpipe, that doubles the throughput.
 */
import { assertIterations, flatGroup, foldGrid } from "../../tensor/kernel.ts";
import { type Block, Fragment, Spread } from "./fragment.ts";
import type { Gemm } from "./problem.ts";

/** The lanes of the CPU that run together. */
export interface Lanes {
  /** Invocations of a workgroup: one vector of the CPU. */
  readonly count: number;
  /** Whether they are exactly one subgroup and can hand values round. */
  readonly broadcast: boolean;
}

/** Block of one invocation, and the index along which the lanes of a workgroup lie. */
export interface RegisterTile {
  readonly rows: number;
  readonly columns: number;
  readonly along: "m" | "n";
}

/** WGSL and grid of a product. */
export interface GemmKernel {
  readonly body: string;
  readonly grid: readonly [number, number, number];
}

/** Extents of what one workgroup computes. */
export function tileExtents(
  { rows, columns, along }: RegisterTile,
  lanes: number,
): [m: number, n: number] {
  return along === "n" ? [rows, columns * lanes] : [rows * lanes, columns];
}

/** How K is divided among `splits`: by segments when there are several, else along the one segment. */
function ranges(g: Gemm, splits: number): { segments: number; length: number } {
  if (g.segments !== 1) return { segments: Math.ceil(g.segments / splits), length: g.length };
  return { segments: 1, length: Math.ceil(Math.ceil(g.length / splits) / 4) * 4 };
}

/** Loop iterations of one invocation, as the driver's counter sees them: summing, and at most 256 for storing. */
export function iterationsOf(g: Gemm, splits: number): number {
  const r = ranges(g, splits);
  return r.segments * (Math.ceil(Math.min(r.length, g.length) / 4) + 2) + 256;
}

/**
 * Generates the kernel. `put` is a WGSL function `put(m, n, z, split, value)` that stores four columns and checks bounds.
 */
export function registerKernel(
  g: Gemm,
  tile: RegisterTile,
  lanes: Lanes,
  splits: number,
  put: string,
): GemmKernel {
  assertIterations(g.label, iterationsOf(g, splits));
  const { rows, columns, along } = tile;
  const [bm, bn] = tileExtents(tile, lanes.count);
  const acrossN = Math.ceil(g.n / bn);
  const down = Math.ceil(g.m / bm);
  const groups = down * acrossN;
  // Groups that follow each other share the rows of the larger operand, so that the cache keeps them.
  const downFirst = g.n * g.segments >= g.m;
  const grid = foldGrid(groups);
  const alike = lanes.broadcast ? Spread : Fragment;
  const a = new (along === "n" ? alike : Fragment)(g.a, g.m, rows, "m0", "a", lanes.count);
  const b = new (along === "m" ? alike : Fragment)(g.b, g.n, columns, "n0", "b", lanes.count);
  const vectors = columns / 4;
  const cells = Array.from(
    { length: rows * vectors },
    (_, c) => `c${Math.floor(c / vectors)}_${c % vectors}`,
  );
  const lane = lanes.broadcast ? "subgroup_invocation_id" : "local_invocation_index";
  return {
    grid: [grid[0], grid[1], g.batch * splits],
    body: `${put}
@compute @workgroup_size(${lanes.count})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(${lane}) lane: u32) {
  let group = ${flatGroup(grid)};
  ${grid[1] > 1 ? `if (group >= ${groups}u) { return; }` : ""}
  let z = wid.z / ${splits}u;
  let split = wid.z % ${splits}u;
  let m0 = (${downFirst ? `group % ${down}u` : `group / ${acrossN}u`}) * ${bm}u${
      along === "m" ? ` + lane * ${rows}u` : ""
    };
  let n0 = (${downFirst ? `group / ${down}u` : `group % ${acrossN}u`}) * ${bn}u${
      along === "n" ? ` + lane * ${columns}u` : ""
    };
  ${g.a.prelude ?? ""} ${g.b.prelude ?? ""}
  ${a.setup()}
  ${b.setup()}
  ${cells.map((c) => `var ${c} = vec4<f32>();`).join(" ")}
  ${summation(g, splits, a, b)}
  ${storing(g, tile)}
}`,
  };
}

/**
 * Stores the accumulators four at a time, moving the rest forward in between: an unrolled store would compile the fused
 * epilogue once per accumulator, and an array of them could not stay in registers. The trip count depends on the place
 * in the output so that no driver unrolls the loop after all.
 */
function storing(g: Gemm, { rows, columns }: RegisterTile): string {
  const vectors = columns / 4;
  const name = (c: number) => `c${Math.floor(c / vectors)}_${c % vectors}`;
  const count = rows * vectors;
  const puts = [0, 1, 2, 3].map((q) =>
    `put(m0 + (i + ${q}u) / ${vectors}u, n0 + ((i + ${q}u) % ${vectors}u) * 4u, z, split, ${
      name(q)
    });`
  );
  const moves = Array.from({ length: count - 4 }, (_, c) => `${name(c)} = ${name(c + 4)};`);
  return `let end = min(${count}u, (${g.m}u - m0) * ${vectors}u);
for (var i = 0u; i < end; i += 4u) {
${puts.join("\n")}
${moves.join(" ")}
}`;
}

/** The loops over segments and along them, in steps of four with what is left over behind. */
function summation(g: Gemm, splits: number, a: Block, b: Block): string {
  const r = ranges(g, splits);
  const tail = g.length % 4;
  const whole = g.length - tail;
  const along = splits > 1 && g.segments === 1;
  const from = along ? `split * ${r.length}u` : "0u";
  const to = along ? `min(from_ + ${r.length}u, ${whole}u)` : `${whole}u`;
  const here = along ? `if (from_ <= ${whole}u && ${whole}u < from_ + ${r.length}u)` : "";
  const segment = `${a.enter("s")}
${b.enter("s")}
let from_ = ${from};
let to_ = ${to};
for (var k = from_; k < to_; k += 4u) {
${step(a, b, 4)}
}
${tail ? `${here} { let k = ${whole}u;\n${step(a, b, tail)}\n}` : ""}`;
  if (g.segments === 0) return "";
  if (g.segments === 1) return `let s = 0u;\n${segment}`;
  return `let last = min((split + 1u) * ${r.segments}u, ${g.segments}u);
for (var s = split * ${r.segments}u; s < last; s++) {
${segment}
}`;
}

/** Loads `count` places of K and multiplies. Rows of A are taken up one by one, to keep few values alive at once. */
function step(a: Block, b: Block, count: number): string {
  const lines = [a.load("k", 0, count), b.load("k", 0, count)];
  for (let j = 0; j < b.count; j++) lines.push(b.take(j, count));
  for (let i = 0; i < a.count; i++) {
    lines.push(a.take(i, count));
    // The products of one accumulator follow each other, so that it is loaded and spilt once and not four times.
    for (let j = 0; j < b.count / 4; j++) {
      for (let kk = 0; kk < count; kk++) {
        lines.push(`c${i}_${j} += ${a.element(i, kk)} * ${b.vector(j, kk)};`);
      }
    }
  }
  return lines.filter((l) => l).join("\n");
}
