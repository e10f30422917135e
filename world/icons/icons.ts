/** The drawings of the richer world as `atlas.ts` keeps them, and in the colours that they are turned into. */
import type { Rgb, Sprite } from "../canvas.ts";
import { CREAM } from "../parts.ts";
import { PALETTE } from "../render.ts";
import type { Colour, Icon } from "../scene.ts";
import { SPRITE, turned } from "./sprites.ts";
import type { Hand, IconThing } from "./things.ts";

/** The drawings, by name and hand. */
export class Icons {
  readonly #sprites = new Map<string, Sprite>();
  readonly #turned = new Map<string, Sprite>();

  /**
   * @param list name and hand of each
   * @param rgba their pixels, [n, SPRITE, SPRITE, 4]
   * @throws RangeError if there are more or fewer pixels than that
   */
  constructor(list: readonly { name: string; hand: Hand }[], rgba: Uint8Array) {
    const size = 4 * SPRITE * SPRITE;
    if (rgba.length !== list.length * size) {
      throw new RangeError(
        `${list.length} drawings are ${
          list.length * size
        } bytes, but there are ${rgba.length}; draw them again by world/icons/atlas.ts`,
      );
    }
    for (const [i, { name, hand }] of list.entries()) {
      const pixels = new Uint8ClampedArray(rgba.subarray(i * size, (i + 1) * size));
      this.#sprites.set(`${name} ${hand}`, { side: SPRITE, rgba: pixels });
    }
  }

  /** What `world/icons/atlas.ts` wrote to a folder. Throws RangeError if it holds none. */
  static async read(folder: string): Promise<Icons> {
    try {
      const list = JSON.parse(await Deno.readTextFile(`${folder}/icons.json`));
      return new Icons(list, await Deno.readFile(`${folder}/icons.rgba`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new RangeError(`${folder} holds no drawings; draw them by world/icons/atlas.ts`);
    }
  }

  /** The drawing of a thing. Throws RangeError if there is none of this hand. */
  sprite(name: string, hand: Hand): Sprite {
    const found = this.#sprites.get(`${name} ${hand}`);
    if (!found) {
      throw new RangeError(
        `there is no drawing of "${name}" by ${hand}; draw them again by world/icons/atlas.ts`,
      );
    }
    return found;
  }

  /** The same in another colour. */
  coloured(name: string, hand: Hand, colour: string, rgb: Rgb): Sprite {
    const key = `${name} ${hand} ${colour}`;
    let sprite = this.#turned.get(key);
    if (!sprite) this.#turned.set(key, sprite = turned(this.sprite(name, hand), rgb));
    return sprite;
  }

  /** A thing as it is drawn in a scene. */
  icon(thing: IconThing, hand: Hand, colour?: Colour): Icon {
    const { name, plural } = thing;
    if (!colour) return { name, plural, turned: false, sprite: this.sprite(name, hand) };
    return {
      ...{ name, plural, turned: true },
      sprite: this.coloured(name, hand, colour, PALETTE[colour]),
      second: this.coloured(name, hand, "cream", CREAM),
    };
  }
}
