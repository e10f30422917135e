/**
 * Resizing with an antialiased bicubic or bilinear filter, giving Pillow's very pixels.
 *
 * Why those: the reference implementations prepare their pictures with Pillow, and so did whoever trained the models.
 * Why here and not from a library: the one at hand does not clip between its two passes, and is off by up to 15 on
 * noisy pictures.
 */
import { calledAs } from "../../tensor/called.ts";
import { PICTURE } from "../given.ts";
import { expectKinds, NUMBER } from "../../tensor/kinds.ts";
import { blank, crop, type Picture } from "./picture.ts";

/** Bits of the fixed-point weights; Pillow's, so that sums are the same to the last bit. */
const BITS = 22;

/** Bicubic is Keys' with a = −½. */
export type ResizeFilter = "bicubic" | "bilinear";

/**
 * Resizes to exactly `width` × `height`, by a filter that is widened when shrinking. The average is over sRGB values, as
 * everywhere in the field.
 *
 * @throws RangeError for extents that are no positive whole numbers
 */
export function resize(
  picture: Picture,
  width: number,
  height: number,
  filter: ResizeFilter = "bicubic",
): Picture {
  expectKinds("resize", {
    picture: [picture, PICTURE],
    width: [width, NUMBER],
    height: [height, NUMBER],
  });
  blank(width, height);
  const across = width === picture.width ? picture : pass(picture, width, true, filter);
  return height === picture.height ? across : pass(across, height, false, filter);
}

/**
 * Crops to the largest rectangle of that shape in the middle and resizes it to `width` × `height`.
 *
 * @throws RangeError for extents that are no positive whole numbers
 */
export function fitted(picture: Picture, width: number, height: number): Picture {
  expectKinds("fitted", {
    picture: [picture, PICTURE],
    width: [width, NUMBER],
    height: [height, NUMBER],
  });
  const part = (most: number, other: number, ratio: number) =>
    Math.min(most, Math.max(1, Math.round(other * ratio)));
  const across = part(picture.width, picture.height, width / height);
  const down = part(picture.height, picture.width, height / width);
  const x = Math.floor((picture.width - across) / 2), y = Math.floor((picture.height - down) / 2);
  const whole = across === picture.width && down === picture.height;
  return resize(whole ? picture : crop(picture, x, y, across, down), width, height);
}

/** Crops to the square in the middle and resizes it to `size` × `size`: what a model of that resolution takes. */
export const squared = (picture: Picture, size: number): Picture =>
  calledAs("squared", () => fitted(picture, size, size));

/** Resizes along one axis, rounding and clipping to 8 bits. */
function pass(picture: Picture, size: number, across: boolean, filter: ResizeFilter): Picture {
  const out = across ? blank(size, picture.height) : blank(picture.width, size);
  const length = across ? picture.width : picture.height;
  const { first, count, weights, longest } = windows(length, size, KERNELS[filter]);
  const from = picture.data, to = out.data;
  const step = across ? 3 : picture.width * 3;
  for (let y = 0, o = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++) {
      const at = across ? x : y;
      const w = at * longest, n = count[at];
      let i = across ? (y * picture.width + first[at]) * 3 : (first[at] * picture.width + x) * 3;
      let r = 1 << (BITS - 1), g = r, b = r;
      for (let k = 0; k < n; k++, i += step) {
        const weight = weights[w + k];
        r += from[i] * weight;
        g += from[i + 1] * weight;
        b += from[i + 2] * weight;
      }
      to[o++] = clip(r >> BITS);
      to[o++] = clip(g >> BITS);
      to[o++] = clip(b >> BITS);
    }
  }
  return out;
}

const clip = (v: number): number => v < 0 ? 0 : v > 255 ? 255 : v;

/** For each output position: the first input position that counts, how many do, and their weights. */
function windows(from: number, to: number, { radius, at }: Kernel) {
  const scale = from / to, stretch = Math.max(1, scale);
  const support = radius * stretch;
  const longest = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to), count = new Int32Array(to);
  const weights = new Int32Array(to * longest);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    first[i] = Math.max(0, Math.trunc(centre - support + 0.5));
    count[i] = Math.min(from, Math.trunc(centre + support + 0.5)) - first[i];
    const real = Array.from(
      { length: count[i] },
      (_, k) => at((k + first[i] - centre + 0.5) / stretch),
    );
    const sum = real.reduce((a, b) => a + b, 0);
    real.forEach((w, k) => {
      const fixed = w / sum * (1 << BITS);
      weights[i * longest + k] = Math.trunc(fixed + (fixed < 0 ? -0.5 : 0.5));
    });
  }
  return { first, count, weights, longest };
}

/** Keys' cubic convolution kernel with a = −½. */
function cubic(x: number): number {
  const a = -0.5, d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

/** A filter: its values, which are 0 from `radius` on. */
interface Kernel {
  readonly radius: number;
  readonly at: (x: number) => number;
}

const KERNELS: Readonly<Record<ResizeFilter, Kernel>> = {
  bicubic: { radius: 2, at: cubic },
  bilinear: { radius: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
};
