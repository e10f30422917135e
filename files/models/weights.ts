/**
 * Weights by path, whatever they are kept in: a safetensors file, a PyTorch checkpoint, or several of either, as
 * `*.index.json` tells.
 *
 * Why an index is checked so closely: it is a second header that may lie too, about files that may be missing.
 */
import { expectKinds } from "../../tensor/kinds.ts";
import { PATH } from "../given.ts";
import type { FileArray } from "../dtypes.ts";
import { FileError } from "../errors.ts";
import { isObject, readJsonObject } from "../json.ts";
import {
  openSafetensors,
  type TensorInfo,
  type TensorSource,
  tensorSource,
} from "../safetensors/read.ts";
import { type ByteSource, fileSource } from "../source.ts";
import { isTorch, openTorchWeights } from "../torch/checkpoint.ts";

/**
 * Opens weights: a file, told by its content, or an index (`.json`) and the files beside it.
 *
 * @throws FileError naming the file that is missing or wrong, and the tensor
 */
export async function openWeights(path: string): Promise<TensorSource> {
  expectKinds("openWeights", { path: [path, PATH] });
  return await (path.endsWith(".json") ? openShards(path) : openWeightsFile(path));
}

/** Opens one file of weights, told by its content. Throws FileError as {@linkcode openWeights} does. */
export async function openWeightsFile(from: string | ByteSource): Promise<TensorSource> {
  const bytes = typeof from === "string" ? await fileSource(from) : from;
  return await (await containerOf(bytes) === "torch"
    ? openTorchWeights(bytes)
    : openSafetensors(bytes));
}

/** What a file's first bytes make it. A source that can't be read is closed. */
export async function containerOf(bytes: ByteSource): Promise<"torch" | "safetensors"> {
  try {
    return await isTorch(bytes) ? "torch" : "safetensors";
  } catch (error) {
    bytes.close();
    throw error;
  }
}

interface Sharded extends TensorInfo {
  readonly shard: TensorSource;
}

async function openShards(path: string): Promise<TensorSource> {
  const index = await readJsonObject(path);
  const map = index.weight_map;
  if (!isObject(map)) {
    throw new FileError(path, "has no weight_map", "It is not the index of a sharded model");
  }
  const folder = path.slice(0, Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
  const shards = new Map<string, TensorSource>();
  const closeAll = () => shards.forEach((shard) => shard.close());
  try {
    const tensors = new Map<string, Sharded>();
    for (const [tensor, file] of Object.entries(map)) {
      // A path would let an index from a stranger open any file of the user's.
      if (typeof file !== "string" || !/^[^/\\:]+\.(safetensors|bin)$/.test(file)) {
        throw new FileError(
          path,
          `places tensor "${tensor}" in ${
            JSON.stringify(file)
          }, which is not the name of a .safetensors or .bin file beside it`,
        );
      }
      const shard = shards.get(file) ?? await openWeightsFile(folder + file);
      shards.set(file, shard);
      const info = shard.tensors.get(tensor);
      if (!info) {
        throw new FileError(
          path,
          `places tensor "${tensor}" in ${file}, which does not hold it`,
          "Index and shards are of different models: fetch them again",
        );
      }
      tensors.set(tensor, { dtype: info.dtype, shape: info.shape, shard });
    }
    const metadata = shards.values().next().value?.metadata ?? {};
    const readRange = (
      entry: Sharded,
      first: number,
      count: number,
      tensor: string,
    ): Promise<FileArray> => entry.shard.readPart(tensor, first, count);
    return tensorSource(path, tensors, metadata, readRange, closeAll);
  } catch (error) {
    closeAll();
    throw error;
  }
}
