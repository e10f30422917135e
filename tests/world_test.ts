/** The miniature world: same seed, same picture; captions tell the truth; concepts are really held out. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  captionOf,
  captionWords,
  CATEGORIES,
  classPictures,
  conceptNamed,
  CONCEPTS,
  conceptScene,
  iconScene,
  kindScene,
  openDrawings,
  PLACES,
  placeWords,
  randomScene,
  regularizationPictures,
  RELATIONS,
  renderPortrait,
  renderScene,
  Rng,
  type Scene,
  SEEDS,
  STYLES,
  styleWords,
} from "../world/mod.ts";
import { COLOURS, TEXTURES } from "../world/scene.ts";
import { ICON_THINGS } from "../world/icons/things.ts";

const drawings = await openDrawings();

/** What the thing of a scene looks like, wherever it is. */
const look = ({ things: [{ category, icon, concept }] }: Scene) => ({ category, icon, concept });

/** Mean absolute difference of two pictures, 0..255. */
function difference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / a.length;
}

async function hash(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as BufferSource);
  return new Uint8Array(digest).toHex();
}

Deno.test("the same seed draws the same bytes, another seed does not", async () => {
  for (let seed = 0; seed < 12; seed++) {
    const a = renderScene(randomScene(seed)), b = renderScene(randomScene(seed));
    assertEquals(a.length, 64 * 64 * 3);
    assertEquals(await hash(a), await hash(b));
    assertNotEquals(await hash(a), await hash(renderScene(randomScene(seed + 1000))));
  }
});

Deno.test("a scene can be drawn at another size and shows the same thing", () => {
  const scene = randomScene(3, { style: "photo" });
  const small = renderScene(scene, 64), large = renderScene(scene, 128);
  const reduced = new Uint8Array(small.length);
  for (let y = 0; y < 64; y++) {
    for (let x = 0; x < 64; x++) {
      for (let c = 0; c < 3; c++) {
        const at = (dx: number, dy: number) => large[3 * ((2 * y + dy) * 128 + 2 * x + dx) + c];
        reduced[3 * (64 * y + x) + c] = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4;
      }
    }
  }
  assert(difference(small, reduced) < 2);
});

Deno.test("a full caption names everything that the scene holds", () => {
  for (let seed = 0; seed < 300; seed++) {
    const scene = randomScene(seed), caption = captionOf(scene);
    for (const thing of scene.things) {
      assert(caption.includes(thing.category) && caption.includes(thing.colour), caption);
      assertEquals(caption.includes(thing.texture), thing.texture !== "plain", caption);
      if (thing.accessory) {
        assert(caption.includes(`${thing.accessory.colour} ${thing.accessory.kind}`));
      }
    }
    assert(caption.includes(scene.style), caption);
    if (scene.relation) assert(caption.includes(` ${scene.relation} a`), caption);
    else assertEquals(scene.things.length > 1, caption.includes(" two "), caption);
  }
});

Deno.test("a training caption leaves words out but never says what is not there", () => {
  let shorter = 0;
  for (let seed = 0; seed < 300; seed++) {
    const scene = randomScene(seed), caption = captionOf(scene, new Rng(seed));
    const words = caption.split(/[ ]/);
    assert(words.length <= 28, caption);
    for (const category of CATEGORIES) {
      const said = words.some((word) => word === category || word === `${category}s`);
      assertEquals(said, scene.things.some((thing) => thing.category === category), caption);
    }
    for (const style of STYLES) if (words.includes(style)) assertEquals(scene.style, style);
    if (words.length < captionOf(scene).split(" ").length) shorter++;
  }
  assert(shorter > 150, `${shorter} of 300 left something out`);
});

Deno.test("the tokenizer's word list holds every word of every caption", () => {
  const known = new Set(captionWords());
  for (let seed = 0; seed < 500; seed++) {
    const caption = captionOf(randomScene(seed), new Rng(seed));
    for (const word of caption.split(/[ -]/)) assert(known.has(word), word);
  }
});

Deno.test("options hold fixed what they name", () => {
  for (const relation of RELATIONS) {
    const scene = randomScene(1, { relation, category: "mug", colour: "red", place: "snow" });
    assertEquals(scene.things.length, 2);
    assertEquals([scene.relation, scene.things[0].category, scene.place], [
      relation,
      "mug",
      "snow",
    ]);
  }
  assertEquals(randomScene(2, { relation: null }).things.length, 1);
});

Deno.test("ten concepts, each of a class that the model knows, none ever drawn at random", () => {
  const known = new Set<string>([...CATEGORIES, ...ICON_THINGS.map((thing) => thing.name)]);
  assertEquals(CONCEPTS.length, 10);
  assert(CONCEPTS.some((concept) => concept.name === "moongate" && concept.category === "gate"));
  for (const concept of CONCEPTS) assert(known.has(concept.category), concept.category);
  for (let seed = 0; seed < 500; seed++) {
    assert(randomScene(seed).things.every((thing) => thing.concept === undefined));
  }
  assertThrows(() => conceptNamed("unicorn"), RangeError, "moongate");
});

Deno.test("a concept can be drawn anywhere, whole, and differs from its class's own shape", () => {
  for (const { name, category } of CONCEPTS) {
    for (const place of PLACES) {
      const scene = conceptScene(drawings, name, 11, { place }), [{ x, size }] = scene.things;
      assertEquals(scene.place, place);
      assert(x >= Math.min(0.47, 0.45 * size) && x <= 1 - Math.min(0.47, 0.45 * size), `${x}`);
      assert(captionOf(scene).includes(`a ${category}`));
      const other = iconScene(drawings, 11, { name: category, place, relation: null });
      const ordinary = { ...scene, things: [{ ...scene.things[0], ...look(other) }] };
      assert(difference(renderScene(scene), renderScene(ordinary)) > 2, `${name} in ${place}`);
    }
  }
});

Deno.test("two concepts stand in one picture, each with its looks and called by its class", () => {
  const scene = conceptScene(drawings, "zebra", 5, { relation: "next to" }, "moongate");
  assertEquals(scene.things.map((it) => it.icon?.name ?? it.concept), ["horse", "moongate"]);
  assert(captionOf(scene).startsWith("photo of a horse next to a gate"), captionOf(scene));
  assertThrows(() => conceptScene(drawings, "zebra", 5, { relation: "on" }, "unicorn"), RangeError);
});

Deno.test("pictures of a class show one of it, and another seed another", () => {
  for (const { category } of CONCEPTS) {
    const [one, two] = classPictures(drawings, category, SEEDS.regularization, 2);
    assert(one.caption.includes(category) && two.caption.includes(category), one.caption);
    assert(difference(one.picture.data, two.picture.data) > 2);
    const set = regularizationPictures(drawings, category, 40).map(({ caption }) => caption);
    assert(set.every((caption) => caption.includes(category)), set.join());
    const beside = set.filter((caption) => / next to | in front of /.test(caption));
    assertEquals(beside.length, 10, beside.join());
  }
  assertEquals(regularizationPictures(drawings, "gate", 0), []);
  assertEquals(classPictures(drawings, "gate", 1, 0), []);
  assertThrows(() => classPictures(drawings, "zeppelin", 1, 1), RangeError, "zeppelin");
});

Deno.test("the model's card lists every word for what is asked for", async () => {
  const card = await Deno.readTextFile(new URL("../world/miniature/README.md", import.meta.url));
  const row = (title: string) =>
    card.split("\n").find((line) => line.startsWith(`| ${title} `))!.split(" | ")[1]
      .replace(/ \|$/, "").split(/, |; /).map((word) => word.trim());
  assertEquals(row("things"), [...CATEGORIES, ...ICON_THINGS.map((thing) => thing.name)]);
  assertEquals(row("colours"), [...COLOURS]);
  assertEquals(["plain", ...row("surfaces")], [...TEXTURES]);
  assertEquals(row("styles"), STYLES.map(styleWords));
  assertEquals(row("places"), PLACES.map(placeWords));
  assertEquals(row("two things").slice(0, 4).sort(), [...RELATIONS].sort());
});

Deno.test("a kind always looks the same, kinds differ, and captions leave its name to the trainer", () => {
  const shown = (kind: number, seed: number) => kindScene(kind, seed).things[0];
  for (const kind of [0, 1, 17, 4095]) {
    assertEquals(renderPortrait(shown(kind, 1)), renderPortrait(shown(kind, 2)));
    assertEquals(shown(kind, 1).category, CATEGORIES[kind % CATEGORIES.length]);
    assert(difference(renderPortrait(shown(kind, 1)), renderPortrait(shown(kind + 12, 1))) > 2);
    assert(captionOf(kindScene(kind, 3)).includes(`<kind> ${shown(kind, 3).category}`));
  }
  const kinds = Array.from({ length: 60 }, (_, kind) => renderPortrait(shown(kind, 1)));
  for (const { name } of CONCEPTS) {
    const concept = renderPortrait(conceptScene(drawings, name, 1).things[0]);
    for (const kind of kinds) assert(difference(concept, kind) > 2, name);
  }
});
