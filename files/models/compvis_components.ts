/** Which tensors of a single-file checkpoint are which parameters of which component, by their diffusers names. */
import {
  clipFromCompVis,
  clipFromOpenClip,
  COMPVIS,
  unetFromCompVis,
  vaeFromCompVis,
} from "./compvis_names.ts";
import { otherModel, partOfModel } from "./compvis_others.ts";
import { FileError } from "../errors.ts";
import type { TensorInfo, TensorSource } from "../safetensors/read.ts";

/** A parameter: where in which stored tensor it is. */
export interface Placed extends TensorInfo {
  readonly stored: string;
  readonly first: number;
  /** Whether it is a matrix that is stored the other way round. */
  readonly turned?: boolean;
}

/** Parameters by their diffusers names. */
export type Component = ReadonlyMap<string, Placed>;

const VAE = "first_stage_model.";

/** Where the text encoders are. What is in there may go by OpenCLIP's names or by those of transformers. */
const TEXTS = [
  { prefix: "cond_stage_model.", component: "text_encoder" },
  { prefix: "conditioner.embedders.0.", component: "text_encoder" },
  { prefix: "conditioner.embedders.1.", component: "text_encoder_2" },
] as const;

/** What a file holds. */
export interface Parts {
  readonly components: ReadonlyMap<string, Component>;
  /** Which Stable Diffusion it is of, by its shapes. */
  readonly family: "1" | "2" | "xl";
  /** Entries that are no parameters and say how it was trained. */
  readonly marks: readonly string[];
  /** Texts and numbers beside the parameters. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Places every parameter of a file.
 *
 * @throws FileError when it is of another kind of model, holds no UNet, or a parameter twice
 */
export function componentsOf(source: TensorSource): Parts {
  const { tensors, name: file } = source;
  const names = [...tensors.keys()];
  refuseOthers(file, names);
  const components = new Map<string, Map<string, Placed>>();
  const put = (component: string, name: string, at: Placed) => {
    const held = components.get(component) ?? new Map<string, Placed>();
    if (held.has(name)) throw new FileError(file, `holds ${component} parameter "${name}" twice`);
    components.set(component, held.set(name, at));
  };
  const layers = layersOf(names), levels = levelsOf(names);
  for (const [stored, { dtype, shape }] of tensors) {
    const at = { dtype, shape: flat(shape), stored, first: 0 };
    const whole = { ...at, shape };
    const rest = (prefix: string) =>
      stored.startsWith(prefix) ? stored.slice(prefix.length) : undefined;
    const unet = rest(COMPVIS), vae = rest(VAE);
    const text = TEXTS.find(({ prefix }) => stored.startsWith(prefix));
    if (unet !== undefined) {
      // What has no place keeps its name: then the comparison with the config tells of it.
      put("unet", unetFromCompVis(unet, layers) ?? unet, whole);
    } else if (vae !== undefined) {
      const name = vaeFromCompVis(vae, levels);
      if (name) put("vae", name, /\.attentions\./.test(name) ? at : whole);
    } else if (text) {
      const { component } = text;
      for (const [name, placed] of textParts(file, component, rest(text.prefix)!, whole)) {
        put(component, name, placed);
      }
    }
  }
  const family = familyOf(components);
  if (family === "2") dropSurplusLayer(components.get("text_encoder")!);
  return {
    components,
    family,
    marks: names.filter((n) => n === "v_pred" || n === "ztsnr"),
    metadata: source.metadata,
  };
}

/** Says what a file is that holds no model of those that are read. */
function refuseOthers(file: string, names: readonly string[]): void {
  const read = "Stable Diffusion 1, 2 and XL are read";
  const other = otherModel(names);
  if (other) throw new FileError(file, `is ${other}, which is not read`, read);
  if (names.some((n) => n.startsWith(`${COMPVIS}input_blocks.0.0.`))) return;
  const part = partOfModel(names);
  throw new FileError(
    file,
    `is no model: it holds no UNet under model.diffusion_model${part ? `. It is ${part}` : ""}`,
    "Name a model folder, or a single-file checkpoint of a whole model",
  );
}

/** Widths of the text encoders that were published. */
const CLIP_WIDTH = 768, OPEN_CLIP_WIDTH = 1024;

/** Told by shapes: converters call the parameters of a text encoder as they like. */
function familyOf(components: ReadonlyMap<string, Component>): Parts["family"] {
  const text = components.get("text_encoder"), unet = components.get("unet");
  if (components.has("text_encoder_2") || unet?.has("add_embedding.linear_1.weight")) return "xl";
  const width = text?.get("text_model.embeddings.token_embedding.weight")?.shape[1];
  if (!text || width === CLIP_WIDTH) return "1";
  // Of other widths, which no published model has, the UNet tells: 2 projects linearly, 1 by convolutions.
  const projection = unet?.get("mid_block.attentions.0.proj_in.weight")?.shape;
  return width === OPEN_CLIP_WIDTH || projection?.length === 2 ? "2" : "1";
}

/** A name as transformers has it, and not OpenCLIP. */
const TRANSFORMERS =
  /^(?:transformer\.|model\.)*(?:text_model\.)?(?:embeddings|encoder|final_layer_norm)\./;

/** The parameters that a tensor of a text encoder holds. */
function textParts(
  file: string,
  component: string,
  name: string,
  whole: Placed,
): [string, Placed][] {
  const { shape } = whole;
  if (TRANSFORMERS.test(name)) {
    const found = clipFromCompVis(name.replace(/^(transformer\.|model\.)+/, ""));
    return found ? [[found, whole]] : [];
  }
  const inner = name.replace(/^model\./, "");
  if (component === "text_encoder_2" && shape.length === 2) {
    if (inner === "text_projection") {
      return [["text_projection.weight", { ...whole, shape: shape.toReversed(), turned: true }]];
    }
    if (inner.replace(/^transformer\./, "") === "text_projection.weight") {
      return [["text_projection.weight", whole]];
    }
  }
  const parts = clipFromOpenClip(inner);
  if (parts.length < 2) return parts.map((part) => [part, whole]);
  const rows = shape[0] / parts.length, size = shape.reduce((a, b) => a * b, 1) / parts.length;
  if (!Number.isInteger(rows)) {
    throw new FileError(file, `has "${whole.stored}" as [${shape}], which are no three matrices`);
  }
  return parts.map((part, i) => [
    part,
    { ...whole, shape: [rows, ...shape.slice(1)], first: i * size },
  ]);
}

/** Layers of OpenCLIP's text encoder as it was published, of which Stable Diffusion 2 uses all but the last. */
const OPEN_CLIP_LAYERS = 24;

/**
 * Stable Diffusion 2 was trained on what comes before OpenCLIP's last layer. Files of Stability hold that layer, converted
 * ones do not, and nothing but the number of layers tells. Of other widths there are only small models for tests, whose
 * layers that are used are an even number.
 */
function dropSurplusLayer(text: Map<string, Placed>): void {
  const layers = [...text.keys()].reduce(
    (most, n) => Math.max(most, Number(/encoder\.layers\.(\d{1,3})\./.exec(n)?.[1] ?? -1) + 1),
    0,
  );
  const width = text.get("text_model.embeddings.token_embedding.weight")?.shape[1];
  if (width === OPEN_CLIP_WIDTH ? layers !== OPEN_CLIP_LAYERS : layers % 2 === 0) return;
  for (const name of [...text.keys()]) {
    if (name.startsWith(`text_model.encoder.layers.${layers - 1}.`)) text.delete(name);
  }
}

/** A linear layer that is stored as a 1×1 convolution. */
const flat = (shape: readonly number[]): readonly number[] =>
  shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape;

/** Layers per level of the UNet: up to the first downsampling, or all where there is none. */
function layersOf(names: readonly string[]): number {
  const blocks = new RegExp(
    `^${COMPVIS.replaceAll(".", "\\.")}input_blocks\\.(\\d+)\\.0\\.(op\\.)?`,
  );
  let down = Infinity, last = 0;
  for (const name of names) {
    const [, index, op] = blocks.exec(name) ?? [];
    if (op) down = Math.min(down, Number(index));
    else if (index) last = Math.max(last, Number(index));
  }
  return Math.max(1, down === Infinity ? last : down - 1);
}

/** Resolutions of the autoencoder. */
function levelsOf(names: readonly string[]): number {
  let levels = 0;
  for (const name of names) {
    const level = /^first_stage_model\.encoder\.down\.(\d{1,3})\./.exec(name)?.[1];
    if (level) levels = Math.max(levels, Number(level) + 1);
  }
  return levels;
}
