/** A drawing as a figure: where a hat and a bow sit on it, and how high another thing stands, read off its outline. */
import { type Figure, SPRITE_WIDTH } from "../parts.ts";
import type { Icon } from "../scene.ts";
import type { Sprite } from "../canvas.ts";

type Outline = Pick<Figure, "hat" | "bow" | "top">;

const found = new WeakMap<Sprite, Outline>();

/** Left and right end of a row of a sprite, or undefined where it is empty. */
function ends({ side, rgba }: Sprite, row: number): [number, number] | undefined {
  let left = side, right = -1;
  for (let x = 0; x < side; x++) {
    if (rgba[4 * (row * side + x) + 3] < 128) continue;
    left = Math.min(left, x);
    right = x;
  }
  return right < 0 ? undefined : [left, right];
}

function outlineOf(sprite: Sprite): Outline {
  const before = found.get(sprite);
  if (before) return before;
  const { side } = sprite, unit = side / SPRITE_WIDTH;
  let row = 0;
  while (row < side - 1 && !ends(sprite, row)) row++;
  const height = side - row,
    at = (share: number) => Math.min(side - 1, Math.floor(row + share * height));
  const [left, right] = ends(sprite, at(0.1)) ?? [0, side - 1];
  const [from, to] = ends(sprite, at(0.5)) ?? [left, right];
  const x = (a: number, b: number) => ((a + b + 1) / 2 - side / 2) / unit;
  const half = (a: number, b: number) => Math.min(0.2, Math.max(0.13, (b - a) / unit / 3));
  const outline: Outline = {
    hat: [x(left, right), (side - at(0.07)) / unit, half(left, right)],
    bow: [x(from, to), (side - at(0.5)) / unit, half(from, to)],
    top: (side - at(0.04)) / unit,
  };
  found.set(sprite, outline);
  return outline;
}

/** The figure of an icon. */
export function iconFigure({ sprite, second }: Icon): Figure {
  return { parts: [], sprite: { first: sprite, second: second ?? sprite }, ...outlineOf(sprite) };
}
