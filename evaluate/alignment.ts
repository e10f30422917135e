/**
 * Alignment by CLIP features (§4 of the paper): how much generated pictures look like the targets, and how well they
 * fit their prompts.
 */
import { type Features, innerProducts, normalized } from "./features.ts";

const mean = (xs: ArrayLike<number>): number =>
  Array.prototype.reduce.call(xs, (a, b) => a + b, 0) as number / xs.length;

/** Image alignment: the mean cosine over all pairs of a generated and a target picture. */
export function imageAlignment(generated: Features, targets: Features): number {
  return mean(innerProducts(normalized(generated), normalized(targets)));
}

/**
 * Text alignment: CLIPScore, mean of 2.5 · max(cos, 0) of each picture with its own prompt (row i with row i). Prompts
 * are given without V*, which a scoring model does not know.
 */
export function textAlignment(generated: Features, prompts: Features): number {
  if (generated.count !== prompts.count) {
    throw new RangeError(
      `${generated.count} pictures and ${prompts.count} prompts: one prompt for each picture is needed`,
    );
  }
  const all = innerProducts(normalized(generated), normalized(prompts));
  const own = Array.from(
    { length: generated.count },
    (_, i) => 2.5 * Math.max(0, all[i * prompts.count + i]),
  );
  return mean(own);
}

/**
 * How far a concept was learnt, between the untouched model and fresh pictures of the concept itself:
 * (align − base) / (ceil − base).
 */
export function learntFraction(align: number, base: number, ceil: number): number {
  if (!(ceil > base)) {
    throw new RangeError(
      `the ceiling ${ceil} is not above the base ${base}: nothing can be measured`,
    );
  }
  return (align - base) / (ceil - base);
}
