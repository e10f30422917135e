/**
 * The few drawings that come with the library: the held-out concepts, and the things that are classes of theirs.
 *
 * The rest of the richer world's drawings are needed for making training pictures only (`world/icons/atlas.ts`).
 */
import { beside } from "../files/beside.ts";
import { decodePixels } from "../files/pictures/image.ts";
import { readBytes } from "../files/source.ts";
import { CONCEPTS } from "./concepts.ts";
import { Icons } from "./icons/icons.ts";
import { SPRITE } from "./icons/sprites.ts";
import { type Hand, ICON_THINGS } from "./icons/things.ts";

/** Name and hand of each, in the order in which they lie in the file, from left to right. */
export const SHIPPED: readonly { readonly name: string; readonly hand: Hand }[] = [
  ...CONCEPTS.flatMap(({ name, drawing }) => drawing ? [{ name, hand: drawing.hand }] : []),
  ...ICON_THINGS.filter(({ name }) => CONCEPTS.some(({ category }) => category === name)).flatMap(
    ({ name, ids }) =>
      (["fluent", "noto"] as const).filter((hand) => ids[hand]).map((hand) => ({ name, hand })),
  ),
];

let opened: Promise<Icons> | undefined;

/** The drawings; read once. Throws FileError if they are missing or damaged. */
export function openDrawings(): Promise<Icons> {
  opened ??= read().catch((error) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

async function read(): Promise<Icons> {
  const path = beside("./icons/drawings.png", import.meta.url);
  const { width, data } = await decodePixels(await readBytes(path), path);
  const rgba = new Uint8Array(data.length), row = 4 * SPRITE;
  for (let at = 0, to = 0; at < width; at += SPRITE) {
    for (let y = 0; y < SPRITE; y++, to += row) {
      const from = 4 * (y * width + at);
      rgba.set(data.subarray(from, from + row), to);
    }
  }
  return new Icons(SHIPPED, rgba);
}
