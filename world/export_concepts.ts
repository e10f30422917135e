/**
 * Writes the target pictures of the held-out concepts, what a person's own photos would be, and the drawings that come with the
 * library.
 *
 *     deno run -A world/export_concepts.ts <folder that world/icons/atlas.ts wrote>
 *
 * gives `world/concepts/<name>/0.png` … `4.png`, `world/concepts/concepts.json` and `world/icons/drawings.png`.
 */
import encode from "npm:@jsquash/png@3.1.1/encode.js";
import { TARGETS } from "./class_pictures.ts";
import { SHIPPED } from "./drawings.ts";
import { Icons } from "./icons/icons.ts";
import { SPRITE } from "./icons/sprites.ts";
import { CONCEPTS, conceptScene, type Place, renderScene } from "./mod.ts";

/** Five places for the targets; forest, table and street stay fresh for judging. */
const SHOWN: readonly Place[] = ["beach", "meadow", "snow", "desert", "night"];

/** Bytes of so many channels, 3 or 4, as a PNG file's bytes. */
async function png(bytes: Uint8Array | Uint8ClampedArray, width: number, height: number) {
  const channels = bytes.length / (width * height);
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    data.set(bytes.subarray(channels * i, channels * (i + 1)), 4 * i);
  }
  return new Uint8Array(await encode({ data, width, height } as ImageData));
}

/** The drawings that come with the library, side by side. */
function strip(icons: Icons): Uint8Array {
  const width = SPRITE * SHIPPED.length, out = new Uint8Array(4 * width * SPRITE), row = 4 * SPRITE;
  for (const [i, { name, hand }] of SHIPPED.entries()) {
    const { rgba } = icons.sprite(name, hand);
    for (let y = 0; y < SPRITE; y++) {
      out.set(rgba.subarray(y * row, (y + 1) * row), 4 * (y * width + i * SPRITE));
    }
  }
  return out;
}

if (import.meta.main) {
  const root = new URL("./concepts/", import.meta.url);
  const icons = await Icons.read(Deno.args[0]), list = [];
  await Deno.writeFile(
    new URL("./icons/drawings.png", import.meta.url),
    await png(strip(icons), SPRITE * SHIPPED.length, SPRITE),
  );
  for (const [which, concept] of CONCEPTS.entries()) {
    await Deno.mkdir(new URL(`${concept.name}/`, root), { recursive: true });
    for (let i = 0; i < TARGETS; i++) {
      const scene = conceptScene(icons, concept.name, 500_000 + 100 * which + i, {
        place: SHOWN[i],
      });
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
