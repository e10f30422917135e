/**
 * A short name for what a model's weights are, to be written into delta files.
 *
 * Why: a delta only makes sense on the model it was taught to. Why a sample of the bytes and not all: four gigabytes
 * take half a minute to read, and any training changes every tensor that it touches throughout.
 */
import { expectKinds, having, listOf, TEXT } from "../../tensor/kinds.ts";
import type { ModelFolder } from "./folder.ts";
import { halfBits, isReal, toFloat32 } from "../dtypes.ts";
import type { TensorSource } from "../safetensors/read.ts";
import { sha256 } from "../sha256.ts";

/** Elements that are looked at in each of two places of a tensor. */
const SAMPLE = 32;

/**
 * SHA-256, in hexadecimal, over the components' names, their tensors' names and shapes, and a sample of their elements
 * (the first 32 and 32 from the middle of each).
 *
 * It does not depend on how the weights are stored: a copy in f16, in shards, in a single file, or with the names of
 * another version of transformers has the fingerprint of the original.
 * Integer tensors (`position_ids`) don't count, since writers disagree on keeping them.
 *
 * @param components which to look at; by default the UNet and the text encoders, since a delta is as good with another VAE
 * @throws FileError if the weights can't be read
 */
export async function fingerprint(
  folder: ModelFolder,
  components?: readonly string[],
): Promise<string> {
  expectKinds("fingerprint", {
    folder: [folder, having("a folder, as openModelFolder gives it", "components", "weights")],
    "components?": [components, listOf(TEXT)],
  });
  const wanted = components ??
    folder.components.filter((c) => /^(unet|text_encoder(_\d)?)$/.test(c));
  const parts: BlobPart[] = ["moongate fingerprint 1\n"];
  for (const component of [...wanted].sort()) {
    using weights = await folder.weights(component);
    parts.push(`${component}\n`);
    await sample(weights, parts, /^text_encoder/.test(component) ? "text_model." : "");
  }
  return await sha256(await new Blob(parts).arrayBuffer());
}

/** @param prefix what some writers put before a parameter's name and others leave out */
async function sample(weights: TensorSource, parts: BlobPart[], prefix: string): Promise<void> {
  const bare = (name: string) => name.startsWith(prefix) || name.startsWith("text_projection.");
  const names = [...weights.tensors.keys()].map((name): [string, string] => [
    bare(name) ? name : prefix + name,
    name,
  ]);
  for (const [known, name] of names.sort(([a], [b]) => a < b ? -1 : 1)) {
    const { dtype, shape } = weights.tensors.get(name)!;
    if (!isReal(dtype) || name.endsWith("position_ids")) continue;
    parts.push(`${JSON.stringify(known)} ${JSON.stringify(shape)}\n`);
    const size = shape.reduce((a, b) => a * b, 1);
    for (const first of [0, Math.floor(size / 2)]) {
      const data = await weights.readPart(name, first, Math.min(SAMPLE, size - first));
      parts.push(halfBits(toFloat32(data)));
    }
  }
}
