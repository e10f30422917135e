/**
 * A model whose tensors are spread over several files, as `*.safetensors.index.json` tells.
 *
 * Why apart: the index is a second header that may lie too, about files that may be missing.
 */
import type { FileArray } from "./dtypes.ts";
import { FileError } from "./errors.ts";
import { isObject, readJsonObject } from "./json.ts";
import {
  openSafetensors,
  type TensorInfo,
  type TensorSource,
  tensorSource,
} from "./safetensors.ts";

/**
 * Opens weights by path: a `.safetensors` file, or a `.safetensors.index.json` and the shards beside it.
 *
 * @throws FileError naming the file that is missing or wrong, and the tensor
 */
export function openWeights(path: string): Promise<TensorSource> {
  return path.endsWith(".json") ? openShards(path) : openSafetensors(path);
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
      if (typeof file !== "string" || !/^[^/\\:]+\.safetensors$/.test(file)) {
        throw new FileError(
          path,
          `places tensor "${tensor}" in ${
            JSON.stringify(file)
          }, which is not the name of a .safetensors file beside it`,
        );
      }
      const shard = shards.get(file) ?? await openSafetensors(folder + file);
      shards.set(file, shard);
      const info = shard.tensors.get(tensor);
      if (!info) {
        throw new FileError(
          path,
          `places tensor "${tensor}" in ${file}, which does not hold it`,
          "Index and shards are of different models: fetch them again",
        );
      }
      tensors.set(tensor, { ...info, shard });
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
