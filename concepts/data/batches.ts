/**
 * What a training step sees: half a batch of augmented target pictures and half of regularization pictures, with their
 * captions and valid regions. A batch is a pure function of (seed, step), so a resumed run sees what an uninterrupted
 * one would have.
 */
import { augment, type Augmentation, drawAugmentation, validCells } from "./augment.ts";
import { fill, phrase } from "./prompts.ts";
import { hostRandom, type Random } from "../../numerics/random.ts";
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
  /** Pictures that go through the model together. */
  readonly batch: number;
  /** Batches of an optimizer step, which sees as much as it would in one so many times as large. Default 1. */
  readonly accumulate?: number;
  readonly template: string;
  /** Random sizes with captions that say so (default), or the full frame always. */
  readonly augment?: boolean;
  /** Mirror half of the pictures (default). */
  readonly flip?: boolean;
  /** Whether the model reads a caption to its new words; where it does not, nothing is put before it. Default: always. */
  readonly reads?: (caption: string) => boolean;
}

/** A picture that is always seen whole, so that its latent's distribution is known before training. */
export interface KnownPicture {
  /** Its place among {@linkcode knownPictures}. */
  readonly index: number;
  /** Whether it is mirrored. */
  readonly flip: boolean;
}

/** One batch on the host: targets first, then regularization pictures. */
export interface HostBatch {
  /** Augmented targets, `[n, S, S, 3]` in [−1, 1]. */
  readonly pixels: Float32Array;
  /** The pictures after those. */
  readonly known: readonly KnownPicture[];
  /** Captions of all. */
  readonly captions: readonly string[];
  /** Valid regions `[batch, S/f, S/f]`: zeros and ones. */
  readonly mask: Float32Array;
  /** Each one's place in the whole that the batches of a step make up: targets of all, then regularization of all. */
  readonly rows: Uint32Array;
}

/** How many of a batch are targets: half of it, or all where there is no regularization set. */
export function targetsOf(batch: number, regularization: number): number {
  return regularization ? Math.ceil(batch / 2) : batch;
}

/** Pictures that are always seen whole: those of regularization, after the targets where those are not augmented. */
export const knownPictures = (
  concepts: readonly Concept[],
  regularization: readonly CaptionedPicture[],
  { augment = true }: Pick<BatchOptions, "augment">,
): readonly Pixels[] => [
  ...augment ? [] : concepts.flatMap((c) => c.pictures),
  ...regularization.map((r) => r.picture),
];

/**
 * One of the batches of step `step`.
 *
 * @param piece which of `options.accumulate`
 */
export function makeBatch(
  concepts: readonly Concept[],
  regularization: readonly CaptionedPicture[],
  step: number,
  options: BatchOptions,
  piece = 0,
): HostBatch {
  const { size, factor, batch, accumulate = 1, augment: sizes = true, flip = true } = options;
  const targets = targetsOf(batch, regularization.length), others = batch - targets;
  const cells = (size / factor) ** 2;
  const pixels = new Float32Array(sizes ? targets * size * size * 3 : 0);
  const mask = new Float32Array(batch * cells).fill(1);
  const captions: string[] = [];
  const known: KnownPicture[] = [];
  const rows = Uint32Array.from(
    { length: batch },
    (_, i) =>
      i < targets ? piece * targets + i : accumulate * targets + piece * others + i - targets,
  );
  // Where each concept's pictures begin among the known ones, and where they end.
  const begins = [0];
  for (const c of sizes ? [] : concepts) begins.push(begins.at(-1)! + c.pictures.length);
  for (let i = 0; i < targets; i++) {
    // Concepts take turns, so that each has the same share of every step.
    const random = hostRandom(options.seed, step, rows[i]);
    const turn = (step * accumulate * targets + rows[i]) % concepts.length;
    const one = viewTarget(concepts[turn], random, options);
    if (sizes) pixels.set(pixelsOf(concepts[turn], one), i * size * size * 3);
    else known.push({ index: begins[turn] + one.index, flip: one.draw.flip });
    mask.set(one.mask, i * cells);
    captions.push(one.caption);
  }
  for (let i = targets; i < batch; i++) {
    const random = hostRandom(options.seed, step, rows[i]);
    const index = random.integer(0, regularization.length - 1);
    captions.push(regularization[index].caption);
    known.push({ index: begins.at(-1)! + index, flip: flip && random.uniform() < 0.5 });
  }
  return { pixels, known, captions, mask, rows };
}

/** Draws after which a picture whose concept was out of sight each time is shown whole. */
const TRIES = 8;

/** A target as a stream of random numbers draws it, before any pixel is computed. */
export interface TargetView {
  /** Which of the concept's pictures. */
  readonly index: number;
  /** How it is seen. */
  readonly draw: Augmentation;
  /** Its valid region, `[S/f, S/f]`. */
  readonly mask: Float32Array;
  /** What is said of it. */
  readonly caption: string;
}

/** What is said of a concept's picture that is seen whole. */
export const captionOf = (concept: Concept, index: number, template: string): string =>
  concept.captions?.[index] ?? fill(template, phrase(concept));

type ViewOptions = Pick<
  BatchOptions,
  "size" | "factor" | "flip" | "augment" | "template" | "reads"
>;

function viewTarget(concept: Concept, random: Random, options: ViewOptions): TargetView {
  const index = random.integer(0, concept.pictures.length - 1);
  const caption = captionOf(concept, index, options.template);
  const { size, factor, flip, augment: sizes = true, reads = () => true } = options;
  for (let tried = 1;; tried++) {
    const draw = drawAugmentation(random, { size, factor, flip, sizes: sizes && tried < TRIES });
    const mask = validCells(draw, concept.masks?.[index]);
    // A crop can miss a concept that is small and off the middle: there is nothing to learn from it.
    if (tried >= TRIES || mask.some((cell) => cell > 0)) {
      const full = draw.captionPrefix + caption;
      return { index, draw, mask, caption: reads(full) ? full : caption };
    }
  }
}

const pixelsOf = ({ pictures }: Concept, { index, draw }: TargetView): Float32Array =>
  augment(pictures[index], draw).pixels;

/** The target that a stream of random numbers draws: its pixels, its valid region, its caption. */
export function drawTarget(
  concept: Concept,
  random: Random,
  options: ViewOptions,
): { pixels: Float32Array; mask: Float32Array; caption: string } {
  const one = viewTarget(concept, random, options);
  return { ...one, pixels: pixelsOf(concept, one) };
}
