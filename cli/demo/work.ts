/**
 * The work of `moongate demo`: two things that the shipped model has never seen are taught to it, one after the other,
 * asked for in new places, merged, and asked for again. What comes out is one contact sheet and a report, which say by
 * CLIP, too, how much of each concept was learnt and how much of that the merge kept.
 */
import { saveDelta } from "../../concepts/deltas/formats/save.ts";
import { withDelta } from "../../concepts/deltas/apply.ts";
import { mergeDeltas } from "../../concepts/merge/deltas.ts";
import { trainConcepts } from "../../concepts/training/train.ts";
import { imageAlignment } from "../../evaluate/alignment.ts";
import { type ClipScorer, openClip } from "../../evaluate/clip.ts";
import { Sampler } from "../../diffusion/sample.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import { writePng } from "../../files/pictures/png.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { type OwnFiles, ownFiles } from "../../files/own_files.ts";
import { readLines } from "../../files/text.ts";
import { loadPipeline, type Pipeline } from "../../diffusion/pipeline.ts";
import { contactSheet, demoPage, type Learnt, type Taught } from "./page.ts";
import { type DemoConcept, type DemoPlan, demoPlan } from "./plan.ts";
import { duration, figures } from "../../numerics/quantities.ts";
import { Interrupted } from "../../terminal/interrupt.ts";
import { openDevice } from "../shared/device.ts";
import { counting, loading, phases } from "../shared/phases.ts";
import type { DemoRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { DEMO } from "./claim.ts";
import { CAPTIONS_FILE } from "../merge/work.ts";

export { claimDemo as claim } from "./claim.ts";

/** Teaches two concepts to the model that ships; gives the path of the picture. */
export async function run(request: DemoRequest, ui: Ui): Promise<string> {
  const written: string[] = [];
  try {
    return await teachAndShow(request, ui, written);
  } catch (error) {
    if (!ui.interrupt.requested || (error as Error).name !== "AbortError") throw error;
    // Minutes of work: what was taught already is in the folder, and there is nothing to go on with.
    ui.say(
      written.length
        ? `stopped; what was finished is in ${request.out}: ${written.join(", ")}`
        : "stopped before a concept was finished: nothing was written",
    );
    throw new Interrupted();
  }
}

/** @param written hears of each delta that is there, under the folder */
async function teachAndShow(request: DemoRequest, ui: Ui, written: string[]): Promise<string> {
  const began = performance.now();
  const plan = await demoPlan(request);
  using device = await openDevice(request, ui);
  const model = await loadPipeline(device, plan.model, {
    addTokens: Object.fromEntries(plan.concepts.map((c) => [c.token, c.initializer])),
    onProgress: loading(ui),
  });
  const sampler = new Sampler(model);
  const own = await ownFiles(request.out, "demo");

  const taught: Taught[] = [];
  for (const concept of plan.concepts) {
    taught.push(await teach(model, sampler, concept, plan, request, own, ui, written));
  }

  const captions = await readLines(`${plan.model}/${CAPTIONS_FILE}`);
  const { delta, reports } = await mergeDeltas(model, taught.map((t) => t.delta), {
    regularization: captions,
    ridge: plan.ridge,
    onProgress: phases(ui, (what) => `merge: ${what}`),
    onWarning: (line) => ui.progress.note(line),
  });
  await own.make(DEMO.merged, (path) => saveDelta(path, delta));
  written.push(DEMO.merged);
  const merged = withDelta(model, delta);
  const show = (prompts: readonly string[], label: string) =>
    sample(sampler, merged, prompts, label, plan, request.seed, ui);
  const learnt: Learnt[] = [];
  const scorer = await openClip(device, `${plan.model}/clip`);
  for (const one of taught) {
    const pictures = await show(one.concept.prompts, `${one.concept.name}: merged`);
    learnt.push({ ...one, merged: pictures, alignment: await alignments(scorer, one, pictures) });
  }
  const pair = await show(plan.pairPrompts, "both in one picture");
  merged.free();
  scorer.free();
  ui.progress.stop();

  await own.make(DEMO.sheet, (path) => writePng(path, contactSheet(plan, learnt, pair)));
  const seconds = (performance.now() - began) / 1000;
  const page = await demoPage(plan, learnt, pair, reports, device.facts.description, seconds);
  await own.make(DEMO.report, (path) => writeFileAtomic(path, page));
  for (const { concept, alignment } of learnt) {
    const { before, after, merged, ideal } = alignment;
    ui.say(
      `${concept.name}: image alignment ${figures(before)} before, ${figures(after)} after, ` +
        `${figures(merged)} merged; fresh drawings of it ${figures(ideal)}`,
    );
  }
  ui.say(`report: ${request.out}/${DEMO.report}`);
  ui.say(`took ${duration(seconds)}`);
  return `${request.out}/${DEMO.sheet}`;
}

/** How much each set of pictures looks like what the concept was taught from. */
async function alignments(
  scorer: ClipScorer,
  { concept, before, after }: Taught,
  merged: readonly Picture[],
): Promise<Learnt["alignment"]> {
  const targets = await scorer.features(concept.pictures);
  const align = async (made: readonly Picture[]) =>
    imageAlignment(await scorer.features(made), targets);
  return {
    before: await align(before),
    after: await align(after),
    merged: await align(merged),
    ideal: await align(concept.ideal),
  };
}

async function teach(
  model: Pipeline,
  sampler: Sampler,
  concept: DemoConcept,
  plan: DemoPlan,
  request: DemoRequest,
  own: OwnFiles,
  ui: Ui,
  written: string[],
): Promise<Taught> {
  const started = performance.now();
  const before = await sample(
    sampler,
    model,
    concept.prompts,
    `${concept.name}: before`,
    plan,
    request.seed,
    ui,
  );
  const losses: { step: number; loss: number }[] = [];
  const show = counting(ui, `${concept.name}: training`);
  const delta = await trainConcepts(model, {
    concepts: [concept],
    regularization: concept.regularization,
    ...plan.training,
    seed: request.seed,
    signal: ui.interrupt.signal,
    onPrepare: phases(ui, (what) => `${concept.name}: encode ${what}`),
    onStep: show,
    onReport: ({ step, loss, memory }) => {
      losses.push({ step, loss });
      ui.progress.update(step, { loss, memory });
      ui.interrupt.signal.throwIfAborted();
    },
  });
  await Deno.mkdir(`${request.out}/${concept.name}`, { recursive: true });
  await own.make(DEMO.delta(concept.name), (path) => saveDelta(path, delta));
  written.push(DEMO.delta(concept.name));
  const tuned = withDelta(model, delta);
  const after = await sample(
    sampler,
    tuned,
    concept.prompts,
    `${concept.name}: after`,
    plan,
    request.seed,
    ui,
  );
  tuned.free();
  return { concept, delta, losses, before, after, seconds: (performance.now() - started) / 1000 };
}

async function sample(
  sampler: Sampler,
  model: Pipeline,
  prompts: readonly string[],
  label: string,
  plan: DemoPlan,
  seed: number,
  ui: Ui,
): Promise<Picture[]> {
  // All prompts make one batch: a step of the walk is a step of the bar.
  ui.progress.start(label, plan.sampling.steps, { beside: { picture: { times: prompts.length } } });
  const pictures = await sampler.generate(prompts, {
    ...plan.sampling,
    seed,
    batch: prompts.length,
    signal: ui.interrupt.signal,
    onStep: (done) => ui.progress.update(done),
    onPicture: () => ui.progress.did("picture"),
  }, model.params);
  ui.progress.stop();
  return pictures;
}
