/**
 * GEMM for software adapters: every invocation keeps a block of outputs in registers and reads its operands straight
 * from memory. Workgroup memory only costs there (it is ordinary memory, filled and read again), while lanes are real
 * SIMD lanes: a load whose address is the same for all lanes is one scalar load, any other is one load per lane. So
 * lanes lie along one of the two indices, and the operand that runs along the other one is read by uniform loads.
 */
import { assertIterations, flatGroup, foldGrid } from "../../tensor/kernel.ts";
import { Fragment } from "./fragment.ts";
import type { Gemm } from "./problem.ts";

/** Invocations of a workgroup: one 8-lane vector of the CPU. */
export const LANES = 8;

/** Block of one invocation, and the index along which the lanes of a workgroup lie. */
export interface RegisterTile {
  readonly rows: number;
  readonly columns: number;
  readonly lanes: "m" | "n";
}

/** WGSL and grid of a product. */
export interface GemmKernel {
  readonly body: string;
  readonly grid: readonly [number, number, number];
}

/** Extents of what one workgroup computes. */
export function tileExtents({ rows, columns, lanes }: RegisterTile): [m: number, n: number] {
  return lanes === "n" ? [rows, columns * LANES] : [rows * LANES, columns];
}

/** How K is divided among `splits`: by segments when there are several, else along the one segment. */
function ranges(g: Gemm, splits: number): { segments: number; length: number } {
  if (g.segments !== 1) return { segments: Math.ceil(g.segments / splits), length: g.length };
  return { segments: 1, length: Math.ceil(Math.ceil(g.length / splits) / 4) * 4 };
}

/** Loop iterations of one invocation, as the driver's counter sees them. */
export function iterationsOf(g: Gemm, splits: number): number {
  const r = ranges(g, splits);
  return r.segments * (Math.ceil(Math.min(r.length, g.length) / 4) + 2) + 64;
}

/**
 * Generates the kernel. `put` is a WGSL function `put(m, n, z, split, value)` that stores four columns and checks bounds.
 */
export function registerKernel(
  g: Gemm,
  tile: RegisterTile,
  splits: number,
  put: string,
): GemmKernel {
  assertIterations(g.label, iterationsOf(g, splits));
  const { rows, columns, lanes } = tile;
  const [bm, bn] = tileExtents(tile);
  const acrossN = Math.ceil(g.n / bn);
  const groups = Math.ceil(g.m / bm) * acrossN;
  const grid = foldGrid(groups);
  const a = new Fragment(g.a, g.m, rows, "m0", "a");
  const b = new Fragment(g.b, g.n, columns, "n0", "b");
  const vectors = columns / 4;
  const cells = Array.from(
    { length: rows * vectors },
    (_, c) => `c${Math.floor(c / vectors)}_${c % vectors}`,
  );

  const step = (count: number) => {
    const lines = [a.load("k", 0, count), b.load("k", 0, count)];
    // All four products of one accumulator follow each other, so that it is loaded and spilt once and not four times.
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < vectors; j++) {
        const c = `c${i}_${j}`;
        for (let kk = 0; kk < count; kk++) {
          lines.push(`${c} += ${a.element(i, kk)} * ${b.vector(j, kk)};`);
        }
      }
    }
    return lines.join("\n");
  };
  const r = ranges(g, splits);
  const whole = g.length - g.length % 4;
  const tail = g.length % 4;
  const along = splits > 1 && g.segments === 1;
  const from = along ? `split * ${r.length}u` : "0u";
  const to = along ? `min(from_ + ${r.length}u, ${whole}u)` : `${whole}u`;
  const tailHere = along ? `if (from_ <= ${whole}u && ${whole}u < from_ + ${r.length}u)` : "";
  const segment = `${a.enter("s")}
${b.enter("s")}
let from_ = ${from};
let to_ = ${to};
for (var k = from_; k < to_; k += 4u) {
${step(4)}
}
${tail ? `${tailHere} { let k = ${whole}u;\n${step(tail)}\n}` : ""}`;
  const loop = g.segments === 0
    ? ""
    : g.segments === 1
    ? `let s = 0u;\n${segment}`
    : `let last = min((split + 1u) * ${r.segments}u, ${g.segments}u);
for (var s = split * ${r.segments}u; s < last; s++) {
${segment}
}`;

  // The results are stored by a loop, so that the fused epilogue is compiled once and not once per accumulator.
  return {
    grid: [grid[0], grid[1], g.batch * splits],
    body: `${put}
@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
  let group = ${flatGroup(grid)};
  ${grid[1] > 1 ? `if (group >= ${groups}u) { return; }` : ""}
  let z = wid.z / ${splits}u;
  let split = wid.z % ${splits}u;
  let m0 = (group / ${acrossN}u) * ${bm}u${lanes === "m" ? ` + lid.x * ${rows}u` : ""};
  let n0 = (group % ${acrossN}u) * ${bn}u${lanes === "n" ? ` + lid.x * ${columns}u` : ""};
  ${g.a.prelude ?? ""} ${g.b.prelude ?? ""}
  ${a.setup()}
  ${b.setup()}
  ${cells.map((c) => `var ${c} = vec4<f32>();`).join(" ")}
  ${loop}
  var cells = array<vec4<f32>, ${cells.length}>(${cells.join(", ")});
  for (var i = 0u; i < ${cells.length}u; i++) {
    put(m0 + i / ${vectors}u, n0 + (i % ${vectors}u) * 4u, z, split, cells[i]);
  }
}`,
  };
}
