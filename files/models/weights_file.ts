/**
 * Which file in a component's folder holds its weights.
 *
 * Why a file of its own: diffusers and transformers name them differently, whole or sharded, plain or in variants
 * (`.fp16.`), in safetensors or as PyTorch checkpoints, and every combination is met in the wild.
 */
import { FileError } from "../errors.ts";
import { namesIn } from "../paths.ts";

/** What the names begin with, by ending; the one that is preferred first. */
const STEMS: readonly [ending: string, stem: string][] = [
  ["safetensors", "(?:diffusion_pytorch_model|model)"],
  ["bin", "(?:diffusion_pytorch_model|pytorch_model)"],
];

/** One of several shards of a variant; not a variant called "fp16-00001-of-00002". */
const SHARD = /\d+-of-\d+$/;

/**
 * Path of the file that holds a component's weights, or of the index of its shards: the wanted variant if it is there,
 * else the plain one, else the only variant; of each, safetensors rather than a PyTorch checkpoint.
 *
 * @throws FileError if there is none, or several variants and no way to choose
 */
export async function weightsFile(folder: string, variant?: string): Promise<string> {
  const names = (await namesIn(folder, likelyNames(variant))).sort();
  const found = STEMS.map(([ending, stem]) => variantsIn(names, ending, stem));
  const variants = [...new Set(found.flatMap((names) => [...names.keys()]))];
  const choice = [variant, "", ...(variants.length === 1 ? variants : [])];
  for (const name of choice) {
    const file = found.map((of) => of.get(name!)).find((file) => file !== undefined);
    if (file !== undefined) return `${folder}/${file}`;
  }
  if (variants.length) {
    throw new FileError(
      folder,
      `holds its weights in several variants (${variants.join(", ")}) and ${
        variant ? `not in ${variant}` : "no plain one"
      }`,
      "Choose one of them by name",
    );
  }
  throw new FileError(
    folder,
    "holds no weights (diffusion_pytorch_model or model, .safetensors; or pytorch_model.bin)",
    "The download is incomplete: fetch the model again",
  );
}

/** Names that are asked a server for, which does not list what it has. */
const likelyNames = (variant = "fp16"): string[] =>
  [["diffusion_pytorch_model", "safetensors"], ["model", "safetensors"], [
    "diffusion_pytorch_model",
    "bin",
  ], [
    "pytorch_model",
    "bin",
  ]].flatMap(([stem, ending]) => [
    `${stem}.${ending}`,
    `${stem}.${variant}.${ending}`,
    `${stem}.${ending}.index.json`,
    `${stem}.${ending}.index.${variant}.json`,
  ]);

/** Variant → file; "" is the plain one. Whole files come last, and so outrank shards. */
function variantsIn(names: readonly string[], ending: string, stem: string): Map<string, string> {
  const found = new Map<string, string>();
  const patterns = [`${ending}\\.index(?:\\.([\\w-]+))?\\.json`, `(?:([\\w-]+)\\.)?${ending}`];
  for (const pattern of patterns) {
    for (const name of names) {
      const match = name.match(new RegExp(`^${stem}\\.${pattern}$`));
      if (match && !SHARD.test(match[1] ?? "")) found.set(match[1] ?? "", name);
    }
  }
  return found;
}
