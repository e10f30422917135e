/**
 * The miniature world: pictures with captions, drawn from a seed.
 *
 * Stable Diffusion's weights can't ship with a library; a small model can, and this is the world that it knows.
 *
 * ```ts
 * const scene = randomScene(7, { category: "mug", place: "beach" });
 * const rgb = renderScene(scene);                        // Uint8Array, [64, 64, 3]
 * const caption = captionOf(scene);                      // "photo of a striped red mug on a beach"
 * const drawings = await openDrawings();
 * const fresh = conceptScene(drawings, "zebra", 7, { place: "snow" });   // a thing that the model has never seen
 * ```
 *
 * Scenes are plain data (`Scene` in `scene.ts`): change any field and draw again.
 */
export { captionOf, captionWords, placeWords, styleWords } from "./captions.ts";
export {
  classPictures,
  draw,
  freshPictures,
  realPictures,
  regularizationPictures,
  SEEDS,
  targetPictures,
} from "./class_pictures.ts";
export { type Concept, conceptNamed, CONCEPTS } from "./concepts.ts";
export { Rng } from "./random.ts";
export { coverOf, PALETTE, PATCH, PORTRAIT, renderPortrait, renderScene } from "./render.ts";
export { openDrawings } from "./drawings.ts";
export type { Icons } from "./icons/icons.ts";
export { conceptScene, iconScene } from "./icons/sample.ts";
export { kindScene, plainScene, randomScene, type SceneOptions } from "./sample.ts";
export * from "./scene.ts";
