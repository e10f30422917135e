/**
 * Configs of a single-file checkpoint's parts, as diffusers and transformers would write them, from the shapes of its
 * parameters (by their diffusers names). What shapes do not tell is as in the published models: 32 groups; 8 heads where
 * attention projects by convolutions (Stable Diffusion 1), heads of 64 channels where it projects linearly (2, XL).
 */
import { FileError } from "../errors.ts";
import type { JsonObject } from "../json.ts";

/** Shapes by name. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** What a training config beside the file says, by the original's names. */
export type Hints = Readonly<Record<string, string | number>>;

/** `unet/config.json`. */
export function unetConfigOf(file: string, shapes: Shapes, hints: Hints): JsonObject {
  const at = reader(file, shapes);
  const levels = count(shapes, "down_blocks");
  const list = Array.from({ length: levels }, (_, i) => i);
  const channels = list.map((i) => at(`down_blocks.${i}.resnets.0.conv1.weight`)[0]);
  const attends = (path: string) => shapes.has(`${path}.attentions.0.proj_in.weight`);
  const depth = list.map((i) =>
    Math.max(1, count(shapes, `down_blocks.${i}.attentions.0.transformer_blocks`))
  );
  const middle = "mid_block.attentions.0";
  const linear = at(`${middle}.proj_in.weight`).length === 2;
  const added = shapes.get("add_embedding.linear_1.weight")?.shape[1];
  return {
    _class_name: "UNet2DConditionModel",
    in_channels: at("conv_in.weight")[1],
    out_channels: at("conv_out.weight")[0],
    block_out_channels: channels,
    layers_per_block: count(shapes, "down_blocks.0.resnets"),
    down_block_types: list.map((i) =>
      attends(`down_blocks.${i}`) ? "CrossAttnDownBlock2D" : "DownBlock2D"
    ),
    up_block_types: list.map((i) => attends(`up_blocks.${i}`) ? "CrossAttnUpBlock2D" : "UpBlock2D"),
    transformer_layers_per_block: depth,
    cross_attention_dim: at(`${middle}.transformer_blocks.0.attn2.to_k.weight`)[1],
    attention_head_dim: headsOf(file, channels, linear, hints),
    use_linear_projection: linear,
    sample_size: sampleSize(shapes, linear, hints),
    ...(added !== undefined && {
      addition_embed_type: "text_time",
      addition_time_embed_dim: 256,
      projection_class_embeddings_input_dim: added,
    }),
  };
}

/** Side of the latents that a model was trained on. Stable Diffusion 2 comes in two sizes. */
function sampleSize(shapes: Shapes, linear: boolean, hints: Hints): number {
  if (shapes.has("add_embedding.linear_1.weight")) return 128;
  return linear && hints.parameterization === "v" ? 96 : 64;
}

function headsOf(file: string, channels: number[], linear: boolean, hints: Hints) {
  const { num_heads: heads, num_head_channels: width } = hints;
  if (typeof heads === "number" && heads > 0) return heads;
  const each = typeof width === "number" && width > 0 ? width : linear ? 64 : 0;
  if (!each) return 8;
  return channels.map((c) => whole(file, c, each, "attention heads"));
}

/** `vae/config.json`. */
export function vaeConfigOf(
  file: string,
  shapes: Shapes,
  hints: Hints,
  sample: number,
): JsonObject {
  const at = reader(file, shapes);
  const levels = count(shapes, "encoder.down_blocks");
  const list = Array.from({ length: levels }, (_, i) => i);
  const large = sample >= 128;
  return {
    _class_name: "AutoencoderKL",
    in_channels: at("encoder.conv_in.weight")[1],
    out_channels: at("decoder.conv_out.weight")[0],
    latent_channels: at("decoder.conv_in.weight")[1],
    block_out_channels: list.map((i) => at(`encoder.down_blocks.${i}.resnets.0.conv1.weight`)[0]),
    down_block_types: list.map(() => "DownEncoderBlock2D"),
    up_block_types: list.map(() => "UpDecoderBlock2D"),
    layers_per_block: count(shapes, "encoder.down_blocks.0.resnets"),
    sample_size: sample * 2 ** (levels - 1),
    scaling_factor: hints.scale_factor ?? (large ? 0.13025 : 0.18215),
    use_quant_conv: shapes.has("quant_conv.weight"),
    use_post_quant_conv: shapes.has("post_quant_conv.weight"),
    mid_block_add_attention: shapes.has("encoder.mid_block.attentions.0.to_q.weight"),
    ...(large && { force_upcast: true }),
  };
}

/**
 * `config.json` of a text encoder.
 *
 * @param open whether it is one of OpenCLIP's, which have another activation
 */
export function textConfigOf(file: string, shapes: Shapes, open: boolean): JsonObject {
  const at = reader(file, shapes);
  const [vocabulary, width] = at("text_model.embeddings.token_embedding.weight");
  const projection = shapes.get("text_projection.weight")?.shape[0];
  return {
    model_type: "clip_text_model",
    architectures: [projection ? "CLIPTextModelWithProjection" : "CLIPTextModel"],
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: at("text_model.encoder.layers.0.mlp.fc1.weight")[0],
    num_hidden_layers: count(shapes, "text_model.encoder.layers"),
    num_attention_heads: whole(file, width, 64, "heads of its text encoder"),
    max_position_embeddings: at("text_model.embeddings.position_embedding.weight")[0],
    hidden_act: open ? "gelu" : "quick_gelu",
    projection_dim: projection ?? width,
    eos_token_id: vocabulary - 1,
  };
}

/**
 * `scheduler/scheduler_config.json`: the noise that all these models were trained with.
 *
 * @param kind the class that the published folder of the model names
 */
export function schedulerConfigOf(hints: Hints, kind: string): JsonObject {
  const v = hints.parameterization === "v";
  return {
    _class_name: kind,
    beta_schedule: "scaled_linear",
    beta_start: hints.linear_start ?? 0.00085,
    beta_end: hints.linear_end ?? 0.012,
    num_train_timesteps: hints.timesteps ?? 1000,
    prediction_type: v ? "v_prediction" : "epsilon",
    steps_offset: 1,
    set_alpha_to_one: false,
    clip_sample: false,
    ...(kind === "PNDMScheduler" && { skip_prk_steps: true }),
    ...(hints.zero_snr && { rescale_betas_zero_snr: true }),
  };
}

/** Looks shapes up, and says what is missing. */
const reader = (file: string, shapes: Shapes) => (name: string): readonly number[] => {
  const shape = shapes.get(name)?.shape;
  if (shape && shape.length > 1) return shape;
  throw new FileError(
    file,
    shape ? `has "${name}" as [${shape}]` : `lacks what diffusers calls "${name}"`,
    "It is of a kind that is not read as a single file, or was cut short",
  );
};

/** How many there are of numbered modules: one more than the largest number. */
function count(shapes: Shapes, path: string): number {
  let most = 0;
  for (const name of shapes.keys()) {
    if (!name.startsWith(`${path}.`)) continue;
    const number = Number(name.slice(path.length + 1).split(".")[0]);
    if (number < 1000) most = Math.max(most, number + 1);
  }
  return most;
}

function whole(file: string, width: number, each: number, what: string): number {
  if (width % each === 0) return width / each;
  throw new FileError(
    file,
    `has a width of ${width}, which can't be divided into ${what} of ${each} channels`,
    "Convert it to the diffusers layout first, where a config says how many there are",
  );
}
