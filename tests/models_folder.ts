/** A model folder for tests: the miniature's configs and tokenizer with random weights, so that no test waits for those that ship. */
import { CONCEPT_CLASSIFIER } from "../world/measure/judge.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";
import { clipTextConfig } from "../models/clip/text.ts";
import { clipConfig, clipVisionConfig } from "../models/clip/vision.ts";
import { parameterSpecs } from "../models/specs.ts";
import { unetConfig } from "../models/unet/unet.ts";
import { vaeConfig } from "../models/vae/vae.ts";
import { sizeOf } from "../tensor/shape.ts";
import { uniform } from "./support/check.ts";

/** The folder of the model that ships. */
export const MINIATURE = new URL("../world/miniature", import.meta.url).pathname;

/** Makes the folder; the caller removes it. */
export async function randomFolder(): Promise<string> {
  const folder = await Deno.makeTempDir();
  await Deno.copyFile(`${MINIATURE}/model_index.json`, `${folder}/model_index.json`);
  for (const part of ["unet", "vae", "text_encoder", "scheduler", "tokenizer"]) {
    await Deno.mkdir(`${folder}/${part}`);
    for await (const { name } of Deno.readDir(`${MINIATURE}/${part}`)) {
      if (!name.endsWith(".safetensors")) {
        await Deno.copyFile(`${MINIATURE}/${part}/${name}`, `${folder}/${part}/${name}`);
      }
    }
  }
  await randomWeights(folder, ["unet", "vae", "text_encoder"]);
  return folder;
}

const READ = {
  unet: unetConfig,
  vae: vaeConfig,
  text_encoder: clipTextConfig,
  clip: clipConfig,
  classifier: clipVisionConfig,
  [CONCEPT_CLASSIFIER]: clipVisionConfig,
};

/** Writes random weights beside the configs of a folder, scaled so that activations stay near 1. */
export async function randomWeights(
  folder: string,
  parts: readonly (keyof typeof READ)[],
): Promise<void> {
  const random = uniform(1);
  for (const part of parts) {
    const config = JSON.parse(await Deno.readTextFile(`${folder}/${part}/config.json`));
    const specs = parameterSpecs(READ[part](config, part));
    const tensors = new Map<string, TensorToWrite>([...specs].map(([name, { shape }]) => {
      const scale = shape.length > 1 ? Math.sqrt(3 * shape[0] / sizeOf(shape)) : 1;
      const data = Float16Array.from({ length: sizeOf(shape) }, () => scale * random());
      return [name, { shape, data }];
    }));
    const file = part === "unet" || part === "vae" ? "diffusion_pytorch_model" : "model";
    await writeSafetensors(`${folder}/${part}/${file}.safetensors`, tensors);
  }
}
