/**
 * Which file in a component's folder holds its weights.
 *
 * Why a file of its own: diffusers and transformers name them differently, whole or sharded, plain or in variants
 * (`.fp16.`), and every combination is met in the wild.
 */
import { FileError } from "./errors.ts";
import { namesIn } from "./paths.ts";

const STEM = "(?:diffusion_pytorch_model|model)";
const WHOLE = new RegExp(`^${STEM}(?:\\.([\\w-]+))?\\.safetensors$`);
const INDEX = new RegExp(`^${STEM}\\.safetensors\\.index(?:\\.([\\w-]+))?\\.json$`);

/** One of several shards of a variant; not a variant called "00001-of-00002". */
const SHARD = /^\d+-of-\d+$/;

/**
 * Path of the `.safetensors` file of a component, or of the index of its shards: the wanted variant if it is there,
 * else the plain one, else the only variant.
 *
 * @throws FileError if there is none, or several variants and no way to choose
 */
export async function weightsFile(folder: string, variant?: string): Promise<string> {
  const names = (await namesIn(folder)).sort();
  // Variant → file; "" is the plain one. Whole files come last, and so outrank shards.
  const found = new Map<string, string>();
  for (const pattern of [INDEX, WHOLE]) {
    for (const name of names) {
      const match = name.match(pattern);
      if (match && !SHARD.test(match[1] ?? "")) found.set(match[1] ?? "", name);
    }
  }
  const name = found.get(variant ?? "") ?? found.get("") ??
    (found.size === 1 ? [...found.values()][0] : undefined);
  if (name) return `${folder}/${name}`;
  if (found.size) {
    throw new FileError(
      folder,
      `holds its weights in several variants (${[...found.keys()].join(", ")}) and ${
        variant ? `not in ${variant}` : "no plain one"
      }`,
      "Choose one of them by name",
    );
  }
  const pickle = names.find((n) => /\.(bin|ckpt|pt)$/.test(n));
  throw new FileError(
    folder,
    "holds no weights (diffusion_pytorch_model.safetensors or model.safetensors)",
    pickle
      ? `${pickle} is a PyTorch pickle: convert it to safetensors first`
      : "The download is incomplete: fetch the model again",
  );
}
