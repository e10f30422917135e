/**
 * Names of parameters in single-file checkpoints (CompVis, Stability, AUTOMATIC1111), as diffusers and transformers have
 * them. All of it is renaming, but for OpenCLIP's fused attention matrices.
 *
 * CompVis counts the UNet's blocks of all levels through: on the way down a first convolution, then for each level its
 * layers and a downsampling; on the way up a layer more for each level. So the layers per level must be known.
 */

/** Where such checkpoints have the denoiser's parameters. */
export const COMPVIS = "model.diffusion_model.";

const UNET_ENDS: Renames = {
  "time_embed.0": "time_embedding.linear_1",
  "time_embed.2": "time_embedding.linear_2",
  "label_emb.0.0": "add_embedding.linear_1",
  "label_emb.0.2": "add_embedding.linear_2",
  "input_blocks.0.0": "conv_in",
  "out.0": "conv_norm_out",
  "out.2": "conv_out",
};

const UNET_RESNET: Renames = {
  "in_layers.0": "norm1",
  "in_layers.2": "conv1",
  "emb_layers.1": "time_emb_proj",
  "out_layers.0": "norm2",
  "out_layers.3": "conv2",
  "skip_connection": "conv_shortcut",
};

const VAE_RESNET: Renames = {
  norm1: "norm1",
  conv1: "conv1",
  norm2: "norm2",
  conv2: "conv2",
  nin_shortcut: "conv_shortcut",
};

const VAE_ATTENTION: Renames = {
  norm: "group_norm",
  q: "to_q",
  k: "to_k",
  v: "to_v",
  proj_out: "to_out.0",
};

const VAE_ENDS: Renames = { conv_in: "conv_in", norm_out: "conv_norm_out", conv_out: "conv_out" };

const OPEN_CLIP_ENDS: Renames = {
  token_embedding: "embeddings.token_embedding",
  ln_final: "final_layer_norm",
};

const OPEN_CLIP_LAYER: Renames = {
  ln_1: "layer_norm1",
  ln_2: "layer_norm2",
  "attn.out_proj": "self_attn.out_proj",
  "mlp.c_fc": "mlp.fc1",
  "mlp.c_proj": "mlp.fc2",
};

/** What a module is called, without its `.weight` or `.bias`. */
type Renames = Readonly<Record<string, string>>;

/**
 * A UNet parameter's name in diffusers.
 *
 * @param name without `model.diffusion_model.`
 * @param layers `layers_per_block`
 * @returns undefined for a name that no UNet has
 */
export function unetFromCompVis(name: string, layers: number): string | undefined {
  const [, way, index, slot, rest] = /^(input|output)_blocks\.(\d+)\.([012])\.(.+)$/.exec(name) ??
    [];
  const [, place, inner] = /^middle_block\.([012])\.(.+)$/.exec(name) ?? [];
  if (place === "1") return `mid_block.attentions.0.${inner}`;
  if (place) return under(`mid_block.resnets.${Number(place) / 2}`, inner, UNET_RESNET);
  if (!way || name.startsWith("input_blocks.0.")) return renamed(name, UNET_ENDS);
  const at = Number(index) - (way === "input" ? 1 : 0);
  const layer = at % (layers + 1);
  const path = `${way === "input" ? "down" : "up"}_blocks.${Math.floor(at / (layers + 1))}`;
  if (way === "input" && layer === layers) {
    return slot === "0" ? under(`${path}.downsamplers.0`, rest, { op: "conv" }) : undefined;
  }
  if (slot === "0") return under(`${path}.resnets.${layer}`, rest, UNET_RESNET);
  if (way === "output" && rest.startsWith("conv.")) return `${path}.upsamplers.0.${rest}`;
  return slot === "1" ? `${path}.attentions.${layer}.${rest}` : undefined;
}

/**
 * An autoencoder parameter's name in diffusers.
 *
 * @param name without `first_stage_model.`
 * @param levels resolutions that it has: the decoder's are counted from the other end
 */
export function vaeFromCompVis(name: string, levels: number): string | undefined {
  if (/^(post_)?quant_conv\./.test(name)) return name;
  const [, half, rest] = /^(encoder|decoder)\.(.+)$/.exec(name) ?? [];
  if (!half) return undefined;
  const [, resnet, inResnet] = /^mid\.block_([12])\.(.+)$/.exec(rest) ?? [];
  if (resnet) return under(`${half}.mid_block.resnets.${Number(resnet) - 1}`, inResnet, VAE_RESNET);
  const [, inAttention] = /^mid\.attn_1\.(.+)$/.exec(rest) ?? [];
  if (inAttention) return under(`${half}.mid_block.attentions.0`, inAttention, VAE_ATTENTION);
  const [, way, level, inner] = /^(down|up)\.(\d+)\.(.+)$/.exec(rest) ?? [];
  if (!way) return under(half, rest, VAE_ENDS);
  const number = way === "down" ? Number(level) : levels - 1 - Number(level);
  const path = `${half}.${way}_blocks.${number}`;
  const [, layer, inLayer] = /^block\.(\d+)\.(.+)$/.exec(inner) ?? [];
  if (layer) return under(`${path}.resnets.${layer}`, inLayer, VAE_RESNET);
  return under(path, inner, {
    [`${way}sample.conv`]: `${way}samplers.0.conv`,
  });
}

/** A parameter of CLIP's text encoder in transformers: `name` without `cond_stage_model.transformer.`. */
export function clipFromCompVis(name: string): string | undefined {
  if (name.endsWith("position_ids")) return undefined;
  return name.startsWith("text_model.") ? name : `text_model.${name}`;
}

/** Parameters of CLIP's text encoder that one of OpenCLIP's holds, one after another along its first axis. */
export function clipFromOpenClip(name: string): string[] {
  if (name === "positional_embedding") return ["text_model.embeddings.position_embedding.weight"];
  const [, layer, rest] = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(name) ?? [];
  const path = layer ? `text_model.encoder.layers.${layer}` : "text_model";
  const [, kind] = /^attn\.in_proj_(weight|bias)$/.exec(rest ?? "") ?? [];
  if (kind) return ["q", "k", "v"].map((part) => `${path}.self_attn.${part}_proj.${kind}`);
  const found = layer ? under(path, rest, OPEN_CLIP_LAYER) : under(path, name, OPEN_CLIP_ENDS);
  return found ? [found] : [];
}

/** The name of a parameter whose module is in a table. */
function renamed(name: string, table: Renames): string | undefined {
  const cut = name.lastIndexOf(".");
  const module = name.slice(0, cut), kind = name.slice(cut);
  const known = Object.hasOwn(table, module) && (kind === ".weight" || kind === ".bias");
  return known ? table[module] + kind : undefined;
}

function under(path: string, name: string, table: Renames): string | undefined {
  const found = renamed(name, table);
  return found && `${path}.${found}`;
}
