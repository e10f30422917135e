/**
 * Alignment by CLIP features (§4 of the paper): how much generated pictures look like the targets, and how well they
 * fit their prompts.
 */
import { FEATURES } from "./features.ts";
import { expectKinds, TEXT } from "../tensor/kinds.ts";
import { mean } from "./interval.ts";
import { tokensIn } from "../concepts/data/prompts.ts";
import { bootstrap, type BootstrapOptions, type Estimate } from "./bootstrap.ts";
import { type Features, innerProducts, normalized, takeRows } from "./features.ts";

/**
 * Image alignment: the mean cosine over all pairs of a generated and a target picture.
 *
 * @throws RangeError for features of different lengths
 */
export function imageAlignment(generated: Features, targets: Features): number {
  expectKinds("imageAlignment", { generated: [generated, FEATURES], targets: [targets, FEATURES] });
  return mean(targetCosines(generated, targets));
}

/**
 * The mean cosine of each generated picture with all targets: what {@linkcode imageAlignment} is the mean of.
 *
 * @throws RangeError for features of different lengths
 */
export function targetCosines(generated: Features, targets: Features): Float64Array {
  const cosines = innerProducts(normalized(generated), normalized(targets)), n = targets.count;
  return Float64Array.from(
    { length: generated.count },
    (_, i) => mean(cosines.subarray(i * n, (i + 1) * n)),
  );
}

/** {@linkcode imageAlignment} with its interval; generated and target pictures are both drawn again. */
export function imageAlignmentEstimate(
  generated: Features,
  targets: Features,
  options: BootstrapOptions = {},
): Estimate {
  expectKinds("imageAlignmentEstimate", {
    generated: [generated, FEATURES],
    targets: [targets, FEATURES],
  });
  const cosines = innerProducts(normalized(generated), normalized(targets));
  const pairs = generated.count * targets.count;
  return bootstrap([generated.count, targets.count], ([s, t]) => {
    let sum = 0;
    for (let i = 0; i < s.length; i++) {
      for (let j = 0; s[i] > 0 && j < t.length; j++) sum += s[i] * t[j] * cosines[i * t.length + j];
    }
    return sum / pairs;
  }, options);
}

/**
 * CLIPScore of each picture with its own prompt (row i with row i): 2.5 · max(cos, 0) (Hessel et al., EMNLP 2021).
 *
 * @throws RangeError when there is not one prompt for each picture
 */
export function clipScores(generated: Features, prompts: Features): Float64Array {
  expectKinds("clipScores", { generated: [generated, FEATURES], prompts: [prompts, FEATURES] });
  if (generated.count !== prompts.count) {
    throw new RangeError(
      `${generated.count} pictures and ${prompts.count} prompts: one prompt for each picture is needed`,
    );
  }
  const pictures = normalized(generated), words = normalized(prompts);
  return Float64Array.from({ length: generated.count }, (_, i) => {
    const own = [i];
    return 2.5 * Math.max(0, innerProducts(takeRows(pictures, own), takeRows(words, own))[0]);
  });
}

/**
 * Text alignment: the mean of {@linkcode clipScores}. Prompts are given without V*, which a scoring model does not know:
 * see {@linkcode withoutTokens}.
 *
 * @throws RangeError when there is not one prompt for each picture
 */
export function textAlignment(generated: Features, prompts: Features): number {
  expectKinds("textAlignment", { generated: [generated, FEATURES], prompts: [prompts, FEATURES] });
  return mean(clipScores(generated, prompts));
}

/** {@linkcode textAlignment} with its interval. */
export function textAlignmentEstimate(
  generated: Features,
  prompts: Features,
  options: BootstrapOptions = {},
): Estimate {
  expectKinds("textAlignmentEstimate", {
    generated: [generated, FEATURES],
    prompts: [prompts, FEATURES],
  });
  const scores = clipScores(generated, prompts);
  const score = ([s]: readonly Float64Array[]) =>
    scores.reduce((sum, v, i) => sum + s[i] * v, 0) / scores.length;
  return bootstrap([scores.length], score, options);
}

/** A prompt without its words in angle brackets: "photo of a <new1> dog" → "photo of a dog". */
export function withoutTokens(prompt: string): string {
  expectKinds("withoutTokens", { prompt: [prompt, TEXT] });
  const bare = tokensIn(prompt).reduce((text, token) => text.replaceAll(token, " "), prompt);
  return bare.replace(/\s+/g, " ").trim();
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
