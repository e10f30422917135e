/** Pictures to labels: a CLIP's vision tower with one linear head for each question that is asked of a picture. */
import { compile } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { openModelFolder } from "../files/models/folder.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { classify, clipVisionConfig } from "../models/clip/vision.ts";
import { loadComponent } from "../models/load.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { inBatches, lookOf } from "./encoder.ts";

/** Labels of pictures. Holds device memory until `free`. */
export interface Classifier {
  /** For each picture the most likely label of every head. */
  labels(pictures: readonly Picture[]): Promise<Record<string, string>[]>;
  free(): void;
}

/**
 * Loads a classifier of a model folder.
 *
 * @param component the folder in it: "classifier", or another of the same kind
 * @throws FileError when there is none, or its files are wrong
 */
export async function openClassifier(
  device: Device,
  path: string,
  component = "classifier",
): Promise<Classifier> {
  const folder = await openModelFolder(path);
  const config = clipVisionConfig(
    folder.config(component),
    `${folder.folder(component)}/config.json`,
  );
  using source = await folder.weights(component);
  const params = await loadComponent(device, source, config);
  const look = await lookOf(folder.folder(component), config.imageSize);
  const run = compile(device, (x: Tensor) => classify(config, params, x));
  return {
    async labels(pictures) {
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
