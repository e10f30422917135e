/** Pictures to features and labels, by the CLIP and the classifier that lie in a model folder. */
import { compile } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { FileError } from "../files/errors.ts";
import { openModelFolder } from "../files/folder.ts";
import { readJsonObject } from "../files/json.ts";
import type { Picture } from "../files/picture.ts";
import { squared } from "../files/resize.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { classify, clipConfig, clipVisionConfig, embedImages } from "../models/clip_vision.ts";
import { loadComponent } from "../models/load.ts";
import type { Features } from "./features.ts";

/** Scores pictures. Holds device memory until `free`. */
export interface Scorer {
  /** CLIP image features (not normalized). */
  features(pictures: readonly Picture[]): Promise<Features>;
  /** For each picture the most likely label of every head. */
  labels(pictures: readonly Picture[]): Promise<Record<string, string>[]>;
  free(): void;
}

const AT_ONCE = 16;

/**
 * Loads `clip/` and, where there is one, `classifier/` of a model folder.
 *
 * @throws FileError when the folder holds no CLIP, or its files are wrong
 */
export async function openScorer(device: Device, path: string): Promise<Scorer> {
  const folder = await openModelFolder(path);
  const clip = clipConfig(folder.config("clip"), `${folder.folder("clip")}/config.json`);
  using source = await folder.weights("clip");
  const params = await loadComponent(device, source, clip);
  const look = await lookOf(folder.folder("clip"), clip.vision.imageSize);
  const embed = compile(device, (x: Tensor) => ({ features: embedImages(clip, params, x) }));
  const heads = folder.components.includes("classifier")
    ? await openHeads(device, path)
    : undefined;
  return {
    async features(pictures) {
      const size = clip.vision.projection;
      const data = new Float64Array(pictures.length * size);
      await inBatches(pictures, look, async (pixels, at, count) => {
        const rows = await device.read(embed(pixels).features) as Float32Array;
        data.set(rows.subarray(0, count * size), at * size);
      });
      return { count: pictures.length, size, data };
    },
    labels(pictures) {
      if (!heads) {
        throw new FileError(path, "holds no classifier", "Only features can be computed with it");
      }
      return heads.labels(pictures);
    },
    free() {
      embed.free();
      heads?.free();
    },
  };
}

async function openHeads(device: Device, path: string) {
  const folder = await openModelFolder(path);
  const config = clipVisionConfig(
    folder.config("classifier"),
    `${folder.folder("classifier")}/config.json`,
  );
  using source = await folder.weights("classifier");
  const params = await loadComponent(device, source, config);
  const look = await lookOf(folder.folder("classifier"), config.imageSize);
  const run = compile(device, (x: Tensor) => classify(config, params, x));
  return {
    async labels(pictures: readonly Picture[]) {
      const found: Record<string, string>[] = pictures.map(() => ({}));
      await inBatches(pictures, look, async (pixels, at, count) => {
        for (const [head, logits] of Object.entries(run(pixels))) {
          const rows = await device.read(logits) as Float32Array;
          const names = config.labels[head];
          for (let i = 0; i < count; i++) {
            const row = rows.subarray(i * names.length, (i + 1) * names.length);
            found[at + i][head] = names[row.indexOf(Math.max(...row))];
          }
        }
      });
      return found;
    },
    free: () => run.free(),
  };
}

/** How pictures become an encoder's input. */
interface Look {
  readonly size: number;
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** What `preprocessor_config.json` says, as transformers writes it beside every CLIP. */
async function lookOf(folder: string, size: number): Promise<Look> {
  const file = `${folder}/preprocessor_config.json`;
  const config = await readJsonObject(file);
  const three = (key: string): number[] => {
    const list = config[key];
    if (Array.isArray(list) && list.length === 3 && list.every(Number.isFinite)) return list;
    throw new FileError(file, `its ${key} is no list of three numbers`);
  };
  return { size, mean: three("image_mean"), deviation: three("image_std") };
}

async function inBatches(
  pictures: readonly Picture[],
  { size, mean, deviation }: Look,
  use: (pixels: Tensor, at: number, count: number) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < pictures.length; at += AT_ONCE) {
    const part = pictures.slice(at, at + AT_ONCE);
    const data = new Float32Array(AT_ONCE * size * size * 3);
    part.forEach((p, i) => {
      const { data: rgb } = p.width === size && p.height === size ? p : squared(p, size);
      const from = i * size * size * 3;
      for (let k = 0; k < rgb.length; k++) {
        data[from + k] = (rgb[k] / 255 - mean[k % 3]) / deviation[k % 3];
      }
    });
    await use(tensor(data, [AT_ONCE, size, size, 3]), at, part.length);
  }
}
