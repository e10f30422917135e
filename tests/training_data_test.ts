// What training is given: captions, masks, lists of concepts, initial rows; and docs/training.md run as it stands.
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { readConceptsList } from "../cli/train/concepts_list.ts";
import { main } from "../cli/main.ts";
import { concept } from "../cli/train/parse_concept.ts";
import type { TrainRequest } from "../cli/train/request.ts";
import { readPhotos } from "../cli/train/pictures.ts";
import { planTraining } from "../cli/train/plan.ts";
import { tokenRows } from "../concepts/deltas/from_parameters.ts";
import { modelDefaults } from "../concepts/training/model_settings.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { blank, paste } from "../files/pictures/picture.ts";
import { readPicture } from "../files/pictures/image.ts";
import { readPngText, writePng } from "../files/pictures/png.ts";
import { hostNormal, keyFromSeed } from "../ops/random.ts";
import { testDevice, uniform } from "./support/check.ts";
import { longerTexts } from "./support/longer_texts.ts";
import { readRecords } from "./support/records.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const SD1 = `${ROOT}tests/golden/verify/sd1`;

const random = uniform(9);
const picture = () => ({
  width: 20,
  height: 16,
  data: Uint8Array.from({ length: 20 * 16 * 3 }, () => 127 + 100 * random()),
});

/** A folder with pictures, and the current one meanwhile. */
async function inFolder(work: () => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    for (const name of ["my-dog", "dogs", "my-cat", "paintings", "art", "me", "moongate"]) {
      const folder = `photos/${name}`;
      await Deno.mkdir(folder, { recursive: true });
      for (const i of [1, 2]) await writePng(`${folder}/${i}.png`, picture(), {});
    }
    await work();
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
}

async function run(args: string[]) {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

const refuses = async (work: () => Promise<unknown>, message: string) => {
  const error = await assertRejects(work, Error);
  assertStringIncludes(error.message, message);
};

Deno.test("captions: a file beside the picture, a list, the concept's own, the template; {} is the words", async () => {
  await inFolder(async () => {
    const dog = concept("<new1> dog=photos/my-dog");
    const captions = async (one = dog) => (await readPhotos(one, 16, "photo of a {}")).captions;
    assertEquals(await captions(), ["photo of a <new1> dog", "photo of a <new1> dog"]);
    assertEquals(await captions({ ...dog, caption: "my <new1>" }), ["my <new1>", "my <new1>"]);
    await Deno.writeTextFile("photos/my-dog/2.txt", "{} on a bed, {}\n");
    const beside = "<new1> dog on a bed, <new1> dog";
    assertEquals(await captions(), ["photo of a <new1> dog", beside]);
    await Deno.writeTextFile("list.txt", "a {}\n\nas it is\n");
    assertEquals(await captions({ ...dog, captions: "list.txt" }), ["a <new1> dog", "as it is"]);
    await Deno.writeTextFile("list.txt", "a dog\na cat");
    await refuses(() => captions({ ...dog, captions: "list.txt" }), "no caption of list.txt has");
    await Deno.writeTextFile("list.txt", "a {}");
    await refuses(
      () => captions({ ...dog, captions: "list.txt" }),
      "has 1 captions, and photos/my",
    );
  });
});

Deno.test("a mask is cut as its picture is: white counts, grey and black do not; other sizes and empty ones are refused", async () => {
  await inFolder(async () => {
    const mask = blank(20, 16, [128, 128, 128]), path = "photos/my-dog/2.mask.png";
    paste(mask, blank(9, 4, [255, 255, 255]), 0, 3);
    await writePng(path, mask, {});
    const read = () => readPhotos(concept("<new1> dog=photos/my-dog"), 16, "{}");
    const { pictures, masks } = await read();
    assertEquals([pictures.length, masks[0]], [2, undefined]);
    const want = blank(16, 16);
    paste(want, blank(7, 4, [255, 255, 255]), 0, 3);
    assertEquals(masks[1], want);
    // Large pictures are made smaller, and their masks with them.
    const small = await readPhotos(concept("<new1> dog=photos/my-dog"), 8, "{}");
    assertEquals([small.pictures[1].width, small.masks[1]?.width], [12, 12]);
    await writePng(path, blank(20, 15, [255, 255, 255]), {});
    await refuses(read, "2.mask.png: is 20×15, and its picture 20×16");
    await writePng(path, blank(20, 16, [128, 128, 128]), {});
    await refuses(read, "has no foreground");
  });
});

Deno.test("concepts_list.json: prompts are captions, the class is what they share, folders may be left to be filled", async () => {
  await inFolder(async () => {
    const list = async (...entries: unknown[]) => {
      await Deno.writeTextFile("list.json", JSON.stringify(entries));
      return await readConceptsList("list.json");
    };
    const dirs = { instance_data_dir: "./photos/my-dog", class_data_dir: "photos/dogs" };
    const { concepts, regularization } = await list(
      { instance_prompt: "photo of a <new1> dog", class_prompt: "dog", ...dirs },
      {
        instance_prompt: "a <new2> old cat, asleep",
        class_prompt: "a picture of an old cat",
        ...{ ...dirs, class_data_dir: "nowhere", prompt_filename: "x" },
      },
      { instance_prompt: "<new3>", class_prompt: "chair", instance_data_dir: "c" },
      { instance_prompt: "photo of a <new4> gate", instance_data_dir: "g" },
    );
    const shared = { photos: "./photos/my-dog" };
    assertEquals(concepts, [
      {
        ...{ words: "<new1> dog", tokens: ["<new1>"], category: "dog", ...shared },
        ...{ caption: "photo of a <new1> dog", classPrompt: "dog" },
      },
      {
        ...{ words: "<new2> a picture of an old cat", tokens: ["<new2>"], ...shared },
        ...{ category: "a picture of an old cat", caption: "a <new2> old cat, asleep" },
        classPrompt: "a picture of an old cat",
      },
      {
        ...{ words: "<new3> chair", tokens: ["<new3>"], category: "chair", photos: "c" },
        ...{ caption: "<new3>", classPrompt: "chair" },
      },
      {
        ...{ words: "<new4> gate", tokens: ["<new4>"], category: "gate", photos: "g" },
        caption: "photo of a <new4> gate",
      },
    ]);
    assertEquals(regularization, [{ name: "dog", path: "photos/dogs" }]);
    const [cat] = (await list(
      { instance_prompt: "a <a> cat", class_prompt: "photo of a cat", instance_data_dir: "c" },
    )).concepts;
    assertEquals([cat.words, cat.category, cat.classPrompt], ["<a> cat", "cat", "photo of a cat"]);

    await refuses(() => list(), "is no list of concepts");
    await refuses(() => list(3), "entry 1 is no object");
    await refuses(() => list({ instance_prompt: "<a> b" }), 'entry 1 has no "instance_data_dir"');
    await refuses(
      () => list({ instance_prompt: "<new1>", instance_data_dir: "d" }),
      "entry 1 has no class",
    );
    const one = { instance_prompt: "<a> dog", class_prompt: "dog", ...dirs };
    await refuses(() => list(one, one), "two concepts use <a>");
    const other = { ...one, instance_prompt: "<b> dog", class_data_dir: "photos/my-cat" };
    await refuses(() => list(one, other), 'gives the class "dog" two folders');
    // Folders that are not here, but beside the list; and a byte order mark, as Windows editors leave it.
    await Deno.mkdir("set/mine", { recursive: true });
    const there = [{
      instance_prompt: "<new1> dog",
      class_prompt: "dog",
      instance_data_dir: "mine",
    }];
    await Deno.writeTextFile("set/list.json", `\ufeff${JSON.stringify(there)}`);
    assertEquals((await readConceptsList("set/list.json")).concepts[0].photos, "set/mine");
    await Deno.writeTextFile("list.json", "[{");
    await assertRejects(() => readConceptsList("list.json"), FileError, "is not valid JSON");
  });
});

Deno.test("without regularization the default steps are half, but steps that are asked for and textual inversion's are not", async () => {
  await inFolder(async () => {
    await longerTexts(SD1, "sd", 40);
    const request: TrainRequest = {
      ...{ model: "sd", out: "out", concepts: [concept("<new1> dog=photos/my-dog")] },
      ...{ regularization: [], method: "custom", flip: true, augment: true },
      ...{ saveEvery: 1, keep: 1, logEvery: 1, seed: 1, resume: false },
    };
    assertEquals((await planTraining(request)).remarks, []);
    await Deno.writeTextFile("photos/my-dog/draft.psd", "");
    assertEquals((await planTraining(request)).remarks, [
      "photos/my-dog: 2 pictures used; left out: draft.psd",
    ]);
    const steps = async (more: Partial<TrainRequest>) => {
      const { settings, halved } = await planTraining({ ...request, ...more });
      return [settings.steps, halved];
    };
    const dogs = [{ name: "dog", path: "photos/dogs" }];
    assertEquals(await steps({}), [250, false]);
    assertEquals(await steps({ priorImages: 0 }), [125, true]);
    assertEquals(await steps({ priorImages: 0, regularization: dogs }), [250, false]);
    assertEquals(await steps({ priorImages: 0, steps: 9 }), [9, false]);
    assertEquals(await steps({ method: "textual-inversion" }), [5000, false]);
  });
});

Deno.test("a random row has the mean and deviation of the table's columns; its seed decides which", async () => {
  const device = await testDevice();
  const names = { "<new1>": "random", "<new2>": "random:1", "<new3>": "ktn" };
  const pipeline = await loadPipeline(device, SD1, { addTokens: names });
  const rows = pipeline.tokenizer.baseSize, { width } = pipeline.config.text_encoder;
  const table = await tokenRows(pipeline, Array.from({ length: rows }, (_, id) => id));
  const of = async (word: string) => [...await tokenRows(pipeline, pipeline.tokenIds(word))];
  for (const [word, seed] of [["<new1>", 0], ["<new2>", 1]] as const) {
    const z = hostNormal(keyFromSeed(seed), width);
    (await of(word)).forEach((v, c) => {
      const column = Array.from({ length: rows }, (_, r) => table[r * width + c]);
      const mean = column.reduce((a, b) => a + b) / rows;
      const variance = column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / rows;
      const want = mean + Math.sqrt(variance) * z[c];
      assertAlmostEquals(v, want, 1e-6 + Math.abs(want) / 2048); // The file's table is f16.
    });
  }
  const ktn = pipeline.tokenizer.rawId("ktn")!;
  assertEquals(await of("<new3>"), [...table.subarray(ktn * width, (ktn + 1) * width)]);
});

Deno.test("tokens: rare entries with their counts, as text and as JSON, and what to do when there is none", async () => {
  await inFolder(async () => {
    const captions = ["a dog", "a cat", "dog"].flatMap((text, i) => Array(6 - i).fill(text));
    await Deno.writeTextFile("captions.txt", captions.join("\n"));
    const tokens = ["tokens", "--model", SD1, "--captions", "captions.txt"];
    const { code, out, err } = await run(tokens);
    assertEquals(code, 0, err);
    assertMatch(
      out,
      /--initializer +row +count\ncat<\/w> +\d+ +5\ndog<\/w> +\d+ +10\n2 entries occur 5 to 10 times/,
    );
    const json = JSON.parse((await run([...tokens, "--high", "9", "--json"])).out);
    const listed = json.tokens.map((t: Record<string, unknown>) => [t.initializer, t.count]);
    assertEquals([json.captions, listed], [15, [["cat</w>", 5]]]);
    for (
      const [flags, message] of [
        [["--low", "7", "--high", "8"], /occurs 7 to 8 times in 15 captions/],
        [["--low", "8", "--high", "7"], /--low 8 is over --high 7/],
      ] as const
    ) assertMatch((await run([...tokens, ...flags])).err, message);
  });
});

/** The vocabulary with the second initializer and more classes, in place of entries that nothing here is written with. */
function widened(file: string): string {
  const json = JSON.parse(file), { vocab, merges } = json.model;
  const spare = [..."qbchijkuvwx"].map((letter) => `${letter}</w>`);
  const add = (entry: string) => {
    const old = spare.shift()!;
    vocab[entry] = vocab[old];
    delete vocab[old];
  };
  add("pll");
  for (const word of ["art", "gate", "person"]) {
    const [first, ...rest] = word;
    rest.reduce((left, piece, i) => {
      const next = i === rest.length - 1 ? `${piece}</w>` : piece;
      merges.push([left, next]);
      add(left + next);
      return left + next;
    }, first);
  }
  return JSON.stringify(json);
}

Deno.test("the commands of docs/training.md run as they stand, and say what was chosen", async () => {
  const text = await Deno.readTextFile(`${ROOT}docs/training.md`);
  const blocks = (kind: string) =>
    [...text.matchAll(new RegExp(`^\`\`\`${kind}\n([^]*?)^\`\`\`$`, "gm"))].map(([, code]) => code);
  const commands = blocks("sh").flatMap((code) => code.trim().split("\n")).map((line) =>
    [...line.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word).slice(1)
  );
  assertEquals(commands.length, 16);
  await inFolder(async () => {
    await longerTexts(SD1, "sd", 40);
    await Deno.symlink(`${ROOT}tests/golden/scorer`, "clip");
    const words = "sd/tokenizer/tokenizer.json";
    await Deno.writeTextFile(words, widened(await Deno.readTextFile(words)));
    const settings = {
      training: { steps: 2, batch: 2, rate: 1e-2 },
      sampling: { steps: 1, sampler: "ddim" },
    };
    const [own, list] = blocks("json");
    await Deno.writeTextFile("sd/moongate.json", own);
    const { training, sampling } = await modelDefaults("sd");
    const shown = [training.steps, training.rate, training.schedule, sampling.guidance];
    assertEquals(shown, [800, 2e-3, "linear", 4]);
    await Deno.writeTextFile("sd/moongate.json", JSON.stringify(settings));
    await writePng("photos/my-dog/2.mask.png", blank(20, 16, [255, 255, 255]), {});
    await Deno.writeTextFile("my-dog.txt", "{} at night\na <new1> dog\n");
    await Deno.writeTextFile("captions.txt", "a dog\n".repeat(6));
    await Deno.writeTextFile("concepts_list.json", list);
    await Deno.mkdir("shards");
    await Deno.copyFile(`${ROOT}tests/golden/collection/gnu.tar`, "shards/00000.tar");
    await Deno.mkdir("collection");
    for (const [i, caption] of ["photo of a dog", "zzz", "photo of a dog"].entries()) {
      await writePng(`collection/${i}.png`, picture(), {});
      await Deno.writeTextFile(`collection/${i}.txt`, caption);
    }
    const said = new Map<string, string>();
    for (const args of commands) {
      const { code, out, err } = await run(args);
      assertEquals(code, 0, `moongate ${args.join(" ")}\n${err}`);
      assert(out.length > 0);
      said.set(args.at(-1)!, err);
    }
    assertMatch(
      said.get("chosen")!,
      /"photo of a dog": [23] pictures chosen, similarity 1\.00 to [^;]*; [23] of 3 captions are above 0\.85\nfewer than the 200 wanted/,
    );
    assertMatch(said.get("none")!, /no regularization pictures: half the steps, 1 /);
    const delta = await loadDelta("few/delta.safetensors");
    assertEquals([delta.notes.steps, delta.notes.regularization], [2, 3]);
    assertEquals((await loadDelta("none/delta.safetensors")).notes.steps, 1);
    const both = await loadDelta("both/delta.safetensors");
    assertEquals(both.tokens.map(({ className }) => className), ["dog", "cat"]);
    const sequence = await loadDelta("dog-then-cat/delta.safetensors");
    assertEquals(sequence.tokens.map(({ token }) => token), ["<new1>", "<new2>"]);
    assertEquals(
      sequence.embeddings[0],
      (await loadDelta("my-dog/delta.safetensors")).embeddings[0],
    );
    const wordless = await loadDelta("moongate/delta.safetensors");
    assertEquals([wordless.tokens.length, wordless.weights.size > 0], [0, true]);
    assertEquals((await loadDelta("face/delta.safetensors")).notes.augment, false);
    assertEquals((await loadDelta("from-noise/delta.safetensors")).tokens[0].initializer, "random");

    const watched = async (file: string) =>
      `${file}: ${(await Deno.stat(`watched/${file}`)).size > 0}`;
    const names = [
      "checkpoint-3/delta.safetensors",
      "checkpoint-4/delta.safetensors",
      "samples/5-1.png",
    ];
    for (const name of names) assertEquals(await watched(name), `${name}: true`);
    await assertRejects(() => Deno.stat("watched/checkpoint-2"), Deno.errors.NotFound);
    assertEquals((await loadDelta("watched/checkpoint-4/delta.safetensors")).notes.steps, 4);
    // A checkpoint's delta makes the picture that was made while it trained.
    const [sample, again] = ["watched/samples/4-1.png", "again/a-new1-dog-asleep-42.png"];
    assertEquals(await readPicture(again), await readPicture(sample));
    assertEquals(readPngText(await Deno.readFile(sample))["training steps"], "4");
    const [events] = [...Deno.readDirSync("watched")].filter(({ name }) => /tfevents/.test(name));
    // The file's own, five of numbers and two of pictures.
    assertEquals(readRecords(await Deno.readFile(`watched/${events.name}`)).length, 8);

    const base = commands[0].slice(0, 5);
    for (
      const [flags, message] of [
        [["--prior-count", "3"], /--prior-count is of choosing pictures: give --prior-from/],
        [["--prior-from", "collection"], /holds no clip\/ of its own: give --scorer/],
        [
          ["--prior-from", "photos/dogs", "--scorer", "clip"],
          /photos\/dogs: has no captions/,
        ],
        [
          ["--prior-from", "collection", "--scorer", "clip", "--prior-similarity", "1"],
          /none of 3 captions is nearer than 1 to "photo of a dog": the best is "photo of a dog" at 1\.00/,
        ],
        [["--concepts-list", "concepts_list.json"], /give one of them/],
        [
          ["--sample-prompt", "a dog"],
          /--sample-prompt is of sample pictures: give --sample-every/,
        ],
        [
          ["--sample-every", "1", "--sample-prompt", "a <new2> dog"],
          /--sample-prompt "a <new2> dog" has <new2>, which nobody teaches: the new words are <new1>/,
        ],
        [["--captions", "a", "--captions", "b"], /--captions is given 2 times for 1 concepts/],
      ] as const
    ) assertMatch((await run([...base, "--out", "wrong", ...flags])).err, message);
    assertMatch((await run(["train", "--model", "sd", "--out", "o"])).err, /nothing to teach/);
  });
});
