/**
 * What the keys of adapter files say: which parameter of the pipeline is meant, and which part of a change a tensor is.
 *
 * Every tool has its own spelling. `unet.down_blocks.0.….to_k.lora_A.weight` (PEFT, diffusers), `….processor.to_k_lora.down`
 * and `….to_k.lora.down` (diffusers before PEFT), `lora_unet_down_blocks_0_…_to_k.lora_down` (kohya, after diffusers or,
 * for SDXL, after CompVis), `diffusion_model.input_blocks.1.1.….to_k.lora_down` (ComfyUI) are the same matrix. All of it is
 * renaming, and what is none of it is told apart, so that nothing is passed over.
 */
import { unetFromCompVis } from "../../../../files/models/compvis_names.ts";
import { layersOfCompVis } from "../compvis_names.ts";
import { fromUnderscores } from "../names.ts";

/** Models of a pipeline that adapters change. */
export type Component = "unet" | "text_encoder" | "text_encoder_2";

/** Which part of a change a tensor is. */
export type Part =
  | ("down" | "up" | "mid" | "upBias" | "alpha" | "magnitude" | "dora")
  | ("diff" | "diffBias" | "set" | "weight" | "bias")
  | `hada_${string}`
  | `lokr_${string}`;

/** A key that was understood. */
export interface AdapterKey {
  /** As the file has it. */
  readonly key: string;
  readonly component: Component;
  /** The layer, as diffusers or (in the UNet) CompVis calls it: `mid_block.attentions.0.proj_in`. */
  readonly layer: string;
  readonly part: Part;
}

/** Endings of keys, and the parts that they stand for. Adapters that PEFT holds in memory have a name before `.weight`. */
const ENDINGS: [ending: RegExp, part: Part][] = [
  [/\.lora_A(?:\.\w+)??(?:\.weight)?$/, "down"],
  [/(?:\.lora_|[._]lora\.|\.lora_linear_layer\.)down\.weight$/, "down"],
  [/(?:\.lora_|[._]lora\.|\.lora_linear_layer\.)up\.weight$/, "up"],
  [/(?:\.lora_B(?:\.\w+)??|(?:\.lora_|[._]lora\.|\.lora_linear_layer\.)up)\.bias$/, "upBias"],
  [/\.lora_B(?:\.\w+)??(?:\.weight)?$/, "up"],
  [/\.lora_mid\.weight$/, "mid"],
  [/(?:[._]lora|\.lora_linear_layer)?\.alpha$/, "alpha"],
  [/\.lora_magnitude_vector(?:\.\w+)??(?:\.weight)?$/, "magnitude"],
  [/\.dora_scale$/, "dora"],
  [/\.(?:diff|w_norm)$/, "diff"],
  [/\.(?:diff_b|b_norm)$/, "diffBias"],
  [/\.set_weight$/, "set"],
];

const LYCORIS = /\.(hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2))(?:\.\w+)?$/;

/** Whole parameters, as PEFT saves what trained beside its adapters. */
const WHOLE = /\.(weight|bias)$/;

/** Ends of adapters that are known and not read: functions of the weights that no delta here is. */
const OTHERS =
  /\.(?:[ab][12]\.weight|bm[12]\.weight|on_input|oft_\w+|boft_\w+|vera_lambda_\w+|lora_embedding_[AB](?:\.\w+)?|rescale|ia3_\w+(?:\.\w+)?)$/;

/** Beginnings of keys, and whose parameters they stand for; those with an underscore have no dots behind it. */
const BEGINNINGS: [beginning: RegExp, component: Component][] = [
  [/^(?:lora_unet|lycoris)(?=[._])/, "unet"],
  [/^lora_te1?(?=[._])/, "text_encoder"],
  [/^lora_te2(?=[._])/, "text_encoder_2"],
  [/^unet(?=\.)/, "unet"],
  [/^(?:model\.)?diffusion_model(?=\.)/, "unet"],
  [/^text_encoder(?=\.)/, "text_encoder"],
  [/^text_encoder_2(?=\.)/, "text_encoder_2"],
  [/^(?:text_encoders\.)?clip_[lh](?:\.transformer)?(?=\.)/, "text_encoder"],
  [/^(?:text_encoders\.)?clip_g(?:\.transformer)?(?=\.)/, "text_encoder_2"],
];

/** What PEFT puts before the names of a model that it wraps. */
const WRAPPED = /^(?:base_model\.model\.)+/;

const UNET_TOP =
  /^(?:(?:down_blocks|mid_block|up_blocks|input_blocks|middle_block|output_blocks|out|time_embed|label_emb)\.|(?:conv_in|conv_out|conv_norm_out)(?:\.|$)|(?:time|add)_embedding\.)/;

const TEXT_TOP = /^(?:(?:encoder|embeddings)\.|(?:final_layer_norm|text_projection)(?:\.|$))/;

const RESNET = String.raw`resnets\.\d+\.(?:norm[12]|conv[12]|time_emb_proj|conv_shortcut)`;
const BLOCK = String
  .raw`transformer_blocks\.\d+\.(?:norm[123]|attn[12]\.(?:to_[qkv]|to_out\.0)|ff\.net\.(?:0\.proj|2))`;
const TRANSFORMER = String.raw`attentions\.\d+\.(?:norm|proj_in|proj_out|${BLOCK})`;

const TEXT_LAYER =
  /^(?:text_model\.(?:encoder\.layers\.\d+\.(?:self_attn\.(?:q|k|v|out)_proj|mlp\.fc[12]|layer_norm[12])|embeddings\.(?:token|position)_embedding|final_layer_norm)|text_projection)(?:\.weight|\.bias)?$/;

/** All layers that a UNet may have, and all that a text encoder may have, with or without the kind of a parameter. */
const LAYERS: Readonly<Record<Component, RegExp>> = {
  unet: new RegExp(
    String.raw`^(?:conv_in|conv_out|conv_norm_out|(?:time|add)_embedding\.linear_[12]|` +
      String
        .raw`(?:mid_block|down_blocks\.\d+|up_blocks\.\d+)\.(?:${RESNET}|${TRANSFORMER}|(?:down|up)samplers\.0\.conv))` +
      String.raw`(?:\.weight|\.bias)?$`,
  ),
  text_encoder: TEXT_LAYER,
  text_encoder_2: TEXT_LAYER,
};

/** Whether a component may have a layer, or a parameter, of a name in diffusers. */
export const isLayer = (component: Component, name: string): boolean =>
  LAYERS[component].test(name);

const COMPVIS_LAYER = /^(?:(?:input|output)_blocks|middle_block|out|time_embed|label_emb)\./;

/** What a key ends in: its rest, and the part that it is; undefined where no adapter that is read here has such keys. */
export function partOf(key: string): { rest: string; part: Part } | undefined {
  if (OTHERS.test(key)) return undefined;
  const [end, lycoris] = LYCORIS.exec(key) ?? [];
  if (lycoris) return { rest: key.slice(0, -end!.length), part: lycoris as Part };
  for (const [ending, part] of ENDINGS) {
    const found = ending.exec(key);
    if (found) return { rest: key.slice(0, found.index), part };
  }
  const [whole, kind] = WHOLE.exec(key) ?? [];
  return whole ? { rest: key.slice(0, -whole.length), part: kind as Part } : undefined;
}

/** Whether a key is one that adapters alone have. */
export const isAdapterKey = (key: string): boolean => {
  if (OTHERS.test(key)) return true;
  const part = partOf(key)?.part;
  return part !== undefined && part !== "weight" && part !== "bias" && part !== "alpha";
};

/** Whether a key is spelled as kohya does: its dots became underscores. */
export const isKohyaKey = (key: string): boolean => /^(?:lora_(?:unet|te[12]?)|lycoris)_/.test(key);

/** A key understood, or undefined where it is of no UNet and of no text encoder, or of no part of a change. */
export function parseKey(key: string): AdapterKey | undefined {
  const found = partOf(key);
  if (!found) return undefined;
  const name = found.rest.replace(WRAPPED, "").replace(/\.base_layer$/, "");
  for (const [beginning, component] of BEGINNINGS) {
    const [start] = beginning.exec(name) ?? [];
    if (start === undefined) continue;
    const rest = name.slice(start.length + 1), flat = name[start.length] === "_";
    // An adapter of Kohya's holds no whole parameters: those are of a method that scales activations.
    if (flat && (found.part === "weight" || found.part === "bias")) return undefined;
    const layer = layerOf(component, flat ? fromUnderscores(rest) : rest);
    return layer === undefined ? undefined : { key, component, layer, part: found.part };
  }
  for (const component of ["unet", "text_encoder"] as const) {
    const layer = layerOf(component, name);
    if (layer !== undefined) return { key, component, layer, part: found.part };
  }
}

/** A layer's name without what tools put in, or undefined where a component has none that begins so. */
function layerOf(component: Component, name: string): string | undefined {
  const plain = name.replace(/\.processor(?=\.)/, "");
  if (component === "unet") {
    return UNET_TOP.test(plain) ? plain.replace(/\.to_out$/, ".to_out.0") : undefined;
  }
  const inner = plain.replace(/^text_model\./, "").replace(
    /\.self_attn\.to_(q|k|v|out)$/,
    ".self_attn.$1_proj",
  );
  if (!TEXT_TOP.test(inner)) return undefined;
  return inner.startsWith("text_projection") ? inner : `text_model.${inner}`;
}

/** Layers by whether they have a place in the models. */
export interface PlacedLayers {
  /** Under the names that diffusers has for them. */
  readonly placed: AdapterKey[];
  /** Those whose place depends on how many layers a block has, which neither the model nor the names tell. */
  readonly open: AdapterKey[];
  /** Those that no model has. */
  readonly nowhere: AdapterKey[];
}

/**
 * Gives layers that are called as in CompVis checkpoints the names that diffusers has for them.
 *
 * @param keys all of a file, since only together do they tell how many layers a block has
 * @param layers `layers_per_block`, where the model is known
 */
export function placeLayers(keys: readonly AdapterKey[], layers?: number): PlacedLayers {
  const isCompVis = ({ component, layer }: AdapterKey) =>
    component === "unet" && COMPVIS_LAYER.test(layer);
  const count = layers ??
    layersOfCompVis(keys.filter(isCompVis).map(({ layer }) => `${layer}.weight`));
  const placed: AdapterKey[] = [], open: AdapterKey[] = [], nowhere: AdapterKey[] = [];
  for (const key of keys) {
    if (count === undefined && MOVABLE.test(key.layer)) {
      open.push(key);
      continue;
    }
    const layer = isCompVis(key) ? fromCompVis(key.layer, count ?? 1) : key.layer;
    if (layer === undefined || !isLayer(key.component, layer)) nowhere.push(key);
    else placed.push({ ...key, layer });
  }
  return { placed, open, nowhere };
}

/** Where the blocks of the way down and up lie depends on how many layers each has; all else stays in one place. */
const MOVABLE = /^(?:input_blocks\.(?!0\.)|output_blocks\.)/;

/** The name in diffusers of a layer that is called as in CompVis checkpoints. */
function fromCompVis(layer: string, layers: number): string | undefined {
  const [, bare, end = ""] = /^(.*?)(\.(?:weight|bias))?$/.exec(layer)!;
  return unetFromCompVis(`${bare}.weight`, layers)?.replace(/\.weight$/, end);
}
