/**
 * GEMM for GPUs: a workgroup stages tiles of both operands in workgroup memory and every invocation multiplies an outer
 * product of register blocks per step of K. The next tile is loaded into registers while the current one is used; with
 * two buffers there is one barrier per tile.
 *
 * Workgroup arrays are two-dimensional with a literal first index, because the compiler clamps every other index again
 * at each use.
 */
import { flatGroup, foldGrid } from "../../tensor/kernel.ts";
import { Fragment } from "./fragment.ts";
import type { Gemm } from "./problem.ts";
import type { GemmKernel } from "./register.ts";

/** Tile of a workgroup (m × n × k) and block of one invocation (t × t). */
export interface WorkgroupTile {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly t: number;
  /**
   * Two buffers (one barrier per tile) rather than one, which takes half the storage, and less than half the code: what
   * is loaded element by element uses one.
   */
  readonly double: boolean;
}

/** Bytes of workgroup memory that a tile takes. */
export const storageOf = (t: WorkgroupTile): number => (t.m + t.n) * t.k * 4 * (t.double ? 2 : 1);

/** Invocations of a tile's workgroup. */
export const invocationsOf = (t: WorkgroupTile): number => (t.m / t.t) * (t.n / t.t);

/** Tiles of K that one split covers; a whole number of loop bodies, so that no split reads into the next. */
const alignment = (t: WorkgroupTile): number => t.double ? 2 * t.k : t.k;

/** Generates the kernel. `put` is as for the register kernel; `limit` is the adapter's workgroup storage in bytes. */
export function workgroupKernel(
  g: Gemm,
  tile: WorkgroupTile,
  splits: number,
  put: string,
  limit: number,
): GemmKernel {
  if (storageOf(tile) > limit) {
    throw new Error(
      `${g.label}: a tile takes ${
        storageOf(tile)
      } bytes of workgroup memory, the adapter has ${limit}`,
    );
  }
  const threads = invocationsOf(tile);
  const total = g.segments * g.length;
  const per = Math.ceil(Math.ceil(total / splits) / alignment(tile)) * alignment(tile);
  const acrossN = Math.ceil(g.n / tile.n);
  const groups = Math.ceil(g.m / tile.m) * acrossN;
  const grid = foldGrid(groups);
  const stage = new Stage(g, tile, threads, total % alignment(tile) !== 0);
  const buffers = tile.double ? ["0", "1"] : ["0"];
  const cells = blockOf(tile);
  const { k } = tile;
  const loop = tile.double
    ? `${stage.fetch("ks")}
${stage.store("0")}
workgroupBarrier();
for (var k0 = ks; k0 < ke; k0 += ${2 * k}u) {
${stage.fetch(`k0 + ${k}u`)}
${cells.multiply("0")}
${stage.store("1")}
workgroupBarrier();
${stage.fetch(`k0 + ${2 * k}u`)}
${cells.multiply("1")}
${stage.store("0")}
workgroupBarrier();
}`
    : `for (var k0 = ks; k0 < ke; k0 += ${k}u) {
${stage.fetch("k0")}
workgroupBarrier();
${stage.store("0")}
workgroupBarrier();
${cells.multiply("0")}
}`;
  return {
    grid: [grid[0], grid[1], g.batch * splits],
    body: `${put}
${
      buffers.map((i) =>
        `var<workgroup> as${i}: array<array<vec4<f32>, ${tile.m / 4}>, ${k}>;
var<workgroup> bs${i}: array<array<vec4<f32>, ${tile.n / 4}>, ${k}>;`
      ).join("\n")
    }
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let group = ${flatGroup(grid)};
  ${grid[1] > 1 ? `if (group >= ${groups}u) { return; }` : ""}
  let z = wid.z / ${splits}u;
  let split = wid.z % ${splits}u;
  let m0 = (group / ${acrossN}u) * ${tile.m}u;
  let n0 = (group % ${acrossN}u) * ${tile.n}u;
  let ks = split * ${per}u;
  let ke = min(ks + ${per}u, ${total}u);
  ${g.a.prelude ?? ""} ${g.b.prelude ?? ""}
  ${cells.setup()}
  ${stage.setup()}
  ${total ? loop : ""}
  ${cells.store()}
}`,
  };
}

/** The register block: t × t outputs in chunks of four rows and four columns that lie a tile's width apart. */
function blockOf(tile: WorkgroupTile) {
  const q = tile.t / 4;
  const across = tile.n / tile.t;
  const down = tile.m / tile.t;
  const all = [...Array(tile.t).keys()].flatMap((i) => [...Array(q).keys()].map((j) => [i, j]));
  // 8 × 4 lanes of a warp: it reads 8 different vectors of B and 4 of A per step, each without bank conflicts.
  const place = across % 8 === 0 && down % 4 === 0
    ? `let tx = ((t >> 5u) % ${across / 8}u) * 8u + (t & 7u); let ty = ((t >> 5u) / ${
      across / 8
    }u) * 4u + ((t & 31u) >> 3u);`
    : `let tx = t % ${across}u; let ty = t / ${across}u;`;
  const chunk = (i: number, stride: number, v: string) => i ? `${v} + ${i * stride}u` : v;
  return {
    setup: () => `${place}\n${all.map(([i, j]) => `var c${i}_${j} = vec4<f32>();`).join(" ")}`,
    multiply(buffer: string): string {
      const lines: string[] = [];
      for (let k = 0; k < tile.k; k++) {
        lines.push("{");
        for (let i = 0; i < q; i++) {
          lines.push(`let a${i} = as${buffer}[${k}][${chunk(i, down, "ty")}];`);
        }
        for (let j = 0; j < q; j++) {
          lines.push(`let b${j} = bs${buffer}[${k}][${chunk(j, across, "tx")}];`);
        }
        for (const [i, j] of all) lines.push(`c${i}_${j} += a${i >> 2}.${"xyzw"[i & 3]} * b${j};`);
        lines.push("}");
      }
      return lines.join("\n");
    },
    store: () =>
      all.map(([i, j]) => {
        const m = `m0 + (${chunk(i >> 2, down, "ty")}) * 4u + ${i & 3}u`;
        return `put(${m}, n0 + (${chunk(j, across, "tx")}) * 4u, z, split, c${i}_${j});`;
      }).join("\n"),
  };
}

/** Loading tiles: every task is a block of 4 rows × 4 places of K of one operand, held in four registers on the way. */
class Stage {
  readonly #tasks: { a: Fragment; b: Fragment; u: number }[] = [];
  readonly #forA: number;
  readonly #forBoth: number;

  constructor(
    readonly g: Gemm,
    readonly tile: WorkgroupTile,
    readonly threads: number,
    readonly ragged: boolean,
  ) {
    this.#forA = tile.m * tile.k / 16;
    this.#forBoth = this.#forA + tile.n * tile.k / 16;
    for (let u = 0; u * threads < this.#forBoth; u++) {
      this.#tasks.push({
        a: new Fragment(g.a, g.m, 4, `m0 + mq${u} * 4u`, `a${u}_`),
        b: new Fragment(g.b, g.n, 4, `n0 + mq${u} * 4u`, `b${u}_`),
        u,
      });
    }
  }

  /** Which block each invocation loads: neighbours take 64 bytes of one row, then the next row. */
  setup(): string {
    const quads = this.tile.k / 4;
    const shift = 3 + Math.log2(quads);
    return this.#tasks.map(({ a, b, u }) =>
      `let e${u} = t + ${u * this.threads}u;
let isA${u} = e${u} < ${this.#forA}u;
let f${u} = select(e${u} - ${this.#forA}u, e${u}, isA${u});
let kq${u} = ((f${u} >> 3u) & ${quads - 1}u) * 4u;
let mq${u} = (f${u} & 7u) | ((f${u} >> ${shift}u) << 3u);
${
        [0, 1, 2, 3].map((j) =>
          `var x${u}_${j} = vec4<f32>();`
        ).join(" ")
      }
${a.setup()}
${b.setup()}`
    ).join("\n");
  }

  #each(a: (u: number) => string, b: (u: number) => string): string {
    return this.#tasks.map(({ u }) => {
      const last = (u + 1) * this.threads > this.#forBoth ? `if (e${u} < ${this.#forBoth}u)` : "";
      return `if (isA${u}) {\n${a(u)}\n} else ${last} {\n${b(u)}\n}`;
    }).join("\n");
  }

  /** Loads the blocks of the tile that begins at `k0` into registers, transposed to four rows per vector. */
  fetch(k0: string): string {
    return this.#each(
      (u) => this.#load(this.#tasks[u].a, u, k0),
      (u) => this.#load(this.#tasks[u].b, u, k0),
    );
  }

  #load(f: Fragment, u: number, k0: string): string {
    const { segments, length } = this.g;
    const keep = [0, 1, 2, 3].map((kk) => `x${u}_${kk} = ${f.vector(0, kk)};`).join(" ");
    const k = `let k = ${k0} + kq${u};`;
    if (segments === 1) {
      return `${k}\n${f.enter("0u")}\n${f.load("k", 0, 4, "s", this.#guard())}\n${keep}`;
    }
    if (length % 4 === 0) {
      // Where tiles do not straddle segments, the segment is the same for the whole workgroup.
      const s = length % this.tile.k === 0 ? `(${k0}) / ${length}u` : `k / ${length}u`;
      const guard = this.ragged ? () => `k < ke` : undefined;
      return `${k}\nlet s = ${s};\nlet l = k - s * ${length}u;\n${f.enter("s")}\n${
        f.load("l", 0, 4, "s", guard)
      }\n${keep}`;
    }
    const places = [0, 1, 2, 3].map((kk) =>
      `let s${kk} = (k + ${kk}u) / ${length}u; let l${kk} = k - s${kk} * ${length}u;
${f.enter(`s${kk}`, `t${kk}`)}
${f.load(`l${kk}`, kk, kk + 1, `t${kk}`, this.ragged ? () => `k + ${kk}u < ke` : undefined)}`
    );
    return `${k}\n${places.join("\n")}\n${keep}`;
  }

  #guard(): ((k: string) => string) | undefined {
    return this.ragged ? (k) => `${k} < ke` : undefined;
  }

  /** Writes the blocks in registers to workgroup memory. */
  store(buffer: string): string {
    const into = (array: string) => (u: number) =>
      [0, 1, 2, 3].map((kk) => `${array}${buffer}[kq${u} + ${kk}u][mq${u}] = x${u}_${kk};`).join(
        " ",
      );
    return this.#each(into("as"), into("bs"));
  }
}
