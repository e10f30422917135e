/** Which tile computes a product, and into how many parts K is split: by shape, for each kind of adapter. */
import type { AdapterProfile } from "../../tensor/kernel.ts";
import type { Gemm } from "./problem.ts";
import { LANES, type RegisterTile, tileExtents } from "./register.ts";
import { invocationsOf, storageOf, type WorkgroupTile } from "./workgroup.ts";

/** A tile and a number of splits. */
export interface Choice<T> {
  readonly tile: T;
  readonly splits: number;
}

const REGISTER_TILES: readonly RegisterTile[] = [
  { rows: 16, columns: 8, lanes: "n" },
  { rows: 16, columns: 4, lanes: "n" },
  { rows: 8, columns: 8, lanes: "n" },
  { rows: 8, columns: 4, lanes: "n" },
  { rows: 4, columns: 8, lanes: "n" },
  { rows: 4, columns: 4, lanes: "n" },
  { rows: 8, columns: 16, lanes: "m" },
  { rows: 8, columns: 8, lanes: "m" },
  { rows: 8, columns: 4, lanes: "m" },
];

/** Cores that a software adapter is assumed to have: work is cut at least this fine. */
const CORES = 4;

/** The register tile that wastes least: multiplications past the edges, loads, and idle cores all count. */
export function chooseRegisterTile(g: Gemm): Choice<RegisterTile> {
  let best: RegisterTile = REGISTER_TILES[0];
  let least = Infinity;
  for (const tile of REGISTER_TILES) {
    const [bm, bn] = tileExtents(tile);
    const groups = Math.ceil(g.m / bm) * Math.ceil(g.n / bn) * g.batch;
    const [uniform, varying] = tile.lanes === "n"
      ? [tile.rows, tile.columns]
      : [tile.columns, tile.rows];
    // Measured on llvmpipe, in units of one vector multiply-add: a varying load costs about one per lane.
    const cost = tile.rows * tile.columns + 2 * uniform + LANES * varying;
    const time = Math.ceil(groups / CORES) * cost;
    if (time < least) [best, least] = [tile, time];
  }
  const [bm, bn] = tileExtents(best);
  const groups = Math.ceil(g.m / bm) * Math.ceil(g.n / bn) * g.batch;
  const total = g.segments * g.length;
  const splits = groups < CORES ? Math.min(Math.ceil(CORES / groups), Math.floor(total / 512)) : 1;
  return {
    tile: best,
    splits: Math.max(1, g.segments > 1 ? Math.min(splits, g.segments) : splits),
  };
}

/** Workgroups that keep a large GPU busy. */
const ENOUGH = 256;

const WORKGROUP_TILES: readonly WorkgroupTile[] = [
  { m: 128, n: 128, k: 16, t: 8, double: true },
  { m: 128, n: 128, k: 8, t: 8, double: true },
  { m: 128, n: 64, k: 16, t: 8, double: true },
  { m: 128, n: 64, k: 8, t: 8, double: true },
  { m: 64, n: 64, k: 16, t: 8, double: true },
  { m: 32, n: 32, k: 16, t: 4, double: true },
];

/** The workgroup tile with the least work among those that the adapter can hold, counting waste and idle units. */
export function chooseWorkgroupTile(g: Gemm, profile: AdapterProfile): Choice<WorkgroupTile> {
  const total = g.segments * g.length;
  let best: Choice<WorkgroupTile> | undefined;
  let least = Infinity;
  const byElement = g.a.width === 1 || g.b.width === 1 || (g.segments > 1 && g.length % 4 !== 0);
  for (const each of WORKGROUP_TILES) {
    const tile = byElement ? { ...each, double: false } : each;
    if (
      storageOf(tile) > profile.workgroupStorage || invocationsOf(tile) > profile.maxInvocations
    ) continue;
    const groups = Math.ceil(g.m / tile.m) * Math.ceil(g.n / tile.n) * g.batch;
    // At least 256 products per part: a shorter part would spend its time on storing and joining.
    const splits = Math.max(1, Math.min(Math.ceil(ENOUGH / groups), Math.floor(total / 256), 32));
    const idle = Math.max(1, ENOUGH / (groups * splits));
    // Smaller tiles load more per multiplication; 16 registers per invocation hide less latency than 64.
    const intensity = 1 + 16 / tile.m + 16 / tile.n + (tile.t === 4 ? 0.5 : 0) +
      (tile.k === 8 ? 0.1 : 0);
    const time = groups * tile.m * tile.n * intensity * idle * (splits > 1 ? 1.1 : 1);
    if (time < least) [best, least] = [{ tile, splits }, time];
  }
  if (!best) {
    throw new Error(
      `${g.label}: no tile fits ${profile.workgroupStorage} bytes of workgroup memory`,
    );
  }
  return best;
}
