// What the command says of its own accord: what was probably meant, what is cut off or missing, and what to type next.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { quoteHint } from "../cli/shared/hints.ts";
import { saveDelta } from "../concepts/deltas/formats/save.ts";
import { writePng } from "../files/pictures/png.ts";
import { blank } from "../files/pictures/picture.ts";
import { commandLine } from "../terminal/shell.ts";
import { someDelta } from "./docs_commands.ts";
import { MINIATURE } from "./models_folder.ts";
import { inFolder, run as runCommand } from "./support/command.ts";

const GENERATE = ["generate", "--model", MINIATURE];
const mugs = (n: number) => Array(n).fill("mug").join(" ");

/** Runs the command; with `generate` in place of the verb's work. */
const run = (args: string[], generate = () => Promise.resolve(["a.png"])) =>
  runCommand(args, { generate });

/** The command as it is. */
const real = (...args: string[]) => runCommand(args);

Deno.test("a prompt without quotes is refused with the command that was meant", async () => {
  const asked = [...GENERATE, "a", "toy", "on", "a", "beach", "-n", "2"];
  const { code, err } = await run(asked, () => Promise.reject(new Error("it was made")));
  assertEquals(code, 1);
  const meant = `moongate generate --model ${MINIATURE} -n 2 'a toy on a beach'`;
  assertEquals(
    err,
    `moongate: "a", "toy", "on", "a", "beach" are 5 prompts. If they are one, quote it: ${meant}`,
  );
  for (const verb of ["attention", "evaluate"]) {
    const { code, err } = await run([verb, "--model", MINIATURE, "mug", "on", "a", "table"]);
    assertEquals(code, 1);
    assertMatch(err, /quote it: moongate .*'mug on a table'$/);
  }
});

Deno.test("prompts that may be meant as they are, are made with a remark, or without one", async () => {
  const remarked = await run([...GENERATE, "red", "mug"]);
  assertEquals([remarked.code, remarked.out], [0, "a.png"]);
  assertMatch(
    remarked.err,
    /^"red", "mug" are 2 prompts\. If they are one, quote it: .*'red mug'$/,
  );
  assertEquals((await run([...GENERATE, "a red mug", "a cat"])).err, "");
  assertEquals((await run([...GENERATE, "cat"])).err, "");
  assertEquals((await run([...GENERATE, "red", "mug", "-q"])).err, "");
  const curly = quoteHint(["generate", "“red", "mug”"], ["“red", "mug”"])!;
  assert(curly.sure);
  assertMatch(curly.line, /curly quotes are letters to a shell.*'red mug'$/);
});

Deno.test("flags with one hyphen, with a dash, and values without quotes are told what they lack", async () => {
  for (const typed of ["-steps", "–steps", "—steps", "-steps=3"]) {
    const { code, err } = await run([...GENERATE, "a mug", typed, "3"]);
    assertEquals(code, 1);
    assertEquals(
      err,
      `moongate: ${typed.split("=")[0]}: flags begin with two hyphens. Did you mean --steps?`,
    );
  }
  assertMatch((await run([...GENERATE, "a mug", "--step", "3"])).err, /Did you mean --steps/);
  // A dash is fine where it is no flag.
  assertEquals((await run([...GENERATE, "–steps are made of stone"])).code, 0);
  assertEquals((await run([...GENERATE, "--", "-steps"])).code, 0);
  const { err } = await run(["edit", "--model", "sd", "--from", "a", "dog", "--to", "a cat"]);
  assertMatch(err, /too many arguments[^]*of several words goes in quotes: --caption "a photo/);
});

Deno.test("commands to copy survive a shell", async () => {
  const words = [
    "generate",
    "it's a <new1> dog",
    '$HOME `x` "y"',
    "",
    "a/b.png",
    "<new1> dog=./my dog",
  ];
  const line = commandLine(words);
  const echo = line.replace("moongate", "for w in").replace(/$/, `; do printf '%s\\n' "$w"; done`);
  if (Deno.build.os === "windows") return;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", echo] }).output();
  assertEquals(new TextDecoder().decode(stdout), words.join("\n") + "\n");
});

Deno.test("a V* behind what the model reads is refused before any work, in every verb that takes a text", async () => {
  await inFolder(async (folder) => {
    const delta = `${folder}/toy.safetensors`, out = `${folder}/out`;
    await saveDelta(delta, await someDelta("<new1>", 1));
    const lost = `${mugs(30)} <new1> toy`, model = ["--model", MINIATURE];
    const photos = `${folder}/photos`;
    await Deno.mkdir(photos);
    await writePng(`${photos}/0.png`, blank(64, 64), {});
    await Deno.writeTextFile(`${photos}/0.txt`, lost);
    const asked = [
      ["generate", ...model, "--delta", delta, "--out", out, lost],
      ["attention", ...model, "--delta", delta, "--out", `${out}/a.png`, lost],
      ["evaluate", ...model, "--delta", delta, "--out", out, lost],
      ["edit", ...model, "--delta", delta, "--out", out, "--from", "a mug", "--to", lost],
      ["train", ...model, "--concept", `<new1> toy=${photos}`, "--out", out],
      [
        ...["train", ...model, "--concept", `<new1> toy=${MINIATURE}/../concepts/robot`],
        ...["--out", out, "--sample-every", "1", "--sample-prompt", lost],
      ],
    ];
    for (const args of asked) {
      const { code, err } = await real(...args);
      assertEquals(code, 1, args[0]);
      assertMatch(err, /token "<new1>" is cut off: of the (caption|(sample )?prompt) "mug/);
      assert(!/\n\s+at /.test(err), err);
      assertEquals(await Array.fromAsync(Deno.readDir(out)).catch(() => []), [], args[0]);
    }
  });
});

Deno.test("generate names words that the model has never seen, once; not words that it knows, nor signs and numbers", async () => {
  await inFolder(async (folder) => {
    const { code, err } = await real(
      ...[...GENERATE, "--steps", "1", "--out", folder],
      ...["photo of a dragon, a mug (42) at night!", "A Dragon on a table", "a zeppelin 狗"],
    );
    assertEquals(code, 0, err);
    assertMatch(err, /the model has never seen "dragon", "Dragon", "zeppelin", "狗"$/m);
    const known = await real(
      ...GENERATE,
      "--steps",
      "1",
      "--out",
      `${folder}/b`,
      "photo of 2 red mugs.",
    );
    assert(!known.err.includes("never seen"), known.err);
  });
});

Deno.test("generate says what of prompt and negative prompt is cut off, and which prompts lack the taught word", async () => {
  await inFolder(async (folder) => {
    const delta = `${folder}/toy.safetensors`;
    await saveDelta(delta, await someDelta("<new1>", 1));
    const { code, err } = await real(
      ...[...GENERATE, "--steps", "1", "--out", folder, "--delta", delta, "--plain"],
      ...["--negative", mugs(31), `${mugs(30)} red cat`],
    );
    assertEquals(code, 0, err);
    assertMatch(err, /no prompt has a taught word \(<new1>\)/);
    assertMatch(err, /the prompt is longer than the 30 tokens .*, "red cat" is cut off/);
    assertMatch(err, /the negative prompt is longer than the 30 tokens/);
    assertEquals(err.match(/is longer/g)?.length, 2, "once, not by the command and the library");
    const elsewhere = `${folder}/other`;
    const other = await real(...GENERATE, "--out", elsewhere, "--delta", delta, "a <NEW2> toy");
    assertMatch(other.err, /has <NEW2>, which no --delta teaches: they teach <new1>/);
  });
});

Deno.test("train remarks on one picture and on captions without the new word, and ends with the next command", async () => {
  await inFolder(async (folder) => {
    const photos = `${folder}/one`, out = `${folder}/my toy`;
    const train = async (...more: string[]) => {
      const args = [
        "--concept",
        `<new1> toy=${photos}`,
        "--out",
        out,
        "--steps",
        "1",
        "--batch",
        "1",
      ];
      return await real("train", "--model", MINIATURE, ...args, "--prior-images", "0", ...more);
    };
    await Deno.mkdir(photos);
    await writePng(`${photos}/0.png`, blank(64, 64), {});
    const one = await train();
    assertEquals(one.code, 0, one.err);
    assertMatch(one.err, /one holds one picture: what stands around the <new1> toy will be learnt/);
    const next =
      `next: moongate generate --model ${MINIATURE} --delta '${out}' 'photo of a <new1> toy'`;
    assertEquals(one.err.split("\n").at(-1), next);
    assertEquals(one.out, `${out}/delta.safetensors`);

    await Deno.remove(out, { recursive: true });
    await writePng(`${photos}/1.png`, blank(64, 64), {});
    await Deno.writeTextFile(`${photos}/0.txt`, "a <new1> toy");
    await Deno.writeTextFile(`${photos}/1.txt`, `a <new3> toy ${mugs(30)}`);
    const two = await train();
    assertEquals(two.code, 0, two.err);
    assertMatch(two.err, /1 of 2 captions of .*one has no <new1>: those pictures do not teach it/);
    assertMatch(two.err, /captions of .*one have <new3>, which is no new word of this run/);
    assertMatch(two.err, /captions are? longer than the 30 tokens|captions is longer than the 30/);
    await Deno.remove(out, { recursive: true });
    assertEquals((await train("-q")).err, "", "quiet says nothing");
  });
});

Deno.test("convert and compress end with the next command", async () => {
  await inFolder(async (folder) => {
    const delta = `${folder}/toy.safetensors`, out = `${folder}/small.safetensors`;
    await saveDelta(delta, await someDelta("<new1>", 1));
    const compressed = await real(
      "compress",
      delta,
      "--model",
      MINIATURE,
      "--rank",
      "1",
      "--out",
      out,
    );
    assertEquals(compressed.code, 0, compressed.err);
    const next =
      `next: moongate generate --model ${MINIATURE} --delta ${out} 'photo of a <new1> dog'`;
    assertEquals(compressed.err.split("\n").at(-1), next);
    assertMatch(compressed.out, /^\d[\d.]+ [kM]?B of numbers$/m);
    const lora = ["--to", "lora", "--out", `${folder}/lora`];
    const converted = await real("convert", out, ...lora);
    assertEquals(converted.err.split("\n").at(-1), `next: moongate inspect ${folder}/lora`);
    assertEquals((await real("inspect", `${folder}/lora`)).code, 0, "what is printed works");
  });
});
