/**
 * Which of the held-out concepts a picture shows, whatever it was meant to: by a classifier that was trained on drawings of
 * them, and by which concept's own pictures it looks most like to the CLIP.
 */
import type { Device } from "../../device/device.ts";
import { openClassifier } from "../../evaluate/classifier.ts";
import { targetCosines } from "../../evaluate/alignment.ts";
import type { Features } from "../../evaluate/features.ts";
import type { Scorer } from "../../evaluate/scorer.ts";
import type { Picture } from "../../files/pictures/picture.ts";
import { targetPictures } from "../class_pictures.ts";
import { CONCEPTS } from "../concepts.ts";

/** Its folder in a model's. */
export const CONCEPT_CLASSIFIER = "concept_classifier";

/** Judges pictures. Holds device memory until `free`. */
export interface Judge {
  /** For each picture the concepts that the classifier sees in it: none, one or several. */
  shown(pictures: readonly Picture[]): Promise<ReadonlySet<string>[]>;
  /** For each picture the concept whose own pictures its features are nearest to, by mean cosine. */
  nearest(pictures: readonly Picture[]): Promise<string[]>;
  free(): void;
}

/**
 * Opens a judge.
 *
 * @param scorer the model's; it stays the caller's
 * @throws FileError if the model's folder has no classifier of concepts
 */
export async function openJudge(device: Device, model: string, scorer: Scorer): Promise<Judge> {
  const heads = await openClassifier(device, model, CONCEPT_CLASSIFIER);
  let own: Promise<{ name: string; features: Features }[]> | undefined;
  // One after the other: a scorer's results hold until it is asked again.
  const examples = async () => {
    const found = [];
    for (const { name } of CONCEPTS) {
      found.push({ name, features: await scorer.features(await targetPictures(name)) });
    }
    return found;
  };
  return {
    async shown(pictures) {
      const labels = await heads.labels(pictures);
      return labels.map((of) =>
        new Set(Object.entries(of).flatMap(([name, is]) => is === "present" ? [name] : []))
      );
    },
    async nearest(pictures) {
      const features = await scorer.features(pictures);
      const scores = (await (own ??= examples())).map(({ name, features: to }) => ({
        name,
        cosines: targetCosines(features, to),
      }));
      return pictures.map((_, i) =>
        scores.reduce((best, it) => it.cosines[i] > best.cosines[i] ? it : best).name
      );
    },
    free: () => heads.free(),
  };
}
