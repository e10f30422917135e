/**
 * A whole model on a device: the folder that diffusers writes becomes configs, parameter trees, a tokenizer and a noise
 * schedule. New words get their rows of the token table here, before anything is uploaded.
 */
import { FOLDER } from "../files/given.ts";
import { DEVICE } from "./given.ts";
import { expectKinds, having, RECORD } from "../tensor/kinds.ts";
import type { Device } from "../device/device.ts";
import { AdapterError } from "../device/errors.ts";
import { type NoiseSchedule, noiseSchedule } from "./samplers/schedule.ts";
import { byChannels } from "../files/models/compvis_others.ts";
import { FileError } from "../files/errors.ts";
import { type ModelFolder, openModelFolder } from "../files/models/folder.ts";
import { tensor } from "../ops/leaf.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { type ClipTextConfig, clipTextConfig } from "../models/clip/text.ts";
import { loadComponent, type LoadOptions } from "../models/load.ts";
import { type ParameterTree, symbolicParameters } from "../models/params.ts";
import { addTokens, type NewRow, withRows } from "../models/clip/new_tokens.ts";
import { parameterSpecs } from "../models/specs.ts";
import type { TextWindow } from "../models/text_window.ts";
import { loadTokenizer, type Tokenizer } from "../models/clip/tokenizer.ts";
import { type UNetConfig, unetConfig } from "../models/unet/unet.ts";
import { type VaeConfig, vaeConfig } from "../models/vae/vae.ts";

/** Configs by component, named as the folders are. */
export interface PipelineConfig {
  /** The denoiser's. */
  readonly unet: UNetConfig;
  /** The text encoder's. */
  readonly text_encoder: ClipTextConfig;
  /** The second text encoder's, of Stable Diffusion XL. */
  readonly text_encoder_2?: ClipTextConfig;
  /** The autoencoder's. */
  readonly vae: VaeConfig;
  /** Whether no negative prompt means zeros in place of the features of an empty one (Stable Diffusion XL). */
  readonly zeroEmpty?: boolean;
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
  /** The second text encoder's tokenizer, which differs in what it pads with. */
  readonly tokenizer2?: Tokenizer;
  /** How much noise there is at each timestep. */
  readonly schedule: NoiseSchedule;
  /** Ids of a word, which is one for an added token: rows of each token table. */
  tokenIds(word: string): number[];
  /**
   * Prompts as u32 `[prompts, T]`, padded or cut to the model's length; `[prompts, 2, T]` for two text encoders. Whether
   * something is cut off, `checkTexts` and `cutText` say.
   */
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
  /** Element type of activations: see {@linkcode withActivations}. Default f32. */
  readonly activations?: "f32" | "f16";
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
 * @throws AdapterError for activations in f16 on an adapter whose shaders have none
 */
export async function loadPipeline(
  device: Device,
  folder: string | ModelFolder,
  options: PipelineOptions = {},
): Promise<Pipeline> {
  expectKinds("loadPipeline", {
    device: [device, DEVICE],
    folder: [folder, FOLDER],
    options: [options, RECORD],
  });
  const { variant, dtype } = options;
  const opened = typeof folder === "string" ? await openModelFolder(folder, { variant }) : folder;
  const stated = pipelineConfig(opened);
  const schedule = noiseSchedule(
    opened.config("scheduler"),
    `${opened.folder("scheduler")}/scheduler_config.json`,
  );
  const words = [await wordsOf(opened, "", stated.text_encoder, options.addTokens)];
  if (stated.text_encoder_2) {
    words.push(await wordsOf(opened, "_2", stated.text_encoder_2, options.addTokens));
  }
  const [{ tokenizer, config: text_encoder }, second] = words;
  const known = { ...stated, text_encoder, ...(second && { text_encoder_2: second.config }) };
  const config = withActivations(known, options.activations, device.profile);
  checkFit(opened.path, config);
  checkWords(opened.path, words);

  const load = async (
    component: string,
    config: ComponentConfig,
    rows: readonly NewRow[] = [],
  ) => {
    using source = await opened.weights(component);
    const progress: LoadOptions = {
      dtype: heldIn(config, dtype),
      onProgress: (done, total) => options.onProgress?.(component, done, total),
    };
    return await loadComponent(device, withRows(source, rows), config, progress);
  };
  const params = {
    text_encoder: await load("text_encoder", text_encoder, words[0].rows),
    ...(second && { text_encoder_2: await load("text_encoder_2", second.config, second.rows) }),
    vae: await load("vae", config.vae),
    unet: await load("unet", config.unet),
  } as PipelineParams;
  const length = Math.min(...words.map((w) => Math.min(w.tokenizer.maxLength, w.config.positions)));
  return {
    device,
    folder: opened.path,
    config,
    params,
    tokenizer,
    ...(second && { tokenizer2: second.tokenizer }),
    schedule,
    tokenIds: (word) => tokenizer.idsOf(word),
    tokenize(prompts) {
      const ids = prompts.flatMap((p) => words.flatMap((w) => w.tokenizer.encodePadded(p, length)));
      return tensor(Uint32Array.from(ids), [prompts.length, ...(second ? [2] : []), length]);
    },
    free: () => device.free(...flatten<Tensor>({ ...params }).map(([, t]) => t)),
  };
}

/** How much of a text a model reads. */
export function textWindow(model: Pick<Pipeline, "tokenizer" | "tokenize">): TextWindow {
  const kind = having("a model, as loadPipeline gives it", "tokenizer", "tokenize");
  expectKinds("textWindow", { model: [model, kind] });
  return { tokenizer: model.tokenizer, length: model.tokenize([""]).shape.at(-1)! };
}

/** The configs of a model folder, with the vocabularies that its files have. @throws FileError naming what is wrong */
export function pipelineConfig(folder: ModelFolder): PipelineConfig {
  const component = <C>(name: string, read: (config: unknown, file: string) => C) =>
    read(folder.config(name), `${folder.folder(name)}/config.json`);
  return {
    unet: component("unet", unetConfig),
    vae: component("vae", vaeConfig),
    text_encoder: component("text_encoder", clipTextConfig),
    ...(folder.components.includes("text_encoder_2") && {
      text_encoder_2: component("text_encoder_2", clipTextConfig),
      zeroEmpty: folder.index.force_zeros_for_empty_prompt !== false,
    }),
  };
}

/**
 * The same model with activations in another element type. Storage alone is f16: sums, statistics of norms, softmax and
 * losses are f32, and so are what is trained, its gradients and its moments. An autoencoder that overflows in f16
 * (`forceUpcast`) keeps f32.
 *
 * @throws AdapterError for f16 on an adapter whose shaders have none
 */
export function withActivations(
  config: PipelineConfig,
  activations: "f32" | "f16" = "f32",
  { f16 }: Pick<AdapterProfile, "f16">,
): PipelineConfig {
  if (activations === "f32") return config;
  if (!f16) {
    throw new AdapterError(
      "activations in f16 take an adapter with shader-f16, which this one lacks; leave them in f32",
    );
  }
  const { unet, text_encoder, text_encoder_2: second, vae } = config;
  return {
    ...config,
    unet: { ...unet, activations },
    text_encoder: { ...text_encoder, activations },
    ...(second && { text_encoder_2: { ...second, activations } }),
    vae: { ...vae, activations },
  };
}

/** A text encoder's config with room for all that its tokenizer knows. */
export const knowing = (config: ClipTextConfig, { size, eos }: Tokenizer): ClipTextConfig => ({
  ...config,
  vocabulary: Math.max(config.vocabulary, size),
  // Configs that say 2 leave the end token open; the tokenizer knows it.
  endToken: eos,
});

/** A text encoder and its tokenizer, both with the new words. */
interface Words {
  readonly config: ClipTextConfig;
  readonly tokenizer: Tokenizer;
  readonly rows: readonly NewRow[];
}

async function wordsOf(
  folder: ModelFolder,
  suffix: "" | "_2",
  config: ClipTextConfig,
  added: Readonly<Record<string, string>> = {},
): Promise<Words> {
  const tokenizer = await loadTokenizer(await folder.tokenizer(`tokenizer${suffix}`));
  if (tokenizer.baseSize > config.vocabulary) {
    throw new FileError(
      folder.path,
      `its tokenizer${suffix} has ${tokenizer.baseSize} tokens, ` +
        `its text_encoder${suffix} ${config.vocabulary}`,
      "Tokenizer and text encoder are of different models",
    );
  }
  const rows = addTokens(tokenizer, added);
  return { config: knowing(config, tokenizer), tokenizer, rows };
}

type ComponentConfig = UNetConfig | VaeConfig | ClipTextConfig;

/** Element type of a component's weights: an autoencoder that overflows in f16 stays in f32. */
const heldIn = (config: ComponentConfig, dtype: "f32" | "f16" = "f32"): "f32" | "f16" =>
  config.kind === "vae" && config.forceUpcast ? "f32" : dtype;

/** Parameters of a model that hold nothing: enough to plan what it would take, before anything is loaded. */
export function sketchParams(config: PipelineConfig, dtype: "f32" | "f16"): PipelineParams {
  const component = (c: ComponentConfig) => symbolicParameters(parameterSpecs(c), heldIn(c, dtype));
  const { text_encoder_2: second } = config;
  return {
    text_encoder: component(config.text_encoder),
    ...(second && { text_encoder_2: component(second) }),
    vae: component(config.vae),
    unet: component(config.unet),
  } as PipelineParams;
}

/** Refuses models whose parts are of different models, or that take more than a prompt. @throws FileError saying which */
export function checkFit(folder: string, config: PipelineConfig): void {
  const { unet, vae, text_encoder: text, text_encoder_2: second } = config;
  const same = (a: number, b: number, fault: string) => {
    if (a !== b) throw new FileError(folder, fault, "Is it a model that turns text into pictures?");
  };
  const what = byChannels(unet.inChannels, vae.latentChannels);
  if (what) {
    throw new FileError(
      folder,
      `its UNet takes ${unet.inChannels} channels. It is ${what}`,
      "Name the model that it was made from, which turns text into pictures",
    );
  }
  for (const [name, channels] of [["takes", unet.inChannels], ["gives", unet.outChannels]]) {
    same(
      channels as number,
      vae.latentChannels,
      `its UNet ${name} ${channels} channels, its autoencoder has ${vae.latentChannels}`,
    );
  }
  const width = text.width + (second?.width ?? 0);
  same(
    unet.contextWidth,
    width,
    `its UNet attends to features of width ${unet.contextWidth}, its text encoder gives ${width}`,
  );
  const pooled = second?.projects ? second.projection : 0;
  same(
    unet.added?.pooledWidth ?? 0,
    pooled,
    `its UNet takes a pooled feature of width ${
      unet.added?.pooledWidth ?? 0
    }, its second text encoder gives ${pooled}`,
  );
}

/** Refuses a folder that gives new words other ids in its second tokenizer than in its first. */
function checkWords(folder: string, words: readonly Words[]): void {
  const [one, other = one] = words.map((w) => w.rows.map((r) => r.row).join());
  if (one === other) return;
  throw new FileError(
    folder,
    "gives new words other ids in its second tokenizer than in its first",
    "Its two tokenizers must have the same vocabulary",
  );
}
