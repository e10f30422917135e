/**
 * The transformer that both halves of CLIP share, and DINO under other names: pre-normalized blocks of attention and a
 * two-layer network.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { add } from "../../ops/elementwise/arithmetic.ts";
import { gelu, quickGelu } from "../../ops/elementwise/activation.ts";
import { attention } from "../../ops/attention.ts";
import { reshape } from "../../ops/movement.ts";
import type { ConfigReader } from "../config.ts";
import { layerNormLayer, linearLayer } from "../layers.ts";
import type { Parameters } from "../params.ts";

/** Size of a CLIP transformer. */
export interface ClipEncoderConfig {
  /** Features of a position. */
  readonly width: number;
  /** Width inside the feed-forward layers. */
  readonly mlpWidth: number;
  /** Transformer layers. */
  readonly layers: number;
  /** Attention heads. */
  readonly heads: number;
  /** Of the feed-forward layers. */
  readonly activation: "quick_gelu" | "gelu";
  /** Added to the variance in layer norms. */
  readonly eps: number;
}

/** Reads the fields that the text and the vision config have in common; defaults as transformers has them. */
export function clipEncoderConfig(
  c: ConfigReader,
  defaults: { readonly width: number; readonly mlpWidth: number; readonly heads: number },
): ClipEncoderConfig {
  const read: ClipEncoderConfig = {
    width: c.count("hidden_size", defaults.width),
    mlpWidth: c.count("intermediate_size", defaults.mlpWidth),
    layers: c.layers("num_hidden_layers", 12),
    heads: c.count("num_attention_heads", defaults.heads),
    activation: c.oneOf("hidden_act", ["quick_gelu", "gelu"], "quick_gelu"),
    eps: c.number("layer_norm_eps", 1e-5),
  };
  c.only("attention_dropout", 0);
  c.only("dropout", 0);
  c.demand(
    read.width % read.heads === 0,
    `has a hidden_size of ${read.width}, which ${read.heads} num_attention_heads do not divide`,
  );
  return read;
}

/** What checkpoints call the layers of a block. */
export interface EncoderNames {
  /** Before a block's number. */
  readonly blocks: string;
  /** Norm before attention, and before the two-layer network. */
  readonly norms: readonly [string, string];
  /** Queries, keys and values. */
  readonly qkv: readonly [string, string, string];
  /** What follows attention. */
  readonly out: string;
  /** The two-layer network. */
  readonly mlp: readonly [string, string];
}

const CLIP_NAMES: EncoderNames = {
  blocks: "layers",
  norms: ["layer_norm1", "layer_norm2"],
  qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  out: "self_attn.out_proj",
  mlp: ["mlp.fc1", "mlp.fc2"],
};

/**
 * All blocks in a row, on `[B, T, width]`.
 *
 * @returns what goes into the first block, then what comes out of each: `layers` + 1 tensors like `x`
 */
export function clipEncoder(
  p: Parameters,
  x: Tensor,
  config: ClipEncoderConfig,
  options: { readonly causal: boolean; readonly names?: EncoderNames },
): Tensor[] {
  const { causal, names = CLIP_NAMES } = options;
  const { width, mlpWidth, heads, eps } = config;
  const act = config.activation === "gelu" ? gelu : quickGelu;
  const states = [x];
  for (let i = 0; i < config.layers; i++) {
    const at = p.at(`${names.blocks}.${i}`);
    const normed = layerNormLayer(at.at(names.norms[0]), x, eps);
    const [b, t] = x.shape;
    const [q, k, v] = names.qkv.map((name) =>
      reshape(linearLayer(at.at(name), normed, width), [b, t, heads, width / heads])
    );
    const seen = reshape(attention(q, k, v, { causal }), [b, t, width]);
    x = add(x, linearLayer(at.at(names.out), seen, width));
    const hidden = linearLayer(
      at.at(names.mlp[0]),
      layerNormLayer(at.at(names.norms[1]), x, eps),
      mlpWidth,
    );
    x = add(x, linearLayer(at.at(names.mlp[1]), act(hidden), width));
    states.push(x);
  }
  return states;
}
