/**
 * The transformer of a UNet level: pixels become tokens that attend to one another and to the prompt. The keys and
 * values of `attn2`, computed from the prompt, are what Custom Diffusion trains.
 */
import { Tensor } from "../../tensor/tensor.ts";
import { add } from "../../ops/elementwise/arithmetic.ts";
import { geglu } from "../../ops/elementwise/geglu.ts";
import { attention } from "../../ops/attention.ts";
import { cutGradient } from "../../ops/gradient.ts";
import { reshape } from "../../ops/movement.ts";
import { ShapeError } from "../../tensor/shape.ts";
import { type AttentionHook, type AttentionSite, hookedAttention } from "./attention_hook.ts";
import { convLayer, groupNormLayer, layerNormLayer, linearLayer } from "../layers.ts";
import type { Parameters } from "../params.ts";

/** What a {@linkcode spatialTransformer} is made of. */
export interface TransformerOptions {
  readonly heads: number;
  /** Transformer blocks in a row. */
  readonly depth: number;
  readonly groups: number;
  /** Whether the projections in and out are linear layers (SD 2) or 1×1 convolutions (SD 1). */
  readonly linearProjection: boolean;
  /** No gradient reaches keys and values of the prompt from position 0: Custom Diffusion §1.3 of the reference code. */
  readonly cutStartToken: boolean;
  /** Sees and changes what is attended to. */
  readonly attention?: AttentionHook;
  /** Told the keys and values that are computed of a prompt's features. */
  readonly onKeys?: (path: string, made: KeysAndValues) => void;
}

/** Keys and values of a layer of attention, `[B, T, heads, c/heads]` each. */
export type KeysAndValues = readonly [keys: Tensor, values: Tensor];

/** What a prompt is to the layers that attend to it, by their parameters' paths. */
export type PromptKeys = Readonly<Record<string, KeysAndValues>>;

/** A prompt: its features `[B, T, d]`, or the keys and values that were computed of them before. */
export type Prompt = Tensor | PromptKeys;

const NORM_EPS = 1e-6;
const LAYER_NORM_EPS = 1e-5;

/**
 * @param x NHWC `[B, h, w, c]`
 * @returns like `x`
 */
export function spatialTransformer(
  p: Parameters,
  x: Tensor,
  context: Prompt,
  options: TransformerOptions,
): Tensor {
  const [b, h, w, c] = x.shape;
  const project = (name: string, t: Tensor) =>
    options.linearProjection
      ? linearLayer(p.at(name), t, c)
      : convLayer(p.at(name), t, c, { kernel: 1 });
  const normed = groupNormLayer(p.at("norm"), x, options.groups, NORM_EPS);
  let tokens = reshape(project("proj_in", normed), [b, h * w, c]);
  for (let i = 0; i < options.depth; i++) {
    tokens = block(p.at(`transformer_blocks.${i}`), tokens, context, [h, w], options);
  }
  return add(x, project("proj_out", reshape(tokens, [b, h, w, c])));
}

function block(
  p: Parameters,
  x: Tensor,
  context: Prompt,
  cells: AttentionSite["cells"],
  options: TransformerOptions,
): Tensor {
  const c = x.shape[2];
  const norm = (name: string, t: Tensor) => layerNormLayer(p.at(name), t, LAYER_NORM_EPS);
  const own = norm("norm1", x);
  let y = add(x, attend(p.at("attn1"), own, own, { kind: "self", cells }, options));
  y = add(y, attend(p.at("attn2"), norm("norm2", y), context, { kind: "cross", cells }, options));
  const gated = geglu(linearLayer(p.at("ff.net.0.proj"), norm("norm3", y), 8 * c));
  return add(y, linearLayer(p.at("ff.net.2"), gated, c));
}

/** Attention of `x` `[B, T, c]` to `source`; queries, keys and values without bias. */
function attend(
  p: Parameters,
  x: Tensor,
  source: Prompt,
  where: Omit<AttentionSite, "path">,
  { heads, cutStartToken, attention: hook, onKeys }: TransformerOptions,
): Tensor {
  const [b, t, c] = x.shape;
  const split = (y: Tensor) => reshape(y, [b, y.shape[1], heads, c / heads]);
  const cross = where.kind === "cross";
  const made = (features: Tensor): KeysAndValues => {
    const [k, v] = ["to_k", "to_v"].map((name) => {
      const y = linearLayer(p.at(name), features, c, { bias: false });
      return split(cutStartToken && cross ? cutGradient(y, 1, 0) : y);
    });
    if (cross) onKeys?.(p.path, [k, v]);
    return [k, v];
  };
  const q = split(linearLayer(p.at("to_q"), x, c, { bias: false }));
  if (!(source instanceof Tensor || source[p.path])) {
    throw new ShapeError("unet", `the prompt has no keys and values for ${p.path}`);
  }
  const [k, v] = source instanceof Tensor ? made(source) : source[p.path];
  const map = hook?.({ path: p.path, ...where });
  const y = map ? hookedAttention(q, k, v, map) : attention(q, k, v);
  return linearLayer(p.at("to_out.0"), reshape(y, [b, t, c]), c);
}
