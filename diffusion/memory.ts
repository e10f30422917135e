/** How much GPU memory sampling takes, planned from shapes, and how many pictures at once fit into a budget. */
import { expectKinds, having, NUMBER, RECORD } from "../tensor/kinds.ts";
import { type Draft, draft } from "../compile/estimate.ts";
import { BindingError } from "../compile/errors.ts";
import { bufferSize, MemoryError } from "../device/memory.ts";
import { promptKeys, SIZE_NUMBERS, unet } from "../models/unet/unet.ts";
import { vaeFactor } from "../models/vae/vae.ts";
import { input } from "../ops/leaf.ts";
import type { ParameterTree } from "../models/params.ts";
import type { DType } from "../tensor/dtype.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { byteSize, type Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten, type Tree } from "../tensor/tree.ts";
import type { AttentionControl } from "./attention_control.ts";
import { encodersOf, idsShape } from "./conditions.ts";
import { numbersFor, samplingStep } from "./denoise.ts";
import { type PipelineConfig, type PipelineParams, sketchParams } from "./pipeline.ts";
import { decoding, encoding, starting } from "./stages.ts";
import { bytes, bytesNeeded } from "../numerics/quantities.ts";

/** Element type of weights. */
export type Precision = "f32" | "f16";

/** Bytes of tensors, a model's weights for one, each in a buffer of its own. */
export const weightBytes = (tree: Tree<Tensor>): number =>
  flatten<Tensor>(tree).reduce((sum, [, t]) => sum + bufferSize(byteSize(t.spec)), 0);

/** What is sampled, as far as memory depends on it. */
export interface SamplingShape {
  /** Pictures at once. */
  readonly batch: number;
  /** Height and width of a latent. */
  readonly cells: readonly [h: number, w: number];
  /** Whether the model is asked with and without the prompt. */
  readonly guided: boolean;
  /** Whether it starts from a picture. */
  readonly image: boolean;
  /** Bytes of weights that deltas hold beside the model's own. Default 0. */
  readonly deltas?: number;
  /** @internal What walks of so many steps do with attention, for so many pictures. */
  readonly attention?: {
    readonly control: (batch: number) => AttentionControl;
    readonly steps: number;
  };
  /** Pictures that belong together, by which a batch is counted: 2 for an edit and its source. Default 1. */
  readonly grain?: number;
}

/** What is held beside the weights while pictures are sampled, in bytes. */
export interface SamplingMemory {
  /** Pictures at once. */
  readonly batch: number;
  /** Each program's slabs and data; all of them are kept until the last picture is made. */
  readonly programs: Readonly<Record<"text" | "denoiser" | "decoder" | "encoder", number>>;
  /** All of it. */
  readonly total: number;
  /** Operations of the products in a step of the batch, and in decoding one picture. */
  readonly work: { readonly step: number; readonly picture: number };
  /** Whether values of a step lie in pieces, since the adapter has no binding or no buffer that takes them whole. */
  readonly pieces: boolean;
}

/** Samplers remember up to this many earlier answers. */
const SLOTS = 4;

/** The programs that sample, planned. */
export interface SamplingDrafts {
  /** Encodes the prompts. */
  readonly text: Draft;
  /** Makes of them what every step uses. */
  readonly reader: Draft;
  /** A step of the walk; two where some steps do something with attention and others do not. */
  readonly denoisers: readonly Draft[];
  /** Makes one picture of its latent. */
  readonly decoder: Draft;
  /** Encodes the picture that is started from, where there is one. */
  readonly encoder?: Draft;
}

/** A model, as far as plans look at it. */
interface Planned {
  readonly config: PipelineConfig;
  readonly params: PipelineParams;
}

/** Plans the programs that sample. @throws BindingError where the adapter cannot bind them */
export function samplingDrafts(
  profile: AdapterProfile,
  { config, params }: Planned,
  { batch, cells: [h, w], guided, image, attention }: SamplingShape,
): SamplingDrafts {
  const { unet: { inChannels, contextWidth, added }, vae } = config;
  const some = (shape: Shape, dtype: DType = "f32") => input({ shape, dtype }, 0);
  const asked = guided ? 2 * batch : batch;
  const ids = idsShape(config, asked);
  const latents = [batch, h, w, inChannels];
  const slots = Array.from({ length: SLOTS }, () => some(latents));
  const control = attention?.control(batch);
  const recorded = control?.recorded ? [some(control.recorded)] : [];
  const state = { x: some(latents), slots, recorded };
  const keys = Array.from({ length: batch }, () => some([2], "u32"));
  const context = some([asked, ids.at(-1)!, contextWidth]);
  const read = (params: ParameterTree, context: Tensor) => promptKeys(config.unet, params, context);
  const prompt = read(params.unet, context);
  const told: Record<string, Tensor> = added
    ? { pooled: some([asked, added.pooledWidth]), sizes: some([asked, SIZE_NUMBERS]) }
    : {};
  const numbers = some([numbersFor(SLOTS)]);
  const steps = attention?.steps ?? 0;
  const all = Array.from({ length: steps }, (_, i) => control!.at(i, steps));
  const hooked = all.find((given) => given);
  const kinds = hooked
    ? [hooked, ...(all.every((given) => given) ? [] : [undefined])]
    : [undefined];
  const planned = <A extends unknown[]>(
    fn: (...args: A) => unknown,
    args: A,
    donate: number[] = [],
  ) => draft(profile, fn, args, { donate, hosted: [] });
  const side = vaeFactor(vae);
  // Steps with the hook and steps without it are two programs, both of which are kept.
  const denoisers = kinds.map((given) =>
    planned(
      samplingStep(config.unet, unet, guided, given && control?.hook),
      [params.unet, state, prompt, keys, numbers, told, given ?? {}],
      [1],
    )
  );
  const reader = planned(read, [params.unet, context]);
  const decoder = planned(decoding(config), [params.vae, some([1, h, w, inChannels])]);
  const text = planned(encoding(config), [encodersOf(params), some(ids, "u32"), some([asked, 1])]);
  const encoder = image
    ? planned(starting(config), [params.vae, some([1, h * side, w * side, vae.inChannels])])
    : undefined;
  return { text, reader, denoisers, decoder, encoder };
}

/** What sampling would take. @throws BindingError where the adapter cannot bind it */
export function samplingMemory(
  profile: AdapterProfile,
  model: Planned,
  shape: SamplingShape,
): SamplingMemory {
  const { text, reader, denoisers, decoder, encoder } = samplingDrafts(profile, model, shape);
  const programs = {
    text: text.bytes.total,
    denoiser: denoisers.reduce((sum, { bytes }) => sum + bytes.total, reader.bytes.total),
    decoder: decoder.bytes.total,
    encoder: encoder?.bytes.total ?? 0,
  };
  const { batch, cells: [h, w], deltas = 0 } = shape;
  const { inChannels } = model.config.unet;
  const held = (1 + SLOTS) * 4 * batch * h * w * inChannels + deltas;
  const total = Object.values(programs).reduce((a, b) => a + b, held);
  const work = { step: denoisers[0].flops, picture: decoder.flops };
  return { batch, programs, total, work, pieces: denoisers.some((d) => d.pieces) };
}

/**
 * The most pictures at once, up to `shape.batch`, whose plan takes at most `room` bytes; fewer, where a step of these can
 * be bound whole.
 *
 * @throws MemoryError where one picture takes more
 * @throws BindingError where the adapter cannot bind what one picture needs
 */
export function fitSampling(
  profile: AdapterProfile,
  model: Planned,
  shape: SamplingShape,
  room = Infinity,
): SamplingMemory {
  let last: SamplingMemory | BindingError | undefined;
  let inPieces: SamplingMemory | undefined;
  const { grain = 1 } = shape;
  for (let n = Math.ceil(shape.batch / grain); n >= 1; n = n === 1 ? 0 : Math.ceil(n / 2)) {
    try {
      last = samplingMemory(profile, model, { ...shape, batch: n * grain });
      if (last.total <= room && !last.pieces) return last;
      if (last.total <= room) inPieces ??= last;
    } catch (error) {
      if (!(error instanceof BindingError)) throw error;
      last = error;
    }
  }
  if (inPieces) return inPieces;
  if (last instanceof BindingError) throw last;
  const [h, w] = shape.cells.map((n) => n * vaeFactor(model.config.vae));
  throw new MemoryError(
    `${grain === 1 ? "one picture" : `${grain} pictures`} of ${w}×${h} pixels ${
      grain === 1 ? "takes" : "take"
    } ${bytesNeeded(last!.total)} beside the weights`,
    last!.total,
  );
}

/** How pictures are to be sampled. */
export interface SamplingPlan extends SamplingMemory {
  /** Element type of the weights. */
  readonly precision: Precision;
  /** Bytes of the weights. */
  readonly weights: number;
}

/**
 * Chooses precision and batch, before a model is loaded, so that sampling fits into a budget.
 *
 * @param budget bytes of GPU memory, weights included
 * @param precisions those that are allowed, in the order of preference
 * @throws MemoryError saying what is needed and what the smallest plan is
 * @throws BindingError where the adapter cannot bind what one picture needs
 */
export function planSamplingMemory(
  profile: AdapterProfile,
  config: PipelineConfig,
  shape: SamplingShape,
  budget = Infinity,
  precisions: readonly Precision[] = ["f32"],
): SamplingPlan {
  expectKinds("planSamplingMemory", {
    profile: [profile, RECORD],
    config: [
      config,
      having("a model's configs, as its folder has them", "unet", "vae", "text_encoder"),
    ],
    shape: [shape, having("{ batch, cells, guided, image }", "batch", "cells")],
    budget: [budget, NUMBER],
  });
  return planWithin(
    config,
    budget,
    precisions,
    "sampling",
    (params, room) => fitSampling(profile, { config, params }, shape, room),
  );
}

/**
 * The first precision in which what `fit` finds for the room beside the weights fits into a budget.
 *
 * @param fit throws MemoryError where nothing fits, BindingError where the adapter has no buffer for weights in f32, say
 */
export function planWithin<T extends { readonly total: number }>(
  config: PipelineConfig,
  budget: number,
  precisions: readonly Precision[],
  what: string,
  fit: (params: PipelineParams, room: number) => T,
): T & { readonly precision: Precision; readonly weights: number } {
  let needed = Infinity;
  let words = "";
  let unbindable: BindingError | undefined;
  for (const precision of precisions) {
    const params = sketchParams(config, precision);
    const weights = weightBytes({ ...params });
    try {
      const found = fit(params, budget - weights);
      return { ...found, precision, weights, total: weights + found.total };
    } catch (error) {
      if (error instanceof BindingError) {
        unbindable = error;
        continue;
      }
      if (!(error instanceof MemoryError)) throw error;
      if (weights + error.needed >= needed) continue;
      needed = weights + error.needed;
      words = `${error.message}, the weights take ${bytesNeeded(weights)} in ${precision}`;
    }
  }
  if (unbindable && !words) throw unbindable;
  throw new MemoryError(
    `${what} needs ${bytesNeeded(needed)} of GPU memory, and ${
      bytes(budget)
    } are allowed: ${words}`,
    needed,
  );
}
