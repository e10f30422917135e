// `moongate verify` on goldens by PyTorch (golden/verify_models.py): they pass, a changed number fails, faults are named.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { main } from "../cli/main.ts";
import { relativeError, verifyModel } from "../concepts/verify/verify.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors, type StoredTensor } from "../files/safetensors/read.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { testDevice } from "./support/check.ts";

const GOLDEN = new URL("./golden/verify", import.meta.url).pathname;

const models = new Map<string, Promise<Pipeline>>();
/** A tiny model, loaded once. */
function model(name: string): Promise<Pipeline> {
  const load = async () => await loadPipeline(await testDevice(), `${GOLDEN}/${name}`);
  const found = models.get(name) ?? load();
  models.set(name, found);
  return found;
}

/** A golden file in memory, to be changed and written. */
async function goldenFile(name: string) {
  using source = await openSafetensors(`${GOLDEN}/${name}.safetensors`);
  const tensors = new Map<string, StoredTensor>();
  for (const key of source.tensors.keys()) tensors.set(key, await source.read(key));
  return { tensors, metadata: { ...source.metadata } as Record<string, string> };
}

type Change = (gold: Awaited<ReturnType<typeof goldenFile>>) => void;

/** Does something with a changed copy of a golden file. */
async function withChanged<T>(
  name: string,
  change: Change,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const gold = await goldenFile(name);
  change(gold);
  const folder = await Deno.makeTempDir();
  try {
    await writeSafetensors(`${folder}/gold.safetensors`, gold.tensors, gold.metadata);
    return await use(`${folder}/gold.safetensors`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Leaves some tensors only. */
const only = (...names: string[]): Change => ({ tensors }) => {
  for (const name of tensors.keys()) if (!names.includes(name)) tensors.delete(name);
};

async function command(...args: string[]) {
  const out: string[] = [], err: string[] = [];
  const context = { out: (l: string) => out.push(l), err: (l: string) => err.push(l) };
  const code = await main(["verify", ...args, "--quiet"], context);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

const TRAINED = ["grad.", "after."];
const KV = 8;

for (const [name, startToken, kv] of [["sd1", "cut", KV], ["sd2", "kept", 14]] as const) {
  Deno.test(`verify: encoders, denoiser, loss, gradients, five steps of AdamW and two walks are PyTorch's (${name})`, async () => {
    const device = await testDevice();
    const pipeline = await model(name);
    const before = device.buffers.allocated;
    const found = await verifyModel(pipeline, `${GOLDEN}/${name}.safetensors`);
    assertEquals(found.tensors.filter((t) => !t.passed), []);
    assertEquals(found.tensors.length, 9 + 2 * (kv + 1));
    assertEquals([found.skipped, found.unknown, found.startToken], [[], [], startToken]);
    for (const { name, limit } of found.tensors) {
      const loose = /^(grad|after)\.|^sample_/.test(name);
      assertEquals(limit, loose ? 1e-3 : 1e-4, name);
    }
    assertEquals(device.buffers.allocated, before, "all memory is given back");
  });
}

for (
  const [trains, parameters] of [["kv", 8], ["attention", 20], ["unet", 208], ["token", 0]] as const
) {
  Deno.test(`training ${trains}: the loss, every gradient, and what 30 steps of AdamW leave are PyTorch's`, async () => {
    const found = await verifyModel(await model("sd1"), `${GOLDEN}/sd1_${trains}.safetensors`);
    assertEquals(found.tensors.filter((t) => !t.passed), []);
    // The limits would pass what a wrong update leaves after few small steps: these are close.
    for (const { name, error } of found.tensors) assert(error < 1e-4, `${name} ${error}`);
    for (const prefix of TRAINED) {
      const held = found.tensors.filter((t) => t.name.startsWith(prefix));
      assertEquals(held.length, parameters + 1, prefix);
      assert(held.some((t) => t.name === `${prefix}row`));
    }
    const missing = ["text_hidden", "unet_out", "wide_out", "moments", "decoded"];
    assertEquals(found.skipped.slice(0, 5), missing);
  });
}

Deno.test("verify: one changed number in any kind of tensor is found, and no other tensor is blamed", async () => {
  const pipeline = await model("sd1");
  const kv = "mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight";
  const names = ["text_hidden", "moments", "xt", "loss", `grad.${kv}`, "after.row"];
  const inputs = ["ids", "image", "x0", "noise", "unet_t", "mask", "row"];
  for (const name of names) {
    const found = await withChanged("sd1", (gold) => {
      only(...names, ...inputs)(gold);
      const { data } = gold.tensors.get(name)!;
      const norm = Math.hypot(...data as Float32Array);
      data[0] = Number(data[0]) + 2e-3 * norm;
    }, (path) => verifyModel(pipeline, path));
    assertEquals(found.tensors.filter((t) => !t.passed).map((t) => t.name), [name]);
    assertEquals(found.passed, false);
  }
});

Deno.test("verify: the command says each tensor's error, and exits 1 naming those that are off", async () => {
  const names = ["ids", "text_hidden", "image", "moments", "z", "decoded"];
  const args = (path: string) => ["--model", `${GOLDEN}/sd1`, "--gold", path];
  const good = await withChanged("sd1", only(...names), (path) => command(...args(path)));
  assertEquals([good.code, good.err], [0, ""]);
  for (const name of ["text_hidden", "moments", "decoded"]) {
    assertMatch(good.out, new RegExp(`^${name} +\\d\\.\\d\\de-\\d+ +1e-4 +ok$`, "m"));
  }
  assertMatch(good.out, /^skipped, .*unet_out, wide_out, .*loss, grad\.\*, after\.\*$/m);
  assertMatch(good.out, /^3 tensors agree/m);

  const change: Change = (gold) => {
    only(...names, "unet_x")(gold);
    gold.tensors.get("moments")!.data[3] = 7;
    gold.tensors.set("colour", gold.tensors.get("z")!);
  };
  const bad = await withChanged("sd1", change, (path) => command(...args(path), "--json"));
  assertEquals(bad.code, 1);
  assertMatch(bad.err, /1 of its tensors come out otherwise here: moments\./);
  const facts = JSON.parse(bad.out);
  assertEquals([facts.passed, facts.unknown], [false, ["colour"]]);
  assertEquals(facts.tensors.map((t: { name: string; passed: boolean }) => [t.name, t.passed]), [
    ["text_hidden", true],
    ["moments", false],
    ["decoded", true],
  ]);
  assert(facts.tensors[1].error > 1e-2);
});

Deno.test("verify: where a file does not say whether the start token was cut off, its numbers do", async () => {
  for (const [name, startToken] of [["sd1", "cut"], ["sd2", "kept"]] as const) {
    const found = await withChanged(name, ({ tensors, metadata }) => {
      for (const key of Object.keys(metadata)) delete metadata[key];
      for (const key of tensors.keys()) if (/_out$|_pndm$|^decoded$/.test(key)) tensors.delete(key);
    }, async (path) => verifyModel(await model(name), path));
    assertEquals([found.passed, found.startToken], [true, startToken]);
  }
});

Deno.test("verify: layouts that PyTorch users write besides are taken: a mask without channel, one timestep, float64", async () => {
  const found = await withChanged("sd1_token", (gold) => {
    const { tensors } = gold;
    const [mask, ids, x0] = ["mask", "ids", "x0"].map((n) => tensors.get(n)!);
    const bits = Uint8Array.from(mask.data as Float32Array);
    tensors.set("mask", { dtype: "BOOL", shape: [2, 8, 8], data: bits });
    const narrow = Int32Array.from(ids.data as BigInt64Array, Number);
    tensors.set("ids", { ...ids, dtype: "I32", data: narrow });
    tensors.set("x0", { ...x0, dtype: "F64", data: Float64Array.from(x0.data as Float32Array) });
    const row = tensors.get("row")!;
    tensors.set("row", { ...row, shape: [1] });
    const after = tensors.get("after.row")!;
    tensors.set("after.row", { ...after, shape: [1, ...after.shape] });
  }, async (path) => verifyModel(await model("sd1"), path));
  assertEquals(found.tensors.filter((t) => !t.passed), []);
  const other = await withChanged("sd1_kv", ({ tensors }) => {
    const kv = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight";
    tensors.set(`grad.unet.${kv}`, tensors.get(`grad.${kv}`)!);
    const { data } = tensors.get("mask")!;
    const every = Float32Array.from(
      { length: 512 },
      (_, i) => Number(data[Math.floor(i / 256) * 64 + i % 64]),
    );
    tensors.set("mask", { dtype: "F32", shape: [2, 4, 8, 8], data: every });
  }, async (path) => verifyModel(await model("sd1"), path));
  assertEquals(other.tensors.filter((t) => !t.passed), []);
  assertEquals(other.tensors.length, found.tensors.length + 2 * KV + 1);
});

const REFUSED: readonly [what: string, change: Change, message: RegExp][] = [
  [
    "inputs that are missing",
    ({ tensors }) => ["unet_t", "text_hidden"].forEach((n) => tensors.delete(n)),
    /holds "unet_out" but lacks unet_t, text_hidden, which it is computed from\. Write them too/,
  ],
  [
    "a loss without its mask",
    ({ tensors }) => tensors.delete("mask"),
    /holds "loss" but lacks mask/,
  ],
  ["trained values without their row", ({ tensors }) => tensors.delete("row"), /lacks row/],
  ["nothing to compare", only("ids", "unet_x"), /holds nothing that could be compared/],
  [
    "latents of other channels",
    ({ tensors }) => tensors.set("unet_x", reshaped(tensors.get("unet_x")!, [1, 8, 8, 8])),
    /"unet_x" is \[1,8,8,8\]; expected \[B,4,h,w\] with h and w divisible by 2/,
  ],
  [
    "sides that the UNet can't halve",
    ({ tensors }) => tensors.set("wide_x", reshaped(tensors.get("wide_x")!, [1, 4, 5, 16])),
    /"wide_x" is \[1,4,5,16\]/,
  ],
  [
    "a result of another shape",
    ({ tensors }) => tensors.set("moments", reshaped(tensors.get("moments")!, [1, 8, 10, 8])),
    /"moments" is \[1,8,10,8\]; expected \[1,8,8,10\]/,
  ],
  [
    "captions and samples that are not as many",
    ({ tensors }) => tensors.set("ids", reshaped(tensors.get("ids")!, [4, 6])),
    /"ids" is \[4,6\]; expected \[2,T\], as many rows as x0/,
  ],
  [
    "ids beyond the vocabulary",
    ({ tensors }) => tensors.get("ids")!.data[5] = 70n,
    /"ids" \(I64\) holds 70; expected whole numbers from 0 to 64/,
  ],
  [
    "timesteps beyond the schedule",
    ({ tensors }) => tensors.get("unet_t")!.data[0] = 1000n,
    /"unet_t" \(I64\) holds 1000/,
  ],
  [
    "whole numbers where real ones belong",
    ({ tensors }) =>
      tensors.set("z", { ...tensors.get("z")!, dtype: "I32", data: new Int32Array(256) }),
    /"z" is of type I32 where real numbers are needed/,
  ],
  [
    "gradients of parameters that the model lacks",
    ({ tensors }) => tensors.set("grad.mid_block.colour", tensors.get("grad.row")!),
    /holds "grad.mid_block.colour", and the model's UNet has no parameter of that name/,
  ],
  [
    "trained values of what did not train",
    ({ tensors }) => tensors.set("after.conv_in.bias", reshaped(tensors.get("after.row")!, [4])),
    /holds "after.conv_in.bias", which does not train where "kv" does/,
  ],
  ["an unknown choice of what trains", ({ metadata }) => metadata.trains = "all", /"all" trains/],
];

function reshaped(t: StoredTensor, shape: number[]): StoredTensor {
  return { ...t, shape, data: t.data.slice(0, shape.reduce((a, b) => a * b, 1)) as typeof t.data };
}

for (const [what, change, message] of REFUSED) {
  Deno.test(`verify refuses ${what}, by name and before it computes`, async () => {
    const pipeline = await model("sd1");
    let computed = 0;
    const onProgress = () => void computed++;
    const error = await assertRejects(
      () => withChanged("sd1", change, (path) => verifyModel(pipeline, path, { onProgress })),
      FileError,
    );
    assertMatch(error.message, message);
    assertEquals(computed, 0);
  });
}

Deno.test("verify refuses a golden of another model by what does not fit", async () => {
  const sd1 = await model("sd1");
  const error = await assertRejects(
    () => verifyModel(sd1, `${GOLDEN}/sd2.safetensors`),
    FileError,
    "has no parameter of that name. It was made with another model",
  );
  assertMatch(error.message, /sd2\.safetensors: holds "(grad|after)\.down_blocks\.1\./);
});

Deno.test("verify: the relative error is that of norms, and what is no number is wrong", () => {
  assertEquals(relativeError([3, 4], [0, 5]), Math.sqrt(10) / 5);
  assertEquals(relativeError([0, 0], [0, 0]), 0);
  assertEquals(relativeError([1, 0], [0, 0]), Infinity);
  for (const wrong of [[NaN, 1], [Infinity, 1]]) assert(!(relativeError(wrong, [1, 1]) <= 1e-3));
});
