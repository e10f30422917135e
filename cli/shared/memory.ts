/** What `--memory` makes of a run: precision and layout, planned before the model is loaded. */
import type { Delta } from "../../concepts/deltas/delta.ts";
import { BindingError } from "../../compile/errors.ts";
import { MemoryError } from "../../device/memory.ts";
import {
  planSamplingMemory,
  type Precision,
  type SamplingPlan,
  type SamplingShape,
} from "../../diffusion/memory.ts";
import {
  knowing,
  type PipelineConfig,
  pipelineConfig,
  withActivations,
} from "../../diffusion/pipeline.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import type { AdapterProfile } from "../../tensor/kernel.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { ModelFacts } from "./model.ts";
import { bytesNeeded } from "../../numerics/quantities.ts";

/** What a user allows. */
export interface MemoryRequest {
  /** Of the weights; undefined: f32, or f16 where `memory` asks for it. */
  readonly precision?: Precision;
  /** Element type of activations; undefined: f32. */
  readonly activations?: Precision;
  /** Bytes; undefined: no limit. */
  readonly memory?: number;
}

/** Precisions in the order in which they are tried. */
export const precisions = ({ precision, memory }: MemoryRequest): readonly Precision[] =>
  precision ? [precision] : memory === undefined ? ["f32"] : ["f32", "f16"];

/** The configs of a model that knows its new words, with activations as they are asked for. */
export function configOf(
  { folder, tokenizer }: ModelFacts,
  profile: AdapterProfile,
  { activations }: MemoryRequest,
): PipelineConfig {
  const stated = pipelineConfig(folder);
  const { text_encoder: one, text_encoder_2: other } = stated;
  const config = {
    ...stated,
    text_encoder: knowing(one, tokenizer),
    ...(other && { text_encoder_2: knowing(other, tokenizer) }),
  };
  return withActivations(config, activations, profile);
}

/** What is to be sampled. */
export interface Sampled {
  readonly batch: number;
  readonly width: number;
  readonly height: number;
  readonly guidance: number;
  readonly image: boolean;
  readonly deltas: readonly Delta[];
  /** See {@linkcode SamplingShape}. */
  readonly attention?: SamplingShape["attention"];
  readonly grain?: number;
}

/** Bytes that deltas hold beside the model: the parameters that they change, in f32, and token tables with new rows. */
export function deltaBytes(
  { text_encoder: one, text_encoder_2: other }: PipelineConfig,
  deltas: readonly Delta[],
): number {
  const changed = new Map(
    deltas.flatMap(({ weights }) =>
      [...weights].map(([path, { shape }]) => [path, sizeOf(shape)] as const)
    ),
  );
  const tables = deltas.some((d) => d.tokens.length) ? [one, ...other ? [other] : []] : [];
  const values = [...changed.values(), ...tables.map((t) => t.vocabulary * t.width)];
  return 4 * values.reduce((a, b) => a + b, 0);
}

/**
 * How to sample: in what precision, and how many pictures at once.
 *
 * @throws UsageError saying what would be needed
 */
export function planSamplingWithin(
  profile: AdapterProfile,
  facts: ModelFacts,
  sampled: Sampled,
  request: MemoryRequest,
): SamplingPlan {
  const config = configOf(facts, profile, request);
  const factor = vaeFactor(config.vae);
  const shape = {
    batch: sampled.batch,
    cells: [sampled.height / factor, sampled.width / factor] as const,
    guided: sampled.guidance !== 1,
    ...{ image: sampled.image, attention: sampled.attention, grain: sampled.grain },
    deltas: deltaBytes(config, sampled.deltas),
  };
  return orUsage(
    "Ask for smaller pictures, or allow --precision f16",
    () => planSamplingMemory(profile, config, shape, request.memory, precisions(request)),
  );
}

/** A sampling plan in words. */
export const describeSampling = ({ total, precision, batch }: SamplingPlan): string =>
  `memory: ${bytesNeeded(total)} planned, weights in ${precision}, ${batch} at a time`;

/** What does not fit, as advice to the user. */
export function orUsage<T>(advice: string, plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof MemoryError || error instanceof BindingError)) throw error;
    throw new UsageError(`${error.message}. ${advice}`, { cause: error });
  }
}
