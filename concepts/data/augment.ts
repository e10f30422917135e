/**
 * The augmentation of target pictures: each is seen at a random size, and the caption says so.
 *
 * Custom Diffusion (Kumari et al., CVPR 2023), §3.2 and appendix: with a handful of pictures the model would otherwise
 * learn their size and place as part of the concept. Small ones are pasted on grey, and the loss looks only at the
 * pasted part (the latent mask); large ones are cropped. Constants as in the authors' training runs.
 */
import type { Random } from "../../numerics/random.ts";
import { type Pixels, resize } from "./resample.ts";

/** All that may be put before a caption. */
export const CAPTION_PREFIXES = [
  "",
  "a far away ",
  "very small ",
  "zoomed in ",
  "close up ",
] as const;

/** What is put before the caption, with its trailing space; empty at about the natural size. */
export type CaptionPrefix = (typeof CAPTION_PREFIXES)[number];

/** Rows and columns of latent cells, ends excluded. */
export interface CellRange {
  /** First row. */
  top: number;
  /** After the last row. */
  bottom: number;
  /** First column. */
  left: number;
  /** After the last column. */
  right: number;
}

/** One drawn augmentation. */
export interface Augmentation {
  /** Side S of the training picture, in pixels. */
  size: number;
  /** Pixels per latent cell. */
  factor: number;
  /** Side r that the picture is resized to: under 0.6 S, exactly S, or over S. */
  resized: number;
  /** Where the resized picture's corner lies on the S×S frame: ≥ 0 when pasted, ≤ 0 when cropped, 0 at full size. */
  placement: {
    /** Row of the corner, in pixels. */
    top: number;
    /** Column of the corner, in pixels. */
    left: number;
  };
  /** Whether the picture is mirrored left to right. */
  flip: boolean;
  /** What the caption starts with. */
  captionPrefix: CaptionPrefix;
  /** The latent cells that count in the loss. */
  latentMask: CellRange;
}

/** What an augmentation is drawn for. */
export interface AugmentOptions {
  /** Side S of the training picture in pixels: even, a multiple of `factor`, at least 8. */
  size: number;
  /** Pixels per latent cell, 8 for Stable Diffusion. */
  factor: number;
  /** Mirror every other picture; true by default. */
  flip?: boolean;
  /** Draw sizes; true by default. False for regularization pictures: full frame, no prefix. */
  sizes?: boolean;
}

/** An augmented picture. */
export interface Augmented {
  /** S×S×3, row-major, in [−1, 1]; 0 is mid-grey. */
  pixels: Float32Array;
  /** (S/f)², row-major: 1 where the loss counts, 0 elsewhere. With a foreground that is out of sight, all 0. */
  mask: Float32Array;
}

/**
 * Draws one augmentation.
 *
 * With probability 2/3 a whole r in [⌊S/3⌋, S], else in [⌊1.2 S⌋, ⌊1.4 S⌋ − 1]; r is made even. r < 0.6 S is pasted at
 * random on grey, 0.6 S ≤ r ≤ S fills the frame (r becomes S), r > S is cropped at random. At S = 512 that is 26.9 %,
 * 39.8 % and 33.3 % of the draws.
 *
 * @throws {RangeError} for a size that is odd, under 8, or not a multiple of the factor
 */
export function drawAugmentation(random: Random, options: AugmentOptions): Augmentation {
  const { size, factor, flip = true, sizes = true } = options;
  if (!Number.isInteger(size) || size < 8 || size % 2 !== 0) {
    throw new RangeError(`augmentation size is ${size}: it must be even and at least 8`);
  }
  if (!Number.isInteger(factor) || factor < 1 || size % factor !== 0) {
    throw new RangeError(
      `augmentation size ${size} is not a multiple of the latent factor ${factor}`,
    );
  }
  const mirrored = random.uniform() < 0.5 && flip;
  const cells = size / factor, whole = { top: 0, bottom: cells, left: 0, right: cells };
  const common = { size, factor, flip: mirrored };
  const full: Augmentation = {
    ...common,
    resized: size,
    placement: { top: 0, left: 0 },
    captionPrefix: "",
    latentMask: whole,
  };
  if (!sizes) return full;

  const shrink = random.uniform() < 2 / 3;
  let r = shrink ? random.integer(Math.floor(size / 3), size) : random.integer(
    Math.floor(1.2 * size),
    Math.max(Math.floor(1.2 * size), Math.floor(1.4 * size) - 1),
  );
  r += r % 2;
  if (r > size) {
    const corner = () => -random.integer(0, r - size);
    return {
      ...common,
      resized: r,
      placement: { top: corner(), left: corner() },
      captionPrefix: random.pick(["zoomed in ", "close up "] as const),
      latentMask: whole,
    };
  }
  if (r >= 0.6 * size) return full;
  const top = random.integer(0, size - r), left = random.integer(0, size - r);
  const [firstRow, endRow] = cellsInside(top, r, factor);
  const [firstColumn, endColumn] = cellsInside(left, r, factor);
  return {
    ...common,
    resized: r,
    placement: { top, left },
    captionPrefix: random.pick(["a far away ", "very small "] as const),
    latentMask: { top: firstRow, bottom: endRow, left: firstColumn, right: endColumn },
  };
}

/**
 * The cells along one side that count for a picture pasted at `start` with `length` pixels.
 *
 * One cell is left off at each end, where the encoder has seen the grey: [⌊start/f⌋ + 1, ⌊end/f⌋ − 1). Where a small
 * picture has nothing left then, the cells that it covers whole; failing that, the cell under its middle. Never empty.
 */
function cellsInside(start: number, length: number, factor: number): [number, number] {
  const end = start + length;
  const inset: [number, number] = [Math.floor(start / factor) + 1, Math.floor(end / factor) - 1];
  if (inset[0] < inset[1]) return inset;
  const covered: [number, number] = [Math.ceil(start / factor), Math.floor(end / factor)];
  if (covered[0] < covered[1]) return covered;
  const middle = Math.floor((start + length / 2) / factor);
  return [middle, middle + 1];
}

/**
 * Applies a drawn augmentation.
 *
 * @param picture square RGB, S0×S0: bytes (x/127.5 − 1 is taken), or floats in [−1, 1]
 * @param draw what {@linkcode drawAugmentation} gave
 * @param foreground as large as the picture, bytes: 255 where the concept is, 0 elsewhere. It goes where the picture
 *   goes, and only latent cells that it covers by half or more count
 * @returns pixels S×S×3 clamped to [−1, 1], and the mask (S/f)²
 * @throws {RangeError} for a picture that is not square (crop it first), or a foreground of another size
 */
export function augment(picture: Pixels, draw: Augmentation, foreground?: Pixels): Augmented {
  if (picture.width !== picture.height) {
    throw new RangeError(
      `the picture is ${picture.width}×${picture.height}: crop it to a square first`,
    );
  }
  if (foreground && (foreground.width !== picture.width || foreground.height !== picture.height)) {
    const [one, other] = [foreground, picture].map((p) => `${p.width}×${p.height}`);
    throw new RangeError(`the foreground is ${one}, and the picture ${other}`);
  }
  return { pixels: placed(picture, draw), mask: validCells(draw, foreground) };
}

/** The mask of a drawn augmentation, without its pixels: see {@linkcode augment}. */
export function validCells(draw: Augmentation, foreground?: Pixels): Float32Array {
  const { size, factor, latentMask: m } = draw;
  const cells = size / factor, mask = new Float32Array(cells * cells);
  for (let y = m.top; y < m.bottom; y++) mask.fill(1, y * cells + m.left, y * cells + m.right);
  if (foreground) keepCovered(mask, placed(foreground, draw), size, factor);
  return mask;
}

/** A picture where a draw puts it: S×S×3, clamped to [−1, 1], 0 around it. */
function placed(picture: Pixels, draw: Augmentation): Float32Array {
  const { size, resized: r, placement, flip } = draw;
  // What of the resized picture is on the frame, and where. A mirrored one is cut from the other side.
  const side = Math.min(r, size), cutTop = Math.max(0, -placement.top);
  const cutLeft = Math.max(0, -placement.left);
  const window = {
    left: flip ? r - side - cutLeft : cutLeft,
    top: cutTop,
    width: side,
    height: side,
  };
  const top = Math.max(0, placement.top), left = Math.max(0, placement.left);
  const part = resize(picture, r, r, window);
  const bytes = !(picture.data instanceof Float32Array);
  const scale = bytes ? 1 / 127.5 : 1, shift = bytes ? -1 : 0;
  const pixels = new Float32Array(size * size * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0, at = ((top + y) * size + left) * 3; x < side; x++, at += 3) {
      const from = (y * side + (flip ? side - 1 - x : x)) * 3;
      for (let c = 0; c < 3; c++) {
        pixels[at + c] = Math.min(1, Math.max(-1, part[from + c] * scale + shift));
      }
    }
  }
  return pixels;
}

/** Zeroes the cells of which less than half is foreground. Around a pasted picture all is grey, 0, and masked anyway. */
function keepCovered(mask: Float32Array, foreground: Float32Array, size: number, factor: number) {
  const cells = size / factor;
  for (let cell = 0; cell < mask.length; cell++) {
    if (!mask[cell]) continue;
    const y0 = Math.floor(cell / cells) * factor, x0 = (cell % cells) * factor;
    let sum = 0;
    for (let y = y0; y < y0 + factor; y++) {
      for (let x = x0; x < x0 + factor; x++) sum += foreground[(y * size + x) * 3];
    }
    if (sum < 0) mask[cell] = 0; // 255 is 1, 0 is −1: half of each sums to 0.
  }
}
