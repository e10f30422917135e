/** Between deltas on the host and parameters on a device: reading what was trained, and putting it into a model. */
import type { Mask, Trained } from "../autograd/mask.ts";
import { evaluate } from "../compile/compile.ts";
import { cast } from "../ops/compare.ts";
import { embedding, replaceRows } from "../ops/embedding.ts";
import { tensor } from "../ops/leaf.ts";
import { flatten, mapTree } from "../tensor/tree.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Pipeline, PipelineParams } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { fingerprint } from "../files/fingerprint.ts";
import { openModelFolder } from "../files/folder.ts";
import type { Concept } from "./batches.ts";
import type { Delta, DeltaWeight } from "./delta.ts";
import { INITIALIZERS } from "./defaults.ts";

/** Whether a path is the token table of the text encoder. */
const isTable = (path: string): boolean => path.endsWith("token_embedding.weight");

/** Reads trained values back as a delta. */
export async function deltaOf(
  pipeline: Pipeline,
  trainable: Mask,
  trained: Trained,
  concepts: readonly Concept[],
  notes: Delta["notes"],
): Promise<Delta> {
  const weights = new Map<string, DeltaWeight>();
  const embeddings: Float32Array[] = [];
  for (const path of trainable.paths) {
    const t = trained[path];
    const data = await pipeline.device.read(t) as Float32Array;
    if (!isTable(path)) weights.set(path, { shape: t.shape, data });
    else {for (let i = 0; i < t.shape[0]; i++) {
        embeddings.push(data.slice(i * t.shape[1], (i + 1) * t.shape[1]));
      }}
  }
  const tokens = concepts.filter((c) => c.token).map(({ token, className, initializer }, i) => ({
    token,
    className,
    initializer: initializer ?? INITIALIZERS[i] ?? "",
  }));
  const base = await fingerprint(await openModelFolder(pipeline.folder));
  return { base, tokens, embeddings, weights, notes };
}

/**
 * The pipeline with a delta's weights and embeddings in place. The base parameters are shared and untouched, so going
 * back is dropping the result (`free` gives back what was uploaded for it).
 *
 * @throws FileError when the delta names a parameter that the model lacks, or one of another shape
 */
export function withDelta(
  pipeline: Pipeline,
  delta: Delta,
  name = "the delta",
): Pipeline & { free(): void } {
  const { device } = pipeline;
  const known = new Map(flatten<Tensor>({ ...pipeline.params }));
  for (const [path, w] of delta.weights) {
    const t = known.get(path);
    if (!t) {
      throw new FileError(
        name,
        `changes "${path}", which the model does not have`,
        "It is of another model",
      );
    }
    if (t.size !== w.data.length) {
      throw new FileError(
        name,
        `holds "${path}" as [${w.shape}], the model has [${t.shape}]`,
        "It is of another model",
      );
    }
  }
  const uploaded: Tensor[] = [];
  const upload = (data: Float32Array, shape: readonly number[]) => {
    const t = device.upload(data, shape, "f32");
    uploaded.push(t);
    return t;
  };
  const params = mapTree<Tensor, Tensor>({ ...pipeline.params }, (t, path) => {
    const w = delta.weights.get(path);
    if (w) return upload(w.data, t.shape);
    if (!isTable(path) || !delta.tokens.length) return t;
    const ids = delta.tokens.flatMap(({ token }) => pipeline.tokenIds(token));
    const d = t.shape[1];
    const rows = new Float32Array(ids.length * d);
    delta.embeddings.forEach((e, i) => rows.set(e, i * d));
    const table = evaluate(
      device,
      replaceRows(t, cast(tensor(rows, [ids.length, d]), t.dtype), ids),
    );
    uploaded.push(table);
    return table;
  }) as unknown as PipelineParams;
  return { ...pipeline, params, free: () => device.free(...uploaded) };
}

/** The rows of some tokens in a pipeline's table, on the host. */
export async function tokenRows(pipeline: Pipeline, ids: readonly number[]): Promise<Float32Array> {
  const table = flatten<Tensor>({ ...pipeline.params }).find(([path]) => isTable(path))![1];
  const picked = evaluate(
    pipeline.device,
    cast(embedding(table, tensor([...ids], undefined, "u32")), "f32"),
  );
  const data = await pipeline.device.read(picked) as Float32Array;
  pipeline.device.free(picked);
  return data;
}
