/** From parameters on a device to a delta on the host: what was trained, and rows of the token table. */
import type { Mask, Trained } from "../autograd/mask.ts";
import type { Pipeline } from "../diffusion/pipeline.ts";
import { fingerprint } from "../files/fingerprint.ts";
import { openModelFolder } from "../files/folder.ts";
import type { Concept } from "./batches.ts";
import type { Delta, DeltaWeight } from "./delta.ts";
import { INITIALIZERS } from "./defaults.ts";

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
    if (!isTable(path)) weights.set(path, { shape: t.shape, data });
    else {
      const into = isSecond(path) ? embeddings2 : embeddings;
      for (let i = 0; i < t.shape[0]; i++) {
        into.push(data.slice(i * t.shape[1], (i + 1) * t.shape[1]));
      }
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
