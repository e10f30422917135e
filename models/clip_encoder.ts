/** The transformer that both halves of CLIP share: pre-normalized blocks of attention and a two-layer network. */
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "../ops/arithmetic.ts";
import { gelu, quickGelu } from "../ops/activation.ts";
import { attention } from "../ops/attention.ts";
import { reshape } from "../ops/movement.ts";
import type { ConfigReader } from "./config.ts";
import { layerNormLayer, linearLayer } from "./layers.ts";
import type { Parameters } from "./params.ts";

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

/** All blocks in a row: `[B, T, width]` → the same. */
export function clipEncoder(
  p: Parameters,
  x: Tensor,
  config: ClipEncoderConfig,
  options: { readonly causal: boolean },
): Tensor {
  const act = config.activation === "gelu" ? gelu : quickGelu;
  for (let i = 0; i < config.layers; i++) {
    const at = p.at(`layers.${i}`);
    const normed = layerNormLayer(at.at("layer_norm1"), x, config.eps);
    x = add(x, attend(at.at("self_attn"), normed, config.heads, options.causal));
    const hidden = linearLayer(
      at.at("mlp.fc1"),
      layerNormLayer(at.at("layer_norm2"), x, config.eps),
      config.mlpWidth,
    );
    x = add(x, linearLayer(at.at("mlp.fc2"), act(hidden), config.width));
  }
  return x;
}

function attend(p: Parameters, x: Tensor, heads: number, causal: boolean): Tensor {
  const [b, t, c] = x.shape;
  const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((name) =>
    reshape(linearLayer(p.at(name), x, c), [b, t, heads, c / heads])
  );
  return linearLayer(p.at("out_proj"), reshape(attention(q, k, v, { causal }), [b, t, c]), c);
}
