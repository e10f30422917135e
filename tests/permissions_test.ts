// Every verb with the permissions that it says it needs, and no others; and without any one of them it stops.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { needs } from "../cli/main.ts";
import { needsTable, PACKAGES, WORLD } from "../cli/shared/permissions.ts";
import { openSafetensors, type StoredTensor } from "../files/safetensors/read.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { flagsOf, packages, type Places, runWith } from "./support/permissions.ts";

const NEEDS = needs();
const ROOT = new URL("..", import.meta.url).pathname;
const GOLDEN = `${ROOT}tests/golden`;
const MODEL = `${GOLDEN}/verify/sd1`;
const PHOTOS = `${ROOT}world/concepts/robot`;

/** A run of a verb: its arguments, and which of its places they are. */
interface Run {
  readonly verb: string;
  readonly args: readonly string[];
  readonly places: Places;
}

/** Runs that between them use every place of every verb. What an earlier one makes a later one reads. */
async function runsIn(folder: string): Promise<Run[]> {
  const at = (name: string) => `${folder}/${name}`;
  const photos = [...Deno.readDirSync(PHOTOS)].filter((e) => e.name.endsWith(".png")).length;
  await Deno.writeTextFile(at("captions.txt"), "a photo of a <new1> dog\n".repeat(photos));
  await Deno.writeTextFile(at("prompts.txt"), "a photo of a <new1> dog\n");
  await Deno.writeTextFile(at("plain.txt"), "a photo of a dog\na photo of a cat\n");
  await Deno.writeTextFile(
    at("list.json"),
    JSON.stringify([{
      instance_prompt: "photo of a <new2> cat",
      class_prompt: "cat",
      instance_data_dir: PHOTOS,
    }]),
  );
  for (const name of ["maps", "plots", "drawn", "numbers"]) await Deno.mkdir(at(name));
  // Pictures with captions: a collection to choose from.
  await Deno.mkdir(at("collection"));
  for (const i of [1, 2, 3]) {
    await Deno.copyFile(`${PHOTOS}/${i}.png`, at(`collection/${i}.png`));
    await Deno.writeTextFile(at(`collection/${i}.txt`), "a photo of a cat");
  }
  await cutGold(at("gold.safetensors"));
  const cache = await packages();
  const model = ["--model", MODEL], quick = ["--steps", "1", "-q"];
  const [one, two] = [at("one"), at("two")];
  const taught = "a photo of a <new1> dog";
  return [
    {
      verb: "train",
      args: [
        ...[
          "train",
          ...model,
          "--concept",
          `<new1> dog=${PHOTOS}`,
          "--captions",
          at("captions.txt"),
        ],
        ...[
          "--regularization",
          `dog=${at("collection")}`,
          "--initializer",
          "random",
          "--batch",
          "1",
        ],
        ...["--out", one, ...quick],
      ],
      places: {
        "--model": MODEL,
        "--concept": PHOTOS,
        "--captions": at("captions.txt"),
        "--regularization": at("collection"),
        "--out": one,
        [PACKAGES]: cache,
      },
    },
    {
      verb: "train",
      args: [
        ...["train", ...model, "--concepts-list", at("list.json"), "--from", one],
        ...[
          "--prior-from",
          at("collection"),
          "--scorer",
          `${GOLDEN}/scorer`,
          "--prior-similarity",
          "-1",
        ],
        ...["--initializer", "random", "--batch", "1", "--out", two, ...quick],
      ],
      places: {
        "--model": MODEL,
        "--concepts-list": [at("list.json"), PHOTOS],
        "--from": one,
        "--prior-from": at("collection"),
        "--scorer": `${GOLDEN}/scorer`,
        "--out": two,
        [PACKAGES]: cache,
      },
    },
    {
      verb: "generate",
      args: [
        ...["generate", ...model, "--delta", one, "--prompts-from", at("prompts.txt")],
        ...["--image", `${PHOTOS}/1.png`, "--out", at("pictures"), "--steps", "2", "-q"],
      ],
      places: {
        "--model": MODEL,
        "--delta": one,
        "--prompts-from": at("prompts.txt"),
        "--image": `${PHOTOS}/1.png`,
        "--out": at("pictures"),
        [`${PACKAGES} (with --image)`]: cache,
      },
    },
    {
      verb: "edit",
      args: [
        ...["edit", ...model, "--delta", one, "--from", taught, "--to", "a photo of a <new1> cat"],
        ...["--out", at("edited"), ...quick],
      ],
      places: { "--model": MODEL, "--delta": one, "--out": at("edited") },
    },
    {
      verb: "attention",
      args: [
        ...["attention", ...model, "--delta", one, "--prompts-from", at("prompts.txt")],
        ...["--out", at("maps/sheet.png"), ...quick],
      ],
      places: {
        "--model": MODEL,
        "--delta": one,
        "--prompts-from": at("prompts.txt"),
        "the folder of --out": at("maps"),
      },
    },
    {
      verb: "merge",
      args: [
        ...["merge", ...model, one, at("renamed.safetensors"), "--captions", at("plain.txt")],
        ...["--out", at("both"), "-q"],
      ],
      places: {
        "--model": MODEL,
        "<deltas>": [one, at("renamed.safetensors")],
        "--captions": at("plain.txt"),
        "--out": at("both"),
      },
    },
    {
      verb: "convert",
      args: ["convert", one, "--to", "lora", "--rank", "1", ...model, "--out", at("lora"), "-q"],
      places: { "<delta>": one, "--model": MODEL, "--out (of a file, its folder)": at("lora") },
    },
    {
      verb: "inspect",
      args: ["inspect", one, ...model],
      places: { "<path>": one, "--model": MODEL },
    },
    {
      verb: "inspect",
      args: ["inspect", `${PHOTOS}/1.png`],
      places: { "<path>": `${PHOTOS}/1.png`, [`${PACKAGES} (of a picture)`]: cache },
    },
    {
      verb: "compress",
      args: [
        ...["compress", one, ...model, "--rank", "1", "--plot", at("plots/values.svg")],
        ...["--out", at("small"), "-q"],
      ],
      places: {
        "<delta>": one,
        "--model": MODEL,
        "--out (of a file, its folder)": at("small"),
        "the folder of --plot": at("plots"),
      },
    },
    {
      verb: "analyse",
      args: ["analyse", MODEL, one, "--plot", at("drawn/changes.svg")],
      places: { "<before>": MODEL, "<after>": one, "the folder of --plot": at("drawn") },
    },
    {
      verb: "tokens",
      args: ["tokens", ...model, "--captions", at("plain.txt"), "--low", "1"],
      places: { "--model": MODEL, "--captions": at("plain.txt") },
    },
    {
      verb: "evaluate",
      args: [
        ...[
          "evaluate",
          ...model,
          "--delta",
          one,
          "--prompts-from",
          at("prompts.txt"),
          ...["--steps", "1", "--count", "2"],
        ],
        ...["--targets", PHOTOS, "--real", at("collection"), "--scorer", `${GOLDEN}/scorer`],
        ...[
          "--dino",
          `${GOLDEN}/dino`,
          "--out",
          at("scores"),
          "--json",
          at("numbers/all.json"),
          "-q",
        ],
      ],
      places: {
        "--model": MODEL,
        "--delta": one,
        "--prompts-from": at("prompts.txt"),
        "--targets": PHOTOS,
        "--real": at("collection"),
        "--scorer": `${GOLDEN}/scorer`,
        "--dino": `${GOLDEN}/dino`,
        "--out": at("scores"),
        "the folder of --json": at("numbers"),
        [PACKAGES]: cache,
      },
    },
    {
      verb: "evaluate",
      args: [
        ...["evaluate", "--generated", at("collection"), "--scorer", `${GOLDEN}/scorer`],
        ...["--out", at("again"), "-q"],
      ],
      places: {
        "--generated": at("collection"),
        "--scorer": `${GOLDEN}/scorer`,
        "--out": at("again"),
        [PACKAGES]: cache,
      },
    },
    {
      verb: "verify",
      args: ["verify", ...model, "--gold", at("gold.safetensors"), "-q"],
      places: { "--model": MODEL, "--gold": at("gold.safetensors") },
    },
    { verb: "doctor", args: ["doctor"], places: {} },
    {
      verb: "doctor",
      args: [
        ...["doctor", "--measure", "--model", "miniature", "--minutes", "1e-6"],
        ...["--out", at("measured"), "-q"],
      ],
      places: {
        [`${WORLD} (with --model miniature)`]: `${ROOT}world`,
        "--out (with --measure)": at("measured"),
      },
    },
  ];
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    await (isDirectory ? copyFolder : Deno.copyFile)(`${from}/${name}`, `${to}/${name}`);
  }
}

/** What PyTorch computed of the text encoder: enough to be verified, and soon done. */
async function cutGold(path: string): Promise<void> {
  using source = await openSafetensors(`${MODEL}.safetensors`);
  const tensors = new Map<string, StoredTensor>();
  for (const name of ["ids", "text_hidden"]) tensors.set(name, await source.read(name));
  await writeSafetensors(path, tensors, source.metadata as Record<string, string>);
}

Deno.test("every verb runs with what it says it needs, offline; without any part of that it says what is missing", async (t) => {
  const folder = await Deno.makeTempDir();
  try {
    const used = new Map<string, Set<string>>(Object.keys(NEEDS).map((verb) => [verb, new Set()]));
    const renamed = ["convert", `${folder}/one`, "--to", "moongate", "--token", "<new2>"];
    for (const { verb, args, places } of await runsIn(folder)) {
      await t.step(`${verb} ${Object.keys(places).join(" ")}`, async () => {
        if (verb === "merge") {
          const out = ["--out", `${folder}/renamed.safetensors`, "-q"];
          assertEquals((await runWith(["-A"], [...renamed, ...out])).code, 0);
        }
        const needs = (["read", "write"] as const).flatMap((name) =>
          NEEDS[verb][name].filter((p) => Object.hasOwn(places, p)).map((p) => `${name} ${p}`)
        );
        for (const need of needs) {
          used.get(verb)!.add(need);
          const { code, err } = await runWith(flagsOf(verb, places, need), args, folder);
          assertEquals(code, 1, `moongate ${args.join(" ")} without ${need}\n${err}`);
          assert(!/\n\s+at /.test(err), `a stack without ${need}:\n${err}`);
          assertMatch(err, /--allow-/, need);
        }
        const { code, err } = await runWith(flagsOf(verb, places), args, folder);
        assertEquals(code, 0, `moongate ${args.join(" ")}\n${err}`);
      });
    }
    await t.step("the command of docs/permissions.md", async () => {
      const page = await Deno.readTextFile(`${ROOT}docs/permissions.md`);
      const [, block] = page.match(/^```sh\n([^]*?)^```$/m)!;
      const words = [...block.replaceAll("\\\n", " ").matchAll(/"([^"]*)"|\S+/g)]
        .map(([word, quoted]) => quoted ?? word);
      const cli = words.indexOf("cli.ts");
      assertEquals(words.slice(0, 2), ["deno", "run"]);
      // A verb before wrote there, and what is there is kept.
      await Deno.remove(`${folder}/pictures`, { recursive: true });
      await copyFolder(MODEL, `${folder}/sd`);
      await copyFolder(`${folder}/one`, `${folder}/my-dog`);
      const { code, err } = await runWith(words.slice(2, cli), words.slice(cli + 1), folder);
      assertEquals(code, 0, err);
    });
    used.delete("demo"); // See demo_test.ts.
    for (const [verb, places] of used) {
      const { read, write } = NEEDS[verb];
      const all = [...read.map((p) => `read ${p}`), ...write.map((p) => `write ${p}`)];
      assertEquals([...places].sort(), all.sort(), `${verb}: places that no run here uses`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("help and version of all verbs need no permission, and every verb and path is in the list", async () => {
  const none = ["--deny-net", "--no-prompt"];
  const help = await runWith(none, ["--help"]);
  assertEquals([help.code, help.err], [0, ""]);
  const verbs = [...help.out.split("Commands:")[1].matchAll(/^ {2}(\w+) /gm)].map(([, v]) => v);
  assertEquals(verbs.filter((v) => v !== "help").sort(), Object.keys(NEEDS).sort());
  const version = await runWith(none, ["--version"]);
  assertMatch(version.out, /^\d+\.\d+\.\d+$/);
  for (const [verb, { read, write }] of Object.entries(NEEDS)) {
    const { code, out } = await runWith(none, [verb, "--help"]);
    assertEquals(code, 0, verb);
    assertMatch(out, /Deno permissions: /);
    const paths = out.matchAll(
      /^ {2}(?:-\w, )?(--[\w-]+) <[^>]*(?:folder|file|path|delta)[^>]*>/gm,
    );
    const known = [...read, ...write].join(" ");
    for (const [, option] of paths) assert(known.includes(option), `${verb} ${option}`);
  }
});

Deno.test("docs/permissions.md has the list as a table", async () => {
  const page = await Deno.readTextFile(`${ROOT}docs/permissions.md`);
  assert(
    page.includes(needsTable(NEEDS)),
    `expected in docs/permissions.md:\n${needsTable(NEEDS)}`,
  );
  assert(NEEDS.demo.read.includes(WORLD));
});
