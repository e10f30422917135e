/** Pictures as this world really has them: what is taught, regularization sets, and what generated ones are compared with. */
import { beside } from "../files/beside.ts";
import { readPicture } from "../files/pictures/image.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { captionOf } from "./captions.ts";
import { Rng } from "./random.ts";
import { renderScene } from "./render.ts";
import type { Icons } from "./icons/icons.ts";
import { conceptScene, iconScene, type IconSceneOptions } from "./icons/sample.ts";
import type { SceneOptions } from "./sample.ts";
import type { Scene } from "./scene.ts";

/** A picture with what a person would say of it. */
export interface ClassPicture {
  /** RGB, 64×64. */
  readonly picture: Picture;
  /** With words left out at random, as training captions have it. */
  readonly caption: string;
}

const SIDE = 64;

/** Where the seeds of each use of this world begin: so no picture that is measured with was trained on. */
export const SEEDS = {
  /** Regularization pictures of a class. */
  regularization: 10_000,
  /** Real pictures of a class that a model's are compared with. */
  real: 50_000,
  /** New scenes of a concept. */
  fresh: 900_000,
} as const;

/** A scene as a picture. */
export const draw = (scene: Scene): Picture => ({
  width: SIDE,
  height: SIDE,
  data: renderScene(scene),
});

/** How many pictures each concept is taught from. */
export const TARGETS = 5;

/** The pictures that a concept is taught from. Throws FileError if they are missing. */
export function targetPictures(concept: string): Promise<Picture[]> {
  // By their names: servers have no lists.
  return Promise.all(
    Array.from(
      { length: TARGETS },
      (_, i) => readPicture(beside(`./concepts/${concept}/${i}.png`, import.meta.url)),
    ),
  );
}

/** A held-out concept in these scenes, in pictures that no training sees: what a taught model could draw at best. */
export function freshPictures(
  icons: Icons,
  concept: string,
  scenes: readonly SceneOptions[],
): Picture[] {
  return scenes.map((scene, i) => draw(conceptScene(icons, concept, SEEDS.fresh + i, scene)));
}

/** A picture of the class with its caption; beside it stands what the options say. */
function classPicture(
  icons: Icons,
  name: string,
  seed: number,
  options: IconSceneOptions,
): ClassPicture {
  const scene = iconScene(icons, seed, { ...options, name });
  return { picture: draw(scene), caption: captionOf(scene, new Rng(seed)) };
}

/** So many pictures of one thing of a class, drawn from seeds that count on from the first. */
export function classPictures(
  icons: Icons,
  name: string,
  first: number,
  count: number,
  options: IconSceneOptions = {},
): ClassPicture[] {
  return Array.from(
    { length: count },
    (_, i) => classPicture(icons, name, first + i, { relation: null, ...options }),
  );
}

/** What regularization pictures show beside the class, in turn. */
const COMPANY = [null, null, null, "next to", null, null, null, "in front of"] as const;

/**
 * What training is regularized with: pictures of the class, one in four beside something else, as pictures that are found by
 * their captions are. Without those, what a picture of two things is like would be forgotten while pictures of one thing are
 * taught.
 */
export function regularizationPictures(icons: Icons, name: string, count: number): ClassPicture[] {
  return Array.from({ length: count }, (_, i) => {
    const relation = COMPANY[i % COMPANY.length];
    return classPicture(icons, name, SEEDS.regularization + i, { relation, plainCompany: true });
  });
}

/** Plain photos of one thing of the class, none of them a regularization picture: what "photo of a gate" should look like. */
export function realPictures(icons: Icons, name: string, count: number): Picture[] {
  return classPictures(icons, name, SEEDS.real, count, { style: "photo" }).map((real) =>
    real.picture
  );
}
