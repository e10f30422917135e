/** Pictures to features and labels, by the CLIP and the classifier that lie in a model folder. */
import type { Device } from "../device/device.ts";
import { FileError } from "../files/errors.ts";
import { openModelFolder } from "../files/models/folder.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { type Classifier, openClassifier } from "./classifier.ts";
import { type ClipScorer, openClip } from "./clip.ts";

/** CLIP, and labels of pictures. Holds device memory until `free`. */
export type Scorer = ClipScorer & Classifier;

/**
 * Loads `clip/` and, where there is one, `classifier/` of a model folder.
 *
 * @throws FileError when the folder holds no CLIP, or its files are wrong
 */
export async function openScorer(device: Device, path: string): Promise<Scorer> {
  const folder = await openModelFolder(path);
  const clip = await openClip(device, folder.folder("clip"));
  const heads = folder.components.includes("classifier")
    ? await openClassifier(device, path)
    : undefined;
  return {
    ...clip,
    labels(pictures: readonly Picture[]) {
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
