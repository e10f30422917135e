/** Deltas by their recipes: read where they lie already, trained where not, with a checkpoint on the way. */
import { withDelta } from "../concepts/deltas/apply.ts";
import type { CaptionedPicture, Concept } from "../concepts/data/batches.ts";
import { loadCheckpoint, saveCheckpoint } from "../concepts/training/checkpoints.ts";
import { compressDelta } from "../concepts/deltas/compress.ts";
import type { Delta } from "../concepts/deltas/delta.ts";
import { tokenRows } from "../concepts/deltas/from_parameters.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { saveDelta } from "../concepts/deltas/formats/save.ts";
import { mergeDeltas } from "../concepts/merge/deltas.ts";
import { generateRegularization } from "../concepts/data/regularization.ts";
import { onTopOf } from "../concepts/training/earlier_delta.ts";
import { trainConcepts, type TrainReport } from "../concepts/training/train.ts";
import { CAPTIONS_FILE } from "../cli/merge/work.ts";
import type { Pipeline } from "../diffusion/pipeline.ts";
import { samplerOf } from "../diffusion/sample.ts";
import { FileError } from "../files/errors.ts";
import { readText } from "../files/text.ts";
import { isFile } from "../files/paths.ts";
import type { Progress } from "../terminal/progress.ts";
import { vaeFactor } from "../models/vae/vae.ts";
import { commonDivisor } from "../numerics/integers.ts";
import { conceptNamed, openDrawings, regularizationPictures, SEEDS } from "../world/mod.ts";
import { type Lab, type Shelf, TOGETHER } from "./lab.ts";
import { passedBy } from "./plan.ts";
import { endOf, keyOf, type Recipe, token, type Training } from "./recipes.ts";
import { subjectOf } from "./subjects.ts";

/** Where a training run's delta lies. */
export async function deltaPath({ out, base }: Pick<Shelf, "out" | "base">, t: Training) {
  const key = await keyOf([...t.concepts, t.trains, `s${t.seed}`, `${endOf(t)}`], base, t);
  return `${out}/deltas/${key}.safetensors`;
}

/** The delta of a recipe. */
export async function obtain(lab: Lab, recipe: Recipe): Promise<Delta> {
  if (recipe.kind === "training") return await trained(lab, recipe);
  if (recipe.kind === "compressed") {
    using base = await openBase(lab.folder);
    const { delta } = await compressDelta(await trained(lab, recipe.of), recipe.target, {
      base: base.read,
    });
    return delta;
  }
  const deltas: Delta[] = [];
  for (const [i, run] of recipe.of.entries()) {
    const delta = await trained(lab, run);
    // Each was taught by itself as the first: a V* is only a row, whatever it is called.
    deltas.push({ ...delta, tokens: delta.tokens.map((t) => ({ ...t, token: token(i) })) });
  }
  if (recipe.kind === "together") return deltas.reduce((before, delta) => onTopOf(before, delta));
  const text = await readText(`${lab.folder}/${CAPTIONS_FILE}`);
  const { delta } = await mergeDeltas(lab.model, deltas, {
    regularization: text.split(/\r?\n/).filter(Boolean),
    ridge: recipe.ridge,
  });
  return delta;
}

async function trained(lab: Lab, run: Training): Promise<Delta> {
  const path = await deltaPath(lab, run);
  if (await isFile(path)) return await loadDelta(path);
  const longer = await missingAround(lab, run);
  if (longer) {
    await trained(lab, longer);
    if (await isFile(path)) return await loadDelta(path);
  }
  const before = run.after && await trained(lab, run.after);
  const start = await startOf(lab, run, before);
  try {
    const whole = (delta: Delta) => onTopOf(before, delta);
    await saveDelta(path, whole(await train(lab, run, start, path, whole)));
  } finally {
    start.free();
  }
  const checkpoint = checkpointOf(path);
  if (await isFile(checkpoint)) await Deno.remove(checkpoint);
  return await loadDelta(path);
}

/** The longest planned run that passes this one and is still to be done: it leaves this one on its way. */
async function missingAround(lab: Lab, run: Training): Promise<Training | undefined> {
  const around = lab.trainings.filter((t) => passedBy(t, [run]).length);
  for (const t of around.toSorted((a, b) => endOf(b) - endOf(a))) {
    if (!await isFile(await deltaPath(lab, t))) return t;
  }
}

/** The model that a run starts from: the earlier one where there is one, and each V* where the run wants it. */
async function startOf(lab: Lab, run: Training, before?: Delta) {
  const { model, startToken } = lab;
  const rows: Float32Array[] = [];
  for (const entry of run.initializers) {
    rows.push(await tokenRows(model, model.tokenIds(startToken(entry))));
  }
  const fresh = run.tokens.map((token, i) => (
    { token, className: "", initializer: run.initializers[i] }
  ));
  return withDelta(model, {
    base: "",
    tokens: [...before?.tokens ?? [], ...fresh],
    embeddings: [...before?.embeddings ?? [], ...rows],
    weights: before?.weights ?? new Map(),
    notes: {},
  });
}

async function train(
  lab: Lab,
  run: Training,
  start: Pipeline,
  path: string,
  whole: (delta: Delta) => Delta,
): Promise<Delta> {
  const { model: { device }, progress } = lab;
  const concepts = await conceptsOf(run);
  const regularization = await regularizationOf(lab, run);
  const end = endOf(run), marks = new Map(passedBy(run, lab.trainings).map((t) => [endOf(t), t]));
  const label = `${run.concepts.join(" + ")}, ${run.trains}, seed ${run.seed}`;
  const checkpoint = checkpointOf(path), name = JSON.stringify(run);
  const resume = await savedIn(checkpoint, name, progress);
  progress.start(label, end, { done: resume?.step });
  let saved = performance.now();
  const onReport = async ({ step, loss, memory, state, delta }: TrainReport) => {
    progress.update(step, { loss, memory });
    const mark = marks.get(step);
    if (mark) await saveDelta(await deltaPath(lab, mark), whole(await delta()));
    if (step === end) return "stop";
    if (performance.now() - saved < lab.saveEvery) return;
    await saveCheckpoint(checkpoint, device, step, name, state);
    saved = performance.now();
  };
  const { steps, rate, schedule, batch, decay, template, seed, augment } = run;
  const { trains, freezeTokens, cutStartToken } = run;
  const delta = await trainConcepts(start, {
    ...{ concepts, regularization, steps, rate, schedule, batch, decay, template, seed, augment },
    ...{ trains, freezeTokens, cutStartToken, resume, onReport },
    reportEvery: [...marks.keys(), end, 10].reduce(commonDivisor),
  });
  progress.stop();
  return delta;
}

/** Where a run's state lies until its delta is there. */
const checkpointOf = (path: string): string => path.replace(/\.safetensors$/, ".checkpoint");

/** The state in a file; none where there is no file, or a damaged one, of which it says so. */
async function savedIn(path: string, run: string, { note }: Progress) {
  if (!await isFile(path)) return undefined;
  try {
    return await loadCheckpoint(path, run);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    note(`${error.message}: training from the start`);
  }
}

/** What is taught, with its pictures. */
export async function conceptsOf(run: Training): Promise<Concept[]> {
  const { targets, categories } = await subjectOf(run.concepts, 0);
  return run.concepts.map((_, i) => ({
    ...{ token: run.tokens[i], className: run.alone ? "" : categories[i] },
    ...{ pictures: targets[i], initializer: run.initializers[i] },
  }));
}

/** Regularization pictures of all classes of a run: this world's own, or what the model makes of the class. */
export async function regularizationOf(lab: Lab, run: Training): Promise<CaptionedPicture[]> {
  const sets: CaptionedPicture[] = [], drawings = await openDrawings();
  for (const { category } of run.concepts.map(conceptNamed)) {
    if (run.regularization === "none") continue;
    if (run.regularization === "real") {
      sets.push(...regularizationPictures(drawings, category, run.count));
      continue;
    }
    const { steps, guidance } = lab.defaults.sampling, { unet, vae } = lab.model.config;
    const prompt = `photo of a ${category}`;
    const set = {
      prompt,
      count: run.count,
      seed: SEEDS.regularization,
      steps,
      guidance,
      base: lab.base,
    };
    const size = unet.sampleSize * vaeFactor(vae);
    lab.progress.start(`pictures of "${prompt}"`, run.count);
    const made = await generateRegularization(
      samplerOf(lab.model),
      `${lab.out}/pictures/${await keyOf([category], set)}`,
      { ...set, size },
      { batch: TOGETHER, onPicture: (done) => lab.progress.update(done) },
    );
    sets.push(...made);
    lab.progress.stop();
  }
  return sets;
}
