/** What `--memory` makes of a run: precision and layout, planned before the model is loaded. */
import { targetsOf } from "../concepts/batches.ts";
import { describeLayout, planTrainingMemory, type TrainingPlan } from "../concepts/memory.ts";
import { customDiffusionMask } from "../concepts/train.ts";
import { BindingError } from "../compile/plan.ts";
import { MemoryError, showSize } from "../device/memory.ts";
import { planSamplingMemory, type Precision, type SamplingPlan } from "../diffusion/memory.ts";
import type { PipelineConfig } from "../diffusion/pipeline.ts";
import { clipTextConfig } from "../models/clip_text.ts";
import { unetConfig } from "../models/unet.ts";
import { vaeConfig, vaeFactor } from "../models/vae.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { UsageError } from "./errors.ts";
import type { ModelFacts } from "./model.ts";
import type { TrainPlan } from "./train_plan.ts";

/** What a user allows. */
export interface MemoryRequest {
  /** Of the weights; undefined: f32, or f16 where `memory` asks for it. */
  readonly precision?: Precision;
  /** Bytes; undefined: no limit. */
  readonly memory?: number;
}

/** Precisions in the order in which they are tried. */
const precisions = ({ precision, memory }: MemoryRequest): readonly Precision[] =>
  precision ? [precision] : memory === undefined ? ["f32"] : ["f32", "f16"];

/** The configs of a model that knows its new words. */
function configOf({ folder, tokenizer }: ModelFacts): PipelineConfig {
  const text = clipTextConfig(folder.config("text_encoder"));
  return {
    unet: unetConfig(folder.config("unet")),
    vae: vaeConfig(folder.config("vae")),
    text_encoder: { ...text, vocabulary: Math.max(text.vocabulary, tokenizer.size) },
  };
}

/**
 * How to train: in what precision, and in which layout.
 *
 * @throws UsageError saying what would be needed
 */
export function planTrainingWithin(
  profile: AdapterProfile,
  { model, settings, addTokens, classes }: TrainPlan,
  request: MemoryRequest,
): TrainingPlan {
  const { batch, size } = settings;
  const shape = {
    config: configOf(model),
    schedule: model.schedule,
    trains: (params: Parameters<typeof customDiffusionMask>[0]["params"]) =>
      customDiffusionMask(
        { params, tokenIds: (word) => model.tokenizer.idsOf(word) },
        Object.keys(addTokens),
      ),
    batch,
    targets: targetsOf(batch, classes.length),
    size,
  };
  return orUsage(
    "Lower --batch or --size, or allow --precision f16",
    () => planTrainingMemory(profile, shape, request.memory, precisions(request)),
  );
}

/** A training plan in words. */
export const describePlan = (batch: number, { precision, layout, total }: TrainingPlan): string =>
  `memory: ${showSize(total)} planned, weights in ${precision}, ${describeLayout(batch, layout)}`;

/**
 * How to sample: in what precision, and how many pictures at once.
 *
 * @throws UsageError saying what would be needed
 */
export function planSamplingWithin(
  profile: AdapterProfile,
  facts: ModelFacts,
  sampled: { batch: number; width: number; height: number; guidance: number; image: boolean },
  request: MemoryRequest,
): SamplingPlan {
  const config = configOf(facts);
  const factor = vaeFactor(config.vae);
  const shape = {
    batch: sampled.batch,
    cells: [sampled.height / factor, sampled.width / factor] as const,
    guided: sampled.guidance !== 1,
    image: sampled.image,
  };
  return orUsage(
    "Ask for smaller pictures, or allow --precision f16",
    () => planSamplingMemory(profile, config, shape, request.memory, precisions(request)),
  );
}

function orUsage<T>(advice: string, plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof MemoryError || error instanceof BindingError)) throw error;
    throw new UsageError(`${error.message}. ${advice}`, { cause: error });
  }
}
