/**
 * A picture in memory, and what is done to it before a model sees it.
 *
 * Why a type of our own: RGB without alpha is what the models take, and a plain object can be made anywhere.
 */

/** Eight-bit RGB, rows from the top, three bytes a pixel: `data[(y * width + x) * 3 + channel]`. */
export interface Picture {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** `width` · `height` · 3 bytes. */
  readonly data: Uint8Array;
}

/** Pixels as a decoder gives them. */
export interface Pixels {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** Red, green, blue, alpha; rows from the top. Colours are not multiplied by alpha. */
  readonly data: Uint8Array;
}

/** A picture of one colour. Throws `RangeError` for extents that are no positive whole numbers. */
export function blank(width: number, height: number, rgb: readonly number[] = [0, 0, 0]): Picture {
  for (const extent of [width, height]) {
    if (!Number.isSafeInteger(extent) || extent < 1) {
      throw new RangeError(
        `a picture of ${width}×${height}: extents must be positive whole numbers`,
      );
    }
  }
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = rgb[i % 3];
  return { width, height, data };
}

/** Cuts a rectangle out. Throws `RangeError` if it does not lie inside the picture. */
export function crop(
  picture: Picture,
  x: number,
  y: number,
  width: number,
  height: number,
): Picture {
  const inside = [x, y, width, height].every(Number.isSafeInteger) && x >= 0 && y >= 0 &&
    width >= 1 && height >= 1 && x + width <= picture.width && y + height <= picture.height;
  if (!inside) {
    throw new RangeError(
      `a crop of ${width}×${height} at ${x}, ${y} does not lie inside a picture of ${picture.width}×${picture.height}`,
    );
  }
  const out = blank(width, height);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * picture.width + x) * 3;
    out.data.set(picture.data.subarray(from, from + width * 3), row * width * 3);
  }
  return out;
}

/** The largest square in the middle; of two equally central ones, the upper or left. */
export function centreSquare(picture: Picture): Picture {
  const side = Math.min(picture.width, picture.height);
  const [x, y] = [picture.width - side, picture.height - side].map((rest) => Math.floor(rest / 2));
  return side === picture.width && side === picture.height
    ? picture
    : crop(picture, x, y, side, side);
}

/** Copies `picture` into `onto` with its upper left corner at `x`, `y`; what hangs over is cut off. */
export function paste(onto: Picture, picture: Picture, x: number, y: number): void {
  const left = Math.max(0, x), right = Math.min(onto.width, x + picture.width);
  for (
    let row = Math.max(0, y);
    row < Math.min(onto.height, y + picture.height) && left < right;
    row++
  ) {
    const from = ((row - y) * picture.width + left - x) * 3;
    onto.data.set(
      picture.data.subarray(from, from + (right - left) * 3),
      (row * onto.width + left) * 3,
    );
  }
}

/** Enlarges by a whole factor without smoothing, to look at small pictures. */
export function zoom(picture: Picture, factor: number): Picture {
  const out = blank(picture.width * factor, picture.height * factor);
  for (let y = 0, i = 0; y < out.height; y++) {
    const row = Math.floor(y / factor) * picture.width;
    for (let x = 0; x < out.width; x++) {
      const from = (row + Math.floor(x / factor)) * 3;
      for (let c = 0; c < 3; c++) out.data[i++] = picture.data[from + c];
    }
  }
  return out;
}

/**
 * Turns a picture upright by its EXIF orientation, 1 to 8: 1 is upright, 2 mirrored, 3 upside down, 6 lying on its
 * left side, and so on.
 */
export function orient(picture: Picture, orientation: number): Picture {
  if (orientation <= 1 || orientation > 8) return picture;
  const { width: w, height: h, data } = picture;
  // Orientations from 5 on swap rows and columns; then each axis may run backwards.
  const swapped = orientation >= 5;
  const backX = [2, 3, 7, 8].includes(orientation), backY = [3, 4, 6, 7].includes(orientation);
  const out = swapped ? blank(h, w) : blank(w, h);
  for (let y = 0, i = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++) {
      const [u, v] = swapped ? [y, x] : [x, y];
      const from = ((backY ? h - 1 - v : v) * w + (backX ? w - 1 - u : u)) * 3;
      for (let c = 0; c < 3; c++) out.data[i++] = data[from + c];
    }
  }
  return out;
}

/**
 * Lays pixels with alpha over a colour.
 *
 * @param rgba four bytes a pixel, colours not multiplied by alpha
 * @param options.under mid-grey, which the models see as zero
 * @param options.opaque whether what is in the place of alpha is none
 */
export function flatten(
  rgba: ArrayLike<number>,
  width: number,
  height: number,
  { under = 128, opaque = false } = {},
): Picture {
  const out = blank(width, height);
  for (let i = 0, o = 0; i < rgba.length; i += 4) {
    const alpha = opaque ? 255 : rgba[i + 3];
    for (let c = 0; c < 3; c++) {
      // exact for opaque pixels, which are nearly all
      out.data[o++] = alpha === 255
        ? rgba[i + c]
        : Math.round((rgba[i + c] * alpha + under * (255 - alpha)) / 255);
    }
  }
  return out;
}
