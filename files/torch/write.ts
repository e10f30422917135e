/**
 * Writing checkpoints that `torch.load(path, weights_only=True)` reads, whole or not at all: the zip archive of
 * `torch.save`, with the pickle first and a stored entry for each tensor.
 */
import { expectKind, expectKinds } from "../../tensor/kinds.ts";
import { PATH, WRITABLE } from "../given.ts";
import { writeFileAtomicBy } from "../atomic.ts";
import { bytesOf, FILE_BYTES, type FileDType, fileDTypeOf } from "../dtypes.ts";
import { FileError, messageOf } from "../errors.ts";
import { type PickledTensor, pickleOf, STORAGES, type TorchToWrite } from "./pickle_write.ts";
import type { TensorToWrite } from "../safetensors/write.ts";
import { ZipWriter } from "../archives/zip_write.ts";

export type { TorchToWrite } from "./pickle_write.ts";

/**
 * Writes a checkpoint.
 *
 * @throws FileError naming the file and the tensor if a shape and its data disagree, PyTorch has no such type, there is
 *   more than a zip archive holds (4 GB), or the file can't be written
 */
export async function writeTorch(path: string, root: TorchToWrite): Promise<void> {
  expectKinds("writeTorch", { path: [path, PATH] });
  const tensors: [TensorToWrite, PickledTensor][] = [];
  const pickle = pickleOf(root, (tensor) => {
    expectKind("writeTorch", "what is no list, Map, text or number", tensor, WRITABLE);
    const planned = { ...plan(path, tensor), key: String(tensors.length) };
    tensors.push([tensor, planned]);
    return planned;
  });
  const text = (value: string) => new TextEncoder().encode(value);
  await writeFileAtomicBy(path, async (put) => {
    const zip = new ZipWriter(path, put);
    await zip.add("archive/data.pkl", pickle);
    await zip.add("archive/byteorder", text("little"));
    for (const [tensor, planned] of tensors) {
      await zip.add(`archive/data/${planned.key}`, await contentOf(path, tensor, planned));
    }
    await zip.add("archive/version", text("3\n"));
    await zip.end();
  });
}

function plan(path: string, { shape, data, dtype }: TensorToWrite): Omit<PickledTensor, "key"> {
  const type = dtype ?? (typeof data === "function" ? undefined : fileDTypeOf(data));
  if (type && type in STORAGES) {
    return { dtype: type as FileDType, shape, elements: shape.reduce((a, b) => a * b, 1) };
  }
  throw new FileError(
    path,
    type
      ? `would hold numbers of type ${type}, which checkpoints don't`
      : "has a tensor of no type",
    `Types are ${Object.keys(STORAGES).join(", ")}`,
  );
}

async function contentOf(
  path: string,
  tensor: TensorToWrite,
  { dtype, shape, elements }: PickledTensor,
): Promise<Uint8Array> {
  const data = typeof tensor.data === "function" ? await tensor.data() : tensor.data;
  let bytes: Uint8Array;
  try {
    bytes = bytesOf(data, dtype);
  } catch (cause) {
    throw new FileError(path, `a tensor: ${messageOf(cause)}`, undefined, { cause });
  }
  if (bytes.length === elements * FILE_BYTES[dtype]) return bytes;
  throw new FileError(path, `a tensor of shape [${shape}] has ${data.length} elements`);
}
