/** What the verbs that sample share: everything looked through before a GPU is asked for, then the model with its deltas. */
import { withDeltas } from "../../concepts/deltas/apply.ts";
import type { Device } from "../../device/device.ts";
import { loadPipeline, type Pipeline, type PipelineOptions } from "../../diffusion/pipeline.ts";
import { checkTexts } from "../../models/text_window.ts";
import {
  checkPrompts,
  learnWords,
  type NamedDelta,
  openDeltas,
  overlap,
  tokensOf,
} from "./deltas.ts";
import { Interrupted } from "../../terminal/interrupt.ts";
import { inspectModel, type ModelFacts, sideFor, unknownWords } from "./model.ts";
import { loading } from "./phases.ts";
import type { DeltaRequest, SampledRequest } from "./sampled_request.ts";
import type { Ui } from "./ui.ts";
import { type SamplingPlan, samplingPlan } from "./sampling.ts";

/** A request that makes sense. */
export interface Sampled {
  readonly facts: ModelFacts;
  readonly deltas: NamedDelta[];
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  readonly plan: SamplingPlan;
  /** What is written into pictures. */
  readonly notes: Record<string, string>;
}

/**
 * Looks a request through.
 *
 * @param plain whether prompts without a taught word are taken
 * @throws UsageError, FileError for what cannot be done
 */
export async function lookThrough(
  request: SampledRequest,
  prompts: string[],
  plain: boolean,
  ui: Ui,
): Promise<Sampled> {
  const facts = await inspectModel(request.model);
  const deltas = await openDeltas(request.deltas.map((d) => d.path), facts);
  learnWords(facts, deltas);
  const remark = (line: string) => ui.progress.note(line);
  checkPrompts(prompts, deltas, facts, plain).forEach(remark);
  checkTexts(facts.window, prompts, "prompt", remark);
  const lost = [...new Set(prompts.flatMap((prompt) => unknownWords(facts, prompt)))];
  if (lost.length) remark(`the model has never seen ${lost.map((w) => `"${w}"`).join(", ")}`);
  const both = overlap(deltas);
  if (both) {
    ui.progress.note(
      `${both[0]} and ${
        both[1]
      } change the same weights: the changes are added. \`moongate merge\` ` +
        "makes one delta of them that keeps what each does to its own words",
    );
  }
  const size = sideFor(facts, request.size);
  const width = sideFor(facts, request.width ?? size, "--width");
  const height = sideFor(facts, request.height ?? size, "--height");
  const plan = samplingPlan(facts, request);
  if (plan.options.guidance !== 1) {
    checkTexts(facts.window, [request.negative], "negative prompt", remark);
  }
  const notes = {
    ...plan.notes,
    ...(request.negative && { negative: request.negative }),
    ...(deltas.length && { delta: request.deltas.map(nameOf).join(", ") }),
  };
  return { facts, deltas, width, height, plan, notes };
}

/** Loads the model, with its deltas in their strengths. */
export async function openSampled(
  device: Device,
  { facts, deltas }: Sampled,
  { deltas: given }: SampledRequest,
  ui: Ui,
  held: Pick<PipelineOptions, "dtype" | "activations"> = {},
): Promise<Pipeline> {
  const base = await loadPipeline(device, facts.folder, {
    addTokens: tokensOf(deltas, facts),
    ...held,
    onProgress: loading(ui),
  });
  return withDeltas(
    base,
    deltas.map(({ path, delta }, i) => ({ delta, name: path, strength: given[i].strength })),
  );
}

/** What to throw where a walk was stopped: with Ctrl-C, {@linkcode Interrupted} after a note. */
export function stopped(error: unknown, ui: Ui, note: string): unknown {
  if (!ui.interrupt.requested || (error as Error).name !== "AbortError") return error;
  ui.progress.note(`stopped: ${note}`);
  return new Interrupted();
}

/** A delta's name for notes: the folder's or file's, and its strength where it is another than 1. */
const nameOf = ({ path, strength }: DeltaRequest): string =>
  path.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1)! + (strength === 1 ? "" : ` × ${strength}`);
