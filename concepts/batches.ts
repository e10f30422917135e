/**
 * What a training step sees: half a batch of augmented target pictures and half of regularization pictures, with their
 * captions and valid regions. A batch is a pure function of (seed, step), so a resumed run sees what an uninterrupted
 * one would have.
 */
import { augment, drawAugmentation } from "./augment.ts";
import { fill, phrase } from "./prompts.ts";
import { hostRandom, type Random } from "../numerics/random.ts";
import type { Pixels } from "./resample.ts";

/** A concept to be taught. */
export interface Concept {
  /** V* as written in prompts, `<new1>`; empty to train the key and value matrices alone. */
  readonly token: string;
  /** Words of its class, "gate". */
  readonly className: string;
  /** Square pictures of it, RGB bytes. */
  readonly pictures: readonly Pixels[];
  /** One caption for each picture; without, the template around "<new1> gate". */
  readonly captions?: readonly string[];
  /**
   * For each picture where the concept is in it, if that is known: RGB bytes of the picture's size, 255 there and 0
   * elsewhere. The loss then looks at the concept alone.
   */
  readonly masks?: readonly (Pixels | undefined)[];
  /** Vocabulary entry that V* starts from. */
  readonly initializer?: string;
}

/** A picture of the class (or of anything) that keeps the model what it was. */
export interface CaptionedPicture {
  /** Square, RGB. */
  readonly picture: Pixels;
  /** What it shows, "photo of a dog". */
  readonly caption: string;
}

/** How batches are made. */
export interface BatchOptions {
  readonly seed: number;
  /** Side of the training pictures in pixels. */
  readonly size: number;
  /** Pixels per latent cell. */
  readonly factor: number;
  /** Pictures a step. */
  readonly batch: number;
  readonly template: string;
  /** Random sizes with captions that say so (default), or the full frame always. */
  readonly augment?: boolean;
  /** Mirror half of the pictures (default). */
  readonly flip?: boolean;
}

/** One batch on the host. */
export interface HostBatch {
  /** Targets, then nothing: `[targets, S, S, 3]` in [−1, 1]. */
  readonly pixels: Float32Array;
  readonly targets: number;
  /** For each regularization picture of the batch: its index, and whether it is mirrored. */
  readonly regularization: readonly { readonly index: number; readonly flip: boolean }[];
  /** Captions of targets, then of regularization pictures. */
  readonly captions: readonly string[];
  /** Valid regions `[batch, S/f, S/f]`: zeros and ones. */
  readonly mask: Float32Array;
}

/** How many of a batch are targets: half of it, or all where there is no regularization set. */
export function targetsOf(batch: number, regularization: number): number {
  return regularization ? Math.ceil(batch / 2) : batch;
}

/** The batch of step `step`. */
export function makeBatch(
  concepts: readonly Concept[],
  regularization: readonly CaptionedPicture[],
  step: number,
  options: BatchOptions,
): HostBatch {
  const { size, factor, batch } = options;
  const targets = targetsOf(batch, regularization.length);
  const cells = (size / factor) ** 2;
  const pixels = new Float32Array(targets * size * size * 3);
  const mask = new Float32Array(batch * cells).fill(1);
  const captions: string[] = [];
  for (let i = 0; i < targets; i++) {
    // Concepts take turns, so that each has the same share of every step.
    const random = hostRandom(options.seed, step, i);
    const concept = concepts[(step * targets + i) % concepts.length];
    const one = drawTarget(concept, random, options);
    pixels.set(one.pixels, i * size * size * 3);
    mask.set(one.mask, i * cells);
    captions.push(one.caption);
  }
  const chosen = Array.from({ length: batch - targets }, (_, i) => {
    const random = hostRandom(options.seed, step, targets + i);
    const index = random.integer(0, regularization.length - 1);
    captions.push(regularization[index].caption);
    return { index, flip: (options.flip ?? true) && random.uniform() < 0.5 };
  });
  return { pixels, targets, regularization: chosen, captions, mask };
}

/** Draws after which a picture whose concept was out of sight each time is shown whole. */
const TRIES = 8;

/** The target that a stream of random numbers draws: its pixels, its valid region, its caption. */
export function drawTarget(
  concept: Concept,
  random: Random,
  options: Pick<BatchOptions, "size" | "factor" | "flip" | "augment" | "template">,
): { pixels: Float32Array; mask: Float32Array; caption: string } {
  const index = random.integer(0, concept.pictures.length - 1);
  const caption = concept.captions?.[index] ?? fill(options.template, phrase(concept));
  const { size, factor, flip, augment: sizes = true } = options;
  for (let tried = 1;; tried++) {
    const draw = drawAugmentation(random, { size, factor, flip, sizes: sizes && tried < TRIES });
    const one = augment(concept.pictures[index], draw, concept.masks?.[index]);
    // A crop can miss a concept that is small and off the middle: there is nothing to learn from it.
    if (tried >= TRIES || one.mask.some((cell) => cell > 0)) {
      return { ...one, caption: draw.captionPrefix + caption };
    }
  }
}
