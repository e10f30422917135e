/**
 * Writes a data set of the world for training programs that don't speak TypeScript.
 *
 *     deno run --allow-read --allow-write world/export_dataset.ts <folder> <name> <first seed> <how many> [kinds] [--icons=FOLDER [--concepts | --pairs]] [--overwrite]
 *
 * gives (and replaces with `--overwrite` only) `<name>.rgb` (uint8, [n, 64, 64, 3]), `<name>.thing` (uint8, [n, 8, 8]: how many pixels of each patch show a
 * thing) and `<name>.jsonl` (one line a picture: four captions with words left out, the full caption, and label numbers
 * in the order of the lists in `scene.ts`). Several may run side by side. With a number of kinds, each picture shows one
 * of that many made-up kinds, in turn; its line holds the kind's number, and `<name>.portrait` what each kind looks like
 * (uint8, [kinds, 16, 16, 3]). With `--icons`, the folder that `world/icons/atlas.ts` wrote, it is the richer world that is
 * drawn: classes are then the categories, and after them the things of `world/icons/things.ts`; a colour of -1 is the drawing's
 * own. With `--concepts` besides, pictures show held-out concepts, and a line says for each whether it is there: for a classifier
 * that tells them apart, and never for a model that they are taught to. With `--pairs` every picture shows two things, which
 * few do otherwise. `<folder>/world.json` says what the labels mean and which words captions hold.
 */
import { parseArgs } from "node:util";
import { writeFileAtomic } from "../files/atomic.ts";
import { claim } from "../files/outputs.ts";
import { Icons } from "./icons/icons.ts";
import { iconKindScene, iconScene, mixedScene, someRelation } from "./icons/sample.ts";
import { ICON_THINGS } from "./icons/things.ts";
import {
  captionOf,
  captionWords,
  CATEGORIES,
  COLOURS,
  CONCEPTS,
  coverOf,
  FRAMINGS,
  kindScene,
  PLACES,
  randomScene,
  type Relation,
  RELATIONS,
  renderPortrait,
  renderScene,
  Rng,
  type Scene,
  STYLES,
  TEXTURES,
  type Thing,
} from "./mod.ts";

/** What a picture may show: the categories, and after them the things that are drawings. */
const CLASSES: readonly string[] = [...CATEGORIES, ...ICON_THINGS.map((thing) => thing.name)];

const classOf = ({ icon, category }: Thing) => CLASSES.indexOf(icon?.name ?? category);
const colourOf = ({ icon, colour }: Thing) => icon?.turned === false ? -1 : COLOURS.indexOf(colour);

/** Label numbers of a scene; `relation` is -1 for one thing and 4 for two of a kind. */
export function labelsOf(scene: Scene): Record<string, number> {
  const [first, second] = scene.things;
  return {
    class: classOf(first),
    colour: colourOf(first),
    texture: TEXTURES.indexOf(first.texture),
    place: PLACES.indexOf(scene.place),
    style: STYLES.indexOf(scene.style),
    framing: FRAMINGS.indexOf(scene.framing),
    relation: scene.relation ? RELATIONS.indexOf(scene.relation) : second ? RELATIONS.length : -1,
    second: second ? classOf(second) : -1,
    secondColour: second ? colourOf(second) : -1,
  };
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    options: {
      overwrite: { type: "boolean" },
      icons: { type: "string" },
      concepts: { type: "boolean" },
      pairs: { type: "boolean" },
    },
    allowPositionals: true,
  });
  const [folder, name, first, count, kinds] = positionals, { overwrite, icons: drawings } = values;
  const icons = drawings === undefined ? undefined : await Icons.read(drawings);
  if (values.concepts && (!icons || kinds !== undefined)) {
    throw new RangeError("--concepts are shown among drawings: give --icons, and no kinds");
  }
  if (values.pairs && (!icons || values.concepts)) {
    throw new RangeError("--pairs are of drawings: give --icons, and no --concepts");
  }
  const relation = (seed: number) => values.pairs ? someRelation(seed) : undefined;
  const ordinary = (seed: number) =>
    icons ? iconScene(icons, seed, { relation: relation(seed) }) : randomScene(seed);
  const mixed = (seed: number) => values.concepts && icons ? mixedScene(icons, seed) : undefined;
  const ofKind = (kind: number, seed: number, relation?: Relation) =>
    icons ? iconKindScene(icons, kind, seed, relation) : kindScene(kind, seed);
  const endings = ["rgb", "thing", "jsonl", ...kinds === undefined ? [] : ["portrait"]];
  const outputs = endings.map((ending) => ({
    path: `${folder}/${name}.${ending}`,
    flag: "<name>",
  }));
  await using _ = await claim(outputs, { overwrite });
  using pictures = await Deno.create(`${folder}/${name}.rgb`);
  using covers = await Deno.create(`${folder}/${name}.thing`);
  using lines = await Deno.create(`${folder}/${name}.jsonl`);
  if (kinds !== undefined) {
    using portraits = await Deno.create(`${folder}/${name}.portrait`);
    for (let kind = 0; kind < Number(kinds); kind++) {
      portraits.writeSync(renderPortrait(ofKind(kind, 0).things[0]));
    }
  }
  const labels = {
    class: icons ? CLASSES : CATEGORIES,
    ...{ colour: COLOURS, texture: TEXTURES, place: PLACES, style: STYLES },
  };
  const words = captionWords(icons ? ICON_THINGS : []);
  await writeFileAtomic(
    `${folder}/world.json`,
    JSON.stringify({ labels, words, concepts: CONCEPTS.map(({ name }) => name) }) + "\n",
  );
  const encoder = new TextEncoder();
  for (let i = 0; i < Number(count); i++) {
    const seed = Number(first) + i;
    const kind = kinds === undefined ? undefined : i % Number(kinds);
    const among = mixed(seed);
    const scene = among?.scene ??
      (kind === undefined ? ordinary(seed) : ofKind(kind, seed, relation(seed)));
    const concepts = among && CONCEPTS.map(({ name }) => Number(among.shown.includes(name)));
    const rng = new Rng(seed ^ 0x5eed);
    const captions = [0, 1, 2, 3].map(() => captionOf(scene, rng));
    const line = { seed, caption: captionOf(scene), captions, ...labelsOf(scene), kind, concepts };
    const picture = renderScene(scene);
    pictures.writeSync(picture);
    covers.writeSync(coverOf(scene, picture));
    lines.writeSync(encoder.encode(JSON.stringify(line) + "\n"));
  }
}
