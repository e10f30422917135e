/**
 * Does it work? Teaches held-out concepts to the miniature model, with and without the regularization set, and measures
 * what the paper claims: the concept is learnt (how far the new pictures go from the untouched model's towards fresh
 * pictures of the concept itself), and the class is kept (KID of "photo of a gate" against real ones, and whether the
 * classifier still sees a gate). One JSON line for each run, appended, so that a broken-off measurement goes on.
 *
 *     deno run -A world/measure.ts --seeds=3 [--concepts=moongate,monster] [--out=measure.jsonl]
 */
import { parseArgs } from "node:util";
import { gpu } from "../device/adapter.ts";
import { trainConcepts } from "../concepts/train.ts";
import { withDelta } from "../concepts/apply.ts";
import { imageAlignment, learntFraction } from "../evaluate/alignment.ts";
import { kid } from "../evaluate/kid.ts";
import { openScorer, type Scorer } from "../evaluate/scorer.ts";
import { listPictures, readPicture } from "../files/image.ts";
import type { Picture } from "../files/picture.ts";
import { Sampler } from "../diffusion/sample.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import {
  classPictures,
  type Concept,
  conceptNamed,
  CONCEPTS,
  conceptScene,
  type Place,
  PLACES,
  renderScene,
  SEEDS,
} from "./mod.ts";
import { type Row, summary } from "./measure_summary.ts";

const TARGETS = new URL("./concepts/", import.meta.url).pathname;
const TOKEN = "<new1>";
const REGULARIZATION = 100;
const SIDE = 64;

/** Where the new pictures are asked for: every place of the world. */
const WHERE: Record<Place, string> = {
  beach: "on a beach",
  forest: "in a forest",
  night: "at night",
  snow: "in the snow",
  desert: "in the desert",
  table: "on a table",
  street: "on a street",
  meadow: "in a meadow",
};

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    seeds: { type: "string", default: "3" },
    concepts: { type: "string", default: CONCEPTS.map((c) => c.name).join() },
    model: { type: "string", default: new URL("./miniature", import.meta.url).pathname },
    out: { type: "string", default: "measure.jsonl" },
    steps: { type: "string", default: "250" },
    rate: { type: "string", default: "1e-3" },
    guidance: { type: "string", default: "4" },
    batch: { type: "string", default: "8" },
    samples: { type: "string", default: "16" },
  },
});

const picture = (data: Uint8Array): Picture => ({ width: SIDE, height: SIDE, data });
const times = <T>(n: number, f: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => f(i));

/** What a run of a concept and a seed is measured by, whatever it was trained with. */
interface Yardstick {
  readonly targets: readonly Picture[];
  readonly prompts: readonly string[];
  readonly base: number;
  readonly ceil: number;
  /** Mean cosine to the targets. */
  align(made: readonly Picture[]): Promise<number>;
}

const sampling = (seed: number) =>
  ({ steps: 20, guidance: Number(flags.guidance), eta: 0, batch: 8, seed: 1000 * seed }) as const;

async function yardstick(
  sampler: Sampler,
  model: Pipeline,
  scorer: Scorer,
  { name, category }: Concept,
  seed: number,
): Promise<Yardstick> {
  const targets = await Promise.all((await listPictures(`${TARGETS}${name}`)).map(readPicture));
  const n = Number(flags.samples), where = (i: number) => PLACES[i % PLACES.length];
  const prompts = times(n, (i) => `photo of a ${TOKEN} ${category} ${WHERE[where(i)]}`);
  const to = await scorer.features(targets);
  const align = async (p: readonly Picture[]) => imageAlignment(await scorer.features(p), to);
  const fresh = times(n, (i) => conceptScene(name, SEEDS.fresh + i, { place: where(i) }));
  return {
    targets,
    prompts,
    align,
    base: await align(await sampler.generate(prompts, sampling(seed), model.params)),
    ceil: await align(fresh.map((scene) => picture(renderScene(scene)))),
  };
}

async function measure(
  sampler: Sampler,
  model: Pipeline,
  scorer: Scorer,
  concept: Concept,
  { targets, prompts, align, base, ceil }: Yardstick,
  seed: number,
  regularized: boolean,
): Promise<Row> {
  const started = performance.now();
  const { category } = concept;
  const n = Number(flags.samples);
  const delta = await trainConcepts(model, {
    concepts: [{ token: TOKEN, className: category, pictures: targets }],
    regularization: regularized
      ? classPictures(category, SEEDS.regularization, REGULARIZATION)
      : [],
    steps: Number(flags.steps),
    rate: Number(flags.rate),
    batch: Number(flags.batch),
    seed,
  });
  const tuned = withDelta(model, delta);
  const made = await align(await sampler.generate(prompts, sampling(seed), tuned.params));
  const classPrompts = times(2 * n, () => `photo of a ${category}`);
  const ofClass = await sampler.generate(
    classPrompts,
    { ...sampling(seed), seed: 1000 * seed + 500 },
    tuned.params,
  );
  const photos = { style: "photo", relation: null } as const;
  const real = classPictures(category, SEEDS.real, 64, photos).map((r) => r.picture);
  const labels = await scorer.labels(ofClass);
  tuned.free();
  return {
    concept: concept.name,
    seed,
    regularized,
    frac: learntFraction(made, base, ceil),
    align: made,
    base,
    ceil,
    kid: kid(await scorer.features(ofClass), await scorer.features(real)),
    classKept: labels.filter((l) => l.class === category).length / labels.length,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Rows that were measured before. */
async function measured(): Promise<Row[]> {
  try {
    return (await Deno.readTextFile(flags.out)).trim().split("\n").map((line) => JSON.parse(line));
  } catch {
    return []; // Nothing measured yet.
  }
}

if (import.meta.main) {
  const rows = await measured();
  const device = await gpu();
  const model = await loadPipeline(device, flags.model, { addTokens: { [TOKEN]: "ktn" } });
  const scorer = await openScorer(device, flags.model);
  const sampler = new Sampler(model);
  // Breadth first, so that a measurement that was broken off says something of every concept.
  for (let seed = 0; seed < Number(flags.seeds); seed++) {
    const yardsticks = new Map<string, Yardstick>();
    for (const regularized of [true, false]) {
      for (const name of flags.concepts.split(",")) {
        const same = (r: Row) => r.concept === name && r.seed === seed;
        if (rows.some((r) => same(r) && r.regularized === regularized)) continue;
        const concept = conceptNamed(name);
        const by = yardsticks.get(name) ?? await yardstick(sampler, model, scorer, concept, seed);
        yardsticks.set(name, by);
        const row = await measure(sampler, model, scorer, concept, by, seed, regularized);
        rows.push(row);
        console.log(JSON.stringify(row));
        await Deno.writeTextFile(flags.out, JSON.stringify(row) + "\n", { append: true });
      }
    }
  }
  console.log(summary(rows));
}
