/**
 * The model's folder while it is being made: configs from a template (those of the shipped miniature), weights as each
 * stage finishes, in float16 under the names of diffusers and transformers.
 */
import type { Device } from "../../device/device.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { FileError } from "../../files/errors.ts";
import { readJsonObject } from "../../files/json.ts";
import { isFile } from "../../files/paths.ts";
import { openSafetensors } from "../../files/safetensors/read.ts";
import { writeSafetensors } from "../../files/safetensors/write.ts";
import type { Named } from "../../autograd/optimizer.ts";
import { clipTextConfig } from "../../models/clip/text.ts";
import { clipConfig, clipVisionConfig } from "../../models/clip/vision.ts";
import { loadComponent, storeComponent } from "../../models/load.ts";
import type { ParameterTree } from "../../models/params.ts";
import type { ModelConfig } from "../../models/specs.ts";
import { unetConfig } from "../../models/unet/unet.ts";
import { vaeConfig } from "../../models/vae/vae.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten, unflatten } from "../../tensor/tree.ts";
import { noiseSchedule } from "../../diffusion/samplers/schedule.ts";
import type { Stage } from "./settings.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Files that are taken over from the template; the last two only where it has them. */
const CONFIGS = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "unet/config.json",
  "vae/config.json",
  "text_encoder/config.json",
  "clip/config.json",
  "clip/preprocessor_config.json",
  "classifier/config.json",
  "classifier/preprocessor_config.json",
  "moongate.json",
  "captions.txt",
];
const OPTIONAL = 2;

/** Where a component's weights lie in a model's folder. */
const WEIGHTS = {
  vae: "vae/diffusion_pytorch_model.safetensors",
  unet: "unet/diffusion_pytorch_model.safetensors",
  text_encoder: "text_encoder/model.safetensors",
  clip: "clip/model.safetensors",
  classifier: "classifier/model.safetensors",
} as const;

/** The token table's path among a text encoder's weights. */
export const TABLE = "text_model.embeddings.token_embedding.weight";

/** What each stage writes below a model's folder; the classifier goes on from what `clip` left in its place. */
export const WRITES: Readonly<Record<Stage, readonly string[]>> = {
  tokenizer: ["tokenizer/", ...CONFIGS],
  vae: [WEIGHTS.vae, "training/vae/"],
  clip: [WEIGHTS.clip, WEIGHTS.classifier, "training/clip/"],
  classifier: ["training/classifier/"],
  unet: [WEIGHTS.unet, WEIGHTS.text_encoder, "training/unet/"],
};

/** A part of the model with weights. */
export type Component = keyof typeof WEIGHTS;

/** Copies the template's configs, fitted to the vocabulary. Throws FileError when one is missing. */
export async function writeConfigs(
  template: string,
  out: string,
  { tokens }: Vocabulary,
): Promise<void> {
  const ids = {
    vocab_size: tokens.length,
    bos_token_id: tokens.indexOf("<|startoftext|>"),
    eos_token_id: tokens.indexOf("<|endoftext|>"),
    pad_token_id: tokens.indexOf("<|endoftext|>"),
  };
  for (const [i, name] of CONFIGS.entries()) {
    if (i >= CONFIGS.length - OPTIONAL && !await isFile(`${template}/${name}`)) continue;
    await Deno.mkdir(`${out}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    if (!name.endsWith(".json")) {
      await Deno.copyFile(`${template}/${name}`, `${out}/${name}`);
      continue;
    }
    const config = await readJsonObject(`${template}/${name}`);
    const fitted = name === "text_encoder/config.json"
      ? { ...config, ...ids }
      : name === "clip/config.json"
      ? { ...config, text_config: { ...config.text_config as object, ...ids } }
      : config;
    await writeFileAtomic(`${out}/${name}`, JSON.stringify(fitted, null, 2) + "\n");
  }
}

/** Configs of all parts of a folder. */
export interface Configs {
  readonly vae: ReturnType<typeof vaeConfig>;
  readonly unet: ReturnType<typeof unetConfig>;
  readonly text_encoder: ReturnType<typeof clipTextConfig>;
  readonly clip: ReturnType<typeof clipConfig>;
  readonly classifier: ReturnType<typeof clipVisionConfig>;
  readonly schedule: ReturnType<typeof noiseSchedule>;
}

/** Reads the configs that the first stage wrote. Throws FileError when there are none. */
export async function readConfigs(out: string): Promise<Configs> {
  if (!await isFile(`${out}/unet/config.json`)) {
    throw new FileError(out, "holds no configs", "Run the stage tokenizer first: it writes them");
  }
  const read = async <T>(name: string, parse: (json: unknown, file: string) => T) =>
    parse(await readJsonObject(`${out}/${name}`), `${out}/${name}`);
  return {
    vae: await read("vae/config.json", vaeConfig),
    unet: await read("unet/config.json", unetConfig),
    text_encoder: await read("text_encoder/config.json", clipTextConfig),
    clip: await read("clip/config.json", clipConfig),
    classifier: await read("classifier/config.json", clipVisionConfig),
    schedule: await read("scheduler/scheduler_config.json", noiseSchedule),
  };
}

/** Writes a component's weights; `extra` are tensors beside those that its model reads. */
export async function writeWeights(
  device: Device,
  out: string,
  component: Component,
  config: ModelConfig,
  weights: Named,
  extra: Readonly<Record<string, Tensor>> = {},
): Promise<void> {
  const tensors = storeComponent(device, unflatten(Object.entries(weights)), config);
  for (const [name, t] of Object.entries(extra)) {
    const data = async () => await device.read(t) as Float32Array;
    tensors.set(name, { shape: t.shape, data, dtype: "F16" });
  }
  for (const [name, t] of tensors) tensors.set(name, { ...t, dtype: "F16" });
  await writeSafetensors(`${out}/${WEIGHTS[component]}`, tensors, { format: "pt" });
}

/**
 * Loads what an earlier stage wrote, onto the device.
 *
 * @throws FileError saying which stage comes first when there is nothing
 */
export async function readWeights(
  device: Device,
  out: string,
  component: Component,
  config: ModelConfig,
  madeBy: string,
): Promise<ParameterTree> {
  const path = `${out}/${WEIGHTS[component]}`;
  if (!await isFile(path)) {
    throw new FileError(path, "does not exist", `Run the stage ${madeBy} first: it writes it`);
  }
  using source = await openSafetensors(path);
  return await loadComponent(device, source, config);
}

/** A tree's tensors, to be freed. */
export const leavesOf = (tree: ParameterTree): Tensor[] => flatten<Tensor>(tree).map(([, t]) => t);
