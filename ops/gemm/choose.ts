/** Which tile computes a product, and into how many parts K is split: by shape, for each kind of adapter. */
import type { AdapterProfile } from "../../tensor/kernel.ts";
import type { Gemm } from "./problem.ts";
import { type Lanes, type RegisterTile, tileExtents } from "./register.ts";
import { invocationsOf, storageOf, type WorkgroupTile } from "./workgroup.ts";

/** A tile and a number of splits. */
export interface Choice<T> {
  readonly tile: T;
  readonly splits: number;
}

/** Register tiles to choose from. */
export const REGISTER_TILES: readonly RegisterTile[] = [
  { rows: 64, columns: 8, along: "n" },
  { rows: 32, columns: 8, along: "n" },
  { rows: 64, columns: 4, along: "n" },
  { rows: 32, columns: 4, along: "n" },
  { rows: 16, columns: 8, along: "n" },
  { rows: 16, columns: 4, along: "n" },
  { rows: 8, columns: 8, along: "n" },
  { rows: 8, columns: 4, along: "n" },
  { rows: 4, columns: 4, along: "n" },
  { rows: 8, columns: 64, along: "m" },
  { rows: 8, columns: 32, along: "m" },
  { rows: 8, columns: 16, along: "m" },
  { rows: 8, columns: 8, along: "m" },
  { rows: 8, columns: 4, along: "m" },
  { rows: 4, columns: 4, along: "m" },
];

/**
 * Time of loading a value on every lane, in multiply-adds of all lanes. Software adapters load lane by lane: measured on
 * llvmpipe, 12 on a CPU with AVX-512 and 78 on one without.
 */
const LOAD = 40;

/** Multiply-adds that a product must have for each accumulator of its tile: large tiles take a second to compile. */
const PAYS = 2 ** 15;

/** Cores that a software adapter is assumed to have: work is cut at least this fine. */
const CORES = 4;

/** The lanes of a software adapter. Without broadcasts, eight is what most CPUs run at once. */
export function lanesOf({ subgroups, subgroupSize = 0 }: AdapterProfile): Lanes {
  const broadcast = subgroups && subgroupSize >= 4 && subgroupSize <= 16;
  return { count: broadcast ? subgroupSize : 8, broadcast };
}

/** The register tile that wastes least: multiplications past the edges, loads, and idle cores all count. */
export function chooseRegisterTile(g: Gemm, lanes: Lanes): Choice<RegisterTile> {
  const groupsOf = (tile: RegisterTile) => {
    const [bm, bn] = tileExtents(tile, lanes.count);
    return Math.ceil(g.m / bm) * Math.ceil(g.n / bn) * g.batch;
  };
  const work = g.m * g.n * g.segments * g.length * g.batch;
  let best: RegisterTile = REGISTER_TILES[0];
  let least = Infinity;
  for (const tile of REGISTER_TILES) {
    const [alike, own] = tile.along === "n" ? [tile.rows, tile.columns] : [tile.columns, tile.rows];
    const loads = own + (lanes.broadcast ? Math.ceil(alike / lanes.count) : alike);
    const time = Math.ceil(groupsOf(tile) / CORES) * (tile.rows * tile.columns + LOAD * loads);
    if (tile.rows * tile.columns > 128 && work < PAYS * tile.rows * tile.columns) continue;
    if (time < least) [best, least] = [tile, time];
  }
  const groups = groupsOf(best);
  const total = g.segments * g.length;
  const wanted = groups < CORES ? Math.min(Math.ceil(CORES / groups), Math.floor(total / 512)) : 1;
  const splits = Math.max(1, g.segments > 1 ? Math.min(wanted, g.segments) : wanted);
  return { tile: best, splits };
}

/**
 * Multiply-adds up to which a product is over before two buffers pay: with one, and shorter tiles, its kernel compiles in a
 * third of the time, which is then what matters.
 */
const SMALL = 2 ** 20;

/** Units (multiprocessors, cores) of GPUs from small to large: nobody says how many an adapter has, so all count alike. */
const UNITS = [20, 38, 58, 84, 132];

/** Invocations with 64 accumulators that a unit runs at once. */
const RESIDENT = 512;

/** Turns of the loop that loading the first tile and storing the last results take the time of. */
const ENDS = 48;

/** Multiply-adds in the time of moving a byte of a part, which caches hold, and in that of another dispatch. */
const BYTE = 4;
const DISPATCH = 3e7;

/** Workgroup tiles to choose from. */
export const WORKGROUP_TILES: readonly WorkgroupTile[] = [
  { m: 128, n: 128, k: 16, t: 8, double: true },
  { m: 128, n: 128, k: 8, t: 8, double: true },
  { m: 128, n: 64, k: 16, t: 8, double: true },
  { m: 128, n: 64, k: 8, t: 8, double: true },
  { m: 64, n: 64, k: 16, t: 8, double: true },
  { m: 32, n: 32, k: 16, t: 4, double: true },
];

/**
 * Time that workgroups of one length take, as multiply-adds of all units: units work through full waves, and in the last
 * one some have fewer workgroups than others, and too few to hide what they wait for.
 */
export function timeOfWaves(groups: number, invocations: number, each: number): number {
  const resident = Math.max(1, Math.floor(RESIDENT / invocations));
  const times = UNITS.map((units) => {
    const full = Math.floor(groups / (units * resident));
    const last = Math.ceil((groups - full * units * resident) / units);
    const alone = 1 + 0.3 * (1 - last / resident);
    return (full * resident + last * alone) * units * each;
  });
  return times.reduce((a, b) => a + b) / times.length;
}

/** The workgroup tile and the splits of K that take the least time, among the tiles that the adapter can hold. */
export function chooseWorkgroupTile(g: Gemm, profile: AdapterProfile): Choice<WorkgroupTile> {
  const total = g.segments * g.length;
  let best: Choice<WorkgroupTile> | undefined;
  let least = Infinity;
  const byElement = g.a.width === 1 || g.b.width === 1 || (g.segments > 1 && g.length % 4 !== 0);
  const small = g.m * g.n * g.batch * total < SMALL;
  for (const each of WORKGROUP_TILES) {
    const tile = byElement || small ? { ...each, k: 8, double: false } : each;
    const invocations = invocationsOf(tile);
    if (storageOf(tile) > profile.workgroupStorage || invocations > profile.maxInvocations) {
      continue;
    }
    const groups = Math.ceil(g.m / tile.m) * Math.ceil(g.n / tile.n) * g.batch;
    // Smaller tiles load more per multiplication; 16 registers per invocation hide less latency than 64.
    const intensity = 1 + 16 / tile.m + 16 / tile.n + (tile.t === 4 ? 0.5 : 0) +
      (tile.k === 8 ? 0.1 : 0);
    // At least 256 products per part: a shorter part would spend its time on storing and joining.
    for (let splits = 1; splits <= Math.max(1, Math.min(32, Math.floor(total / 256))); splits++) {
      const turns = Math.ceil(total / splits / tile.k) * tile.k + ENDS;
      const parts = splits > 1 ? DISPATCH + 8 * BYTE * splits * g.m * g.n * g.batch : 0;
      const time = parts +
        timeOfWaves(groups * splits, invocations, turns * tile.m * tile.n * intensity);
      if (time < least) [best, least] = [{ tile, splits }, time];
    }
  }
  if (!best) {
    throw new Error(
      `${g.label}: no tile fits ${profile.workgroupStorage} bytes of workgroup memory`,
    );
  }
  return best;
}
