/**
 * What a person would say of a scene, in a few words.
 *
 * Training captions leave out words at random: only so does the model learn that "photo of a mug" leaves colour and
 * place open. Without a generator the caption says everything, in one fixed form.
 */
import type { Rng } from "./random.ts";
import {
  CATEGORIES,
  COLOURS,
  type Framing,
  type Icon,
  type Place,
  PLACES,
  RELATIONS,
  type Scene,
  type Style,
  TEXTURES,
  type Thing,
} from "./scene.ts";

const STYLE_WORDS: Record<Style, readonly string[]> = {
  photo: ["photo of", "a photo of"],
  pencil: ["a pencil drawing of", "pencil drawing of", "a sketch of"],
  watercolour: ["a watercolour painting of", "watercolour of", "a watercolour of"],
  cartoon: ["a cartoon of", "cartoon of"],
};

const PLACE_WORDS: Record<Place, readonly string[]> = {
  beach: ["on a beach", "on the beach", "at the beach"],
  forest: ["in a forest", "in the forest"],
  night: ["at night", "under the night sky"],
  snow: ["in the snow", "in snow"],
  desert: ["in the desert", "in a desert"],
  table: ["on a table", "on a kitchen table", "in the kitchen"],
  street: ["on a street", "in the street"],
  meadow: ["in a meadow", "in the meadow"],
};

/** The first way to say where: "on a beach". */
export const placeWords = (place: Place): string => PLACE_WORDS[place][0];

/** The first way to say how it is drawn: "a pencil drawing of". */
export const styleWords = (style: Style): string => STYLE_WORDS[style][0];

const FRAMING_WORDS: Record<Framing, readonly string[]> = {
  normal: [""],
  far: ["very small", "a far away"],
  close: ["close up", "zoomed in"],
};

/** Stands for the name of a made-up kind; training puts the kind's own embedding there. */
export const KIND_WORD = "<kind>";

/** How often each kind of word is left out of a training caption. */
const DROP = { style: 0.2, place: 0.22, colour: 0.2, texture: 0.2, accessory: 0.12, framing: 0.15 };

type Choose = {
  keep(kind: keyof typeof DROP): boolean;
  pick(words: readonly string[]): string;
};

function article(words: string): string {
  return /^[aeiou]/.test(words) ? `an ${words}` : `a ${words}`;
}

/** What a thing is called, alone and in twos. */
function nameOf({ icon, category }: Thing): { name: string; plural?: string } {
  return icon ?? { name: category, plural: `${category}s` };
}

function thingWords(thing: Thing, choose: Choose, plural: boolean): string {
  const words: string[] = [];
  // A held-out concept is only ever called by its class: its looks are for the new token to mean.
  if (thing.kind !== undefined) words.push(KIND_WORD);
  else if (!thing.concept && (thing.icon?.turned ?? true)) {
    if (thing.texture !== "plain" && choose.keep("texture")) words.push(thing.texture);
    if (choose.keep("colour")) words.push(thing.colour);
  }
  const { name, plural: names } = nameOf(thing), said = [...words, name].join(" ");
  let text = plural
    ? ["two", ...words, names].join(" ")
    : names === undefined
    ? said
    : article(said);
  if (thing.accessory && choose.keep("accessory")) {
    const { kind, colour } = thing.accessory;
    text += kind === "hat" ? ` wearing a ${colour} hat` : ` with a ${colour} bow`;
    text = text.replace(/\ba orange/, "an orange");
  }
  return text;
}

/**
 * A caption of the scene, at most 24 words.
 * @param rng chooses among ways to say it and leaves out words; without it, everything is said in one fixed form
 */
export function captionOf(scene: Scene, rng?: Rng): string {
  const choose: Choose = {
    keep: (kind) => !rng || !rng.chance(DROP[kind]),
    pick: (words) => rng ? rng.pick(words) : words[0],
  };
  const [first, second] = scene.things;
  const plural = second !== undefined && scene.relation === undefined;
  let text = thingWords(first, choose, plural);
  if (second && scene.relation) text += ` ${scene.relation} ${thingWords(second, choose, false)}`;
  if (choose.keep("place")) text += ` ${choose.pick(PLACE_WORDS[scene.place])}`;
  const style = choose.keep("style");
  const framing = scene.framing !== "normal" && choose.keep("framing");
  if (style) {
    let prefix = choose.pick(STYLE_WORDS[scene.style]);
    if (framing) {
      prefix = `${choose.pick(FRAMING_WORDS[scene.framing])} ${prefix.replace(/^a /, "")}`;
    }
    text = `${prefix} ${text}`;
  } else if (framing) {
    text = `${choose.pick(FRAMING_WORDS[scene.framing]).replace(/^a /, "")} ${text}`;
  } else if (rng && rng.chance(0.15)) {
    text = text.replace(/^(an?) /, "");
  }
  return text;
}

/**
 * Every word that a caption of the world can hold, sorted: the tokenizer makes each a single token.
 * @param icons names and plurals of what is there beside the categories
 */
export function captionWords(icons: readonly Pick<Icon, "name" | "plural">[] = []): string[] {
  const phrases = [
    ...CATEGORIES.flatMap((name) => [name, `${name}s`]),
    ...icons.flatMap(({ name, plural }) => [name, plural ?? name]),
    ...COLOURS,
    ...TEXTURES,
    ...PLACES,
    ...RELATIONS,
    ...Object.values(STYLE_WORDS).flat(),
    ...Object.values(PLACE_WORDS).flat(),
    ...Object.values(FRAMING_WORDS).flat(),
    "a an two wearing with hat bow",
  ];
  return [...new Set(phrases.flatMap((phrase) => phrase.split(/[ -]/)).filter(Boolean))].sort();
}
