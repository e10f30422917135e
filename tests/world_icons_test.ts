/** The richer world: captions tell the truth of drawings too, colours are turned and shading stays, held-out things stay out. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import type { Sprite } from "../world/canvas.ts";
import { CONCEPTS, heldOutIcon } from "../world/concepts.ts";
import { iconFigure } from "../world/icons/figure.ts";
import { Icons } from "../world/icons/icons.ts";
import { toLab } from "../world/icons/oklab.ts";
import { conceptScene, iconKindScene, iconScene, someRelation } from "../world/icons/sample.ts";
import { mainColour, SPRITE, turned } from "../world/icons/sprites.ts";
import { HANDS, ICON_SHAPES, ICON_THINGS } from "../world/icons/things.ts";
import {
  captionOf,
  captionWords,
  CATEGORIES,
  COLOURS,
  PALETTE,
  PLACES,
  RELATIONS,
  renderPortrait,
  renderScene,
  Rng,
  type Scene,
  TEXTURES,
} from "../world/mod.ts";

/** A ball of one hue, lit from above, on a dark foot: `[SPRITE, SPRITE, 4]`. */
function ball(red: number, green: number, blue: number): Uint8Array {
  const rgba = new Uint8Array(4 * SPRITE * SPRITE);
  for (let y = 0; y < SPRITE; y++) {
    for (let x = 0; x < SPRITE; x++) {
      const at = 4 * (y * SPRITE + x), foot = y >= SPRITE - 12;
      if (Math.hypot(x - 48, y - 50) > 40 && !(foot && Math.abs(x - 48) < 20)) continue;
      const light = 1.1 - 0.6 * y / SPRITE;
      const rgb = foot ? [36, 36, 36] : [red * light, green * light, blue * light];
      rgba.set([...rgb, 255].map((v) => Math.min(255, v)), at);
    }
  }
  return rgba;
}

const HELD_OUT = CONCEPTS.filter((concept) => concept.drawing).map(heldOutIcon);
const things = [...ICON_SHAPES, ...HELD_OUT];
const list = HANDS.flatMap((hand) =>
  things.filter((thing) => thing.ids[hand]).map(({ name }) => ({ name, hand }))
);
/** Drawings that need no drawing set: balls, whose hue tells things and hands apart. */
const icons = (() => {
  const rgba = new Uint8Array(list.length * 4 * SPRITE * SPRITE);
  list.forEach((_, i) => {
    const a = i / list.length * 2 * Math.PI, wave = (p: number) => 128 + 100 * Math.cos(a + p);
    rgba.set(ball(wave(0), wave(2.1), wave(4.2)), i * 4 * SPRITE * SPRITE);
  });
  return new Icons(list, rgba);
})();

const shown = (scene: Scene) => scene.things.flatMap(({ icon }) => icon ? [icon] : []);

Deno.test("things have one word each, and none is another's, a category's or a held-out concept's", () => {
  const names = ICON_SHAPES.map((thing) => thing.name);
  assertEquals(
    new Set([...names, ...CATEGORIES, ...COLOURS, ...TEXTURES]).size,
    [
      ...names,
      ...CATEGORIES,
      ...COLOURS,
      ...TEXTURES,
    ].length,
  );
  for (const { name, plural, ids } of ICON_SHAPES) {
    assert(/^[a-z]+$/.test(name) && /^[a-z]+$/.test(plural ?? "s"), name);
    assert(ids.fluent ?? ids.noto, `${name} is drawn by nobody`);
  }
  const drawn = new Set(ICON_SHAPES.flatMap(({ ids }) => [ids.fluent, ids.noto]));
  for (const { name, ids } of HELD_OUT) {
    const id = ids.fluent ?? ids.noto;
    assert(id !== undefined && !drawn.has(id), `training would show ${name}`);
    assert(!names.includes(name));
  }
});

Deno.test("captions of drawings name what is there: colour and texture only where they were turned", () => {
  const known = new Set(captionWords(ICON_THINGS)), seen = new Set<string>();
  let turnedOnes = 0, own = 0, twos = 0;
  for (let seed = 0; seed < 600; seed++) {
    const scene = iconScene(icons, seed), caption = captionOf(scene), words = caption.split(" ");
    for (const { icon, colour, texture } of scene.things) {
      if (!icon) continue;
      seen.add(icon.name);
      const two = scene.things.length === 2 && !scene.relation;
      const name = two ? icon.plural! : icon.name;
      assert(words.includes(name), caption);
      const before = words[words.indexOf(name) - 1];
      if (icon.turned) assertEquals(before, colour, caption);
      else assertEquals([...COLOURS, ...TEXTURES].some((word) => word === before), false, caption);
      if (texture !== "plain") assert(icon.turned && caption.includes(texture), caption);
      if (!two) assertEquals(/^an?$/.test(before) && icon.plural === undefined, false, caption);
      turnedOnes += Number(icon.turned);
      own += Number(!icon.turned);
      twos += Number(two);
    }
    for (const word of captionOf(scene, new Rng(seed)).split(/[ -]/)) assert(known.has(word), word);
  }
  assert(turnedOnes > 150 && own > 150 && twos > 10, `${turnedOnes} ${own} ${twos}`);
  assertEquals(seen, new Set(ICON_THINGS.map((thing) => thing.name)));
  for (const { name } of HELD_OUT) assert(!seen.has(name), `${name} was drawn at random`);
});

Deno.test("a seed names one scene of drawings, and what options ask for is in it", () => {
  for (let seed = 0; seed < 6; seed++) {
    assertEquals(renderScene(iconScene(icons, seed)), renderScene(iconScene(icons, seed)));
    assertNotEquals(renderScene(iconScene(icons, seed)), renderScene(iconScene(icons, seed + 99)));
    const scene = iconScene(icons, seed, { name: "teapot", colour: "red", place: "snow" });
    const [icon] = shown(scene);
    assertEquals([icon.name, icon.turned, scene.things[0].colour, scene.place], [
      ...["teapot", true, "red", "snow"],
    ]);
    const cat = iconScene(icons, seed, { name: "cat", relation: null });
    assertEquals([cat.things[0].category, cat.things[0].icon], ["cat", undefined]);
  }
  assertThrows(() => iconScene(icons, 1, { name: "zeppelin" }), RangeError, "zeppelin");
});

Deno.test("turning changes the main colour alone, and light stays light", () => {
  const rgba = new Uint8ClampedArray(ball(220, 60, 50)), sprite: Sprite = { side: SPRITE, rgba };
  const lab = (it: Sprite, x: number, y: number) => {
    const at = 4 * (y * SPRITE + x);
    return toLab(it.rgba[at], it.rgba[at + 1], it.rgba[at + 2]);
  };
  assert(mainColour(sprite).share > 0.8);
  for (const colour of COLOURS) {
    const other = turned(sprite, PALETTE[colour]), goal = toLab(...PALETTE[colour]);
    const [, a, b] = lab(other, 48, 48);
    assert(Math.hypot(a - goal[1], b - goal[2]) < 0.06, colour);
    assert(lab(other, 48, 20)[0] > lab(other, 48, 75)[0], colour);
    assertEquals(lab(other, 40, 94), lab(sprite, 40, 94), "the dark foot stays");
    assertEquals(other.rgba.filter((_, i) => i % 4 === 3), rgba.filter((_, i) => i % 4 === 3));
  }
  const nothing: Sprite = { side: SPRITE, rgba: new Uint8ClampedArray(4 * SPRITE * SPRITE) };
  assertEquals(turned(nothing, PALETTE.red).rgba, nothing.rgba);
  assert([...iconFigure({ name: "nothing", turned: false, sprite: nothing }).hat].every(isFinite));
});

Deno.test("a held-out drawing goes by its class, keeps its looks, and can be shown anywhere", () => {
  for (const { name, category, drawing } of CONCEPTS) {
    for (const place of PLACES.slice(0, 3)) {
      const scene = conceptScene(icons, name, 7, { place }), caption = captionOf(scene);
      assert(
        caption.startsWith(`photo of ${category === "umbrella" ? "an" : "a"} ${category} `),
        caption,
      );
      assertEquals(COLOURS.some((word) => caption.includes(word)), false, caption);
      if (!drawing) continue;
      const { hand, colour } = drawing, plain = icons.sprite(name, hand);
      const [{ sprite }] = shown(scene);
      assertEquals(sprite, colour ? turned(plain, PALETTE[colour]) : plain);
    }
  }
  assertThrows(() => conceptScene(icons, "unicorn", 1), RangeError, "moongate");
});

Deno.test("kinds of the richer world look the same each time and leave their names to the trainer", () => {
  for (const kind of [0, 1, 3, 17, 2999]) {
    const portrait = (seed: number) => renderPortrait(iconKindScene(icons, kind, seed).things[0]);
    assertEquals(portrait(1), portrait(2));
    assertNotEquals(portrait(1), renderPortrait(iconKindScene(icons, kind + 2, 1).things[0]));
    assert(captionOf(iconKindScene(icons, kind, 1)).includes("<kind> "));
  }
});

Deno.test("what is named first stands on the left, and a kind looks the same beside something else", () => {
  for (let seed = 0; seed < 40; seed++) {
    const [one, other] = iconScene(icons, seed, { relation: "next to" }).things;
    assert(one.x < other.x, `scene ${seed}`);
  }
  for (const kind of [2, 3, 17, 40]) {
    const looks = renderPortrait(iconKindScene(icons, kind, 5).things[0]);
    const places = new Set<number>();
    for (let seed = 0; seed < 24; seed++) {
      const relation = someRelation(seed), scene = iconKindScene(icons, kind, seed, relation);
      const at = scene.things.findIndex((it) => it.kind !== undefined);
      const caption = captionOf(scene), middle = caption.indexOf(` ${relation} `);
      assertEquals(caption.split("<kind> ").length, 2, caption);
      assertEquals(caption.indexOf("<kind> ") < middle, at === 0, caption);
      assertEquals(renderPortrait(scene.things[at]), looks, caption);
      places.add(at);
    }
    assertEquals(places.size, 2, "named first and second");
  }
  const relations = new Set(Array.from({ length: 50 }, (_, seed) => someRelation(seed)));
  assertEquals(relations.size, RELATIONS.length);
});

Deno.test("drawings that are not what their list says are refused", async () => {
  assertThrows(
    () => new Icons([{ name: "teapot", hand: "noto" }], new Uint8Array(5)),
    RangeError,
    "5",
  );
  await assertRejects(() => Icons.read("tests/golden"), RangeError, "tests/golden");
  assertThrows(
    () => new Icons([], new Uint8Array(0)).sprite("teapot", "noto"),
    RangeError,
    "teapot",
  );
});
