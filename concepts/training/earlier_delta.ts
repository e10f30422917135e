/**
 * Training on top of an earlier delta (the paper's "sequential", §4.2): the model starts with its words and weights, and
 * what comes out holds everything that differs from the base model, so that one delta is enough to sample with.
 */
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { fingerprint } from "../../files/models/fingerprint.ts";
import { openModelFolder } from "../../files/models/folder.ts";
import { withDelta } from "../deltas/apply.ts";
import { checkBase, type Delta } from "../deltas/delta.ts";

/** A model to start training from. */
export interface Start {
  /** With the earlier delta in it, if there is one. */
  readonly pipeline: Pipeline;
  /** Gives back what was uploaded for that. */
  free(): void;
}

/**
 * The model to start from.
 *
 * @throws FileError when the earlier delta is of another model, or the pipeline was loaded without its words
 */
export async function startingFrom(pipeline: Pipeline, earlier?: Delta): Promise<Start> {
  if (!earlier) return { pipeline, free: () => {} };
  const name = "the delta to start from";
  checkBase(name, earlier, await fingerprint(await openModelFolder(pipeline.folder)));
  const changed = withDelta(pipeline, earlier, name);
  return { pipeline: changed, free: changed.free };
}

/**
 * A delta that was trained on top of an earlier one, as a delta of the base model: weights that did not train again and
 * words that were not taught again are the earlier ones. Earlier words come first.
 */
export function onTopOf(earlier: Delta | undefined, delta: Delta): Delta {
  if (!earlier) return delta;
  const again = new Set(delta.tokens.map(({ token }) => token));
  const kept = earlier.tokens.map((_, i) => i).filter((i) => !again.has(earlier.tokens[i].token));
  const both = <T>(of: (delta: Delta) => readonly T[]) => [
    ...kept.map((i) => of(earlier)[i]),
    ...of(delta),
  ];
  const second = earlier.embeddings2 ?? delta.embeddings2;
  return {
    ...delta,
    tokens: both((d) => d.tokens),
    embeddings: both((d) => d.embeddings),
    ...(second && { embeddings2: both((d) => d.embeddings2 ?? []) }),
    weights: new Map([...earlier.weights, ...delta.weights]),
    notes: { ...delta.notes, start: earlier.notes },
  };
}
