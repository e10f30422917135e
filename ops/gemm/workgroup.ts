/**
 * GEMM for GPUs: a workgroup stages tiles of both operands in workgroup memory and every invocation multiplies an outer
 * product of register blocks per step of K. The next tile is loaded into registers while the current one is used; with
 * two buffers there is one barrier per tile.
 *
 * The loop is written out for one tile: the code of large tiles is larger than the caches of instructions as it is. What
 * is loaded is first looked at when it is stored, so that nobody waits for it before. Of the indices of workgroup
 * arrays, which compilers clamp, only literals change within a tile.
 */
import { flatGroup, foldGrid, size } from "../../tensor/kernel.ts";
import { Fragment } from "./fragment.ts";
import type { Gemm, GemmKernel, Operand } from "./problem.ts";

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

/**
 * Generates the kernel. `put` is a WGSL function `put(m, n, z, split, value)` that stores four columns and checks bounds;
 * `limit` is the adapter's workgroup storage in bytes.
 */
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
  // A whole number of tiles, so that no split reads into the next.
  const per = Math.ceil(Math.ceil(total / splits) / tile.k) * tile.k;
  const acrossN = Math.ceil(g.n / tile.n);
  const groups = Math.ceil(g.m / tile.m) * acrossN;
  const grid = foldGrid(groups);
  const stage = new Stage(g, tile, threads, total % tile.k !== 0);
  const pages = tile.double ? 2 : 1;
  const cells = blockOf(tile);
  const { k } = tile;
  const loop = tile.double
    ? `var page = 0u;
${stage.fetch("ks")}
${stage.store()}
workgroupBarrier();
for (var k0 = ks; k0 < ke; k0 += ${k}u) {
${stage.fetch(`k0 + ${k}u`)}
${cells.multiply}
page = 1u - page;
${stage.store()}
workgroupBarrier();
}`
    : `const page = 0u;
for (var k0 = ks; k0 < ke; k0 += ${k}u) {
${stage.fetch("k0")}
workgroupBarrier();
${stage.store()}
workgroupBarrier();
${cells.multiply}
}`;
  return {
    grid: [grid[0], grid[1], g.batch * splits],
    body: `${put}
var<workgroup> as_: array<array<array<vec4<f32>, ${tile.m / 4}>, ${k}>, ${pages}>;
var<workgroup> bs_: array<array<array<vec4<f32>, ${tile.n / 4}>, ${k}>, ${pages}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let group = ${flatGroup(grid)};
  ${grid[1] > 1 ? `if (group >= ${size(groups)}) { return; }` : ""}
  let z = wid.z / ${size(splits, "splits")};
  let split = wid.z % ${size(splits, "splits")};
  let m0 = (group / ${size(acrossN, "acrossN")}) * ${tile.m}u;
  let n0 = (group % ${size(acrossN, "acrossN")}) * ${tile.n}u;
  let ks = split * ${size(per, "per")};
  let ke = min(ks + ${size(per, "per")}, ${size(total)});
  ${g.a.prelude ?? ""} ${g.b.prelude ?? ""}
  ${cells.setup}
  ${stage.setup()}
  ${total ? loop : ""}
  ${cells.store}
}`,
  };
}

/** What a register block does, as text. */
interface Block {
  readonly setup: string;
  readonly multiply: string;
  readonly store: string;
}

/** The blocks of the few tiles that there are: most of a kernel's text, and the same for every product of that tile. */
const blocks = new Map<string, Block>();

function blockOf(tile: WorkgroupTile): Block {
  const key = [tile.m, tile.n, tile.k, tile.t].join();
  let block = blocks.get(key);
  if (!block) blocks.set(key, block = writeBlock(tile));
  return block;
}

/** The register block: t × t outputs in chunks of four rows and four columns that lie a tile's width apart. */
function writeBlock(tile: WorkgroupTile): Block {
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
  const multiply = Array.from({ length: tile.k }, (_, k) => {
    const read = (name: string, at: number, stride: number, from: string) =>
      `let ${name}${at} = ${name}s_[page][${k}][${chunk(at, stride, from)}];`;
    return ["{"].concat(
      Array.from({ length: q }, (_, i) => read("a", i, down, "ty")),
      Array.from({ length: q }, (_, j) => read("b", j, across, "tx")),
      all.map(([i, j]) => `c${i}_${j} += a${i >> 2}.${"xyzw"[i & 3]} * b${j};`),
      "}",
    ).join("\n");
  }).join("\n");
  return {
    multiply,
    setup: `${place}\n${all.map(([i, j]) => `var c${i}_${j} = vec4<f32>();`).join(" ")}`,
    store: all.map(([i, j]) => {
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
    const by = size(this.g.length, "length");
    const walk = this.#aligned
      ? `var segment = ks / ${by}; var place = ks - segment * ${by};\n`
      : "";
    return walk + this.#tasks.map(({ a, b, u }) => {
      const [hasA, hasB] = this.#sides(u);
      const flags = [a, b].some((f) => this.#asItLies(f.operand) && this.#mayMiss(f.operand));
      return `let e${u} = t + ${u * this.threads}u;
let isA${u} = e${u} < ${this.#forA}u;
let f${u} = select(e${u} - ${this.#forA}u, e${u}, isA${u});
let kq${u} = ((f${u} >> 3u) & ${quads - 1}u) * 4u;
let mq${u} = (f${u} & 7u) | ((f${u} >> ${shift}u) << 3u);
${
        [0, 1, 2, 3].map((j) =>
          `var x${u}_${j} = vec4<f32>();`
        ).join(" ")
      }
${flags ? [0, 1, 2, 3].map((j) => `var is${u}_${j} = true;`).join(" ") : ""}
${hasA ? a.setup() : ""}
${hasB ? b.setup() : ""}`;
    }).join("\n");
  }

  /** Whether some invocations load a block of A in round `u`, and whether some load one of B. */
  #sides(u: number): [a: boolean, b: boolean] {
    return [u * this.threads < this.#forA, (u + 1) * this.threads > this.#forA];
  }

  #each(of: (f: Fragment, u: number, array: string) => string): string {
    return this.#tasks.map(({ a, b, u }) => {
      const [hasA, hasB] = this.#sides(u);
      const last = (u + 1) * this.threads > this.#forBoth ? `if (e${u} < ${this.#forBoth}u) ` : "";
      const forA = `{\n${of(a, u, "as_")}\n}`, forB = `${last}{\n${of(b, u, "bs_")}\n}`;
      return hasA && hasB ? `if (isA${u}) ${forA} else ${forB}` : hasA ? forA : forB;
    }).join("\n");
  }

  /** Whether the blocks of an operand are kept as they lie in memory until they are stored. */
  #asItLies({ width }: Operand): boolean {
    return width === 4 && (this.g.segments === 1 || this.g.length % 4 === 0);
  }

  /** Whether an operand has places where there is nothing. */
  #mayMiss({ inside }: Operand): boolean {
    return this.ragged || inside !== undefined;
  }

  /** Loads the blocks of the tile that begins at `k0` into registers; tiles come one after the other. */
  fetch(k0: string): string {
    const loads = this.#each((f, u) => this.#load(f, u, k0));
    if (!this.#aligned) return loads;
    return `${loads}
place += ${this.tile.k}u;
if (place == ${size(this.g.length, "length")}) { place = 0u; segment++; }`;
  }

  /** Whether there are several segments, each of a whole number of tiles. */
  get #aligned(): boolean {
    const { segments, length } = this.g;
    return segments > 1 && length > 0 && length % this.tile.k === 0;
  }

  #load(f: Fragment, u: number, k0: string): string {
    const { segments, length } = this.g;
    const by = size(length, "length");
    const k = `let k = ${k0} + kq${u};`;
    if (segments === 1) return `${k}\n${f.enter("0u")}\n${this.#keep(f, u, "k")}`;
    if (length % 4 === 0) {
      // Where tiles do not straddle segments, the segment is the same for the whole workgroup, and nobody divides.
      const [s, l] = this.#aligned ? ["segment", `place + kq${u}`] : [`k / ${by}`, `k - s * ${by}`];
      return `${k}\nlet s = ${s};\nlet l = ${l};\n${f.enter("s")}\n${this.#keep(f, u, "l")}`;
    }
    const places = [0, 1, 2, 3].map((kk) =>
      `let s${kk} = (k + ${kk}u) / ${by}; let l${kk} = k - s${kk} * ${by};
${f.enter(`s${kk}`, `t${kk}`)}
${f.load(`l${kk}`, kk, kk + 1, `t${kk}`, this.ragged ? () => `k + ${kk}u < ke` : undefined)}`
    );
    return `${k}\n${places.join("\n")}\n${this.#vectors(f, u)}`;
  }

  /** Loads the block at place `at` of the segment, which is place `k` of all. */
  #keep(f: Fragment, u: number, at: string): string {
    const { operand } = f;
    if (!this.#asItLies(operand)) {
      const guard = this.ragged ? (p: string) => `${p.replace(at, "k")} < ke` : undefined;
      return `${f.load(at, 0, 4, "s", guard)}\n${this.#vectors(f, u)}`;
    }
    return f.raws(at).map(({ value, inside }, j) => {
      const tests = [
        ...(inside === undefined ? [] : [`(${inside})`]),
        ...(this.ragged ? [`(k${operand.along === "row" && j ? ` + ${j}u` : ""} < ke)`] : []),
      ];
      const flag = tests.length ? ` is${u}_${j} = ${tests.join(" & ")};` : "";
      return `x${u}_${j} = ${value};${flag}`;
    }).join("\n");
  }

  #vectors = (f: Fragment, u: number): string =>
    [0, 1, 2, 3].map((kk) => `x${u}_${kk} = ${f.vector(0, kk)};`).join(" ");

  /** Writes the blocks in registers to workgroup memory, four rows to a vector; zeros where there is nothing. */
  store(): string {
    return this.#each((f, u, array) => {
      const { operand } = f;
      const raw = this.#asItLies(operand);
      const named = (j: number) => `x${u}_${j}`;
      const clean = raw && this.#mayMiss(operand)
        ? [0, 1, 2, 3].map((j) => `let y${j} = select(vec4<f32>(), ${named(j)}, is${u}_${j});`)
          .join(" ")
        : [0, 1, 2, 3].map((j) => `let y${j} = ${named(j)};`).join(" ");
      const stores = [0, 1, 2, 3].map((kk) => {
        const c = "xyzw"[kk];
        const row = raw && operand.along === "k"
          ? `vec4<f32>(y0.${c}, y1.${c}, y2.${c}, y3.${c})`
          : `y${kk}`;
        return `${array}[page][kq${u} + ${kk}u][mq${u}] = ${row};`;
      });
      return `${clean}\n${stores.join(" ")}`;
    });
  }
}
