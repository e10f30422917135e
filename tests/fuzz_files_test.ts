/**
 * Files from strangers: mutated ones of every kind that is read. Each is read or refused by a FileError that names the file
 * and the fault; nothing crashes, hangs, asks for memory beyond reason, reads outside of the file or runs anything (the
 * tests may not start a process, load a library or use the network, and built-in objects are as before).
 *
 * 2,000 mutations by default; as many as the environment variable MOONGATE_FUZZ says, 10,000 for the full count. They
 * are drawn from a fixed seed: MOONGATE_FUZZ_SEED draws others.
 */
import { assert, assertEquals } from "@std/assert";
import { noiseSchedule } from "../diffusion/samplers/schedule.ts";
import { componentsOf } from "../files/models/compvis_components.ts";
import { textConfigOf, unetConfigOf, vaeConfigOf } from "../files/models/compvis_config.ts";
import { FileError } from "../files/errors.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { decodePicture } from "../files/pictures/image.ts";
import { parseJsonObject } from "../files/json.ts";
import { openSafetensors, type TensorSource, tensorSource } from "../files/safetensors/read.ts";
import { type ByteSource, bytesSource } from "../files/source.ts";
import { readTokenizerParts } from "../files/models/tokenizer.ts";
import { isTorchTensor, openTorch, type TorchValue } from "../files/torch/checkpoint.ts";
import { openWeights } from "../files/models/weights.ts";
import { clipTextConfig } from "../models/clip/text.ts";
import { clipConfig } from "../models/clip/vision.ts";
import { parameterSpecs } from "../models/specs.ts";
import { loadTokenizer } from "../models/clip/tokenizer.ts";
import { unetConfig } from "../models/unet/unet.ts";
import { vaeConfig } from "../models/vae/vae.ts";
import { inFolder } from "./formats_golden.ts";
import { bytes as mutatedBytes, Draw, json as mutatedJson } from "./support/mutate.ts";
import names from "./golden/single_file/names.json" with { type: "json" };
import pictures from "./golden/pictures.json" with { type: "json" };

const ALL = Number(Deno.env.get("MOONGATE_FUZZ") ?? 2000);
const SEED = Number(Deno.env.get("MOONGATE_FUZZ_SEED") ?? 1);
const GOLDEN = new URL("./golden", import.meta.url).pathname;

/** Longest that one file may take; ordinary is a millisecond, but the machine may be busy. */
const PATIENCE_MS = 20_000;

/** Bytes of a file that may be read, and numbers given out, for each byte that it has. */
const READ_TWICE = 16;

interface Tally {
  read: number;
  refused: number;
}

/** Runs a share of all mutations. `open` must throw nothing but a FileError that names `file`. */
function fuzz(
  what: string,
  share: number,
  file: string,
  open: (draw: Draw, i: number) => Promise<void>,
): void {
  Deno.test({
    name: `fuzz: mutated ${what} are read or refused in words, and nothing else happens`,
    permissions: {
      read: true,
      write: true,
      env: true,
      sys: true,
      run: false,
      net: false,
      ffi: false,
    },
    async fn() {
      const before = builtIns();
      const draw = new Draw(SEED + share * 1000), tally: Tally = { read: 0, refused: 0 };
      for (let i = 0; i < ALL * share; i++) {
        const start = performance.now(), state = draw.state;
        try {
          await open(draw, i);
          tally.read++;
        } catch (error) {
          const said = error instanceof Error ? error.stack ?? error.message : String(error);
          const which = `mutation ${i} (state ${state}): ${said.slice(0, 2000)}`;
          assert(error instanceof FileError, which);
          assert(error.message.includes(file) && error.fault.length > 3, which);
          assert(
            error.message.length < 5000,
            `mutation ${i}: a message of ${error.message.length}`,
          );
          tally.refused++;
        }
        const took = performance.now() - start;
        assert(took < PATIENCE_MS, `mutation ${i} (state ${state}) took ${took} ms`);
      }
      assertEquals(builtIns(), before);
      // Neither may the mutations all be harmless, nor all of them break the first byte.
      assert(tally.refused > ALL * share / 20 && tally.read > 0, JSON.stringify(tally));
    },
  });
}

/** What a hostile name (`__proto__`) could change. */
const builtIns = () =>
  [Object, Array, Map, Function, String].map((c) =>
    Object.getOwnPropertyNames(c.prototype).sort().join()
  );

/** A source that refuses to be read over and over. */
function frugal(bytes: Uint8Array, name: string): ByteSource {
  const source = bytesSource(bytes, name);
  let left = READ_TWICE * bytes.length + 10_000;
  return {
    ...source,
    async read(offset, length) {
      left -= length;
      assert(left > 0, "the file is read over and over");
      return await source.read(offset, length);
    },
  };
}

async function drain(source: TensorSource): Promise<void> {
  for (const [name, { shape }] of source.tensors) {
    const { data } = await source.read(name);
    assertEquals(data.length, shape.reduce((a, b) => a * b, 1));
  }
}

const contents = (paths: string[]): Uint8Array<ArrayBuffer>[] =>
  paths.map((path) => Deno.readFileSync(`${GOLDEN}/${path}`));

const safetensors = contents([
  "weights.safetensors",
  "deltas/plain.safetensors",
  "deltas/a1111_factors.safetensors",
]);

fuzz("safetensors files", 0.3, "x.safetensors", async (draw) => {
  const from = draw.of(safetensors);
  const mutated = draw.chance(0.5) ? mutatedHeader(from, draw) : mutatedBytes(from, draw);
  using source = await openSafetensors(frugal(mutated, "x.safetensors"));
  await drain(source);
});

/** A safetensors file whose header is valid JSON still, and as long as it says. */
function mutatedHeader(from: Uint8Array, draw: Draw): Uint8Array {
  const length = Number(new DataView(from.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(from.subarray(8, 8 + length)));
  const text = new TextEncoder().encode(JSON.stringify(mutatedJson(header, draw)));
  const whole = new Uint8Array(8 + text.length + from.length - 8 - length);
  new DataView(whole.buffer).setBigUint64(0, BigInt(text.length), true);
  whole.set(text, 8);
  whole.set(from.subarray(8 + length), 8 + text.length);
  return whole;
}

const checkpoints = contents([
  "checkpoints/zip.pt",
  "checkpoints/deflated.pt",
  "checkpoints/legacy.pt",
  "checkpoints/protocol4.pt",
  "checkpoints/harmful.pt",
  "deltas/compvis.ckpt",
  "deltas/new1.bin",
]);

fuzz("PyTorch checkpoints", 0.35, "x.pt", async (draw) => {
  const from = draw.of(checkpoints);
  const file = await openTorch(frugal(mutatedBytes(from, draw), "x.pt"));
  const walk = async (value: TorchValue): Promise<void> => {
    if (isTorchTensor(value)) {
      const data = await value.read();
      assertEquals(data.length, value.shape.reduce((a, b) => a * b, 1));
    } else if (value instanceof Map) { for (const inner of value.values()) await walk(inner); }
    else if (Array.isArray(value)) { for (const inner of value) await walk(inner); }
  };
  await walk(file.root);
});

const configs: [path: string, read: (config: unknown) => unknown][] = [
  ["folder/unet/config.json", (c) => parameterSpecs(unetConfig(c, "x.json"))],
  ["folder/vae/config.json", (c) => parameterSpecs(vaeConfig(c, "x.json"))],
  ["folder/text_encoder/config.json", (c) => parameterSpecs(clipTextConfig(c, "x.json"))],
  ["folder/scheduler/scheduler_config.json", (c) => noiseSchedule(c, "x.json")],
  ["scorer/config.json", (c) => parameterSpecs(clipConfig(c, "x.json"))],
];
const configTexts = configs.map(([path]) => Deno.readTextFileSync(`${GOLDEN}/${path}`));

/** A JSON text with a value of another kind, or with bytes of another kind. */
function mutatedText(text: string, draw: Draw): string {
  if (draw.chance(0.7)) return JSON.stringify(mutatedJson(JSON.parse(text), draw));
  return new TextDecoder().decode(mutatedBytes(new TextEncoder().encode(text), draw));
}

// deno-lint-ignore require-await
fuzz("configurations", 0.15, "x.json", async (draw) => {
  const i = draw.below(configs.length);
  configs[i][1](parseJsonObject(mutatedText(configTexts[i], draw), "x.json"));
});

const single: Record<string, number[]> = names.sd1.tensors;

// deno-lint-ignore require-await
fuzz("lists of a single file's tensors", 0.05, "x.ckpt", async (draw) => {
  const listed = Object.entries(mutatedJson(single, draw) as Record<string, unknown>).map(
    ([name, shape]) => {
      const fits = Array.isArray(shape) &&
        shape.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
      const renamed = draw.chance(0.002)
        ? name.replace(/\d+/, () => draw.of(["0", "7", "99999"]))
        : name;
      return [renamed, { dtype: "F16" as const, shape: fits ? shape as number[] : [] }] as const;
    },
  );
  const none = () => Promise.reject(new Error("nothing is read"));
  const source = tensorSource("x.ckpt", new Map(listed), {}, none, () => {});
  const { components, family } = componentsOf(source);
  const shapes = (part: string) => components.get(part) ?? new Map();
  parameterSpecs(unetConfig(unetConfigOf("x.ckpt", shapes("unet"), {}), "x.ckpt"));
  parameterSpecs(vaeConfig(vaeConfigOf("x.ckpt", shapes("vae"), {}, 64), "x.ckpt"));
  parameterSpecs(
    clipTextConfig(textConfigOf("x.ckpt", shapes("text_encoder"), family === "2"), "x.ckpt"),
  );
});

const FOLDER = [
  "model_index.json",
  "tokenizer/tokenizer.json",
  "tokenizer/tokenizer_config.json",
  "unet/diffusion_pytorch_model.bin.index.json",
];

fuzz("files of a model folder", 0.05, "/folder", async (draw) => {
  await inFolder(async (root) => {
    const folder = `${root}/folder`;
    await Deno.mkdir(folder);
    for (const part of ["tokenizer", "unet", "vae", "text_encoder", "scheduler"]) {
      await Deno.mkdir(`${folder}/${part}`);
      for await (const { name } of Deno.readDir(`${GOLDEN}/folder/${part}`)) {
        await Deno.symlink(`${GOLDEN}/folder/${part}/${name}`, `${folder}/${part}/${name}`);
      }
    }
    await Deno.copyFile(`${GOLDEN}/folder/model_index.json`, `${folder}/model_index.json`);
    const path = draw.of(FOLDER);
    const text = mutatedText(await Deno.readTextFile(`${GOLDEN}/folder/${path}`), draw);
    await Deno.remove(`${folder}/${path}`);
    await Deno.writeTextFile(`${folder}/${path}`, text);
    const model = await openModelFolder(folder);
    const tokenizer = await loadTokenizer(await readTokenizerParts(model.folder("tokenizer")));
    tokenizer.encodePadded("a dog and a cat, é 世");
    using weights = await openWeights(`${folder}/unet/diffusion_pytorch_model.bin.index.json`);
    assert(weights.tensors.size >= 0);
  });
});

const decodable = pictures.good.map(({ file }) => Uint8Array.fromBase64(file));

fuzz("pictures", 0.1, "x.png", async (draw) => {
  const { width, height, data } = await decodePicture(
    mutatedBytes(draw.of(decodable), draw),
    "x.png",
  );
  assertEquals(data.length, 3 * width * height);
});
