/** The tokenizer against transformers' CLIPTokenizer, and what users may ask of it. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FileError } from "../files/errors.ts";
import { readTokenizerParts } from "../files/models/tokenizer.ts";
import { loadTokenizer, TokenError, type TokenizerParts } from "../models/clip/tokenizer.ts";
import golden from "./golden/tokenizer.json" with { type: "json" };

const vocab: Record<string, number> = Object.fromEntries(golden.vocab.map((e, id) => [e, id]));
const base: TokenizerParts = { vocab, merges: golden.merges };
const sd1: TokenizerParts = {
  ...base,
  special: golden.cases.sd1.special,
  config: golden.cases.sd1.config,
};

for (const [name, made] of Object.entries(golden.cases)) {
  Deno.test(`tokenizer: the same ids as transformers, configured as ${name}`, async () => {
    const tokenizer = await loadTokenizer({ ...base, special: made.special, config: made.config });
    const wrong: string[] = [];
    const same = (got: number[], want: number[], text: string) => {
      if (JSON.stringify(got) !== JSON.stringify(want)) {
        wrong.push(`${JSON.stringify(text)}: ${got} for ${want}`);
      }
    };
    made.before.forEach((want, i) =>
      same(tokenizer.encode(golden.texts[i]), want, golden.texts[i])
    );
    for (const [token, id] of Object.entries(made.added)) {
      assertEquals(tokenizer.addToken(token), id);
    }
    made.after.forEach((want, i) => same(tokenizer.encode(golden.texts[i]), want, golden.texts[i]));
    made.padded.forEach((want, i) =>
      same(tokenizer.encodePadded(golden.texts[i]), want, golden.texts[i])
    );
    assertEquals(wrong, []);
    made.after.forEach((ids, i) => {
      // ours gives an added token back as the user wrote it
      const text = tokenizer.decode(ids).replaceAll("<New2>", "<new2>");
      if (text !== made.decoded[i]) {
        wrong.push(`${JSON.stringify(text)} for ${JSON.stringify(made.decoded[i])}`);
      }
    });
    assertEquals(wrong, []);
  });
}

Deno.test("tokenizer: a folder saved by transformers with added tokens is read with them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const merges = golden.merges.map((m) => m.split(" "));
    const json = { model: { type: "BPE", vocab, merges }, added_tokens: golden.saved_added };
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
    for (const [name, text] of Object.entries(golden.saved)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const tokenizer = await loadTokenizer(folder);
    golden.cases.sd1.after.forEach((want, i) =>
      assertEquals(tokenizer.encode(golden.texts[i]), want)
    );
    assertEquals(tokenizer.baseSize, 715);
    assertEquals(tokenizer.addToken("<new3>"), 715);
    assertThrows(() => tokenizer.addToken("<NEW1>"), TokenError, "was added already");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("tokenizer: the shipped model's words are whole, and its raw entries are where they should be", async () => {
  const tokenizer = await loadTokenizer(
    new URL("../world/miniature/tokenizer", import.meta.url).pathname,
  );
  assertEquals(tokenizer.maxLength, 32);
  const ids = tokenizer.encodePadded("a pencil drawing of a <new1> umbrella");
  assertEquals(ids.length, 32);
  assertEquals(ids.at(-1), tokenizer.pad);
  assertEquals(tokenizer.addToken("<new1>"), tokenizer.baseSize);
  assertEquals(tokenizer.entries(tokenizer.idsOf("Photo of a <new1> umbrella!")), [
    "photo</w>",
    "of</w>",
    "a</w>",
    "<new1>",
    "umbrella</w>",
    "!</w>",
  ]);
  const initial = ["ktn", "pll", "ucd"].map((entry) => tokenizer.rawId(entry));
  assertEquals(tokenizer.entries(initial as number[]), ["ktn", "pll", "ucd"]);
  assertEquals(tokenizer.decode(tokenizer.encode("A red  umbrella")), "a red umbrella");
});

Deno.test("tokenizer: a raw entry is not a word", async () => {
  const tokenizer = await loadTokenizer(sd1);
  const id = tokenizer.rawId("ktn")!;
  assertEquals(golden.vocab[id], "ktn");
  assert(!tokenizer.idsOf("ktn").includes(id));
  assertEquals(tokenizer.rawId("cat"), undefined);
  assertEquals(tokenizer.rawId("cat</w>"), tokenizer.idsOf("cat")[0]);
  assertEquals(tokenizer.rawId("no such entry"), undefined);
  assertEquals(tokenizer.rawId("constructor"), undefined);
  assertEquals(tokenizer.entries([tokenizer.bos, 99999]), ["<|startoftext|>", "?"]);
  assertEquals(tokenizer.decode([]), "");
});

Deno.test("tokenizer: tokens that can't be added are refused with the reason", async () => {
  const tokenizer = await loadTokenizer(sd1);
  assertEquals([tokenizer.size, tokenizer.baseSize], [712, 712]);
  assertEquals(tokenizer.addToken("<new1>"), 712);
  assertEquals(tokenizer.addToken("<new2>"), 713);
  for (const token of ["", "a b", "a\u00a0b"]) {
    assertThrows(() => tokenizer.addToken(token), TokenError, "white space");
  }
  for (const token of ["cat", "CAT", "cat</w>", "ktn", "<|endoftext|>"]) {
    assertThrows(() => tokenizer.addToken(token), TokenError, "in the vocabulary already");
  }
  for (const token of ["<new1>", "<NEW2>"]) {
    assertThrows(() => tokenizer.addToken(token), TokenError, "was added already");
  }
  assertEquals([...tokenizer.added], [["<new1>", 712], ["<new2>", 713]]);
  assertEquals([tokenizer.size, tokenizer.baseSize], [714, 712]);
});

Deno.test("tokenizer: padding and cutting keep start and end", async () => {
  const tokenizer = await loadTokenizer(sd1);
  const long = "cat ".repeat(100);
  assertEquals(tokenizer.encodePadded(long, 5).length, 5);
  assertEquals(tokenizer.encodePadded(long, 2), [tokenizer.bos, tokenizer.eos]);
  assertEquals(tokenizer.encodePadded("", 4), [
    tokenizer.bos,
    tokenizer.eos,
    tokenizer.eos,
    tokenizer.eos,
  ]);
  assertEquals(tokenizer.encodePadded("cat").length, 32);
  for (const length of [1, 0, -3, 2.5, NaN]) {
    assertThrows(() => tokenizer.encodePadded("cat", length), RangeError, "no room");
  }
  assertEquals(
    (await loadTokenizer({ ...base, config: { model_max_length: 1e30 } })).maxLength,
    77,
  );
});

Deno.test("tokenizer: any text gives ids of the vocabulary, in the order of its words", async () => {
  const tokenizer = await loadTokenizer(sd1);
  tokenizer.addToken("<new1>");
  const text = fc.string({ unit: "binary", maxLength: 40 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const ids = tokenizer.idsOf(`${a} <new1> ${b}`);
      assertEquals(ids, [...tokenizer.idsOf(a), 712, ...tokenizer.idsOf(b)]);
      assert(ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.size));
      assertEquals(tokenizer.wordsOf(`${a} <new1> ${b}`).flat(), ids);
      assertEquals(tokenizer.encode(a), [tokenizer.bos, ...tokenizer.idsOf(a), tokenizer.eos]);
    }),
    { numRuns: 500, seed: 5 },
  );
  tokenizer.encode("\ud800 lone \udc00");
});

Deno.test("tokenizer: missing and damaged files are named", async () => {
  const folder = await Deno.makeTempDir();
  const put = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
  const refuses = async (part: string) => {
    await assertRejects(() => readTokenizerParts(folder), FileError, part);
  };
  try {
    await refuses("holds no vocab.json");
    await put("vocab.json", '{"a": 0, "b": 0}');
    await refuses("holds no merges.txt");
    await put("merges.txt", "#version: 0.2\na b\n");
    await refuses(`vocab.json: entry "b" has id 0`);
    await put("vocab.json", '{"a": 0, "b": "1"}');
    await refuses(`entry "b" has id "1"`);
    await put("vocab.json", '{"a": 0, ');
    await refuses("not valid JSON");
    await put("vocab.json", '{"a": 0, "b": 1}');
    await put("merges.txt", "a b\na b c\n");
    await refuses(`merges.txt: has the merge "a b c"`);
    await put("merges.txt", "a b\n");
    await assertRejects(() => loadTokenizer(folder), FileError, '"<|startoftext|>"');
    await put("tokenizer_config.json", '{"bos_token": 3}');
    await assertRejects(() => loadTokenizer(folder), FileError, "bos_token is 3");
    await put("tokenizer.json", '{"model": {"type": "Unigram", "vocab": []}}');
    await refuses("no byte-pair encoding");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
