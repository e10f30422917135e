/**
 * Does it work? Teaches held-out concepts to the miniature model, with and without the regularization set, and measures
 * what the paper claims: the concept is learnt (how far the new pictures go from the untouched model's towards fresh
 * pictures of the concept itself), and the class is kept (KID of "photo of a gate" against real ones, and whether the
 * classifier still sees a gate). One JSON line for each run, so that a measurement that was broken off goes on.
 *
 * KID is measured with and without guidance. Guidance narrows what a model draws: with it, the untouched model is three
 * times as far from real pictures as without, and what training changed hardly shows beside that. Without guidance, the
 * pictures are what the model takes the class to be.
 *
 *     deno run -A world/measure/main.ts --seeds=3 [--concepts=moongate,zebra] [--out=measure.jsonl]
 */
import { parseArgs } from "node:util";
import { beside } from "../../files/beside.ts";
import { gpu } from "../../device/adapter.ts";
import { trainConcepts } from "../../concepts/training/train.ts";
import { METHODS } from "../../concepts/training/methods.ts";
import { modelDefaults } from "../../concepts/training/model_settings.ts";
import { withDelta } from "../../concepts/deltas/apply.ts";
import { imageAlignment, learntFraction } from "../../evaluate/alignment.ts";
import { kid } from "../../evaluate/kid.ts";
import { openScorer, type Scorer } from "../../evaluate/scorer.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { FileError } from "../../files/errors.ts";
import { claim } from "../../files/outputs.ts";
import { isFile } from "../../files/paths.ts";
import { parseJson, readLines } from "../../files/text.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import { Sampler } from "../../diffusion/sample.ts";
import { loadPipeline, type Pipeline } from "../../diffusion/pipeline.ts";
import {
  type Concept,
  conceptNamed,
  CONCEPTS,
  freshPictures,
  type Icons,
  openDrawings,
  PLACES,
  placeWords,
  realPictures,
  regularizationPictures,
  targetPictures,
} from "../mod.ts";
import { type Judge, openJudge } from "./judge.ts";
import { type Learnt, type Prior, type Row, summary } from "./summary.ts";

const TOKEN = "<new1>";
/** Real pictures of a class that KID compares with. */
const REAL = 64;

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    seeds: { type: "string", default: "3" },
    concepts: { type: "string", default: CONCEPTS.map((c) => c.name).join() },
    model: { type: "string", default: beside("../miniature", import.meta.url) },
    out: { type: "string", default: "measure.jsonl" },
    steps: { type: "string" },
    rate: { type: "string" },
    guidance: { type: "string" },
    batch: { type: "string" },
    samples: { type: "string", default: "16" },
  },
});

const times = <T>(n: number, f: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => f(i));

const NUMBERS = ["seeds", "steps", "rate", "guidance", "batch", "samples"] as const;
for (const name of NUMBERS) {
  if (flags[name] !== undefined && !(Number(flags[name]) > 0)) {
    throw new UsageError(`--${name} ${flags[name]}: a number over 0`);
  }
}
/** As the model's folder would have it. */
const { training: own, sampling } = await modelDefaults(flags.model);
const training = {
  ...own,
  steps: Number(flags.steps ?? own.steps),
  rate: Number(flags.rate ?? own.rate),
  batch: Number(flags.batch ?? own.batch),
};
const { steps, rate, schedule = "constant" } = training;
const guidance = Number(flags.guidance ?? sampling.guidance);
const concepts = flags.concepts.split(",").map(conceptNamed);

/** The model that is measured, with what measures it. */
interface Bench {
  readonly model: Pipeline;
  readonly sampler: Sampler;
  readonly scorer: Scorer;
  readonly drawings: Icons;
  readonly judge: Judge;
}

/** What a run of a concept and a seed is measured by, whatever it was trained with. */
interface Yardstick {
  readonly targets: readonly Picture[];
  /** What pictures of the concept in new places are like. */
  learnt(model: Pipeline): Promise<Learnt>;
  readonly before: Learnt;
  readonly ceil: number;
  /** What a model makes of the class. */
  prior(model: Pipeline): Promise<Prior>;
  readonly untouched: Prior;
}

async function yardstick(
  { model, sampler, scorer, drawings, judge }: Bench,
  { name, category }: Concept,
  seed: number,
): Promise<Yardstick> {
  const generate = (
    prompts: readonly string[],
    { params }: Pipeline,
    draw: number,
    guidance: number,
  ) =>
    sampler.generate(
      prompts,
      { ...sampling, batch: 8, seed: 1000 * seed + draw, guidance },
      params,
    );
  const targets = await targetPictures(name);
  const places = times(Number(flags.samples), (i) => PLACES[i % PLACES.length]);
  const prompts = places.map((place) => `photo of a ${TOKEN} ${category} ${placeWords(place)}`);
  const to = await scorer.features(targets);
  const toTargets = async (p: readonly Picture[]) => imageAlignment(await scorer.features(p), to);
  const learnt = async (of: Pipeline): Promise<Learnt> => {
    const made = await generate(prompts, of, 0, guidance);
    const shown = await judge.shown(made), nearest = await judge.nearest(made);
    return {
      align: await toTargets(made),
      seen: shown.filter((concepts) => concepts.has(name)).length / made.length,
      nearest: nearest.filter((concept) => concept === name).length / made.length,
    };
  };

  const real = await scorer.features(realPictures(drawings, category, REAL));
  const classPrompts = times(2 * Number(flags.samples), () => `photo of a ${category}`);
  const prior = async (of: Pipeline) => {
    const guided = await generate(classPrompts, of, 500, guidance);
    const free = await generate(classPrompts, of, 500, 1);
    const labels = await scorer.labels(guided);
    return {
      kid: kid(await scorer.features(free), real),
      kidGuided: kid(await scorer.features(guided), real),
      classKept: labels.filter((l) => l.class === category).length / labels.length,
    };
  };
  return {
    targets,
    learnt,
    before: await learnt(model),
    ceil: await toTargets(freshPictures(drawings, name, places.map((place) => ({ place })))),
    prior,
    untouched: await prior(model),
  };
}

async function measure(
  { model, drawings }: Bench,
  { name, category }: Concept,
  { targets, learnt, before, ceil, prior, untouched }: Yardstick,
  seed: number,
  regularized: boolean,
): Promise<Row> {
  const started = performance.now();
  const delta = await trainConcepts(model, {
    concepts: [{ token: TOKEN, className: category, pictures: targets }],
    regularization: regularized
      ? regularizationPictures(drawings, category, METHODS.custom.priorImages)
      : [],
    ...training,
    seed,
  });
  const tuned = withDelta(model, delta);
  const made = await learnt(tuned);
  const kept = await prior(tuned);
  tuned.free();
  return {
    concept: name,
    seed,
    regularized,
    ...{ steps, rate, schedule },
    frac: learntFraction(made.align, before.align, ceil),
    ...made,
    base: before.align,
    ceil,
    ...kept,
    untouched,
    seconds: (performance.now() - started) / 1000,
  };
}

/** Rows that were measured before. @throws FileError where those are of another recipe */
async function measured(): Promise<Row[]> {
  if (!await isFile(flags.out)) return [];
  const rows: Row[] = (await readLines(flags.out)).map((line) => parseJson(line, flags.out) as Row);
  const recipe = (r: Pick<Row, "steps" | "rate" | "schedule">) =>
    `${r.steps} steps, rate ${r.rate} (${r.schedule})`;
  const now = recipe({ steps, rate, schedule }), other = rows.find((r) => recipe(r) !== now);
  if (!other) return rows;
  throw new FileError(flags.out, `has rows of ${recipe(other)}`, `Name another --out for ${now}`);
}

if (import.meta.main) {
  // Two at once would measure the same; rows of an earlier one are gone on from.
  const output = { path: flags.out, flag: "--out" };
  await using _ = await claim([output], { reads: [flags.model], overwrite: true });
  const rows = await measured();
  const device = await gpu();
  const model = await loadPipeline(device, flags.model, { addTokens: { [TOKEN]: "ktn" } });
  const scorer = await openScorer(device, flags.model);
  const drawings = await openDrawings();
  const judge = await openJudge(device, flags.model, scorer);
  const bench = { model, scorer, drawings, judge, sampler: new Sampler(model) };
  // Breadth first, so that a measurement that was broken off says something of every concept.
  for (let seed = 0; seed < Number(flags.seeds); seed++) {
    const yardsticks = new Map<string, Yardstick>();
    for (const regularized of [true, false]) {
      for (const concept of concepts) {
        const { name } = concept, same = (r: Row) => r.concept === name && r.seed === seed;
        if (rows.some((r) => same(r) && r.regularized === regularized)) continue;
        const by = yardsticks.get(name) ?? await yardstick(bench, concept, seed);
        yardsticks.set(name, by);
        const row = await measure(bench, concept, by, seed, regularized);
        rows.push(row);
        console.log(JSON.stringify(row));
        await writeFileAtomic(flags.out, rows.map((r) => JSON.stringify(r) + "\n").join(""));
      }
    }
  }
  console.log(summary(rows));
}
