/** The work of `moongate train`: from a checked plan to a delta, with checkpoints on the way. */
import type { CaptionedPicture } from "../../concepts/data/batches.ts";
import {
  type Checkpoint,
  CHECKPOINT_FILE,
  saveCheckpoint,
} from "../../concepts/training/checkpoints.ts";
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { saveDelta } from "../../concepts/deltas/formats/save.ts";
import { chooseRegularization, type ChosenSet } from "../../concepts/data/choose.ts";
import { generateRegularization } from "../../concepts/data/regularization.ts";
import type { TrainingPlan } from "../../concepts/training/memory.ts";
import { trainConcepts, type TrainReport } from "../../concepts/training/train.ts";
import type { Device } from "../../device/device.ts";
import { Sampler } from "../../diffusion/sample.ts";
import { openClip } from "../../evaluate/clip.ts";
import { fileNames } from "../../files/file_names.ts";
import { commonDivisor } from "../../numerics/integers.ts";
import { loadPipeline, type Pipeline } from "../../diffusion/pipeline.ts";
import { checkTexts } from "../../models/text_window.ts";
import { figures } from "../../numerics/quantities.ts";
import { checkpointFolder, keepNewest, removeRun, removeStates } from "./checkpoints.ts";
import { openDevice } from "../shared/device.ts";
import { nextLine } from "../shared/hints.ts";
import { describePlan, planTrainingWithin } from "./memory.ts";
import { openMetrics } from "../../files/metrics/metrics.ts";
import { counting, loading, phases } from "../shared/phases.ts";
import { REGULARIZATION_FOLDER } from "./claim.ts";
import type { PriorRequest, TrainRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { describeRun, findCheckpoint } from "./resume.ts";
import { TrainingSamples } from "./samples.ts";
import { squareOf } from "./pictures.ts";
import { planTraining, type TrainPlan } from "./plan.ts";
import { besideSteps, trainingBar } from "./progress.ts";

export { claimTrain as claim } from "./claim.ts";

/** Teaches concepts; gives the path of the delta. */
export async function run(request: TrainRequest, ui: Ui): Promise<string> {
  const plan = await planTraining(request);
  for (const remark of plan.remarks) ui.progress.note(remark);
  using device = await openDevice(request, ui);
  const memory = planTrainingWithin(device.profile, plan, request);
  if (plan.halved) {
    ui.progress.note(
      `no regularization pictures: half the steps, ${plan.settings.steps} (--steps says otherwise)`,
    );
  }
  await choose(request, plan, device, ui);
  const run = await describeRun(request, plan, memory.precision);
  const resume = request.resume
    ? await findCheckpoint(request.out, run, plan.settings.steps, ui)
    : undefined;
  if (request.memory !== undefined) {
    ui.progress.note(describePlan(plan.settings.batch, memory));
  }
  const model = await loadPipeline(device, plan.model.folder, {
    addTokens: plan.addTokens,
    ...{ dtype: memory.precision, activations: request.activations },
    onProgress: loading(ui),
  });
  try {
    const regularization = await regularize(request, plan, model, ui);
    const path = await teach(request, plan, { model, regularization, run, resume, memory }, ui);
    const prompt = plan.samplePrompts[0];
    ui.progress.note(
      nextLine(["generate", "--model", request.model, "--delta", request.out, prompt]),
    );
    return path;
  } catch (error) {
    if (ui.interrupt.requested && (error as Error).name === "AbortError") {
      ui.interrupt.saved(resumeCommand(ui));
    }
    throw error;
  }
}

/** What training runs on. */
interface Prepared {
  model: Pipeline;
  regularization: CaptionedPicture[];
  run: string;
  resume?: Checkpoint;
  memory: TrainingPlan;
}

async function teach(
  request: TrainRequest,
  plan: TrainPlan,
  { model, regularization, run, resume, memory }: Prepared,
  ui: Ui,
): Promise<string> {
  const { progress, interrupt } = ui;
  const { concepts, settings, start } = plan;
  const began = performance.now();
  if (!resume) await removeRun(request.out);
  const metrics = await openMetrics(request.out, resume?.step);
  const samples = samplesOf(request, plan, model);
  samples?.prepare();
  const delta = await trainConcepts(model, {
    ...settings,
    concepts,
    regularization,
    start: start?.delta,
    resume,
    layout: memory.layout,
    onPrepare: phases(ui, (what) => `encode ${what}`),
    onStep: trainingBar(progress, besideSteps(request, plan, model, memory, resume?.step ?? 0)),
    signal: interrupt.signal,
    reportEvery: [request.saveEvery, request.sampleEvery ?? 0].reduce(
      commonDivisor,
      request.logEvery,
    ),
    async onReport(report) {
      const { step, loss, memory } = report;
      progress.update(step, { loss, memory });
      const last = step === settings.steps;
      const seconds = (performance.now() - began) / 1000;
      if (step % request.logEvery === 0 || last) await metrics.log({ step, loss, seconds, memory });
      // Before the checkpoint: a run that goes on from there makes none of the step any more.
      if (samples && (step % request.sampleEvery! === 0 || last)) {
        const remark = await samples.make(step, await report.delta(), metrics);
        progress.did("samples");
        if (remark) progress.note(remark);
      }
      if (!last && (step % request.saveEvery === 0 || interrupt.requested)) {
        await saveAt(request, model.device, run, report);
        progress.did("checkpoint");
      }
      if (!last && interrupt.requested) interrupt.saved(resumeCommand(ui));
    },
  });
  samples?.free();
  progress.stop();
  const path = `${request.out}/${DELTA_FILE}`;
  await saveDelta(path, delta);
  await removeStates(request.out);
  return path;
}

/** Saves a checkpoint: its delta, and last the state, which makes it one. */
async function saveAt(
  { out, keep }: TrainRequest,
  device: Device,
  run: string,
  { step, state, delta }: TrainReport,
): Promise<void> {
  const folder = checkpointFolder(out, step);
  await Deno.mkdir(folder, { recursive: true });
  await saveDelta(`${folder}/${DELTA_FILE}`, await delta());
  await saveCheckpoint(`${folder}/${CHECKPOINT_FILE}`, device, step, run, state);
  await keepNewest(out, keep, step);
}

/** The samples that were asked for, as the model is sampled from by default. */
function samplesOf(
  { sampleEvery, out, memory }: TrainRequest,
  { model: { defaults }, samplePrompts, settings: { seed, size } }: TrainPlan,
  model: Pipeline,
): TrainingSamples | undefined {
  if (sampleEvery === undefined) return undefined;
  const sides = { width: size, height: size };
  return new TrainingSamples(model, out, samplePrompts, {
    ...defaults.sampling,
    ...{ ...sides, seed, memory },
  });
}

/** Chooses regularization pictures from a collection, before the model takes its memory; says how it went. */
async function choose(
  { prior }: TrainRequest,
  { model, classes, scorer: clip, settings }: TrainPlan,
  device: Device,
  ui: Ui,
): Promise<void> {
  if (!prior || !clip) return;
  const scorer = await openClip(device, clip, counting(ui, "load CLIP"));
  try {
    for (const one of classes) {
      if (!one.collection) continue;
      const { prompt, collection } = one, square = squareOf(settings.size);
      const found = await chooseRegularization(
        collection,
        prior.from,
        prompt,
        scorer,
        square,
        {
          ...prior,
          onWarning: (line) => ui.progress.note(line),
          onProgress: counting(ui, `compare captions with "${prompt}"`),
        },
      );
      const chosen = found.pictures.map((p) => p.caption);
      checkTexts(model.window, chosen, "regularization caption", (line) => ui.progress.note(line));
      one.pictures = found.pictures;
      for (const line of describeChoice(prompt, found, prior)) ui.progress.note(line);
    }
  } finally {
    scorer.free();
  }
}

/** What was chosen, in words, and what there is to remark on it. */
function describeChoice(
  prompt: string,
  { pictures, similarities, compared, near, unreadable }: ChosenSet,
  { count, similarity }: PriorRequest,
): string[] {
  const [best, last] = [similarities[0], similarities.at(-1)!].map(figures);
  const few = pictures.length < count;
  return [
    `"${prompt}": ${pictures.length} pictures chosen, similarity ${best} to ${last}; ` +
    `${near} of ${compared} captions are above ${similarity}`,
    ...few ? [`fewer than the ${count} wanted: each is seen more often`] : [],
    ...unreadable.length ? [`${unreadable.length} were passed over: ${unreadable[0]}`] : [],
  ];
}

/** Regularization pictures of all classes: those that were read, and those that the model makes now. */
async function regularize(
  request: TrainRequest,
  { model: facts, classes, settings, priorImages }: TrainPlan,
  model: Pipeline,
  ui: Ui,
): Promise<CaptionedPicture[]> {
  const sets: CaptionedPicture[] = [];
  let sampler: Sampler | undefined;
  const names = fileNames(classes.map(({ category }) => category), "class");
  for (const [i, { prompt, pictures }] of classes.entries()) {
    if (pictures) {
      for (const picture of pictures) sets.push(picture);
      continue;
    }
    const { steps, guidance } = facts.defaults.sampling;
    const count = priorImages;
    const show = phases(ui, (prompt) => `pictures of "${prompt}"`);
    const folder = `${request.out}/${REGULARIZATION_FOLDER}/${names[i]}`;
    const recipe = { prompt, count, seed: settings.seed, steps, guidance, base: facts.base };
    sampler ??= new Sampler(model);
    const wanted = { ...recipe, size: settings.size };
    const made = await generateRegularization(sampler, folder, wanted, {
      signal: ui.interrupt.signal,
      memory: request.memory,
      replace: request.overwrite,
      onPicture: (done) => show(prompt, done, count),
    });
    for (const picture of made) sets.push(picture);
  }
  sampler?.free();
  ui.progress.stop();
  return sets;
}

const resumeCommand = ({ typed }: Ui): string =>
  `${typed.replaceAll(/ --(resume|overwrite)(?= |$)/g, "")} --resume`;
