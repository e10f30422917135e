/** A whole model so small that its steps run in a moment, with numbers made by a hash of their names. */
import { customDiffusion } from "../../bench/memory.ts";
import { portable, uniforms } from "../../bench/portable_weights.ts";
import type { TrainingShape } from "../../concepts/training/memory.ts";
import type { StepBatch, StepModel } from "../../concepts/training/step.ts";
import { trainingMask } from "../../concepts/training/trainable.ts";
import type { Device } from "../../device/device.ts";
import { idsShape } from "../../diffusion/conditions.ts";
import type { PipelineParams } from "../../diffusion/pipeline.ts";
import { clipTextConfig } from "../../models/clip/text.ts";
import { engineShape, heldAs } from "../../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../../models/specs.ts";
import { unetConfig } from "../../models/unet/unet.ts";
import { vaeConfig, vaeFactor } from "../../models/vae/vae.ts";
import type { Spec } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten, unflatten } from "../../tensor/tree.ts";

/** Small configs of every component, so that steps run in a moment. */
export function small() {
  const config = {
    unet: unetConfig({
      sample_size: 8,
      block_out_channels: [8, 16],
      down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
      up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
      layers_per_block: 1,
      norm_num_groups: 4,
      attention_head_dim: 2,
      cross_attention_dim: 12,
    }),
    vae: vaeConfig({
      block_out_channels: [4, 8],
      down_block_types: Array(2).fill("DownEncoderBlock2D"),
      up_block_types: Array(2).fill("UpDecoderBlock2D"),
      norm_num_groups: 4,
    }),
    text_encoder: clipTextConfig({
      vocab_size: 20,
      hidden_size: 12,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 7,
    }),
  };
  const trains = (params: PipelineParams) => trainingMask({ config, params }, "kv", [19]);
  return { ...customDiffusion(4, 16), config, trains };
}

/** The parameters of a shape on a device, made by a hash of their names. */
export function uploaded(device: Device, { config }: TrainingShape, dtype: "f32" | "f16") {
  const component = (c: ModelConfig) =>
    unflatten([...parameterSpecs(c)].map(([name, spec]) => {
      const type = heldAs(spec, dtype);
      const values = portable(name, spec);
      const data = type === "f16" ? new Float16Array(values) : values;
      return [name, device.upload(data, engineShape(spec), type)] as const;
    }));
  return {
    text_encoder: component(config.text_encoder),
    vae: component(config.vae),
    unet: component(config.unet),
  };
}

/** The data of a step, each leaf made by `leaf`. */
export function batchOf(
  { batch, targets, size, config, encoded = batch }: TrainingShape,
  leaf: (spec: Spec) => Tensor,
): StepBatch {
  const cells = size / vaeFactor(config.vae);
  const f32 = (...shape: number[]) => leaf({ shape, dtype: "f32" });
  const ids = idsShape(config, encoded), { contextWidth, added } = config.unet;
  const known = batch - encoded;
  return {
    pixels: f32(targets, size, size, 3),
    mean: f32(batch - targets, cells, cells, 4),
    logvar: f32(batch - targets, cells, cells, 4),
    ids: leaf({ shape: ids, dtype: "u32" }),
    ...(known && { context: f32(known, ids.at(-1)!, contextWidth) }),
    ...(known && added && { pooled: f32(known, added.pooledWidth) }),
    mask: f32(batch, cells, cells),
    key: leaf({ shape: [2], dtype: "u32" }),
  };
}

/** Values for everything that a step reads. */
export function feedsFor(model: StepModel, batch: StepBatch): Map<Tensor, Float64Array> {
  const feeds = new Map<Tensor, Float64Array>();
  for (const [path, t] of flatten<Tensor>({ ...model.params })) {
    feeds.set(t, Float64Array.from(portable(path, { shape: t.shape, layout: "plain" })));
  }
  for (const [name, t] of flatten<Tensor>({ ...batch })) {
    const integers = t.dtype === "u32";
    const values = Float64Array.from(uniforms(name, t.size));
    // Token 19, the one that trains, is in the captions of both encoders.
    const whole = (v: number, i: number) => i % 5 ? Math.floor((v + 1) * 10) : 19;
    feeds.set(t, integers ? values.map(whole) : values);
  }
  return feeds;
}
