/** Where the words of two concepts attend to, and how much that overlaps (Figure 16 of the paper). */
import { attentionMaps, attentionSheet } from "../diffusion/editing/attention_maps.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { readJsonObject } from "../files/json.ts";
import { isFile } from "../files/paths.ts";
import { writePng } from "../files/pictures/png.ts";
import type { Lab, Shelf } from "./lab.ts";
import { modelOf, namingOf } from "./measuring.ts";
import type { WantedMaps } from "./plan.ts";
import { keyOf } from "./recipes.ts";
import { promptsOf, subjectOf } from "./subjects.ts";

/** Maps that were made. */
export interface Maps {
  /** For each picture the correlation over places of what the two class words get. */
  readonly overlap: readonly number[];
  /** File of the sheet. */
  readonly sheet: string;
}

async function stemOf({ base, defaults }: Shelf, wanted: WantedMaps): Promise<string> {
  const { subject, variant, seed, recipe, count } = wanted;
  const content = [base, subject, seed, recipe, count, defaults.sampling];
  return await keyOf([...subject, variant, "maps"], ...content);
}

/** Maps that lie there already. */
export async function readMaps(shelf: Shelf, wanted: WantedMaps): Promise<Maps | undefined> {
  const path = `${shelf.out}/rows/${await stemOf(shelf, wanted)}.json`;
  return await isFile(path) ? await readJsonObject(path) as unknown as Maps : undefined;
}

/** Makes maps and keeps them. */
export async function makeMaps(lab: Lab, wanted: WantedMaps): Promise<void> {
  const subject = await subjectOf(wanted.subject, wanted.count);
  const stem = await stemOf(lab, wanted), model = await modelOf(lab, wanted);
  try {
    const { steps, guidance, eta, sampler } = lab.defaults.sampling;
    const made = await attentionMaps(model, promptsOf(subject, namingOf(wanted.recipe)), {
      ...{ steps, guidance, eta, sampler, seed: 1000 * wanted.seed },
    });
    const overlap = made.map(({ words }) => {
      const [a, b] = subject.categories.map((c) => words.find(({ word }) => word === c)!.map);
      return correlation(a, b);
    });
    const sheet = `pictures/${stem}.png`;
    await writePng(`${lab.out}/${sheet}`, attentionSheet(made), {});
    const maps: Maps = { overlap, sheet };
    await writeFileAtomic(`${lab.out}/rows/${stem}.json`, `${JSON.stringify(maps)}\n`);
  } finally {
    model.free();
  }
}

/** Pearson's. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const centred = (x: ArrayLike<number>) => {
    const all = Array.from(x), mean = all.reduce((s, v) => s + v, 0) / all.length;
    return all.map((v) => v - mean);
  };
  const [x, y] = [centred(a), centred(b)];
  const dot = (p: number[], q: number[]) => p.reduce((s, v, i) => s + v * q[i], 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}
