/** The tokenizer with CLIP's own vocabulary, on 20,000 texts: the ids are those of transformers (`golden/tokenizer_clip.py`). */
import { assertEquals } from "@std/assert";
import { clipTokenizer } from "../files/models/clip_vocabulary.ts";
import { loadTokenizer, type Tokenizer, type TokenizerParts } from "../models/clip/tokenizer.ts";
import golden from "./golden/tokenizer_clip.json" with { type: "json" };
import recipe from "./golden/tokenizer_texts.json" with { type: "json" };

/** Where parts of a text come from. */
interface Source {
  merges?: boolean;
  list?: string[];
  ranges?: number[][];
  length?: number[];
}

const { vocab, merges } = await clipTokenizer("!");

/** The texts that the script made, by the same recipe. */
function* texts(): Generator<string> {
  let state = recipe.seed;
  const draw = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
  const sources: Record<string, Source> = recipe.sources;
  const part = ({ merges: words, list, ranges, length }: Source): string => {
    if (words) return String(merges[draw(merges.length)]).replaceAll(/ |<\/w>/g, "");
    if (list) return list[draw(list.length)];
    const [low, high] = length!;
    let made = "";
    for (let left = low + draw(high - low + 1); left > 0; left--) {
      const [first, last] = ranges![draw(ranges!.length)];
      made += String.fromCodePoint(first + draw(last - first + 1));
    }
    return made;
  };
  for (let i = 0; i < recipe.count; i++) {
    const kind = recipe.kinds[i % recipe.kinds.length];
    const [low, high] = kind.parts;
    const count = low + draw(high - low + 1);
    let text = "";
    for (let k = 0; k < count; k++) {
      if (k) text += kind.separators[draw(kind.separators.length)];
      text += part(sources[kind.sources[draw(kind.sources.length)]]);
    }
    yield text;
  }
}

async function digest(lines: string[]): Promise<string> {
  const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function configured(config: TokenizerParts["config"]): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer({ vocab, merges, config });
  recipe.added.forEach((token, i) => assertEquals(tokenizer.addToken(token), 49408 + i));
  return tokenizer;
}

const sd1 = await configured(golden.sd1), sd2 = await configured(golden.sd2);

Deno.test("tokenizer: with CLIP's vocabulary, ids of sample texts are those of transformers", () => {
  const wrong = golden.samples.filter(({ text, ids }) => sd1.encode(text).join() !== ids.join());
  assertEquals(
    wrong.map(({ text, ids }) => [JSON.stringify(text), sd1.encode(text), ids]),
    [],
  );
  assertEquals([sd1.pad, sd2.pad, sd1.eos], [49407, 0, 49407]);
});

Deno.test("tokenizer: 20,000 texts of every kind have the ids that transformers gives them, padded for each model", async () => {
  const all = [...texts()];
  assertEquals(all.length, golden.blocks.length * recipe.block);
  for (const [b, expected] of golden.blocks.entries()) {
    const block = all.slice(b * recipe.block, (b + 1) * recipe.block);
    assertEquals(await digest(block), expected.texts, `the texts of block ${b} are the script's`);
    assertEquals(
      {
        texts: expected.texts,
        ids: await digest(block.map((t) => sd1.encode(t).join(" "))),
        sd1: await digest(block.map((t) => sd1.encodePadded(t).join(" "))),
        sd2: await digest(block.map((t) => sd2.encodePadded(t).join(" "))),
      },
      expected,
      `the ids of block ${b}, texts ${b * recipe.block} and on`,
    );
  }
});
