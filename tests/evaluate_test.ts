/** Scores against clean-fid and transformers (`golden/evaluate.py`), their laws, and the verb. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { main } from "../cli/main.ts";
import {
  clipScores,
  imageAlignment,
  imageAlignmentEstimate,
  textAlignment,
  withoutTokens,
} from "../evaluate/alignment.ts";
import { bootstrap } from "../evaluate/bootstrap.ts";
import { openClip } from "../evaluate/clip.ts";
import { inspectDino, openDino } from "../evaluate/dino.ts";
import type { Features } from "../evaluate/features.ts";
import { frechetDistance, frechetEstimate } from "../evaluate/fid.ts";
import { kid, kidEstimate } from "../evaluate/kid.ts";
import { scorePictures } from "../evaluate/scores.ts";
import { FileError } from "../files/errors.ts";
import type { Picture } from "../files/pictures/picture.ts";
import { writePng } from "../files/pictures/png.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { testDevice, uniform } from "./support/check.ts";

const golden = new URL("./golden/", import.meta.url).pathname;
const source = await openSafetensors(await Deno.readFile(`${golden}evaluate.safetensors`));
const numbers: Record<string, { fid: number; kid: number }> = JSON.parse(source.metadata.numbers);
const scores = JSON.parse(await Deno.readTextFile(`${golden}scorer/scores.json`));
const dinoScores = JSON.parse(await Deno.readTextFile(`${golden}dino/scores.json`));

async function stored(name: string): Promise<Features> {
  const { shape: [count, size], data } = await source.read(name);
  return { count, size, data: Float64Array.from(data as Float32Array) };
}

/** Random features around `shift`. */
function cloud(count: number, size: number, seed: number, shift = 0): Features {
  const next = uniform(seed);
  return { count, size, data: Float64Array.from({ length: count * size }, () => next() + shift) };
}

/** What `golden/evaluate.py` draws. */
function picture(width: number, height: number, k: number): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    const c = i % 3, x = Math.floor(i / 3) % width, y = Math.floor(i / 3 / width);
    data[i] = (x * (3 + k + c) + y * (5 + 2 * c) + (x > y ? 90 : 0)) % 256;
  }
  return { width, height, data };
}
const pictures = (scores.sizes as [number, number][]).map(([w, h], k) => picture(w, h, k));

const near = (actual: number, expected: number, tolerance: number) =>
  assert(Math.abs(actual - expected) <= tolerance, `${actual} is not near ${expected}`);

for (const name of Object.keys(numbers)) {
  Deno.test(`KID and FID are those of clean-fid on given features: ${name}`, async () => {
    const a = await stored(`${name}.a`), b = await stored(`${name}.b`);
    near(frechetDistance(a, b), numbers[name].fid, 1e-6);
    near(frechetDistance(b, a), numbers[name].fid, 1e-6);
    near(kid(a, b), numbers[name].kid, 1e-6);
  });
}

Deno.test("the Fréchet distance is 0 between equal sets, symmetric, and |shift|² after a shift", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 12 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 1e6 }),
      fc.double({ min: -3, max: 3, noNaN: true }),
      (count, size, seed, shift) => {
        const a = cloud(count, size, seed);
        const moved = { ...a, data: a.data.map((x) => x + shift) };
        near(frechetDistance(a, a), 0, 1e-9);
        near(frechetDistance(a, moved), size * shift ** 2, 1e-8);
        const b = cloud(count + 1, size, seed + 1);
        near(frechetDistance(a, b), frechetDistance(b, a), 1e-9);
        assert(frechetDistance(a, b) > -1e-9);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("intervals hold their score, repeat with their seed, and narrow with more pictures", () => {
  const width = (count: number, seed = 1) => {
    const a = cloud(count, 4, 11), b = cloud(count, 4, 12, 0.4);
    return [kidEstimate, frechetEstimate, imageAlignmentEstimate].map((estimate) => {
      const { value, low, high } = estimate(a, b, { resamples: 200, seed });
      assert(low < value && value < high, `${low} < ${value} < ${high}`);
      return high - low;
    });
  };
  const few = width(12), many = width(120);
  assertEquals(width(12), few);
  assert(width(12, 2).some((w, i) => w !== few[i]));
  few.forEach((w, i) => assert(many[i] < 0.6 * w, `${many[i]} is not well below ${w}`));
});

Deno.test("a 95 % interval of a mean covers it about 95 times in 100", () => {
  let covered = 0;
  const runs = 200;
  for (let r = 0; r < runs; r++) {
    const { data } = cloud(60, 1, 1000 + 17 * r);
    const mean = ([t]: readonly Float64Array[]) => data.reduce((s, x, i) => s + t[i] * x, 0) / 60;
    const { low, high } = bootstrap([60], mean, { resamples: 200, seed: r });
    if (low <= 0 && 0 <= high) covered++;
  }
  assert(covered > 0.88 * runs && covered < 0.99 * runs, `${covered} of ${runs}`);
});

Deno.test("the estimates' values are the plain scores", () => {
  const a = cloud(9, 5, 1), b = cloud(9, 5, 2, 0.3), options = { resamples: 3 };
  near(kidEstimate(a, b, options).value, kid(a, b), 1e-12);
  near(frechetEstimate(a, b, options).value, frechetDistance(a, b), 1e-12);
  near(imageAlignmentEstimate(a, b, options).value, imageAlignment(a, b), 1e-12);
});

Deno.test("CLIP: features and scores of pictures of any shape are those of transformers", async () => {
  const clip = await openClip(await testDevice(), `${golden}scorer`);
  try {
    const made = await clip.features(pictures), words = await clip.prompts(scores.prompts);
    made.data.forEach((x, i) => near(x, scores.images.flat()[i], 1e-4));
    words.data.forEach((x, i) => near(x, scores.words.flat()[i], 1e-4));
    clipScores(made, words).forEach((x, i) => near(x, scores.scores[i], 1e-4));
    near(textAlignment(made, words), scores.text, 1e-4);
    const [text, image, kidScore, fid] = await scorePictures(clip, {
      generated: pictures,
      prompts: ["photo of a <new1> dog", "<new1> a cat", scores.prompts[2]],
      targets: pictures.slice(1),
      real: pictures,
    }, { resamples: 5 });
    near(text.value, scores.text, 1e-4);
    near(image.value, scores.image, 1e-4);
    // Any other encoder plugs in beside CLIP: here one that sees pictures' mean colours.
    const colours = {
      name: "colours",
      features(all: readonly Picture[]) {
        const rows = all.map(({ data }) =>
          [0, 1, 2].map((c) => data.filter((_, i) => i % 3 === c).reduce((s, v) => s + v, 0))
        );
        return Promise.resolve({ count: all.length, size: 3, data: new Float64Array(rows.flat()) });
      },
      free() {},
    };
    const both = await scorePictures(clip, { generated: pictures, targets: pictures.slice(1) }, {
      encoders: [colours],
      resamples: 5,
    });
    assertEquals(both.map((s) => [s.score, s.encoder]), [
      ["image alignment", "CLIP"],
      ["image alignment", "colours"],
    ]);
    near(both[0].value, scores.image, 1e-4);
    const [made2, to] = [
      await colours.features(pictures),
      await colours.features(pictures.slice(1)),
    ];
    near(both[1].value, imageAlignment(made2, to), 1e-12);
    assertEquals([kidScore.score, fid.score, fid.encoder], ["KID", "FID", "CLIP"]);
    near(fid.value, 0, 1e-6);
  } finally {
    clip.free();
  }
});

Deno.test("DINO: features of pictures of any shape are those of transformers", async () => {
  const dino = await openDino(await testDevice(), `${golden}dino`);
  try {
    const made = await dino.features(pictures);
    assertEquals([made.count, made.size], [3, 16]);
    made.data.forEach((x, i) => near(x, dinoScores.images.flat()[i], 1e-4));
    near(imageAlignment(made, await dino.features(pictures.slice(1))), dinoScores.image, 1e-4);
  } finally {
    dino.free();
  }
});

Deno.test("DINO: a folder whose files don't fit is refused with the field", async () => {
  const folder = await Deno.makeTempDir();
  const write = (name: string, changes: Record<string, unknown>) => {
    const from = JSON.parse(Deno.readTextFileSync(`${golden}dino/${name}`));
    Deno.writeTextFileSync(`${folder}/${name}`, JSON.stringify({ ...from, ...changes }));
  };
  const refused = async (words: RegExp) => {
    const error = await assertRejects(() => inspectDino(folder), FileError);
    assertMatch(error.message, words);
  };
  write("config.json", { model_type: "dinov2" });
  await refused(/config\.json: its model_type is "dinov2"/);
  for (
    const [changes, words] of [
      [{ size: 13 }, /resizes to 13 pixels, the encoder takes 12/],
      [{ resample: 0 }, /its resample is 0/],
      [{ do_normalize: false }, /turns do_normalize off/],
      [{ image_mean: [1] }, /its image_mean/],
    ] as const
  ) {
    write("config.json", {});
    write("preprocessor_config.json", changes);
    await refused(words);
  }
  write("preprocessor_config.json", { size: { height: 12, width: 12 } });
  await refused(/holds no weights/);
  await Deno.copyFile(`${golden}dino/model.safetensors`, `${folder}/model.safetensors`);
  const { look } = await inspectDino(folder);
  assertEquals([look.short, look.size, look.filter], [undefined, 12, "bilinear"]);
  write("preprocessor_config.json", { size: { shortest_edge: 14 }, resample: 3 });
  assertEquals((await inspectDino(folder)).look.short, 14);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("V* is taken out of prompts, and what is left reads as before", () => {
  assertEquals(withoutTokens("photo of a <new1> dog, <new2> on top"), "photo of a dog, on top");
  assertEquals(withoutTokens("a dog  "), "a dog");
  assertEquals(withoutTokens("<new1>"), "");
});

Deno.test("what cannot be scored is refused", async () => {
  assertThrows(() => frechetDistance(cloud(1, 3, 1), cloud(4, 3, 2)), RangeError, "at least two");
  assertThrows(() => frechetDistance(cloud(4, 3, 1), cloud(4, 2, 2)), RangeError, "length 3 and 2");
  assertThrows(() => kid(cloud(1, 3, 1), cloud(4, 3, 2)), RangeError, "at least two");
  assertThrows(() => textAlignment(cloud(2, 3, 1), cloud(3, 3, 2)), RangeError, "one prompt");
  assertThrows(() => bootstrap([0], () => 0), RangeError, "empty");
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/config.json`, `{"model_type": "siglip"}`);
  await assertRejects(async () => await openClip(await testDevice(), folder), FileError, "siglip");
  await Deno.remove(folder, { recursive: true });
});

/** Runs the verb with the tiny CLIP in a temporary folder that has `made/`, `one/`, `empty/`. */
async function evaluating(work: (folder: string, run: typeof verb) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["made", "one", "empty"]) await Deno.mkdir(`${folder}/${name}`);
    for (const [i, p] of pictures.entries()) {
      await writePng(`${folder}/made/${i}.png`, p, { prompt: scores.prompts[i] });
    }
    await writePng(`${folder}/made/sheet.png`, pictures[0]);
    await writePng(`${folder}/one/1.png`, pictures[1]);
    await work(folder, verb);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function verb(...args: string[]) {
  const out: string[] = [], err: string[] = [];
  const code = await main(["evaluate", "--quiet", "--resamples", "20", ...args], {
    out: (l) => out.push(l),
    err: (l) => err.push(l),
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

Deno.test("evaluate: a folder of pictures, their own prompts, targets and real ones", async () => {
  await evaluating(async (folder, run) => {
    const made = `${folder}/made`, out = `${folder}/o`, json = `${folder}/s.json`;
    const { code, out: said, err } = await run(
      ...["--scorer", `${golden}scorer`, "--generated", made, "--targets", made],
      ...["--targets", `${folder}/one`, "--real", made, "--out", out, "--json", json],
      ...["--dino", `${golden}dino`, "--device", "cpu", "--threads", "2"],
    );
    assertEquals(code, 0, err);
    assertMatch(
      said,
      /text alignment +CLIP[^]*image alignment +CLIP[^]*alignment +DINO[^]*KID[^]*FID[^]*report\.html$/,
    );
    const { device, scores: found, pictures: counts } = JSON.parse(await Deno.readTextFile(json));
    // The sheet is one of the targets and real pictures that were named, but no generated picture.
    assertEquals([counts.generated, counts.targets, counts.real], [3, 5, 4]);
    assertEquals(device, "CPU (WebAssembly, 2 threads)");
    near(found[0].value, scores.text, 1e-4);
    const page = await Deno.readTextFile(`${out}/report.html`);
    assertEquals(page.match(/<img /g)?.length, 12);
    assertMatch(page, /photo of a dog in the snow/);
    assertMatch(page, /scored on CPU \(WebAssembly, 2 threads\)/);
  });
});

Deno.test("evaluate: what cannot be scored is refused by its name, and nothing is written", async () => {
  await evaluating(async (folder, run) => {
    const out = `${folder}/o`, made = `${folder}/made`, one = `${folder}/one`;
    const clip = ["--scorer", `${golden}scorer`, "--out", out];
    const model = [
      "--model",
      new URL("../world/miniature", import.meta.url).pathname,
      "--out",
      out,
    ];
    const cases: [RegExp, string[]][] = [
      [/nothing to score/, clip],
      [/empty: holds no pictures/, [...clip, "--generated", `${folder}/empty`]],
      [/empty: holds no pictures/, [...clip, "--generated", made, "--targets", `${folder}/empty`]],
      [/one: holds one picture only[^]*two or more/, [...clip, "--generated", made, "--real", one]],
      [/one: holds one picture only[^]*two or more/, [...clip, "--generated", one, "--real", made]],
      [/one picture would be generated/, [...model, "a gate", "--real", made]],
      [/has <new7>, which the model does not know/, [...model, "a <new7> gate"]],
      [/"<new1>" is empty without/, [...model, "<new1>"]],
      [/takes --scorer/, ["--generated", made, "--out", out]],
      [/give --targets/, [...clip, "--generated", made, "--dino", `${golden}dino`]],
      [
        /empty\/config\.json/,
        [...clip, "--generated", made, "--targets", made, "--dino", `${folder}/empty`],
      ],
      [/leave prompts and --delta out/, [...clip, "--generated", made, "a gate"]],
      [/empty\/config\.json/, ["--scorer", `${folder}/empty`, "--generated", made, "--out", out]],
      [/is a folder where a file/, [...clip, "--generated", made, "--json", one]],
    ];
    for (const [message, args] of cases) {
      const { code, err } = await run(...args);
      assertEquals(code, 1, `${args}`);
      assertMatch(err, message);
      assert(!/\n\s+at /.test(err), `a stack:\n${err}`);
      await assertRejects(() => Deno.stat(out), Deno.errors.NotFound, undefined, `${message}`);
    }
    await Deno.copyFile(`${one}/1.png`, `${made}/9.png`);
    const { err } = await run(...clip, "--generated", made);
    assertMatch(err, /9\.png: has no prompt, and other pictures beside it have one/);
  });
});

Deno.test("the commands of docs/evaluate.md run as they stand", async () => {
  const root = new URL("..", import.meta.url).pathname;
  const text = await Deno.readTextFile(`${root}docs/evaluate.md`);
  const commands = [...text.matchAll(/^moongate (.+)$/gm)].map(([, line]) => line);
  assertEquals(commands.length, 3);
  const folder = await Deno.makeTempDir();
  try {
    for (const line of commands) {
      const words = line.match(/"[^"]*"|\S+/g)!.map((word) => word.replaceAll('"', ""));
      const args = words.map((word, i) =>
        /^world\//.test(word)
          ? root + word
          : ["--out", "--json", "--generated"].includes(words[i - 1])
          ? `${folder}/${word}`
          : word
      );
      const out: string[] = [], err: string[] = [];
      const code = await main([...args, "--quiet"], {
        out: (l) => out.push(l),
        err: (l) => err.push(l),
      });
      assertEquals(code, 0, `${line}\n${err.join("\n")}`);
      if (args[0] === "evaluate") assertMatch(out.join("\n"), /text alignment +CLIP +\d/);
    }
    const made = await Array.fromAsync(Deno.readDir(`${folder}/fresh/pictures`));
    assertEquals(made.length, 5, "four pictures and their sheet");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
