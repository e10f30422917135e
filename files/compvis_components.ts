/** Which tensors of a single-file checkpoint are which parameters of which component, by their diffusers names. */
import {
  clipFromCompVis,
  clipFromOpenClip,
  COMPVIS,
  unetFromCompVis,
  vaeFromCompVis,
} from "./compvis_names.ts";
import { FileError } from "./errors.ts";
import type { TensorInfo, TensorSource } from "./safetensors.ts";

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

/** Where the text encoders are. Of OpenCLIP's, Stable Diffusion 2 leaves out the last layer and XL has the projection. */
const TEXTS: readonly TextPlace[] = [
  { prefix: "cond_stage_model.transformer.", component: "text_encoder", open: false },
  { prefix: "cond_stage_model.model.", component: "text_encoder", open: true },
  { prefix: "conditioner.embedders.0.transformer.", component: "text_encoder", open: false },
  { prefix: "conditioner.embedders.1.model.", component: "text_encoder_2", open: true },
];

interface TextPlace {
  readonly prefix: string;
  readonly component: "text_encoder" | "text_encoder_2";
  readonly open: boolean;
}

/** What a file holds. */
export interface Parts {
  readonly components: ReadonlyMap<string, Component>;
  /** Which Stable Diffusion it is of, by its text encoders. */
  readonly family: "1" | "2" | "xl";
  /** Entries that are no parameters and say how it was trained. */
  readonly marks: readonly string[];
  /** Texts and numbers beside the parameters. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Places every parameter of a file.
 *
 * @throws FileError when it holds no UNet, or a parameter twice
 */
export function componentsOf(source: TensorSource): Parts {
  const { tensors, name: file } = source;
  const names = [...tensors.keys()];
  if (!names.some((n) => n.startsWith(`${COMPVIS}input_blocks.0.0.`))) {
    throw new FileError(
      file,
      "is no model: it holds no UNet under model.diffusion_model",
      "Name a model folder, or a single-file checkpoint of a whole model",
    );
  }
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
      for (const [name, placed] of textParts(file, text, rest(text.prefix)!, whole)) {
        put(text.component, name, placed);
      }
    }
  }
  const two = names.some((n) => n.startsWith(TEXTS[1].prefix));
  if (two && components.has("text_encoder")) dropLastLayer(components.get("text_encoder")!);
  return {
    components,
    family: components.has("text_encoder_2") ? "xl" : two ? "2" : "1",
    marks: names.filter((n) => n === "v_pred" || n === "ztsnr"),
    metadata: source.metadata,
  };
}

/** The parameters that a tensor of a text encoder holds. */
function textParts(
  file: string,
  { open, component }: TextPlace,
  name: string,
  whole: Placed,
): [string, Placed][] {
  const { shape } = whole;
  if (!open) {
    const found = clipFromCompVis(name);
    return found ? [[found, whole]] : [];
  }
  if (name === "text_projection" && component === "text_encoder_2" && shape.length === 2) {
    return [["text_projection.weight", { ...whole, shape: shape.toReversed(), turned: true }]];
  }
  const parts = clipFromOpenClip(name);
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

/** Stable Diffusion 2 was trained on what comes before OpenCLIP's last layer: in folders that layer is not there. */
function dropLastLayer(text: Map<string, Placed>): void {
  const numbers = [...text.keys()].map((n) =>
    Number(/encoder\.layers\.(\d+)\./.exec(n)?.[1] ?? -1)
  );
  const last = numbers.reduce((a, b) => Math.max(a, b), -1);
  for (const name of [...text.keys()]) {
    if (name.startsWith(`text_model.encoder.layers.${last}.`)) text.delete(name);
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
