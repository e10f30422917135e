/** Configs of a model so small that each of its stages trains in seconds. */
import { MINIATURE } from "./models_folder.ts";

const tower = { intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 };
const text = { ...tower, hidden_size: 16 };
const vision = { ...tower, hidden_size: 16, image_size: 16, patch_size: 8 };
const SMALLER: Record<string, Record<string, unknown>> = {
  "vae/config.json": {
    sample_size: 16,
    latent_channels: 4,
    block_out_channels: [8, 16],
    down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
  },
  "unet/config.json": {
    in_channels: 4,
    out_channels: 4,
    down_block_types: ["CrossAttnDownBlock2D"],
    up_block_types: ["CrossAttnUpBlock2D"],
    block_out_channels: [8],
    norm_num_groups: 4,
    attention_head_dim: 2,
    cross_attention_dim: 16,
  },
  "text_encoder/config.json": text,
  "clip/config.json": { text_config: text, vision_config: vision },
  "classifier/config.json": vision,
};
const AS_SHIPPED = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "clip/preprocessor_config.json",
  "classifier/preprocessor_config.json",
];

type Json = Record<string, unknown>;

/** Makes a folder of configs: 16×16 pictures, a handful of channels. The caller removes it. */
export async function tinyTemplate(): Promise<string> {
  const folder = await Deno.makeTempDir();
  for (const name of [...AS_SHIPPED, ...Object.keys(SMALLER)]) {
    const config: Json = JSON.parse(await Deno.readTextFile(`${MINIATURE}/${name}`));
    await Deno.mkdir(`${folder}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    for (const [key, value] of Object.entries(SMALLER[name] ?? {})) {
      const nested = key.endsWith("_config");
      config[key] = nested ? { ...config[key] as Json, ...value as Json } : value;
    }
    await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(config));
  }
  return folder;
}
