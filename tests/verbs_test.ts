// The verbs at work on the model that ships: the whole way once, and every kind of bad input refused by its name.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { states } from "../cli/train/checkpoints.ts";
import { readPngText } from "../files/pictures/png.ts";
import { isFile } from "../files/paths.ts";
import { NO_DRIVER } from "./support/adapters.ts";
import { inFolder, run as runCommand } from "./support/command.ts";

const root = new URL("..", import.meta.url).pathname;
const model = `${root}world/miniature`;
const photos = `${root}world/concepts/moongate`;

/** Runs the command; gives its code and what it printed. */
const run = (...args: string[]) => runCommand(args);

/** Arguments of a run of three steps. */
const training = (out: string, concept = `<new1> gate=${photos}`, from = model): string[] => [
  ...["train", "--model", from, "--concept", concept, "--out", out, "--quiet"],
  ...["--steps", "3", "--batch", "1", "--prior-images", "2", "--log-every", "1"],
];

/** Asserts that a command is refused in one line for the user, and that it left nothing in `out`. */
async function refused(out: string, message: RegExp, ...args: string[]): Promise<void> {
  const { code, err } = await run(...args);
  assertEquals(code, 1, err);
  assertMatch(err, message);
  assert(!/\n\s+at /.test(err), `a stack:\n${err}`);
  const left = await Array.fromAsync(Deno.readDir(out)).catch(() => []);
  assertEquals(left.map((entry) => entry.name), [], "files were left");
}

/** The shipped model with one component replaced; everything else is linked. */
async function modelWith(
  folder: string,
  component: string,
  change: (path: string) => Promise<void>,
) {
  await Deno.mkdir(folder);
  for (const { name } of Deno.readDirSync(model)) {
    if (name !== component) await Deno.symlink(`${model}/${name}`, `${folder}/${name}`);
  }
  await Deno.mkdir(`${folder}/${component}`);
  for (const { name } of Deno.readDirSync(`${model}/${component}`)) {
    await Deno.copyFile(`${model}/${component}/${name}`, `${folder}/${component}/${name}`);
  }
  await change(`${folder}/${component}`);
  return folder;
}

Deno.test("the whole way: train two concepts, add both up, merge them, generate", async () => {
  await inFolder(async (folder) => {
    const one = await run(...training(`${folder}/one`));
    assertEquals([one.code, one.out], [0, `${folder}/one/delta.safetensors`], one.err);
    const metrics = (await Deno.readTextFile(`${folder}/one/metrics.jsonl`)).trim().split("\n");
    assertEquals(metrics.map((line) => JSON.parse(line).step), [1, 2, 3]);
    assertEquals(await states(`${folder}/one`), [], "a finished run needs none");

    const toy = `<new2> toy=${root}world/concepts/robot`;
    const two = await run(...training(`${folder}/two`, toy), "--initializer", "pll");
    assertEquals(two.code, 0, two.err);

    const deltas = ["--delta", `${folder}/one`, "--delta", `${folder}/two`];
    const prompt = "photo of a <new1> gate next to a <new2> toy";
    const pictures = ["generate", "--model", model, "--steps", "2", "--quiet"];
    const added = await run(
      ...["generate", "--model", model, "--steps", "1", "--out", `${folder}/added`],
      ...[...deltas, "--strength", "0.5", prompt],
    );
    assertEquals(added.code, 0, added.err);
    assertMatch(added.err, /one and [^ ]*two change the same weights: the changes are added/);
    const sum = readPngText(await Deno.readFile(added.out.split("\n")[0]));
    assertEquals(sum.delta, "one, two × 0.5");
    await refused(
      `${folder}/no`,
      /one:0\.5 does not exist\. Did you mean --delta [^ ]*one --strength 0\.5\?/,
      ...[...pictures, "--out", `${folder}/no`, "--delta", `${folder}/one:0.5`, prompt],
    );

    const both = `${folder}/both`;
    const merged = await run(
      "merge",
      "--model",
      model,
      `${folder}/one`,
      `${folder}/two`,
      "--out",
      both,
      "-q",
    );
    assertEquals(merged.code, 0, merged.err);
    assertMatch(merged.out, /matrix +residual[^]*mid_block[^]*delta\.safetensors$/);

    const made = await run(
      ...pictures,
      "--delta",
      both,
      "-n",
      "2",
      "--batch",
      "2",
      "--seed",
      "7",
      "--out",
      `${folder}/p`,
      prompt,
    );
    assertEquals(made.code, 0, made.err);
    const paths = made.out.split("\n");
    assertEquals(paths.length, 3);
    const notes = readPngText(await Deno.readFile(paths[1]));
    assertEquals([notes.prompt, notes.seed, notes.steps, notes.delta], [prompt, "8", "2", "both"]);
    assert(paths[2].endsWith("/sheet.png") && await isFile(paths[2]));

    // Bad input that needs a delta to be bad.
    const out = `${folder}/no`;
    const asked = [...pictures, "--out", out, "--delta", `${folder}/one`];
    await refused(out, /none of the taught words \(<new1>\)/, ...asked, "photo of a gate");
    await refused(
      out,
      /has <new3>, which no --delta teaches: they teach <new1>/,
      ...asked,
      "a <new3> gate",
    );
    const other = await modelWith(`${folder}/other`, "unet", async (path) => {
      const file = `${path}/diffusion_pytorch_model.safetensors`;
      const bytes = await Deno.readFile(file);
      bytes.fill(0x3c, bytes.length >> 1); // Half of the weights, finite in f16.
      await Deno.writeFile(file, bytes);
    });
    const elsewhere = asked.with(asked.indexOf(model), other);
    await refused(out, /one: was trained on another model/, ...elsewhere, "a <new1> gate");
    const delta = await Deno.readFile(`${folder}/one/delta.safetensors`);
    await Deno.writeFile(`${folder}/cut.safetensors`, delta.subarray(0, delta.length - 100));
    await refused(
      out,
      /cut\.safetensors: /,
      ...pictures,
      "--out",
      out,
      "--delta",
      `${folder}/cut.safetensors`,
      "a <new1> gate",
    );
    delta.fill(0xff, 0, 8);
    await Deno.writeFile(`${folder}/lie.safetensors`, delta);
    await refused(
      out,
      /lie\.safetensors: /,
      ...pictures,
      "--out",
      out,
      "--delta",
      `${folder}/lie.safetensors`,
      "a <new1> gate",
    );
    const twice = ["merge", "--model", model, `${folder}/one`, `${folder}/one`, "--out", out];
    await refused(out, /both teach <new1>/, ...twice);
  });
});

Deno.test("pictures that cannot be used are named", async () => {
  await inFolder(async (folder) => {
    const out = `${folder}/out`, bad = `${folder}/photos`;
    const concept = `<new1> gate=${bad}`;
    await refused(out, /photos: does not exist/, ...training(out, concept));
    await Deno.mkdir(bad);
    await refused(out, /photos: holds no pictures/, ...training(out, concept));
    const png = await Deno.readFile(`${photos}/0.png`);
    await Deno.writeFile(`${bad}/cut.png`, png.subarray(0, png.length >> 1));
    await refused(out, /cut\.png: /, ...training(out, concept));
    await Deno.remove(`${bad}/cut.png`);
    await Deno.writeTextFile(`${bad}/text.jpg`, "no picture at all");
    await refused(out, /text\.jpg: is no picture/, ...training(out, concept));
    await refused(out, /photos\/text\.jpg: /, ...training(out), "--regularization", `gate=${bad}`);
  });
});

Deno.test("words that cannot be used are named", async () => {
  await inFolder(async (folder) => {
    const out = `${folder}/out`;
    await refused(
      out,
      /does not know the class "zeppelin"/,
      ...training(out, `<new1> zeppelin=${photos}`),
    );
    await refused(out, /can't start from "zzz"/, ...training(out), "--initializer", "zzz");
    const taken = await modelWith(
      `${folder}/taken`,
      "tokenizer",
      (path) => Deno.writeTextFile(`${path}/added_tokens.json`, `{"<new1>": 952}`),
    );
    await refused(out, /token "<new1>" /, ...training(out, `<new1> gate=${photos}`, taken));
    const generate = ["generate", "--model", model, "--out", out];
    await refused(out, /has <new1>, which the model does not know/, ...generate, "a <new1> gate");
  });
});

Deno.test("models that cannot be used are named", async () => {
  await inFolder(async (folder) => {
    const out = `${folder}/out`;
    const weights = "diffusion_pytorch_model.safetensors";
    const from = (path: string) => training(out, undefined, path);
    await refused(
      out,
      /nowhere: does not exist|nowhere: is no model folder/,
      ...from(`${folder}/nowhere`),
    );
    const cases: [string, RegExp, (path: string) => Promise<void>][] = [
      ["unet", /unet: /, (path) => Deno.remove(`${path}/${weights}`)],
      ["vae", new RegExp(`vae/${weights}: `), (path) => Deno.truncate(`${path}/${weights}`, 5000)],
      [
        "text_encoder",
        /text_encoder\/config\.json: /,
        (path) => Deno.writeTextFile(`${path}/config.json`, "{"),
      ],
    ];
    for (const [component, message, change] of cases) {
      await refused(
        out,
        message,
        ...from(await modelWith(`${folder}/${component}`, component, change)),
      );
    }
  });
});

Deno.test("folders, settings and machines that cannot do it", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "");
    await refused(folder + "/none", /file: is a file where/, ...training(`${folder}/file`));
    await refused(folder + "/none", /nothing to resume/, ...training(`${folder}/none`), "--resume");
    await refused(
      folder + "/none",
      /multiples of 16/,
      ...training(`${folder}/none`),
      "--size",
      "72",
    );
    const small = ["--memory", "1MB", "--prior-images", "0"];
    await refused(
      `${folder}/m`,
      /training needs \d[\d.]+ MB of GPU memory, and 1\.00 MB are allowed: .* in its smallest plan/,
      ...training(`${folder}/m`),
      ...small,
    );
    const withoutDriver = (env: Record<string, string>) =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", `${root}cli.ts`, ...training(`${folder}/g`)],
        env: { ...NO_DRIVER, ...env },
      }).output();
    const { code, stderr } = await withoutDriver({ MOONGATE_DEVICE: "webgpu" });
    const text = new TextDecoder().decode(stderr);
    assertEquals(code, 1, text);
    assertMatch(text, /no adapter of WebGPU answers.*--device cpu/);
    assertEquals(
      [...Deno.readDirSync(folder)].map((e) => e.name).includes("g"),
      false,
      "it was made",
    );
    // Where nobody asks for an adapter, the CPU does it by itself.
    assertEquals((await withoutDriver({ MOONGATE_DEVICE: "" })).code, 0);
  });
});

Deno.test("Ctrl-C saves, says how to go on, and the run goes on only as it was started", async () => {
  if (Deno.build.os === "windows") return;
  await inFolder(async (folder) => {
    const out = `${folder}/out`;
    const args = [...training(out), "--steps", "2000", "--prior-images", "0"]
      .concat("--schedule", "linear", "--log-every", "1", "--sample-every", "1");
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${root}cli.ts`, ...args],
      stderr: "piped",
      stdout: "null",
    }).spawn();
    const running = async () => (await Deno.readTextFile(`${out}/metrics.jsonl`)).includes("\n");
    let ended = false;
    child.status.then(() => ended = true);
    while (!ended && !await running().catch(() => false)) {
      await new Promise((r) => setTimeout(r, 100));
    }
    if (!ended) child.kill("SIGINT");
    const { code, stderr } = await child.output();
    assertEquals(code, 130, new TextDecoder().decode(stderr));
    assertMatch(new TextDecoder().decode(stderr), /Go on with: moongate train [^]* --resume/);
    const [newest] = await states(out), [, step] = /checkpoint-(\d+)/.exec(newest)!;
    assert(
      await isFile(`${out}/samples/${step}-1.png`),
      `no sample of step ${step}, which is done`,
    );
    assertMatch((await run(...args)).err, /holds an unfinished run/);
    const changed = await run(...args, "--resume", "--seed", "1");
    assertMatch(changed.err, /was started with seed 42, and this run has 1/);
    const longer = await run(...args, "--resume", "--steps", "3000");
    assertMatch(
      longer.err,
      /whose rate falls to 0 at its last step.*by --from; .*--schedule constant/,
    );
    assert(await states(out));
  });
});
