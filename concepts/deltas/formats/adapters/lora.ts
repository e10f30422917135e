/**
 * Low-rank adapters, as everything that loads Stable Diffusion takes them: `W0 + (alpha / rank) · up · down`.
 *
 * Two spellings are written: PEFT's, as diffusers has it (`unet.….to_k.lora_A.weight`), and kohya's, which ComfyUI and
 * AUTOMATIC1111 read (`lora_unet_…_to_k.lora_down.weight`, with `alpha`). Strength 1 is what was trained. What is read,
 * `adapters.ts` says: much more.
 */
import { FileError } from "../../../../files/errors.ts";
import { asMatrix } from "../../changes.ts";
import type { Delta, DeltaWeight, FactoredChange } from "../../delta.ts";
import { isAdapterKey, isKohyaKey } from "./keys.ts";
import { readAdapters } from "./read.ts";
import type { DeltaFormat, FormatContext, Packed } from "../format.ts";
import { packFactors } from "../weights.ts";

/** A change whose factors are to be written, with its lengths (DoRA) if it has some. */
interface Adapter {
  /** The layer's component, `unet`, and its name in that. */
  readonly component: string;
  readonly layer: string;
  readonly factors: FactoredChange;
  readonly lengths?: {
    readonly data: Float32Array;
    readonly shape: readonly number[];
    readonly axis: 0 | 1;
  };
}

const PARAMETER = /^(unet|text_encoder(?:_2)?)\.(.+)\.(weight|bias)$/;

function adapterOf(path: string, w: DeltaWeight, context: FormatContext): Adapter {
  const [, component, layer] = named(path, context);
  const factors = ("magnitude" in w ? w.direction : w) as FactoredChange;
  if (!("magnitude" in w)) return { component, layer, factors };
  const { magnitude: data, axis, shape } = w, ones = shape.slice(2).map(() => 1);
  const place = axis === 0 ? [data.length, 1] : [1, data.length];
  return { component, layer, factors, lengths: { data, axis, shape: [...place, ...ones] } };
}

function named(path: string, context: FormatContext): RegExpExecArray {
  const found = PARAMETER.exec(path);
  if (found && !/_embedding\.weight$/.test(path)) return found;
  throw new FileError(
    context.name ?? "the delta",
    `changes "${path}", and LoRA files hold changes of layers of the UNet and of text encoders only`,
    "Write it as moongate",
  );
}

/** A change of nothing: loaders know no adapters of rank 0. */
const isNothing = (w: DeltaWeight): boolean => "u" in w && !w.rank;

/** PEFT's spelling. */
export const lora: DeltaFormat = {
  name: "lora",
  title: "LoRA as diffusers and PEFT have it (pytorch_lora_weights)",
  stem: "pytorch_lora_weights",
  forms: ["factors", "scaled"],
  convolutions: true,
  containers: ["safetensors"],
  tokens: "beside, bare",
  matches: ({ root }) => {
    const keys = [...root.keys()];
    return keys.some(isAdapterKey) && !keys.some(isKohyaKey);
  },
  read: readAdapters,
  write(delta, context) {
    const root = new Map<string, Packed>(),
      held = [...delta.weights].filter(([, w]) => !isNothing(w));
    const adapters = held.map(([path, w]) => adapterOf(path, w, context));
    const scaled = adapters.filter(({ lengths }) => lengths);
    const odd = adapters.find(({ lengths }) => lengths?.axis === 1 || scaled.length && !lengths);
    if (odd) {
      throw new FileError(
        context.name ?? "the delta",
        `${odd.lengths ? "has lengths of the inputs" : "has no lengths"} of "${odd.layer}" ` +
          "(DoRA), and diffusers takes those of the outputs, for all layers or for none",
        "Write it as kohya, or give --rank and --model for a plain LoRA",
      );
    }
    for (const { component, layer, factors, lengths } of adapters) {
      const { u, v } = packFactors(factors), ones = v.shape.slice(2).map(() => 1);
      const name = `${component}.${layer}`;
      // Text encoders as diffusers itself writes them: it tells the spelling of all by that of one.
      const [down, up] = component === "unet"
        ? [".lora_A.weight", ".lora_B.weight"]
        : [".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"];
      root.set(name + down, v).set(name + up, { ...u, shape: [...u.shape, ...ones] });
      if (!lengths) continue;
      const { data } = lengths;
      const shape = ones.length ? [1, data.length, ...ones] : [data.length];
      root.set(`${name}.lora_magnitude_vector`, { data, shape });
    }
    return { root, metadata: { format: "pt" } };
  },
};

/** Kohya's spelling. */
export const kohya: DeltaFormat = {
  name: "kohya",
  title: "LoRA as kohya, ComfyUI and AUTOMATIC1111 have it",
  stem: "moongate_lora",
  forms: ["factors", "scaled"],
  convolutions: true,
  vectors: true,
  containers: ["safetensors"],
  tokens: "beside, bare",
  matches: ({ root }) => [...root.keys()].some(isAdapterKey),
  read: readAdapters,
  write(delta, context) {
    const root = new Map<string, Packed>(),
      held = [...delta.weights].filter(([, w]) => !isNothing(w));
    const beginning = beginnings(delta);
    const alpha = commonRank(held.map(([, w]) => w));
    for (const [path, w] of held) {
      const [, component, layer, kind] = named(path, context);
      const name = `${beginning[component]}_${(ADDED[layer] ?? layer).replaceAll(".", "_")}`;
      if ("change" in w) {
        root.set(name + (kind === "bias" ? ".diff_b" : ".diff"), {
          shape: w.shape,
          data: w.change,
        });
        continue;
      }
      const { factors, lengths } = adapterOf(path, w, context), { rank } = factors;
      const { u, v } = packFactors(factors), ones = v.shape.slice(2).map(() => 1);
      // diffusers mixes up alphas that differ, so all are the same, and `up` makes up for it.
      const data = rank === alpha ? u.data : u.data.map((x) => x * rank / alpha);
      root.set(`${name}.lora_down.weight`, v);
      root.set(`${name}.lora_up.weight`, { data, shape: [...u.shape, ...ones] });
      root.set(`${name}.alpha`, { shape: [], data: Float32Array.of(alpha) });
      if (lengths) root.set(`${name}.dora_scale`, { data: lengths.data, shape: lengths.shape });
    }
    return { root, metadata: { format: "pt" } };
  },
};

/** Layers by which diffusers, too, knows their names in CompVis checkpoints only. */
const ADDED: Readonly<Record<string, string>> = {
  "add_embedding.linear_1": "label_emb.0.0",
  "add_embedding.linear_2": "label_emb.0.2",
};

/** What names begin with: text encoders are counted where there are two. */
function beginnings({ weights, embeddings2 }: Delta): Readonly<Record<string, string>> {
  const pair = [...weights].find(([path]) =>
    path.startsWith("unet.") && /\.attn2\.to_[kv]\.weight$/.test(path)
  );
  const wide = pair !== undefined && asMatrix(pair[1].shape)[1] === SDXL_CONTEXT;
  const two = embeddings2 || wide ||
    [...weights.keys()].some((path) => path.startsWith("text_encoder_2."));
  return {
    unet: "lora_unet",
    text_encoder: two ? "lora_te1" : "lora_te",
    text_encoder_2: "lora_te2",
  };
}

/** How wide the features of two text encoders are together. */
const SDXL_CONTEXT = 2048;

/** The rank that most factors have, the least of those; 1 where there are none. */
function commonRank(weights: readonly DeltaWeight[]): number {
  const counts = new Map<number, number>();
  for (const w of weights) {
    const factors = "magnitude" in w ? w.direction : w;
    if ("u" in factors && factors.rank) {
      counts.set(factors.rank, (counts.get(factors.rank) ?? 0) + 1);
    }
  }
  const [[most] = [1]] = [...counts].sort(([a, m], [b, n]) => n - m || a - b);
  return most;
}
