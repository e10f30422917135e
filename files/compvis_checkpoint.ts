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
import { FileError } from "./errors.ts";
import type { ModelFolder } from "./model_folder.ts";
import { type JsonObject, readText } from "./json.ts";
import { isFile, isFolder } from "./paths.ts";
import { type TensorSource, tensorSource } from "./safetensors.ts";
import { readTokenizerParts } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";

/** The class that each component has in a folder. */
const CLASSES: Readonly<Record<string, [library: string, kind: string]>> = {
  scheduler: ["diffusers", "PNDMScheduler"],
  text_encoder: ["transformers", "CLIPTextModel"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
};

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
  const { components, open } = parts;
  const hints = await hintsFor(path, parts);
  const unet = components.get("unet")!, vae = components.get("vae");
  const text = components.get("text_encoder");
  const unetConfig = unetConfigOf(path, unet, hints);
  const configs = new Map<string, JsonObject>([
    ["scheduler", schedulerConfigOf(hints)],
    ["unet", unetConfig],
  ]);
  if (text) {
    configs.set("text_encoder", textConfigOf(path, text, open));
    configs.set("tokenizer", { tokenizer_class: "CLIPTokenizer" });
  }
  if (vae) configs.set("vae", vaeConfigOf(path, vae, hints, unetConfig.sample_size as number));
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
      _class_name: "StableDiffusionPipeline",
      ...Object.fromEntries([...configs.keys()].map((name) => [name, CLASSES[name]])),
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
    async tokenizer() {
      has("tokenizer");
      const beside = `${path.slice(0, cutOf(path))}tokenizer`;
      return await isFolder(beside)
        ? await readTokenizerParts(beside)
        : await clipTokenizer(open ? "!" : "<|endoftext|>");
    },
  };
}

async function withSource<T>(path: string, work: (source: TensorSource) => Promise<T>): Promise<T> {
  using source = await openWeights(path);
  return await work(source);
}

const cutOf = (path: string): number => Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;

/** A component's tensors under their diffusers names. */
function view(source: TensorSource, component: string, placed: Component): TensorSource {
  return tensorSource(
    `${source.name}, as ${component}`,
    placed,
    {},
    (at: Placed, first, count) => source.readPart(at.stored, at.first + first, count),
    () => source.close(),
  );
}

/** Steps that the files of Stable Diffusion 2's and 2.1's base models tell. */
const BASE_STEPS = ["875000", "220000"];

/** What shapes do not tell: from the training config beside the file, else as the published files are. */
async function hintsFor(
  path: string,
  { open, marks, metadata }: Pick<Parts, "open" | "marks" | "metadata">,
): Promise<Hints> {
  const hints: Record<string, string | number> = {};
  // Of Stable Diffusion 2, all but the base models answer v.
  const v = marks.includes("v_pred") || open && !BASE_STEPS.includes(metadata.global_step);
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
