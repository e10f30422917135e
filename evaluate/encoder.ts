/** What every image encoder that scores pictures has in common: its interface, and how pictures become its input. */
import type { Device } from "../device/device.ts";
import { FileError } from "../files/errors.ts";
import { isObject, readJsonObject } from "../files/json.ts";
import { crop, type Picture } from "../files/pictures/picture.ts";
import { resize, type ResizeFilter } from "../files/pictures/resize.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Features } from "./features.ts";

/** Anything that turns pictures into vectors: CLIP, DINO. Holds device memory until `free`. */
export interface ImageEncoder {
  /** Its name in tables: "CLIP". */
  readonly name: string;
  /** One vector a picture, not normalized. `onPictures` is called with how many are done. */
  features(pictures: readonly Picture[], onPictures?: (done: number) => void): Promise<Features>;
  /** Gives its device memory back. */
  free(): void;
}

/** How pictures become an encoder's input. */
export interface Look {
  /** The short side is resized to this, in pixels; undefined: both sides are to `size`, whatever the shape. */
  readonly short?: number;
  /** By which filter. */
  readonly filter: ResizeFilter;
  /** Then a square of this side is cut from the middle. */
  readonly size: number;
  /** Of each channel, of values in 0…1. */
  readonly mean: readonly number[];
  /** Of each channel, likewise. */
  readonly deviation: readonly number[];
}

/** What transformers' image processor of a model does where its config says nothing, or says a bare number. */
export interface LookDefaults {
  /** Whether a `size` that is one number means both sides, not the short one. */
  readonly stretched: boolean;
  /** The filter. */
  readonly filter: ResizeFilter;
}

const CLIP_LOOK: LookDefaults = { stretched: false, filter: "bicubic" };
/** Pillow's numbers of filters. */
const FILTERS: Readonly<Record<string, ResizeFilter>> = { 2: "bilinear", 3: "bicubic" };

/**
 * What `preprocessor_config.json` says, as transformers writes it beside every image encoder.
 *
 * @param size the side that the encoder takes
 * @throws FileError naming the field that is wrong, or a crop that the encoder does not take
 */
export async function lookOf(
  folder: string,
  size: number,
  defaults: LookDefaults = CLIP_LOOK,
): Promise<Look> {
  const file = `${folder}/preprocessor_config.json`;
  const config = await readJsonObject(file);
  for (const step of ["do_resize", "do_rescale", "do_normalize"]) {
    if (config[step] === false) throw new FileError(file, `turns ${step} off: it must be done`);
  }
  const filter = config.resample === undefined ? defaults.filter : FILTERS[String(config.resample)];
  if (!filter) throw new FileError(file, `its resample is ${config.resample}: 2 and 3 are known`);
  const three = (key: string): number[] => {
    const list = config[key];
    if (Array.isArray(list) && list.length === 3 && list.every(Number.isFinite)) return list;
    throw new FileError(file, `its ${key} is no list of three numbers`);
  };
  const side = (key: string): number => {
    const value = config[key] ?? size;
    const found = isObject(value) ? value.shortest_edge ?? value.height : value;
    if (Number.isSafeInteger(found) && found as number > 0) return found as number;
    throw new FileError(file, `its ${key} is no number of pixels`);
  };
  const rest = { size, filter, mean: three("image_mean"), deviation: three("image_std") };
  const stretched = isObject(config.size)
    ? config.size.shortest_edge === undefined
    : defaults.stretched;
  if (stretched) {
    if (side("size") === size) return rest;
    throw new FileError(file, `resizes to ${side("size")} pixels, the encoder takes ${size}`);
  }
  const cut = config.do_center_crop === false ? size : side("crop_size");
  if (cut !== size) {
    throw new FileError(file, `crops to ${cut} pixels, and the encoder beside it takes ${size}`);
  }
  const short = side("size");
  if (short < size) {
    throw new FileError(file, `resizes to ${short} pixels, less than the ${size} that it crops to`);
  }
  return { short, ...rest };
}

const AT_ONCE = 16;

/** Hands pictures to `use` as pixels `[16, size, size, 3]`, of which the first `count` are pictures. */
export async function inBatches(
  pictures: readonly Picture[],
  look: Look,
  use: (pixels: Tensor, at: number, count: number) => Promise<void>,
): Promise<void> {
  const { size, mean, deviation } = look;
  for (let at = 0; at < pictures.length; at += AT_ONCE) {
    const part = pictures.slice(at, at + AT_ONCE);
    const data = new Float32Array(AT_ONCE * size * size * 3);
    part.forEach((p, i) => {
      const { data: rgb } = looked(p, look);
      const from = i * size * size * 3;
      for (let k = 0; k < rgb.length; k++) {
        data[from + k] = (rgb[k] / 255 - mean[k % 3]) / deviation[k % 3];
      }
    });
    await use(tensor(data, [AT_ONCE, size, size, 3]), at, part.length);
  }
}

/**
 * One vector a picture, by a program that takes pixels `[16, size, size, 3]` to rows `[16, width]`.
 *
 * @param width length of a vector
 * @param onPictures called with how many pictures are done
 */
export async function featuresBy(
  device: Device,
  program: (pixels: Tensor) => { readonly rows: Tensor },
  width: number,
  pictures: readonly Picture[],
  look: Look,
  onPictures?: (done: number) => void,
): Promise<Features> {
  const data = new Float64Array(pictures.length * width);
  await inBatches(pictures, look, async (pixels, at, count) => {
    const rows = await device.read(program(pixels).rows) as Float32Array;
    data.set(rows.subarray(0, count * width), at * width);
    onPictures?.(at + count);
  });
  return { count: pictures.length, size: width, data };
}

/** Resized and cropped, to the pixel as transformers does it. */
function looked(picture: Picture, { short, size, filter }: Look): Picture {
  if (short === undefined) return resize(picture, size, size, filter);
  const { width: w, height: h } = picture;
  const long = Math.floor(short * Math.max(w, h) / Math.min(w, h));
  const [width, height] = w < h ? [short, long] : [long, short];
  const sized = resize(picture, width, height, filter);
  if (width === size && height === size) return sized;
  return crop(sized, Math.floor((width - size) / 2), Math.floor((height - size) / 2), size, size);
}
