/** Prompts to pictures: the text encoder, the walk from noise, and the autoencoder, a batch of prompts at a time. */
import { MODEL } from "./given.ts";
import { expectKinds, listOf, TEXT } from "../tensor/kinds.ts";
import { compile, type Compiled } from "../compile/compile.ts";
import { memorySize } from "../device/memory.ts";
import { StepReports } from "../device/step_reports.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { fitted } from "../files/pictures/resize.ts";
import { mul } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { slice } from "../ops/movement.ts";
import {
  addedConditions,
  type Cut,
  type Encoders,
  encodersOf,
  type PromptFeatures,
  uncut,
} from "./conditions.ts";
import { type Pipeline, type PipelineConfig, textWindow } from "./pipeline.ts";
import type { ParameterTree } from "../models/params.ts";
import { checkTexts, type OnWarning } from "../models/text_window.ts";
import { vaeFactor } from "../models/vae/vae.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AttentionControl } from "./attention_control.ts";
import { Denoiser, type WalkEnd } from "./denoise.ts";
import { fitSampling } from "./memory.ts";
import type { SamplerChoice } from "./samplers/samplers.ts";
import { decoding, encoding, starting } from "./stages.ts";

/** Pictures that are sampled at once where no one says how many. */
export const SAMPLED_TOGETHER = 4;

/** Options of {@linkcode Sampler.generate}. */
export interface SampleOptions extends SamplerChoice {
  /** Steps of the walk. Default 50. */
  readonly steps?: number;
  /** Classifier-free guidance; 1 is none. Default 6. */
  readonly guidance?: number;
  /**
   * What should not be in the picture. Default nothing: the features of an empty prompt, or zeros, whichever the model
   * was trained with.
   */
  readonly negative?: string;
  /** How Stable Diffusion XL is to think that the picture was cut. Default not at all, with the sides asked for. */
  readonly cut?: Partial<Cut>;
  /** Seed of the first picture; the next ones count on. Or one for each prompt. Default 0. */
  readonly seed?: number | readonly number[];
  /** Pixels; the model's own size by default. */
  readonly width?: number;
  /** Pixels; the model's own size by default. */
  readonly height?: number;
  /** A picture to start from instead of noise: its middle, at the size that is asked for. */
  readonly image?: Picture;
  /** How far to go from that picture: 1 keeps nearly nothing of it. More than 0, at most 1; default 0.8. */
  readonly strength?: number;
  /** The most pictures sampled at once. Default 4. */
  readonly batch?: number;
  /** GPU memory to stay within, weights included: `"6GB"`, or bytes. Fewer pictures are sampled at once. */
  readonly memory?: string | number;
  /** Called when the GPU has done a step, counting the steps of all batches. */
  readonly onStep?: (done: number, total: number) => void;
  /** Called when a picture has been decoded, which is done when its batch has all its steps. */
  readonly onPicture?: () => void;
  /** Hears of a prompt that is longer than the model reads. */
  readonly onWarning?: OnWarning;
  /** Stops the walk between two steps. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode Sampler.latents}. */
export interface LatentOptions extends SampleOptions {
  /** Noise to start from instead of the seeds' own: `[prompts, h, w, c]` of unit variance. */
  readonly noise?: Tensor;
  /** @internal Sees and changes what the model attends to. */
  readonly attention?: AttentionControl;
}

/** @internal Pictures, and what was recorded while they were sampled. */
export interface Watched {
  readonly pictures: Picture[];
  /** The mean over the steps of what {@linkcode AttentionControl} records. */
  readonly recorded?: Float32Array;
}

/** Samples pictures from a model and keeps the compiled programs for the next time. */
export class Sampler {
  readonly #denoiser: Denoiser;
  readonly #encode: Compiled<[Encoders, Tensor, Tensor], PromptFeatures>;
  readonly #rows: Compiled<[Tensor], Tensor[]>;
  readonly #decode: Compiled<[ParameterTree, Tensor], Tensor>;
  readonly #latent: Compiled<[ParameterTree, Tensor], Tensor>;

  /**
   * Programs are compiled when they are first needed.
   *
   * @param model pictures can be sampled with other parameters of the same model too
   */
  constructor(readonly model: Pipeline) {
    const { device, config } = model;
    this.#denoiser = new Denoiser(device, config.unet);
    this.#encode = compile(device, encoding(config));
    this.#rows = compile(
      device,
      (x) => Array.from({ length: x.shape[0] }, (_, i) => mul(slice(x, 0, i, i + 1), 1)),
    );
    this.#decode = compile(device, decoding(config));
    this.#latent = compile(device, starting(config));
  }

  /**
   * One picture for each prompt.
   *
   * @param params the model's own by default
   * @throws RangeError for options that make no sense
   * @throws TokenError before any work where a new word of a prompt lies behind what the model reads
   * @throws MemoryError before any work where `memory` is too little, saying what is needed
   */
  async generate(
    prompts: readonly string[],
    options: SampleOptions = {},
    params = this.model.params,
  ): Promise<Picture[]> {
    const { seed = 0 } = options;
    let { batch = SAMPLED_TOGETHER } = options;
    if (!Number.isSafeInteger(batch) || batch < 1) {
      throw new RangeError(`batch is ${batch}: it must be a positive whole number`);
    }
    const seeds = prompts.map((_, i) => typeof seed === "number" ? seed + i : seed[i]);
    if (options.strength !== undefined && !options.image) {
      throw new RangeError(`strength is ${options.strength}, but there is no image to start from`);
    }
    this.#checkTexts(prompts, options);
    if (options.memory !== undefined && prompts.length) {
      batch = this.#batchWithin(Math.min(batch, prompts.length), options);
    }
    // Batches of one size, so that there is one program; the last is filled up and cut.
    const batches = Math.ceil(prompts.length / batch);
    const size = Math.ceil(prompts.length / Math.max(1, batches));
    const pictures: Picture[] = [];
    for (let at = 0; at < prompts.length; at += size) {
      const chosen = Array.from({ length: size }, (_, i) => Math.min(at + i, prompts.length - 1));
      const onStep = (done: number, steps: number) =>
        options.onStep?.(at / size * steps + done, batches * steps);
      const { pictures: made } = await this.watch(
        chosen.map((i) => prompts[i]),
        { ...options, seed: chosen.map((i) => seeds[i]), onStep, onWarning: undefined },
        params,
      );
      pictures.push(...made.slice(0, prompts.length - at));
    }
    return pictures;
  }

  /** The most pictures at once that `memory` allows, beside what the device holds but for this sampler's programs. */
  #batchWithin(batch: number, options: SampleOptions): number {
    this.free();
    const { device } = this.model;
    const { memory = Infinity, guidance = 6 } = options;
    const [h, w] = this.latentShape(options);
    const shape = { batch, cells: [h, w] as const, guided: guidance !== 1, image: !!options.image };
    const room = memorySize(memory) - device.buffers.allocated;
    return fitSampling(device.profile, this.model, shape, room).batch;
  }

  /**
   * Compiles what pictures of prompts take, and makes none: when the first is made later, among other work that is
   * timed, nothing is left to compile.
   *
   * @param params those of the pictures, or others of the same shapes and types
   */
  prepare(
    prompts: readonly string[],
    options: SampleOptions = {},
    params = this.model.params,
  ): void {
    if (!prompts.length) return;
    const batches = Math.ceil(prompts.length / (options.batch ?? SAMPLED_TOGETHER));
    const together = prompts.slice(0, Math.ceil(prompts.length / batches));
    this.#readyToDecode(together.length, options, params);
    this.#denoiser.prepare(...this.#walkOf(together, options, params));
  }

  /** Gives back the memory of all programs. */
  free(): void {
    this.#denoiser.free();
    for (const p of [this.#encode, this.#rows, this.#decode, this.#latent]) p.free();
  }

  /**
   * What {@linkcode Sampler.generate} decodes, of all prompts in one batch: `[prompts, h, w, c]` as the UNet sees it.
   * The caller owns it.
   *
   * @throws RangeError for options that make no sense
   */
  async latents(
    prompts: readonly string[],
    options: LatentOptions = {},
    params = this.model.params,
  ): Promise<Tensor> {
    const { latents, recorded, reports } = await this.#walk(prompts, options, params);
    if (recorded) this.model.device.free(recorded);
    await reports.settled();
    return latents;
  }

  /**
   * @internal Pictures of all prompts in one batch, and what was recorded of attention.
   *
   * @throws RangeError for options that make no sense
   */
  async watch(
    prompts: readonly string[],
    options: LatentOptions = {},
    params = this.model.params,
  ): Promise<Watched> {
    const { device } = this.model;
    this.#checkTexts(prompts, { ...options, onWarning: undefined });
    this.#readyToDecode(prompts.length, options, params);
    const { latents, recorded, steps, reports } = await this.#walk(prompts, options, params);
    try {
      const pictures = await this.#decoded(latents, params, options);
      await reports.settled();
      const sums = recorded && await device.read(recorded) as Float32Array;
      return { pictures, recorded: sums?.map((v) => v / steps) };
    } finally {
      device.free(latents, ...recorded ? [recorded] : []);
    }
  }

  async #walk(
    prompts: readonly string[],
    options: LatentOptions,
    params: Pipeline["params"],
  ): Promise<WalkEnd & { reports: StepReports }> {
    this.#checkTexts(prompts, options);
    const reports = new StepReports(this.model.device, options.onStep);
    const onStep = (done: number, total: number) => reports.handed(done, total);
    try {
      const end = await this.#denoiser.walk(...this.#walkOf(prompts, options, params, onStep));
      return { ...end, reports };
    } catch (error) {
      reports.end();
      throw error;
    }
  }

  /** What a walk is asked for. */
  #walkOf(
    prompts: readonly string[],
    options: LatentOptions,
    params: Pipeline["params"],
    onStep?: (done: number, total: number) => void,
  ): Parameters<Denoiser["walk"]> {
    const { sampler, eta, steps = 50, guidance = 6, signal, noise, seed = 0 } = options;
    const shape = this.latentShape(options);
    const prompted = this.#prompted(prompts, options, params);
    const { unet, vae } = this.model.config;
    const [height, width] = [shape[0] * vaeFactor(vae), shape[1] * vaeFactor(vae)];
    const added = addedConditions(unet, prompted, { ...uncut(height, width), ...options.cut });
    const { image } = options;
    const start = image && {
      picture: this.#latentOf(image, shape, params),
      strength: options.strength ?? 0.8,
    };
    const seeds = prompts.map((_, i) => typeof seed === "number" ? seed + i : seed[i]);
    return [params.unet, prompted.context, this.model.schedule, {
      ...{ shape, seeds, added, noise, attention: options.attention },
      ...{ sampler, eta, steps, guidance, onStep, signal },
      ...start,
    }];
  }

  /** Says what is cut off of prompts. */
  #checkTexts(
    prompts: readonly string[],
    { guidance = 6, negative = "", onWarning }: SampleOptions,
  ): void {
    const window = textWindow(this.model);
    checkTexts(window, prompts, "prompt", onWarning);
    if (guidance !== 1) checkTexts(window, [negative], "negative prompt", onWarning);
  }

  /** Features of prompts; with guidance those of the negative prompt come first, once for each. */
  #prompted(
    prompts: readonly string[],
    { guidance = 6, negative = "" }: SampleOptions,
    params: Pipeline["params"],
  ): PromptFeatures {
    const negatives = guidance === 1 ? [] : prompts.map(() => negative);
    const all = [...negatives, ...prompts];
    const nothing = this.model.config.zeroEmpty && negative === "" ? negatives.length : 0;
    const kept = Float32Array.from(all, (_, i) => i < nothing ? 0 : 1);
    return this.#encode(
      encodersOf(params),
      this.model.tokenize(all),
      tensor(kept, [all.length, 1]),
    );
  }

  /** Compiles what comes behind the walk before it begins: no compiling is left to come once steps are counted. */
  #readyToDecode(count: number, options: LatentOptions, params: Pipeline["params"]): void {
    const { device } = this.model;
    const [h, w, c] = this.latentShape(options);
    const shapes = [[count, h, w, c], [1, h, w, c]];
    const [all, one] = shapes.map((s) => device.upload(new Float32Array(sizeOf(s)), s, "f32"));
    this.#rows.program(all);
    this.#decode.program(params.vae, one);
    device.free(all, one);
  }

  async #decoded(
    latents: Tensor,
    params: Pipeline["params"],
    { onPicture }: SampleOptions,
  ): Promise<Picture[]> {
    const pictures: Picture[] = [];
    // One at a time: the autoencoder's activations are the largest there are.
    for (const z of this.#rows(latents)) {
      pictures.push(await this.#picture(this.#decode(params.vae, z)));
      onPicture?.();
    }
    return pictures;
  }

  async #picture(pixels: Tensor): Promise<Picture> {
    const [, height, width] = pixels.shape;
    const values = await this.model.device.read(pixels);
    return { width, height, data: Uint8Array.from(values as Float32Array, (v) => Math.round(v)) };
  }

  /** The latent `[1, h, w, c]` of a picture, without a draw from its posterior, which is narrow. */
  #latentOf(image: Picture, [h, w]: readonly number[], params: Pipeline["params"]): Tensor {
    const factor = vaeFactor(this.model.config.vae);
    const [width, height] = [w * factor, h * factor];
    const pixels = Float32Array.from(fitted(image, width, height).data, (v) => v / 127.5 - 1);
    return this.#latent(params.vae, tensor(pixels, [1, height, width, 3]));
  }

  /** @internal A latent's height, width and channels for such options. @throws RangeError for sides that make no sense */
  latentShape({ width, height }: SampleOptions): [number, number, number] {
    const { unet, vae } = this.model.config;
    const factor = vaeFactor(vae);
    const grain = factor * 2 ** (unet.channels.length - 1);
    const [h, w] = [height, width].map((pixels) => {
      const side = pixels ?? unet.sampleSize * factor;
      if (!Number.isSafeInteger(side) || side < 1 || side % grain) {
        throw new RangeError(`a side of ${side} pixels: it must be a multiple of ${grain}`);
      }
      return side / factor;
    });
    return [h, w, unet.inChannels];
  }
}

const samplers = new WeakMap<PipelineConfig, Sampler>();

/**
 * One picture for each prompt, from a model. Programs are kept with the model's config for the next call, with these
 * or other parameters.
 *
 * @throws RangeError for options that make no sense
 */
export function generate(
  model: Pipeline,
  prompts: readonly string[],
  options: SampleOptions = {},
): Promise<Picture[]> {
  expectKinds("generate", { model: [model, MODEL], prompts: [prompts, listOf(TEXT)] });
  return samplerOf(model).generate(prompts, options, model.params);
}

/** @internal The sampler whose programs are kept with the model's config. */
export function samplerOf(model: Pipeline): Sampler {
  let sampler = samplers.get(model.config);
  if (!sampler) samplers.set(model.config, sampler = new Sampler(model));
  return sampler;
}
