/** Pictures to features and labels, by the CLIP and the classifier that lie in a model folder. */
import { compile } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { FileError } from "../files/errors.ts";
import { openModelFolder } from "../files/models/folder.ts";
import type { Picture } from "../files/pictures/picture.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { classify, clipVisionConfig } from "../models/clip/vision.ts";
import { loadComponent } from "../models/load.ts";
import { type ClipScorer, openClip } from "./clip.ts";
import { inBatches, lookOf } from "./encoder.ts";

/** CLIP, and labels of pictures. Holds device memory until `free`. */
export interface Scorer extends ClipScorer {
  /** For each picture the most likely label of every head. */
  labels(pictures: readonly Picture[]): Promise<Record<string, string>[]>;
}

/**
 * Loads `clip/` and, where there is one, `classifier/` of a model folder.
 *
 * @throws FileError when the folder holds no CLIP, or its files are wrong
 */
export async function openScorer(device: Device, path: string): Promise<Scorer> {
  const folder = await openModelFolder(path);
  const clip = await openClip(device, folder.folder("clip"));
  const heads = folder.components.includes("classifier")
    ? await openHeads(device, path)
    : undefined;
  return {
    ...clip,
    labels(pictures) {
      if (!heads) {
        throw new FileError(path, "holds no classifier", "Only features can be computed with it");
      }
      return heads.labels(pictures);
    },
    free() {
      clip.free();
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
