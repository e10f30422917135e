// What trains, and the methods that are presets of it: masks, numbers, deltas, and docs/methods.md run as it stands.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { main } from "../cli/main.ts";
import { withDelta } from "../concepts/deltas/apply.ts";
import type { Delta, TrainedWeight } from "../concepts/deltas/delta.ts";
import { tokenRows } from "../concepts/deltas/from_parameters.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { saveDelta } from "../concepts/deltas/formats/save.ts";
import { mergeDeltas } from "../concepts/merge/deltas.ts";
import { methodDefaults, METHODS, TRAINS, type Trains } from "../concepts/training/methods.ts";
import { modelDefaults } from "../concepts/training/model_settings.ts";
import type { RateSchedule } from "../concepts/training/rates.ts";
import { trainConcepts } from "../concepts/training/train.ts";
import { customDiffusionMask } from "../concepts/training/trainable.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { readPngText, writePng } from "../files/pictures/png.ts";
import { unetSpecs } from "../models/unet/unet.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { testDevice, uniform } from "./support/check.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const SD1 = `${ROOT}tests/golden/verify/sd1`;

let loaded: Promise<Pipeline> | undefined;
/** A tiny model that knows a new word. */
const model = () =>
  loaded ??= testDevice().then((d) => loadPipeline(d, SD1, { addTokens: { "<new1>": "ktn" } }));

const random = uniform(7);
const picture = () => ({
  width: 16,
  height: 16,
  data: Uint8Array.from({ length: 16 * 16 * 3 }, () => 127 + 100 * random()),
});
const CONCEPT = { token: "<new1>", className: "dog", pictures: [picture(), picture()] };
const DOGS = [{ picture: picture(), caption: "photo of a dog" }];

const read = async (t: Tensor) => [...await (await testDevice()).read(t) as Float32Array];

Deno.test("what trains is a mask: keys and values, the cross-attention, the UNet, or the new word alone", async () => {
  const pipeline = await model();
  const unet = [...unetSpecs(pipeline.config.unet).keys()].map((name) => `unet.${name}`);
  const row = "text_encoder.text_model.embeddings.token_embedding.weight";
  const wanted: Record<Trains, string[]> = {
    kv: unet.filter((n) => /attn2\.to_[kv]\.weight$/.test(n)),
    attention: unet.filter((n) => n.includes(".attn2.")),
    unet,
    token: [],
  };
  for (const trains of TRAINS) {
    const paths = customDiffusionMask(pipeline, ["<new1>"], trains).paths;
    assertEquals(paths.toSorted(), [...wanted[trains], row].toSorted(), trains);
  }
  assertEquals(wanted.attention.length, 4 * 5);
  assertThrows(() => customDiffusionMask(pipeline, [], "token"), TypeError, "nothing would train");
});

for (const trains of TRAINS) {
  Deno.test(`training ${trains}: the delta holds what changed, and through a file gives the trained model`, async () => {
    const pipeline = await model();
    const frozen = trains === "attention";
    const seen = new Map<string, number[]>();
    const delta = await trainConcepts(pipeline, {
      ...{ concepts: [CONCEPT], regularization: DOGS, trains, freezeTokens: frozen },
      ...{ steps: 2, batch: 2, rate: 1e-2, reportEvery: 2 },
      async onReport({ state }) {
        for (const [path, t] of Object.entries(state.params)) seen.set(path, await read(t));
      },
    });
    const paths = customDiffusionMask(pipeline, frozen ? [] : ["<new1>"], trains).paths;
    assertEquals([...seen.keys()].toSorted(), paths.toSorted());
    const folder = await Deno.makeTempDir();
    try {
      await saveDelta(`${folder}/delta.safetensors`, delta);
      const again = await loadDelta(`${folder}/delta.safetensors`);
      assertEquals(again.notes.trains, trains);
      const specs = unetSpecs(pipeline.config.unet);
      for (const [path, w] of again.weights) {
        assertEquals(w.shape, specs.get(path.slice("unet.".length))!.shape, path);
      }
      using scope = withFreed(withDelta(pipeline, again));
      const base = new Map(flatten<Tensor>({ ...pipeline.params }));
      for (const [path, t] of flatten<Tensor>({ ...scope.pipeline.params })) {
        if (path.endsWith("token_embedding.weight")) continue;
        const before = await read(base.get(path)!);
        assertEquals(await read(t), seen.get(path) ?? before, path);
        if (seen.has(path)) assert(seen.get(path)!.some((v, i) => v !== before[i]), path);
      }
      const ids = pipeline.tokenIds("<new1>");
      const row = [...await tokenRows(scope.pipeline, ids)],
        start = [...await tokenRows(pipeline, ids)];
      assertEquals(row, [...again.embeddings[0]]);
      assertEquals(row.join() === start.join(), frozen, "the row trains unless it is frozen");
      const ktn = pipeline.tokenizer.rawId("ktn")!;
      assertEquals(start, [...await tokenRows(pipeline, [ktn])]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

const withFreed = (pipeline: Pipeline & { free(): void }) => ({
  pipeline,
  [Symbol.dispose]: () => pipeline.free(),
});

Deno.test("deltas of more than keys and values are not merged, and that is said", async () => {
  const pipeline = await model();
  const path = "unet.conv_in.weight";
  const of = (token: string): Delta => {
    const weight: TrainedWeight = { shape: [4, 4, 3, 3], data: new Float32Array(144) };
    const tokens = [{ token, className: "dog", initializer: "ktn" }];
    const weights = new Map([[path, weight]]);
    return { base: "", tokens, embeddings: [new Float32Array(8)], weights, notes: {} };
  };
  await assertRejects(
    () => mergeDeltas(pipeline, [of("<new1>"), of("<new2>")], { regularization: ["a dog"] }),
    FileError,
    `changes "${path}", which is no key or value matrix`,
  );
});

Deno.test("methods: the paper's numbers, in proportion where a model has its own, and its own where it says so", async () => {
  const folder = await Deno.makeTempDir();
  const of = async (json: unknown) => {
    // As 1e999 is read; JSON itself writes null.
    const text = JSON.stringify(json, (_, v) => v === Infinity ? "∞" : v).replace('"∞"', "1e999");
    await Deno.writeTextFile(`${folder}/moongate.json`, text);
    return (await modelDefaults(folder)).methods;
  };
  try {
    const plain = await of({});
    for (const [name, { rate, steps }] of Object.entries(METHODS)) {
      const { training } = await modelDefaults(folder);
      assertEquals(plain[name as "custom"], { ...training, rate, steps }, name);
    }
    const own = await of({
      training: { rate: 8e-4, steps: 500, decay: 0, schedule: "linear" },
      methods: { dreambooth: { rate: 3e-3, batch: 2, schedule: "constant" } },
    });
    const schedules: RateSchedule[] = ["linear", "linear", "constant", "linear"];
    assertEquals(Object.values(own).map(({ schedule }) => schedule), schedules);
    const numbers = Object.values(own).map(({ rate, steps, batch, decay }) => [
      Number(rate.toPrecision(6)),
      ...[steps, batch, decay],
    ]);
    assertEquals(numbers, [
      [8e-4, 500, 8, 0],
      [8e-5, 1000, 8, 0],
      [3e-3, 5000, 2, 0],
      [0.04, 10000, 8, 0],
    ]);
    const training = { steps: 1, rate: 1, batch: 1, decay: 0, template: "{}" };
    assertEquals(methodDefaults("custom", training), training);
    for (
      const [json, message] of [
        [{ methods: { ours: {} } }, /names the method "ours". It takes custom, custom-all/],
        [{ methods: 3 }, /has "methods", which says nothing/],
        [{ methods: { dreambooth: 3 } }, /has "methods\.dreambooth", which says nothing/],
        [{ methods: { dreambooth: { rate: 0 } } }, /sets methods\.dreambooth\.rate to 0/],
        [{ training: { rate: Infinity } }, /sets training\.rate to .*out of range/],
        [{ training: { schedule: "falling" } }, /sets training\.schedule to "falling"/],
        [{ training: { schedule: "constant_with_warmup" } }, /training\.schedule .*out of range/],
      ] as const
    ) assertMatch((await assertRejects(() => of(json), FileError)).message, message);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Lines that begin with `moongate` in the shell blocks of the page, as arguments. */
async function commands(): Promise<string[][]> {
  const text = await Deno.readTextFile(`${ROOT}docs/methods.md`);
  return [...text.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, code]) => code.split("\n"))
    .filter((line) => line.startsWith("moongate ")).map((line) =>
      [...line.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word).slice(1)
    );
}

Deno.test("the commands of docs/methods.md run as they stand, and a delta of the whole UNet makes pictures", async () => {
  const folder = await Deno.makeTempDir(), before = Deno.cwd();
  const run = async (args: string[]) => {
    const out: string[] = [], err: string[] = [];
    const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
    return { code, out, err: err.join("\n") };
  };
  try {
    Deno.chdir(folder);
    await Deno.mkdir("sd");
    for (const { name } of Deno.readDirSync(SD1)) {
      await Deno.symlink(`${SD1}/${name}`, `sd/${name}`);
    }
    const once = { steps: 1, batch: 2, rate: 1e-2 };
    const methods = Object.fromEntries(Object.keys(METHODS).map((name) => [name, once]));
    const settings = { training: once, methods, sampling: { steps: 2 } };
    await Deno.writeTextFile("sd/moongate.json", JSON.stringify(settings));
    for (const photos of ["photos/my-dog", "photos/dogs"]) {
      await Deno.mkdir(photos, { recursive: true });
      for (const i of [0, 1]) await writePng(`${photos}/${i}.png`, picture(), {});
    }
    const all = await commands();
    assertEquals(all.length, 6);
    for (const args of all) {
      const { code, out, err } = await run(args);
      assertEquals(code, 0, `moongate ${args.join(" ")}\n${err}`);
      if (args.at(-1) !== "all") continue;
      const made = await run(
        ["generate", "--model", "sd", "--delta", out[0], "photo of a <new1> dog", "-q"],
      );
      assertEquals(made.code, 0, made.err);
      assertMatch(readPngText(await Deno.readFile(made.out[0])).prompt, /<new1>/);
    }
    const inversion = await loadDelta("inversion/delta.safetensors");
    assertEquals([inversion.weights.size, inversion.tokens[0].initializer], [0, "dog</w>"]);
    for (
      const [flags, message] of [
        [["--method", "textual-inversion", "--freeze-tokens"], /leaves nothing to train/],
        [["--method", "ours"], /Allowed choices are custom, custom-all, dreambooth, textual-inv/],
        [["--trains", "vae"], /Allowed choices are kv, attention, unet, token/],
      ] as const
    ) {
      const { code, err } = await run([...all[0], ...flags, "--out", "refused"]);
      assertEquals(code, 1);
      assertMatch(err, message);
    }
    const plain = all[0].map((arg) => arg.replace("<new1> ", ""));
    assertMatch(
      (await run([...plain, "--out", "refused"])).err,
      /"dog" has no new word and is its own class.*Give it a new word, "<new1> dog=…", or say by --class/,
    );
    const bare = all[3].map((arg) => arg.replace("<new1> ", ""));
    assertMatch(
      (await run([...bare, "--out", "refused"])).err,
      /"dog" has no new word, and nothing else would train/,
    );
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
});
