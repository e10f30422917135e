/**
 * Writes the target pictures of the held-out concepts: what a person's own photos would be.
 *
 *     deno run -A world/export_concepts.ts
 *
 * gives `world/concepts/<name>/0.png` … `4.png` and `world/concepts/concepts.json`.
 */
import encode from "npm:@jsquash/png@3.1.1/encode.js";
import { CONCEPTS, conceptScene, type Place, renderScene } from "./mod.ts";

const TARGETS = 5;
/** Five places for the targets; forest, table and street stay fresh for judging. */
const SHOWN: readonly Place[] = ["beach", "meadow", "snow", "desert", "night"];

/** RGB bytes [size, size, 3] as a PNG file's bytes. */
export async function png(rgb: Uint8Array, width: number, height: number): Promise<Uint8Array> {
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  return new Uint8Array(await encode({ data, width, height } as ImageData));
}

if (import.meta.main) {
  const root = new URL("./concepts/", import.meta.url);
  const list = [];
  for (const [which, concept] of CONCEPTS.entries()) {
    await Deno.mkdir(new URL(`${concept.name}/`, root), { recursive: true });
    for (let i = 0; i < TARGETS; i++) {
      const scene = conceptScene(concept.name, 500_000 + 100 * which + i, { place: SHOWN[i] });
      const file = new URL(`${concept.name}/${i}.png`, root);
      await Deno.writeFile(file, await png(renderScene(scene), 64, 64));
    }
    list.push({
      name: concept.name,
      class: concept.category,
      folder: concept.name,
      caption: `photo of a <new1> ${concept.category}`,
      description: concept.description,
    });
  }
  await Deno.writeTextFile(new URL("concepts.json", root), JSON.stringify(list, null, 2) + "\n");
}
