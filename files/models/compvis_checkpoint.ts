/**
 * A whole model in one file, as CompVis and Stability published Stable Diffusion and as most fine-tuned models are passed
 * around: `.ckpt` or `.safetensors`. It is given out as if it were a folder in the diffusers layout, so that nothing else
 * has to know. Nothing is copied: a tensor is read from the file under its other name when it is wanted.
 */
import { clipTokenizer } from "./clip_vocabulary.ts";
import {
  type Hints,
  schedulerConfigOf,
  textConfigOf,
  unetConfigOf,
  vaeConfigOf,
} from "./compvis_config.ts";
import { type Component, componentsOf, type Parts, type Placed } from "./compvis_components.ts";
import { FileError } from "../errors.ts";
import type { ModelFolder } from "./model_folder.ts";
import type { JsonObject } from "../json.ts";
import { readText } from "../text.ts";
import { isFile, isFolder } from "../paths.ts";
import { type FileArray, type TensorSource, tensorSource } from "../safetensors/read.ts";
import { readTokenizerParts, TOKENIZER_FILES } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";

/** What the published folders sample with. */
const SCHEDULERS: Readonly<Record<Parts["family"], string>> = {
  1: "PNDMScheduler",
  2: "DDIMScheduler",
  xl: "EulerDiscreteScheduler",
};

/** What a model is called in diffusers, by its family and the channels of its UNet. */
function pipelineOf(family: Parts["family"], channels: unknown): string {
  const kinds: Record<number, string> = { 8: "InstructPix2Pix", 9: "Inpaint" };
  return `StableDiffusion${family === "xl" ? "XL" : ""}${kinds[channels as number] ?? ""}Pipeline`;
}

/** A component's entry in `model_index.json`. */
function classOf(component: string, config: JsonObject): [library: string, kind: unknown] {
  const { _class_name: kind, architectures, tokenizer_class: tokenizer } = config;
  return kind ? ["diffusers", kind] : [
    "transformers",
    component.startsWith("tokenizer") ? tokenizer : (architectures as string[])[0],
  ];
}

/**
 * Opens a single-file checkpoint.
 *
 * The tokenizer is that of a folder `tokenizer/` beside the file, or CLIP's, which all published models have. The numbers
 * that shapes do not tell are those of the published models, or of a config `<name>.yaml` beside `<name>.ckpt`.
 *
 * @throws FileError when it holds no such model, or a part that is not whole
 */
export async function openCompVis(path: string): Promise<ModelFolder> {
  const parts = await withSource(path, (source) => Promise.resolve(componentsOf(source)));
  const { components, family } = parts;
  const hints = await hintsFor(path, parts);
  const shapes = components.get("unet")!, vae = components.get("vae");
  const unet = unetConfigOf(path, shapes, hints);
  const configs = new Map<string, JsonObject>([["unet", unet]]);
  configs.set("scheduler", schedulerConfigOf(hints, SCHEDULERS[family]));
  if (vae) configs.set("vae", vaeConfigOf(path, vae, hints, unet.sample_size as number));
  for (const suffix of ["", "_2"]) {
    const text = components.get(`text_encoder${suffix}`);
    if (!text) continue;
    const open = family === "2" || suffix !== "";
    configs.set(`text_encoder${suffix}`, textConfigOf(path, text, open));
    configs.set(`tokenizer${suffix}`, {
      tokenizer_class: "CLIPTokenizer",
      pad_token: open ? "!" : "<|endoftext|>",
    });
  }
  const has = (component: string) => {
    if (configs.has(component)) return;
    throw new FileError(
      path,
      `holds no component ${component}`,
      `It has ${[...configs.keys()].sort().join(", ")}`,
    );
  };
  return {
    path,
    index: {
      _class_name: pipelineOf(family, unet.in_channels),
      ...(family === "xl" && { force_zeros_for_empty_prompt: true }),
      ...Object.fromEntries([...configs].map(([name, config]) => [name, classOf(name, config)])),
    },
    components: [...configs.keys()].sort(),
    folder(component) {
      has(component);
      return `${path}, as ${component}`;
    },
    config(component) {
      has(component);
      return configs.get(component)!;
    },
    async weights(component) {
      has(component);
      const placed = components.get(component);
      if (!placed) throw new FileError(path, `holds no weights of a ${component}`);
      return view(await openWeights(path), component, placed);
    },
    async tokenizer(component = "tokenizer") {
      has(component);
      const beside = `${path.slice(0, cutOf(path))}${component}`;
      return await isFolder(beside, TOKENIZER_FILES)
        ? await readTokenizerParts(beside)
        : await clipTokenizer(configs.get(component)!.pad_token as string);
    },
  };
}

async function withSource<T>(path: string, work: (source: TensorSource) => Promise<T>): Promise<T> {
  using source = await openWeights(path);
  return await work(source);
}

const cutOf = (path: string): number => Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;

/** A matrix of `rows` × `columns` from the other one. */
function transposed(from: FileArray, rows: number, columns: number): FileArray {
  const to = from.slice();
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) to[r * columns + c] = from[c * rows + r];
  }
  return to;
}

/** A component's tensors under their diffusers names. */
function view(source: TensorSource, component: string, placed: Component): TensorSource {
  return tensorSource(
    `${source.name}, as ${component}`,
    placed,
    {},
    async (at: Placed, first, count) => {
      if (!at.turned) return await source.readPart(at.stored, at.first + first, count);
      const { data } = await source.read(at.stored), [rows, columns] = at.shape;
      return transposed(data, rows, columns).slice(first, first + count);
    },
    () => source.close(),
  );
}

/** Steps that the files of Stable Diffusion 2's and 2.1's base models tell. */
const BASE_STEPS = ["875000", "220000"];

/** What shapes do not tell: from the training config beside the file, else as the published files are. */
async function hintsFor(
  path: string,
  { family, marks, metadata }: Pick<Parts, "family" | "marks" | "metadata">,
): Promise<Hints> {
  const hints: Record<string, string | number> = {};
  // Of Stable Diffusion 2, all but the base models answer v.
  const v = marks.includes("v_pred") ||
    family === "2" && !BASE_STEPS.includes(metadata.global_step);
  if (v) hints.parameterization = "v";
  if (marks.includes("ztsnr")) hints.zero_snr = 1;
  const yaml = `${path.replace(/\.[^./\\]*$/, "")}.yaml`;
  const text = await isFile(yaml) ? await readText(yaml) : "";
  if (!/^ *linear_start:/m.test(text)) return hints;
  hints.parameterization = "eps";
  for (const name of HINTS) {
    // The model's own parameters come first, and its parts may have others of the same name.
    const [, value] = new RegExp(`^ *${name}: *"?([\\w.+-]+)"?`, "m").exec(text) ?? [];
    if (value === undefined) continue;
    const word = name === "parameterization" || !Number.isFinite(Number(value));
    hints[name] = word ? value : Number(value);
  }
  return hints;
}

const HINTS = [
  "parameterization",
  "linear_start",
  "linear_end",
  "timesteps",
  "scale_factor",
  "num_heads",
  "num_head_channels",
];
