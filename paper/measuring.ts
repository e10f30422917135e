/** Measuring a model: pictures of prompts that it was not taught, scored, and kept with what the report shows of them. */
import { withDelta } from "../concepts/deltas/apply.ts";
import { clipScores, targetCosines } from "../evaluate/alignment.ts";
import type { Estimate } from "../evaluate/bootstrap.ts";
import { mean } from "../evaluate/interval.ts";
import { kidEstimate } from "../evaluate/kid.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { readJsonObject } from "../files/json.ts";
import { isFile } from "../files/paths.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { writePng } from "../files/pictures/png.ts";
import { openDrawings, realPictures } from "../world/mod.ts";
import type { Lab, Shelf } from "./lab.ts";
import type { Source, Wanted } from "./plan.ts";
import { keyOf, type Recipe } from "./recipes.ts";
import { type Naming, promptsOf, type Subject, subjectOf } from "./subjects.ts";
import { obtain } from "./teach.ts";

/** What was measured of one model's pictures. */
export interface Measured {
  /** CLIPScore of each picture with its prompt, V* taken out. */
  readonly text: readonly number[];
  /** For each concept, and each picture, the mean cosine with the concept's own pictures. */
  readonly image: readonly (readonly number[])[];
  /** For each picture 1 if the classifier of concepts sees all that were asked for, and 0 if not. */
  readonly seen: readonly number[];
  /** Of pictures of the class that were sampled without guidance, against real ones. */
  readonly kid?: Estimate;
  /** For each picture of the class 1 if the classifier sees the class, and 0 if not. */
  readonly kept?: readonly number[];
  /** Files of the first pictures, one for each of the first prompts. */
  readonly pictures: readonly string[];
  /** Their prompts. */
  readonly prompts: readonly string[];
  /** Files of the first pictures of the class. */
  readonly classPictures: readonly string[];
  /** What it was sampled on. */
  readonly device: string;
}

/** What scores are held against: pictures that are known. */
export interface Anchors {
  /** Text alignment of what the prompts ask for, drawn with the concept itself. */
  readonly idealText: number;
  /** Image alignment of the same, for each concept. */
  readonly idealImage: readonly number[];
  /** Text alignment of the training pictures with these prompts: of a model that repeats them whatever it is asked. */
  readonly targetText: number;
}

/**
 * Guidance of the pictures that KID is of: none. Guidance narrows what a model draws of a class, and takes the untouched
 * model itself three times as far from real pictures; beside that, what training changed hardly shows.
 */
const KID_GUIDANCE = 1;
/** Pictures of a row that the report shows. */
const SHOWN = 8;

/** Where a row lies. */
export async function rowPath({ out, base, defaults }: Shelf, row: Wanted): Promise<string> {
  const { subject, variant, seed, recipe, guidance, prompts, samples, ofClass } = row;
  const content = {
    ...{ subject, seed, recipe, guidance, prompts, samples, ofClass },
    ...(ofClass && { kidGuidance: KID_GUIDANCE }),
  };
  const words = [...subject, variant, `s${seed}`];
  return `${out}/rows/${await keyOf(words, base, content, defaults.sampling)}.json`;
}

/** A row that was measured; undefined where it was not. */
export async function readRow(shelf: Shelf, row: Wanted): Promise<Measured | undefined> {
  const path = await rowPath(shelf, row);
  return await isFile(path) ? await readJsonObject(path) as unknown as Measured : undefined;
}

/** How prompts call the concepts. */
export const namingOf = (recipe: Recipe | undefined): Naming => {
  if (!recipe) return "class";
  const run = recipe.kind === "training" ? recipe : [recipe.of].flat()[0];
  return run.alone ? "token" : "both";
};

/** The model of a recipe; `free` gives back what it holds beside the untouched one. */
export async function modelOf(lab: Lab, { recipe }: Pick<Source, "recipe">) {
  if (!recipe) return { ...lab.model, free: () => {} };
  return withDelta(lab.model, await obtain(lab, recipe));
}

/** Measures a row and keeps it. */
export async function measure(lab: Lab, row: Wanted, real: number): Promise<void> {
  const subject = await subjectOf(row.subject, row.prompts);
  const model = await modelOf(lab, row);
  const { scorer, progress } = lab;
  const times = <T>(list: readonly T[]) => Array(row.samples).fill(list).flat() as T[];
  const prompts = times(promptsOf(subject, namingOf(row.recipe)));
  const all = prompts.length + 2 * row.ofClass;
  progress.start(`pictures: ${row.subject.join(" + ")}, ${row.title}`, all);
  const path = await rowPath(lab, row), stem = path.split("/").at(-1)!.replace(/\.json$/, "");
  try {
    const { guidance } = row;
    const made = await lab.sample(prompts, { guidance, seed: 1000 * row.seed }, model);
    progress.update(made.length);
    const features = await scorer.features(made);
    const words = await scorer.prompts(times(subject.captions));
    const image: number[][] = [];
    for (const targets of subject.targets) {
      image.push([...targetCosines(features, await scorer.features(targets))]);
    }
    const shown = await lab.judge.shown(made);
    const ofClass = row.ofClass ? await measureClass(lab, row, subject, model, real) : undefined;
    progress.update(all);
    const measured: Measured = {
      text: [...clipScores(features, words)],
      image,
      seen: shown.map((them) => Number(row.subject.every((name) => them.has(name)))),
      ...ofClass?.scores,
      pictures: await keep(lab, stem, "", made.slice(0, Math.min(SHOWN, row.prompts))),
      prompts: prompts.slice(0, Math.min(SHOWN, row.prompts)),
      classPictures: await keep(lab, stem, "class-", ofClass?.pictures ?? []),
      device: lab.model.device.facts.description,
    };
    await writeFileAtomic(path, `${JSON.stringify(measured)}\n`);
  } finally {
    model.free();
    progress.stop();
  }
}

async function measureClass(
  { scorer, sample }: Lab,
  { seed, guidance, ofClass }: Wanted,
  { categories: [category] }: Subject,
  model: Parameters<Lab["sample"]>[2],
  count: number,
) {
  const prompts = Array(ofClass).fill(`photo of a ${category}`);
  const draw = (guidance: number) => sample(prompts, { guidance, seed: 1000 * seed + 500 }, model);
  const made = await draw(guidance), free = await draw(KID_GUIDANCE);
  const real = await scorer.features(realPictures(await openDrawings(), category, count));
  const labels = await scorer.labels(made);
  return {
    pictures: made.slice(0, SHOWN),
    scores: {
      kid: kidEstimate(await scorer.features(free), real),
      kept: labels.map((l) => Number(l.class === category)),
    },
  };
}

async function keep(lab: Lab, stem: string, kind: string, pictures: readonly Picture[]) {
  const names = pictures.map((_, i) => `pictures/${stem}-${kind}${i}.png`);
  for (const [i, name] of names.entries()) await writePng(`${lab.out}/${name}`, pictures[i], {});
  return names;
}

/** What a subject's scores are held against; measured once. */
export async function anchorsOf(
  shelf: Shelf,
  names: readonly string[],
  prompts: number,
  lab?: Pick<Lab, "scorer">,
): Promise<Anchors | undefined> {
  const path = `${shelf.out}/rows/${await keyOf([...names, "anchors"], shelf.base, prompts)}.json`;
  if (await isFile(path)) return await readJsonObject(path) as unknown as Anchors;
  if (!lab) return undefined;
  const { scorer } = lab, { captions, ideal, targets } = await subjectOf(names, prompts);
  const words = await scorer.prompts(captions), drawn = await scorer.features(ideal);
  const repeated: number[] = [], idealImage: number[] = [];
  for (const pictures of targets) {
    idealImage.push(mean(targetCosines(drawn, await scorer.features(pictures))));
    for (const picture of pictures) {
      const same = await scorer.features(captions.map(() => picture));
      repeated.push(mean(clipScores(same, words)));
    }
  }
  const anchors = {
    ...{ idealText: mean(clipScores(drawn, words)), idealImage },
    targetText: mean(repeated),
  };
  await writeFileAtomic(path, `${JSON.stringify(anchors)}\n`);
  return anchors;
}
