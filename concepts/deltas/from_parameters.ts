/** From parameters on a device to a delta on the host: what was trained, and rows of the token table. */
import type { Mask, Trained } from "../../autograd/mask.ts";
import { evaluate } from "../../compile/compile.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { embedding } from "../../ops/embedding/embedding.ts";
import { tensor } from "../../ops/leaf.ts";
import { flatten } from "../../tensor/tree.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { fingerprint } from "../../files/models/fingerprint.ts";
import { openModelFolder } from "../../files/models/folder.ts";
import { toEngine, toFile } from "../../models/layout.ts";
import { engineShape, fileShape } from "../../models/params.ts";
import type { Concept } from "../data/batches.ts";
import type { Delta, DeltaWeight, TrainedWeight } from "./delta.ts";
import { INITIALIZERS } from "../defaults.ts";

/** Whether a path is the token table of a text encoder. */
export const isTable = (path: string): boolean => path.endsWith("token_embedding.weight");

/** Whether a path is in the second text encoder, of models that have two. */
export const isSecond = (path: string): boolean => path.startsWith("text_encoder_2.");

/** Reads trained values back as a delta. */
export async function deltaOf(
  pipeline: Pipeline,
  trainable: Mask,
  trained: Trained,
  concepts: readonly Concept[],
  notes: Delta["notes"],
): Promise<Delta> {
  const weights = new Map<string, DeltaWeight>();
  const embeddings: Float32Array[] = [], embeddings2: Float32Array[] = [];
  for (const path of trainable.paths) {
    const t = trained[path];
    const data = await pipeline.device.read(t) as Float32Array;
    if (!isTable(path)) weights.set(path, asStored({ shape: t.shape, data }));
    else pushRows(isSecond(path) ? embeddings2 : embeddings, data, t.shape[1]);
  }
  const named = concepts.flatMap((c) => c.token ? pipeline.tokenIds(c.token) : []);
  if (named.length && !embeddings.length) { // They did not train.
    for (const path of tablesOf(pipeline)) {
      const data = await tokenRows(pipeline, named, path);
      pushRows(isSecond(path) ? embeddings2 : embeddings, data, data.length / named.length);
    }
  }
  const tokens = concepts.filter((c) => c.token).map(({ token, className, initializer }, i) => ({
    token,
    className,
    initializer: initializer ?? INITIALIZERS[i] ?? "",
  }));
  const base = await fingerprint(await openModelFolder(pipeline.folder));
  const second = embeddings2.length ? { embeddings2 } : {};
  return { base, tokens, embeddings, ...second, weights, notes };
}

function pushRows(rows: Float32Array[], data: Float32Array, width: number): void {
  for (let at = 0; at < data.length; at += width) rows.push(data.slice(at, at + width));
}

/** A weight in the layout of files: convolutions are turned from HWIO to OIHW. */
function asStored({ shape, data }: TrainedWeight): TrainedWeight {
  if (shape.length !== 4) return { shape, data };
  const stored = fileShape(shape, "conv");
  return { shape: stored, data: toFile(data, stored) };
}

/** A weight in the engine's layout. That of a convolution ends with its outputs, so its factors change places. */
export function asHeld<W extends DeltaWeight>(w: W): W {
  return w.shape.length === 4 ? turned(w) as W : w;
}

function turned(w: DeltaWeight): DeltaWeight {
  const { shape } = w, held = engineShape({ shape, layout: "conv" });
  if ("data" in w) return { shape: held, data: toEngine(w.data, shape) };
  if ("change" in w) return { shape: held, change: toEngine(w.change, shape) };
  if ("magnitude" in w) return { ...w, shape: held, direction: asHeld(w.direction) };
  const [out, into, high, wide] = shape, { rank } = w;
  return {
    shape: held,
    rank,
    u: toEngine(w.v, [rank, into, high, wide]),
    v: toEngine(w.u, [out, rank, 1, 1]),
  };
}

/** Paths of a pipeline's token tables: one for each text encoder. */
export const tablesOf = (pipeline: Pipeline): string[] =>
  flatten<Tensor>({ ...pipeline.params }).map(([path]) => path).filter(isTable);

/** The rows of some tokens in one of a pipeline's token tables, on the host. Default: the first. */
export async function tokenRows(
  pipeline: Pipeline,
  ids: readonly number[],
  path: string = tablesOf(pipeline)[0],
): Promise<Float32Array> {
  const table = new Map(flatten<Tensor>({ ...pipeline.params })).get(path)!;
  const picked = evaluate(
    pipeline.device,
    cast(embedding(table, tensor([...ids], undefined, "u32")), "f32"),
  );
  const data = await pipeline.device.read(picked) as Float32Array;
  pipeline.device.free(picked);
  return data;
}
