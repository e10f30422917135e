/**
 * Resizing of small RGB pictures: antialiased bicubic, as Pillow does it, in float.
 *
 * Why our own: training resizes a picture for every example of every step, to one of a few hundred sizes. With weights
 * cached by size and no encoding in between this takes a fraction of what a codec library takes, and runs in a browser.
 */

/** RGB pixels, row-major, three numbers a pixel: bytes (0…255), or floats (any range). */
export interface Pixels {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** `width · height · 3` numbers. */
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array;
}

/** A part of the resized picture, in its pixels. */
export interface Window {
  /** First column. */
  left: number;
  /** First row. */
  top: number;
  /** Columns. */
  width: number;
  /** Rows. */
  height: number;
}

/** For each output position: the first input position, and `taps` weights (zero where fewer are needed). */
interface Weights {
  taps: number;
  first: Int32Array;
  weights: Float32Array;
}

const cache = new Map<string, Weights>();
/** Two sides of every size that training at 512 draws, with room to spare; about 25 kB each. */
const cacheLimit = 1024;

/** Keys' cubic convolution with a = −1/2, Pillow's `BICUBIC`. */
function cubic(x: number): number {
  const a = -0.5, t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}

/** The weights from `input` to `output` pixels; when shrinking, the kernel widens with the ratio (antialiasing). */
function weightsFor(input: number, output: number): Weights {
  const key = `${input}:${output}`, known = cache.get(key);
  if (known) return known;
  const scale = input / output, stretch = Math.max(1, scale), support = 2 * stretch;
  const taps = Math.min(input, Math.ceil(support) * 2 + 1);
  const first = new Int32Array(output), weights = new Float32Array(output * taps);
  for (let i = 0; i < output; i++) {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support + 0.5));
    const to = Math.min(input, Math.trunc(centre + support + 0.5));
    const row = Array.from(
      { length: to - from },
      (_, k) => cubic((k + from - centre + 0.5) / stretch),
    );
    const sum = row.reduce((a, b) => a + b, 0);
    // Runs of `taps` inputs that end inside: the inner loop then needs no bounds.
    first[i] = Math.min(from, input - taps);
    row.forEach((w, k) => weights[i * taps + from - first[i] + k] = w / sum);
  }
  const made = { taps, first, weights };
  if (cache.size >= cacheLimit) cache.delete(cache.keys().next().value!);
  cache.set(key, made);
  return made;
}

/**
 * Resizes a picture to `width × height`, or only a window of that; values as in `picture`, not rounded or clamped.
 *
 * Separable: rows first, and only the rows and columns that the window needs. Bicubic overshoots at edges: clamp where
 * the range matters.
 *
 * @returns `window.width · window.height · 3` floats
 * @throws {RangeError} for sizes that are not whole and positive, data of another length, or a window outside
 */
export function resize(
  picture: Pixels,
  width: number,
  height: number,
  window: Window = { left: 0, top: 0, width, height },
): Float32Array {
  check(picture, width, height, window);
  const { data } = picture, columns = window.width;
  const across = weightsFor(picture.width, width), down = weightsFor(picture.height, height);
  const top = down.first[window.top];
  const bottom = down.first[window.top + window.height - 1] + down.taps;

  const narrow = new Float32Array((bottom - top) * columns * 3);
  for (let y = top; y < bottom; y++) {
    const row = y * picture.width * 3;
    for (let x = 0, at = (y - top) * columns * 3; x < columns; x++, at += 3) {
      const i = window.left + x;
      let r = 0, g = 0, b = 0;
      for (
        let k = 0, w = i * across.taps, p = row + across.first[i] * 3;
        k < across.taps;
        k++, p += 3
      ) {
        const weight = across.weights[w + k];
        r += weight * data[p];
        g += weight * data[p + 1];
        b += weight * data[p + 2];
      }
      narrow[at] = r;
      narrow[at + 1] = g;
      narrow[at + 2] = b;
    }
  }

  const run = columns * 3, out = new Float32Array(window.height * run);
  for (let y = 0; y < window.height; y++) {
    const i = window.top + y, at = y * run;
    for (let k = 0; k < down.taps; k++) {
      const weight = down.weights[i * down.taps + k];
      if (weight === 0) continue;
      const from = (down.first[i] + k - top) * run;
      for (let x = 0; x < run; x++) out[at + x] += weight * narrow[from + x];
    }
  }
  return out;
}

function check(picture: Pixels, width: number, height: number, window: Window): void {
  for (
    const [name, value] of Object.entries({ width, height, w: picture.width, h: picture.height })
  ) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`resize: ${name} is ${value}, not a whole number of pixels`);
    }
  }
  if (picture.data.length !== picture.width * picture.height * 3) {
    const wanted = `${picture.width}×${picture.height}×3`;
    throw new RangeError(`resize: the picture has ${picture.data.length} numbers, not ${wanted}`);
  }
  const { left, top } = window;
  const inside = left >= 0 && top >= 0 && window.width >= 1 && window.height >= 1 &&
    left + window.width <= width && top + window.height <= height;
  if (!inside) {
    const size = `${window.width}×${window.height} at ${left}, ${top}`;
    throw new RangeError(`resize: the window ${size} is not inside ${width}×${height}`);
  }
}
