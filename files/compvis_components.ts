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
}

/** Parameters by their diffusers names. */
export type Component = ReadonlyMap<string, Placed>;

const VAE = "first_stage_model.", CLIP = "cond_stage_model.transformer.";
const OPEN_CLIP = "cond_stage_model.model.";

/** What a file holds. */
export interface Parts {
  readonly components: ReadonlyMap<string, Component>;
  /** Whether its text encoder is one of OpenCLIP's. */
  readonly open: boolean;
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
    const unet = rest(COMPVIS), vae = rest(VAE), clip = rest(CLIP), open = rest(OPEN_CLIP);
    if (unet !== undefined) {
      // What has no place keeps its name: then the comparison with the config tells of it.
      put("unet", unetFromCompVis(unet, layers) ?? unet, whole);
    } else if (vae !== undefined) {
      const name = vaeFromCompVis(vae, levels);
      if (name) put("vae", name, /\.attentions\./.test(name) ? at : whole);
    } else if (clip !== undefined) {
      const name = clipFromCompVis(clip);
      if (name) put("text_encoder", name, whole);
    } else if (open !== undefined) {
      const parts = clipFromOpenClip(open);
      const rows = shape[0] / parts.length, size = shape.reduce((a, b) => a * b, 1) / parts.length;
      if (parts.length > 1 && !Number.isInteger(rows)) {
        throw new FileError(file, `has "${stored}" as [${shape}], which are no three matrices`);
      }
      parts.forEach((name, i) =>
        put("text_encoder", name, {
          ...whole,
          shape: parts.length > 1 ? [rows, ...shape.slice(1)] : shape,
          first: i * size,
        })
      );
    }
  }
  const open = names.some((n) => n.startsWith(OPEN_CLIP));
  const text = components.get("text_encoder");
  if (open && text) dropLastLayer(text);
  const marks = names.filter((n) => n === "v_pred" || n === "ztsnr");
  return { components, open, marks, metadata: source.metadata };
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
