/**
 * Draws the things of the richer world once, as small pictures with transparency, for `world/export_dataset.ts --icons`.
 *
 *     deno run -A --no-lock world/icons/atlas.ts <folder> [--overwrite]
 *
 * gives `icons.json` (name and hand of each, in order) and `icons.rgba` (uint8, [n, SPRITE, SPRITE, 4], straight alpha), some 20 MB. The
 * drawings come from npm when this program runs, and from nowhere else: neither the library nor a model needs them.
 */
import { claim } from "../../files/outputs.ts";
import { CONCEPTS, heldOutIcon } from "../concepts.ts";
import { SPRITE_WIDTH } from "../parts.ts";
import { SPRITE } from "./sprites.ts";
import { type Hand, HANDS, ICON_SHAPES, type IconThing } from "./things.ts";

/** Versions whose drawings were looked at. */
const PACKAGES: Record<Hand, string> = {
  fluent: "npm:@iconify-json/fluent-emoji@1.2.7/icons.json",
  noto: "npm:@iconify-json/noto@1.2.9/icons.json",
};
const RESVG = "npm:@resvg/resvg-js@2.6.2";

interface Drawing {
  readonly body: string;
  readonly left?: number;
  readonly top?: number;
  readonly width?: number;
  readonly height?: number;
}

/** What is used of a package of Iconify's. */
interface Drawings {
  readonly icons: Record<string, Drawing>;
  readonly width?: number;
  readonly height?: number;
}

/** What is used of resvg: pixels are RGBA, alpha multiplied in. */
interface Resvg {
  Resvg: new (svg: string) => { render(): { pixels: Uint8Array } };
}

/** Side in pixels that a drawing is made at, whole: resvg's filters fail on boxes that cut them. */
const LARGE = 512;

function drawn({ Resvg }: Resvg, drawings: Drawings, icon: Drawing): Uint8Array {
  const box = [
    icon.left ?? 0,
    icon.top ?? 0,
    icon.width ?? drawings.width ?? 16,
    icon.height ?? drawings.height ?? 16,
  ];
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
    `viewBox="${box.join(" ")}" width="${LARGE}" height="${LARGE}">${icon.body}</svg>`;
  return new Resvg(svg).render().pixels;
}

/** The box of what is there: left, top, width, height. */
function bounds(pixels: Uint8Array): [number, number, number, number] {
  let left = LARGE, right = -1, top = LARGE, bottom = -1;
  for (let i = 0; i < LARGE * LARGE; i++) {
    if (pixels[4 * i + 3] < 40) continue;
    left = Math.min(left, i % LARGE);
    right = Math.max(right, i % LARGE);
    top = Math.min(top, Math.floor(i / LARGE));
    bottom = Math.max(bottom, Math.floor(i / LARGE));
  }
  return [left, top, right - left + 1, bottom - top + 1];
}

/** One drawing, as large as fits, its foot in the middle of the lower edge: [SPRITE, SPRITE, 4] with straight alpha. */
function sprite(resvg: Resvg, drawings: Drawings, id: string): Uint8Array {
  const icon = drawings.icons[id];
  if (!icon) throw new RangeError(`the set of drawings has none called "${id}"`);
  const pixels = drawn(resvg, drawings, icon), [left, top, wide, high] = bounds(pixels);
  // Large pixels for one of the sprite's: a sprite is SPRITE_WIDTH units wide, and a thing one high.
  const step = Math.max(wide / SPRITE, high * SPRITE_WIDTH / SPRITE);
  const width = Math.min(SPRITE, Math.round(wide / step)),
    height = Math.min(SPRITE, Math.round(high / step));
  const out = new Uint8Array(SPRITE * SPRITE * 4), sum = new Float64Array(4);
  const x0 = Math.floor((SPRITE - width) / 2), y0 = SPRITE - height;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      sum.fill(0);
      const [u0, u1] = [x, x + 1].map((v) => left + Math.round(v * wide / width));
      const [v0, v1] = [y, y + 1].map((v) => top + Math.round(v * high / height));
      for (let v = v0; v < v1; v++) {
        for (let u = u0; u < u1; u++) {
          for (let c = 0; c < 4; c++) sum[c] += pixels[4 * (v * LARGE + u) + c];
        }
      }
      const to = 4 * ((y0 + y) * SPRITE + x0 + x), count = (u1 - u0) * (v1 - v0);
      for (let c = 0; c < 3; c++) {
        out[to + c] = sum[3] ? Math.min(255, Math.round(255 * sum[c] / sum[3])) : 0;
      }
      out[to + 3] = Math.round(sum[3] / count);
    }
  }
  return out;
}

if (import.meta.main) {
  const overwrite = Deno.args.includes("--overwrite");
  const [folder] = Deno.args.filter((arg) => arg !== "--overwrite");
  if (folder === undefined) {
    console.error("deno run -A --no-lock world/icons/atlas.ts <folder> [--overwrite]");
    Deno.exit(2);
  }
  const outputs = ["json", "rgba"].map((ending) => ({
    path: `${folder}/icons.${ending}`,
    flag: "<folder>",
  }));
  await using _ = await claim(outputs, { overwrite });
  // Named by variables: what checks or bundles this repository fetches none of it.
  const resvg: Resvg = await import(RESVG);
  const list: { name: string; hand: Hand }[] = [], sprites: Uint8Array[] = [];
  const things: readonly IconThing[] = [
    ...ICON_SHAPES,
    ...CONCEPTS.filter((concept) => concept.drawing).map(heldOutIcon),
  ];
  for (const hand of HANDS) {
    const { default: drawings }: { default: Drawings } = await import(PACKAGES[hand], {
      with: { type: "json" },
    });
    for (const { name, ids } of things) {
      const id = ids[hand];
      if (id === undefined) continue;
      list.push({ name, hand });
      sprites.push(sprite(resvg, drawings, id));
    }
  }
  using file = await Deno.create(`${folder}/icons.rgba`);
  for (const bytes of sprites) file.writeSync(bytes);
  await Deno.writeTextFile(`${folder}/icons.json`, JSON.stringify(list) + "\n");
  console.error(`${list.length} drawings of ${things.length} things`);
}
