/**
 * The work of `moongate demo`: two things that the shipped model has never seen are taught to it, one after the other,
 * asked for in new places, merged, and asked for again. What comes out is one contact sheet and a report.
 */
import { DELTA_FILE } from "../concepts/delta.ts";
import { saveDelta } from "../concepts/formats/save.ts";
import { withDelta } from "../concepts/apply.ts";
import type { MergeReport } from "../concepts/merge.ts";
import { mergeDeltas } from "../concepts/merge_deltas.ts";
import { trainConcepts } from "../concepts/train.ts";
import { gpu } from "../device/adapter.ts";
import { Sampler } from "../diffusion/sample.ts";
import type { Picture } from "../files/picture.ts";
import { writePng } from "../files/png.ts";
import { sheet } from "../files/sheet.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { readText } from "../files/json.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { type DemoConcept, type DemoPlan, demoPlan } from "./demo_plan.ts";
import { Interrupted } from "../terminal/interrupt.ts";
import { reportPage } from "./report.ts";
import type { DemoRequest, Ui } from "./requests.ts";
import { CAPTIONS_FILE, reportTable } from "./work_merge.ts";
import { loading } from "./work_train.ts";

/** A taught concept with what it looked like. */
interface Taught {
  readonly concept: DemoConcept;
  readonly delta: Awaited<ReturnType<typeof trainConcepts>>;
  readonly losses: readonly { readonly step: number; readonly loss: number }[];
  readonly before: Picture[];
  readonly after: Picture[];
  readonly seconds: number;
}

/** Teaches two concepts to the model that ships; gives the path of the picture. */
export async function demo(request: DemoRequest, ui: Ui): Promise<string> {
  try {
    return await teachAndShow(request, ui);
  } catch (error) {
    if (!ui.interrupt.requested || (error as Error).name !== "AbortError") throw error;
    // Minutes of work: what was taught already is in the folder, and there is nothing to go on with.
    ui.say(`stopped; deltas of concepts that were finished are in ${request.out}`);
    throw new Interrupted();
  }
}

async function teachAndShow(request: DemoRequest, ui: Ui): Promise<string> {
  const began = performance.now();
  const plan = await demoPlan(request);
  using device = await gpu();
  ui.say(`on ${device.facts.description}`);
  const model = await loadPipeline(device, plan.model, {
    addTokens: Object.fromEntries(plan.concepts.map((c) => [c.token, c.initializer])),
    onProgress: loading(ui),
  });
  const sampler = new Sampler(model);
  await Deno.mkdir(request.out, { recursive: true });

  const taught: Taught[] = [];
  for (const concept of plan.concepts) {
    taught.push(await teach(model, sampler, concept, plan, request, ui));
  }

  ui.progress.start("merge", 1);
  const captions = (await readText(`${plan.model}/${CAPTIONS_FILE}`)).split("\n").filter(Boolean);
  const { delta, reports } = await mergeDeltas(model, taught.map((t) => t.delta), {
    regularization: captions,
    ridge: plan.ridge,
  });
  await saveDelta(`${request.out}/merged.safetensors`, delta);
  const merged = withDelta(model, delta);
  const mergedPictures = await sample(
    sampler,
    merged,
    plan.mergedPrompts,
    "pictures of both",
    plan,
    request.seed,
    ui,
  );
  merged.free();
  ui.progress.stop();

  const path = `${request.out}/demo.png`;
  await writePng(path, contactSheet(plan, taught, mergedPictures));
  const seconds = (performance.now() - began) / 1000;
  await writeFileAtomic(
    `${request.out}/report.html`,
    await page(plan, taught, mergedPictures, reports, device.facts.description, seconds),
  );
  ui.say(`report: ${request.out}/report.html`);
  ui.say(`took ${Math.round(seconds)} s`);
  return path;
}

async function teach(
  model: Pipeline,
  sampler: Sampler,
  concept: DemoConcept,
  plan: DemoPlan,
  request: DemoRequest,
  ui: Ui,
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
  ui.progress.start(`${concept.name}: training`, plan.steps);
  const delta = await trainConcepts(model, {
    concepts: [concept],
    regularization: concept.regularization,
    steps: plan.steps,
    rate: plan.rate,
    seed: request.seed,
    signal: ui.interrupt.signal,
    onReport: ({ step, loss, memory }) => {
      losses.push({ step, loss });
      ui.progress.update(step, { loss, memory });
      ui.interrupt.signal.throwIfAborted();
    },
  });
  await Deno.mkdir(`${request.out}/${concept.name}`, { recursive: true });
  await saveDelta(`${request.out}/${concept.name}/${DELTA_FILE}`, delta);
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
  ui.progress.start(label, plan.sampling.steps);
  return await sampler.generate(prompts, {
    ...plan.sampling,
    seed,
    batch: prompts.length,
    signal: ui.interrupt.signal,
    onStep: (done) => ui.progress.update(done),
  }, model.params);
}

/** Targets, before and after of each concept, then both concepts from the merged model. */
function contactSheet(
  plan: DemoPlan,
  taught: readonly Taught[],
  merged: readonly Picture[],
): Picture {
  const across = plan.concepts[0].prompts.length;
  const rows = [
    ...taught.flatMap(({ concept, before, after }) => [
      {
        title: `what it is taught: ${concept.description}`,
        pictures: concept.pictures.slice(0, across) as Picture[],
        labels: [],
      },
      { title: "before", pictures: before, labels: concept.prompts },
      { title: "after", pictures: after, labels: concept.prompts },
    ]),
    { title: "both, merged in closed form", pictures: merged, labels: plan.mergedPrompts },
  ];
  return sheet(rows.map((r) => r.pictures), {
    zoom: 3,
    textScale: 1,
    titles: rows.map((r) => r.title),
    labels: rows.map((r) => r.labels),
  });
}

function page(
  plan: DemoPlan,
  taught: readonly Taught[],
  merged: readonly Picture[],
  reports: ReadonlyMap<string, MergeReport>,
  adapter: string,
  seconds: number,
): Promise<string> {
  const numbers =
    `${plan.steps} steps of ${plan.rate}, ${plan.sampling.steps} sampling steps, guidance ${plan.sampling.guidance}`;
  return reportPage({
    title: "moongate demo",
    lead: `Two things that the model had never seen, taught on ${adapter} in ${
      Math.round(seconds)
    } s (${numbers}).`,
    sections: [
      ...taught.map(({ concept, before, after, losses, seconds }) => ({
        title: `${concept.token} ${concept.className}: ${concept.description}`,
        text:
          `Taught from ${concept.pictures.length} pictures and ${concept.regularization.length} of other ${concept.className}s, in ${
            Math.round(seconds)
          } s.`,
        rows: [
          {
            title: "pictures it was taught from",
            pictures: concept.pictures as Picture[],
            captions: [],
          },
          { title: "the untouched model", pictures: before, captions: concept.prompts },
          { title: "after", pictures: after, captions: concept.prompts },
        ],
        curve: losses,
      })),
      {
        title: "Merged",
        text: "Both sets of key and value matrices in one, in closed form; no training.",
        rows: [{ title: "", pictures: merged, captions: plan.mergedPrompts }],
        pre: reportTable(reports).join("\n"),
      },
    ],
  });
}
