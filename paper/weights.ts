/** What the weights themselves show: where they change most (Figure 3), and in how few directions (Figures 12 and 13). */
import {
  groupChanges,
  LAYER_GROUPS,
  type LayerChange,
  layerChanges,
  type LayerGroup,
} from "../concepts/deltas/analyse.ts";
import { trainedWeight } from "../concepts/deltas/changes.ts";
import { compressDelta, type CompressTarget } from "../concepts/deltas/compress.ts";
import type { Delta } from "../concepts/deltas/delta.ts";
import type { BaseModel } from "../concepts/deltas/formats/base.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { UNET } from "../concepts/deltas/formats/names.ts";
import { isFile } from "../files/paths.ts";
import { COMPRESSIONS } from "./experiments.ts";
import type { Shelf } from "./lab.ts";
import type { Training } from "./recipes.ts";
import { overRuns, type Scored } from "./scores.ts";
import { deltaPath } from "./teach.ts";

/** Figure 3: mean relative change of each group, over runs, and the layers of the first run. */
export interface Changes {
  readonly groups: Readonly<Record<LayerGroup, Scored>>;
  /** By how much the cross-attention changes more than another group. */
  readonly above: Readonly<Record<Exclude<LayerGroup, "cross-attention">, Scored>>;
  readonly layers: readonly LayerChange[];
}

/** Figures 12 and 13: what is left of a delta's size, and of its ranks. */
export interface Spectra {
  /** For each compression, the size over that of the whole delta's numbers. */
  readonly sizes: Readonly<Record<string, Scored>>;
  /** Megabytes of the whole delta's numbers. */
  readonly whole: number;
  /** Share of a matrix's singular values that hold 60 % of their sum. */
  readonly ranks: Scored;
  /** Of the first run, for the plot: singular values by matrix, and where they are cut. */
  readonly spectra: Readonly<Record<string, readonly number[]>>;
  readonly cuts: Readonly<Record<string, number>>;
}

/** The deltas of runs, as far as they are there. */
async function deltasOf(shelf: Shelf, runs: readonly Training[]): Promise<Delta[]> {
  const deltas: Delta[] = [];
  for (const run of runs) {
    const path = await deltaPath(shelf, run);
    if (await isFile(path)) deltas.push(await loadDelta(path));
  }
  return deltas;
}

/** Where weights changed, in runs that trained all of them; undefined where there are none. */
export async function changesOf(
  shelf: Shelf,
  base: BaseModel,
  runs: readonly Training[],
): Promise<Changes | undefined> {
  const found: LayerChange[][] = [];
  for (const { weights } of await deltasOf(shelf, runs)) {
    found.push(
      await layerChanges(
        [...weights.keys()].map((path) => path.slice(UNET.length)),
        async (name) => {
          const before = await base.read(UNET + name);
          return [before, trainedWeight(weights.get(UNET + name)!, before).data];
        },
      ),
    );
  }
  if (!found.length) return undefined;
  const means = found.map(groupChanges);
  const of = (group: LayerGroup) => overRuns(means.map((m) => m[group].change));
  const [cross, self, other] = LAYER_GROUPS;
  const above = (group: LayerGroup) =>
    overRuns(means.map((m) => m[cross].change - m[group].change));
  return {
    groups: { [cross]: of(cross), [self]: of(self), [other]: of(other) } as Changes["groups"],
    above: { [self]: above(self), [other]: above(other) } as Changes["above"],
    layers: found[0],
  };
}

/** How far deltas can be compressed; undefined where there are none. */
export async function spectraOf(
  shelf: Shelf,
  base: BaseModel,
  runs: readonly Training[],
): Promise<Spectra | undefined> {
  const deltas = await deltasOf(shelf, runs);
  if (!deltas.length) return undefined;
  const compressed = (delta: Delta, target: CompressTarget) =>
    compressDelta(delta, target, { base: base.read });
  const wholes: number[] = [], ranks: number[] = [], sizes: Record<string, number[]> = {};
  for (const delta of deltas) {
    const whole = (await compressed(delta, { energy: 1 })).bytes;
    wholes.push(whole / 1e6);
    for (const { id, target } of COMPRESSIONS) {
      (sizes[id] ??= []).push((await compressed(delta, target)).bytes / whole);
    }
    const cut = await compressed(delta, COMPRESSIONS[0].target);
    const shares = [...cut.ranks].map(([path, rank]) => rank / cut.spectra.get(path)!.length);
    ranks.push(shares.reduce((a, b) => a + b, 0) / shares.length);
  }
  const { spectra, ranks: cuts } = await compressed(deltas[0], COMPRESSIONS[0].target);
  return {
    sizes: Object.fromEntries(Object.entries(sizes).map(([id, all]) => [id, overRuns(all)])),
    whole: overRuns(wholes).value,
    ranks: overRuns(ranks),
    spectra: Object.fromEntries([...spectra].map(([path, s]) => [path, [...s]])),
    cuts: Object.fromEntries(cuts),
  };
}
