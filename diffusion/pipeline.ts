/**
 * A whole model on a device: the folder that diffusers writes becomes configs, parameter trees, a tokenizer and a noise
 * schedule. New words get their rows of the token table here, before anything is uploaded.
 */
import type { Device } from "../device/device.ts";
import { type NoiseSchedule, noiseSchedule } from "./schedule.ts";
import { FileError } from "../files/errors.ts";
import { type ModelFolder, openModelFolder } from "../files/folder.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { type ClipTextConfig, clipTextConfig } from "../models/clip_text.ts";
import { loadComponent, type LoadOptions } from "../models/load.ts";
import { type ParameterTree, symbolicParameters } from "../models/params.ts";
import { addTokens, withRows } from "../models/new_tokens.ts";
import { parameterSpecs } from "../models/specs.ts";
import { loadTokenizer, type Tokenizer } from "../models/tokenizer.ts";
import { type UNetConfig, unetConfig } from "../models/unet.ts";
import { type VaeConfig, vaeConfig } from "../models/vae.ts";

/** Configs by component, named as the folders are. */
export interface PipelineConfig {
  /** The denoiser's. */
  readonly unet: UNetConfig;
  /** The text encoder's. */
  readonly text_encoder: ClipTextConfig;
  /** The autoencoder's. */
  readonly vae: VaeConfig;
}

/** Parameters by component: `unet.down_blocks.0.…`, `text_encoder.text_model.…`, `vae.decoder.…`. */
export interface PipelineParams {
  /** A tree for each component. */
  readonly [component: string]: ParameterTree;
  /** The denoiser's. */
  readonly unet: ParameterTree;
  /** The text encoder's. */
  readonly text_encoder: ParameterTree;
  /** The autoencoder's. */
  readonly vae: ParameterTree;
}

/** A text-to-image model. A plain object: `{ ...model, params }` is the same model with other parameters. */
export interface Pipeline {
  /** Where the parameters lie. */
  readonly device: Device;
  /** The folder it came from. */
  readonly folder: string;
  /** Configs of its components. */
  readonly config: PipelineConfig;
  /** Parameters of its components. */
  readonly params: PipelineParams;
  /** Text to ids, with room for new words. */
  readonly tokenizer: Tokenizer;
  /** How much noise there is at each timestep. */
  readonly schedule: NoiseSchedule;
  /** Ids of a word, which is one for an added token: rows of the token table. */
  tokenIds(word: string): number[];
  /** Prompts as u32 `[prompts, T]`, padded to the model's length. */
  tokenize(prompts: readonly string[]): Tensor;
  /** Gives back the memory of the parameters it was loaded with. */
  free(): void;
}

/** Options of {@linkcode loadPipeline}. */
export interface PipelineOptions {
  /** New tokens and the raw vocabulary entry whose row each starts from: `{ "<new1>": "ktn" }`. */
  readonly addTokens?: Readonly<Record<string, string>>;
  /** Element type of the weights on the device. Default f32. */
  readonly dtype?: "f32" | "f16";
  /** Which copy of the weights to prefer, e.g. `"fp16"`. */
  readonly variant?: string;
  /** Called with the component being loaded, and how many of its tensors are. */
  readonly onProgress?: (component: string, done: number, total: number) => void;
}

/**
 * Loads a model folder.
 *
 * @param folder a path or an opened folder in the diffusers layout
 * @throws FileError when a file is missing or wrong, or the parts do not belong together
 * @throws TokenError when a token to add exists already, or an initializer is no vocabulary entry
 */
export async function loadPipeline(
  device: Device,
  folder: string | ModelFolder,
  options: PipelineOptions = {},
): Promise<Pipeline> {
  const { variant, dtype } = options;
  const opened = typeof folder === "string" ? await openModelFolder(folder, { variant }) : folder;
  const file = (component: string) => `${opened.folder(component)}/config.json`;
  const unet = unetConfig(opened.config("unet"), file("unet"));
  const vae = vaeConfig(opened.config("vae"), file("vae"));
  const text = clipTextConfig(opened.config("text_encoder"), file("text_encoder"));
  const schedule = noiseSchedule(
    opened.config("scheduler"),
    `${opened.folder("scheduler")}/scheduler_config.json`,
  );
  const tokenizer = await loadTokenizer(opened.folder("tokenizer"));
  checkFit(opened.path, { unet, vae, text_encoder: text }, tokenizer);
  const rows = addTokens(tokenizer, options.addTokens ?? {});

  const load = async (component: string, config: UNetConfig | VaeConfig | ClipTextConfig) => {
    using source = await opened.weights(component);
    const extended = config.kind === "clip_text" ? withRows(source, rows) : source;
    const progress: LoadOptions = {
      dtype,
      onProgress: (done, total) => options.onProgress?.(component, done, total),
    };
    return await loadComponent(device, extended, config, progress);
  };
  const vocabulary = Math.max(text.vocabulary, tokenizer.size);
  const config = { unet, vae, text_encoder: { ...text, vocabulary } };
  const params = {
    text_encoder: await load("text_encoder", config.text_encoder),
    vae: await load("vae", vae),
    unet: await load("unet", unet),
  };
  const length = Math.min(tokenizer.maxLength, text.positions);
  return {
    device,
    folder: opened.path,
    config,
    params,
    tokenizer,
    schedule,
    tokenIds: (word) => tokenizer.idsOf(word),
    tokenize(prompts) {
      const ids = prompts.flatMap((p) => tokenizer.encodePadded(p, length));
      return tensor(Uint32Array.from(ids), [prompts.length, length]);
    },
    free: () => device.free(...flatten<Tensor>(params).map(([, t]) => t)),
  };
}

/** Parameters of a model that hold nothing: enough to plan what it would take, before anything is loaded. */
export function sketchParams(config: PipelineConfig, dtype: "f32" | "f16"): PipelineParams {
  const component = (c: UNetConfig | VaeConfig | ClipTextConfig) =>
    symbolicParameters(parameterSpecs(c), dtype);
  return {
    text_encoder: component(config.text_encoder),
    vae: component(config.vae),
    unet: component(config.unet),
  };
}

/** Refuses folders whose parts are of different models. */
function checkFit(folder: string, config: PipelineConfig, tokenizer: Tokenizer): void {
  const { unet, vae, text_encoder: text } = config;
  const same = (a: number, b: number, fault: string) => {
    if (a !== b) throw new FileError(folder, fault, "Is it a model that turns text into pictures?");
  };
  same(
    unet.contextWidth,
    text.width,
    `its UNet attends to features of width ${unet.contextWidth}, its text encoder gives ${text.width}`,
  );
  for (const [name, channels] of [["takes", unet.inChannels], ["gives", unet.outChannels]]) {
    same(
      channels as number,
      vae.latentChannels,
      `its UNet ${name} ${channels} channels, its autoencoder has ${vae.latentChannels}`,
    );
  }
  if (tokenizer.baseSize > text.vocabulary) {
    throw new FileError(
      folder,
      `its tokenizer has ${tokenizer.baseSize} tokens, its text encoder ${text.vocabulary}`,
      "Tokenizer and text encoder are of different models",
    );
  }
}
