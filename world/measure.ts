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
import { generate } from "../diffusion/sample.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import {
  captionOf,
  type Concept,
  CONCEPTS,
  conceptScene,
  type Place,
  PLACES,
  randomScene,
  renderScene,
  Rng,
} from "./mod.ts";

const MODEL = new URL("./miniature", import.meta.url).pathname;
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

/** What one run gave. */
interface Row {
  readonly concept: string;
  readonly seed: number;
  readonly regularized: boolean;
  readonly frac: number;
  readonly align: number;
  readonly base: number;
  readonly ceil: number;
  readonly kid: number;
  readonly classKept: number;
  readonly seconds: number;
}

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    seeds: { type: "string", default: "3" },
    concepts: { type: "string", default: CONCEPTS.map((c) => c.name).join() },
    out: { type: "string", default: "measure.jsonl" },
    steps: { type: "string", default: "250" },
    rate: { type: "string", default: "1e-3" },
    samples: { type: "string", default: "16" },
  },
});

const picture = (data: Uint8Array): Picture => ({ width: SIDE, height: SIDE, data });
const times = <T>(n: number, f: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => f(i));

/** Pictures of a class that this world really has, with captions. */
function realPictures(category: Concept["category"], from: number, count: number, photos: boolean) {
  return times(count, (i) => {
    const scene = randomScene(from + i, {
      category,
      ...(photos ? { style: "photo", relation: null } as const : {}),
    });
    return { picture: picture(renderScene(scene)), caption: captionOf(scene, new Rng(from + i)) };
  });
}

async function measure(
  model: Pipeline,
  scorer: Scorer,
  concept: Concept,
  seed: number,
  regularized: boolean,
): Promise<Row> {
  const started = performance.now();
  const { category } = concept;
  const n = Number(flags.samples);
  const targets = await Promise.all(
    (await listPictures(`${TARGETS}${concept.name}`)).map(readPicture),
  );
  const delta = await trainConcepts(model, {
    concepts: [{ token: TOKEN, className: category, pictures: targets }],
    regularization: regularized ? realPictures(category, 10_000, REGULARIZATION, false) : [],
    steps: Number(flags.steps),
    rate: Number(flags.rate),
    seed,
  });
  const tuned = withDelta(model, delta);
  const prompts = times(
    n,
    (i) => `photo of a ${TOKEN} ${category} ${WHERE[PLACES[i % PLACES.length]]}`,
  );
  const sampling = { steps: 20, guidance: 3, eta: 0, batch: 8, seed: 1000 * seed };
  const made = await generate(tuned, prompts, sampling);
  const before = await generate(model, prompts, sampling);
  const fresh = times(
    n,
    (i) =>
      picture(
        renderScene(conceptScene(concept.name, 900_000 + i, { place: PLACES[i % PLACES.length] })),
      ),
  );
  const classPictures = await generate(tuned, times(2 * n, () => `photo of a ${category}`), {
    ...sampling,
    seed: 1000 * seed + 500,
  });
  const real = realPictures(category, 50_000, 64, true).map((r) => r.picture);

  const to = await scorer.features(targets);
  const score = async (p: readonly Picture[]) => imageAlignment(await scorer.features(p), to);
  const [align, base, ceil] = [await score(made), await score(before), await score(fresh)];
  const labels = await scorer.labels(classPictures);
  tuned.free();
  return {
    concept: concept.name,
    seed,
    regularized,
    frac: learntFraction(align, base, ceil),
    align,
    base,
    ceil,
    kid: kid(await scorer.features(classPictures), await scorer.features(real)),
    classKept: labels.filter((l) => l.class === category).length / labels.length,
    seconds: (performance.now() - started) / 1000,
  };
}

if (import.meta.main) {
  const done = new Set<string>();
  try {
    for (const line of (await Deno.readTextFile(flags.out)).trim().split("\n")) {
      const { concept, seed, regularized } = JSON.parse(line) as Row;
      done.add(`${concept} ${seed} ${regularized}`);
    }
  } catch {
    // Nothing measured yet.
  }
  const device = await gpu();
  const model = await loadPipeline(device, MODEL, { addTokens: { [TOKEN]: "ktn" } });
  const scorer = await openScorer(device, MODEL);
  for (let seed = 0; seed < Number(flags.seeds); seed++) {
    for (const name of flags.concepts.split(",")) {
      for (const regularized of [true, false]) {
        if (done.has(`${name} ${seed} ${regularized}`)) continue;
        const row = await measure(
          model,
          scorer,
          CONCEPTS.find((c) => c.name === name)!,
          seed,
          regularized,
        );
        console.log(JSON.stringify(row));
        await Deno.writeTextFile(flags.out, JSON.stringify(row) + "\n", { append: true });
      }
    }
  }
}
