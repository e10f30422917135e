/** Model folders in the diffusers layout: what is found, what is missing, and their fingerprints. */
import {
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { FileError } from "../files/errors.ts";
import { fingerprint } from "../files/models/fingerprint.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";

const ramp = (n: number, scale = 1) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i) * scale);

const unet = (): Record<string, TensorToWrite> => ({
  "mid.to_k.weight": { shape: [16, 12], data: ramp(192) },
  "mid.to_v.weight": { shape: [16, 12], data: ramp(192, 0.01) },
});
const text = (): Record<string, TensorToWrite> => ({
  "text_model.final_layer_norm.bias": { shape: [3], data: ramp(3) },
  "text_model.position_ids": { shape: [1, 2], data: new BigInt64Array([0n, 1n]) },
});

interface Files {
  [path: string]: string | Record<string, TensorToWrite>;
}

const whole = (): Files => ({
  "model_index.json": JSON.stringify({
    _class_name: "StableDiffusionPipeline",
    unet: ["diffusers", "UNet2DConditionModel"],
    text_encoder: ["transformers", "CLIPTextModel"],
    scheduler: ["diffusers", "DDIMScheduler"],
    safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
    feature_extractor: [null, null],
    requires_safety_checker: true,
  }),
  "unet/config.json": '{"sample_size": 8}',
  "unet/diffusion_pytorch_model.safetensors": unet(),
  "text_encoder/config.json": '{"hidden_size": 3}',
  "text_encoder/model.safetensors": text(),
  "scheduler/scheduler_config.json": '{"beta_start": 0.1}',
});

/** Lays the files out in a fresh folder for the time of `run`. */
async function laidOut(files: Files, run: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const [path, content] of Object.entries(files)) {
      const folder = path.split("/").slice(0, -1).join("/");
      await Deno.mkdir(`${root}/${folder}`, { recursive: true });
      if (typeof content === "string") await Deno.writeTextFile(`${root}/${path}`, content);
      else await writeSafetensors(`${root}/${path}`, content);
    }
    await run(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const printOf = async (files: Files): Promise<string> => {
  let print = "";
  await laidOut(files, async (root) => {
    print = await fingerprint(await openModelFolder(root));
  });
  return print;
};

Deno.test("folder: components, configurations and weights are found", async () => {
  await laidOut(whole(), async (root) => {
    const model = await openModelFolder(`${root}/`);
    assertEquals(model.path, root);
    assertEquals(model.components, ["scheduler", "text_encoder", "unet"]);
    assertEquals(model.config("unet"), { sample_size: 8 });
    assertEquals(model.config("scheduler"), { beta_start: 0.1 });
    assertEquals(model.folder("unet"), `${root}/unet`);
    using weights = await model.weights("unet");
    assertEquals(weights.tensors.get("mid.to_k.weight")?.shape, [16, 12]);
    assertEquals(await weights.readFloat32("mid.to_v.weight"), ramp(192, 0.01));
    assertThrows(
      () => model.config("vae"),
      FileError,
      "holds no component vae/. It has scheduler,",
    );
    await assertRejects(() => model.weights("scheduler"), FileError, "holds no weights");
  });
});

Deno.test("folder: infinite numbers are read as Python writes them, and words are left alone", async () => {
  const files = whole();
  await laidOut(files, async (root) => {
    const file = `${root}/scheduler/scheduler_config.json`;
    await Deno.writeTextFile(
      file,
      '{"lambda_min_clipped": -Infinity, "a": Infinity, "b": "-Infinity \\" Infinity"}',
    );
    assertEquals((await openModelFolder(root)).config("scheduler"), {
      lambda_min_clipped: -Infinity,
      a: Infinity,
      b: '-Infinity " Infinity',
    });
    await Deno.writeTextFile(file, '{"a": Infinite}');
    await assertRejects(() => openModelFolder(root), FileError, "not valid JSON");
  });
});

Deno.test("folder: the shipped model's folder is one", async () => {
  const model = await openModelFolder(new URL("../world/miniature", import.meta.url).pathname);
  assertEquals(model.config("tokenizer").tokenizer_class, "CLIPTokenizer");
  assertEquals(typeof model.config("unet").cross_attention_dim, "number");
});

Deno.test("folder: variants and shards", async () => {
  const files = whole();
  const half = Object.fromEntries(
    Object.entries(unet()).map(([n, t]) => [n, { ...t, dtype: "F16" as const }]),
  );
  files["unet/diffusion_pytorch_model.fp16.safetensors"] = half;
  const nameOf = async (root: string, variant?: string) => {
    using weights = await (await openModelFolder(root, { variant })).weights("unet");
    return weights.name.slice(root.length);
  };
  await laidOut(files, async (root) => {
    assertEquals(await nameOf(root), "/unet/diffusion_pytorch_model.safetensors");
    assertEquals(await nameOf(root, "fp16"), "/unet/diffusion_pytorch_model.fp16.safetensors");
    assertEquals(await nameOf(root, "bf16"), "/unet/diffusion_pytorch_model.safetensors");
    await Deno.remove(`${root}/unet/diffusion_pytorch_model.safetensors`);
    assertEquals(await nameOf(root), "/unet/diffusion_pytorch_model.fp16.safetensors");
    await writeSafetensors(`${root}/unet/diffusion_pytorch_model.non_ema.safetensors`, unet());
    await assertRejects(() => nameOf(root), FileError, "several variants (fp16, non_ema)");
    assertEquals(
      await nameOf(root, "non_ema"),
      "/unet/diffusion_pytorch_model.non_ema.safetensors",
    );
  });
  const all = unet();
  delete files["unet/diffusion_pytorch_model.safetensors"];
  delete files["unet/diffusion_pytorch_model.fp16.safetensors"];
  const one = "diffusion_pytorch_model-00001-of-00002.safetensors";
  const two = "diffusion_pytorch_model.fp16-00002-of-00002.safetensors";
  files[`unet/${one}`] = { "mid.to_k.weight": all["mid.to_k.weight"] };
  files[`unet/${two}`] = { "mid.to_v.weight": all["mid.to_v.weight"] };
  const index = { weight_map: { "mid.to_k.weight": one, "mid.to_v.weight": two } };
  files["unet/diffusion_pytorch_model.safetensors.index.json"] = JSON.stringify(index);
  files["unet/diffusion_pytorch_model.safetensors.index.fp16.json"] = JSON.stringify(index);
  await laidOut(files, async (root) => {
    assertMatch(await nameOf(root), /\.index\.json$/);
    assertMatch(await nameOf(root, "fp16"), /\.index\.fp16\.json$/);
  });
  assertEquals(await printOf(files), await printOf(whole()));
});

Deno.test("folder: the usual mistakes are told apart", async () => {
  await assertRejects(() => openModelFolder("/no/such/folder"), FileError, "does not exist");
  const refuses = (files: Files, part: string, inside = "") =>
    laidOut(files, async (root) => {
      await assertRejects(() => openModelFolder(root + inside), FileError, part);
    });
  await refuses({ "x.ckpt": "x" }, "x.ckpt: has 1 bytes", "/x.ckpt");
  await refuses({ "x.txt": "x" }, "holds no model_index.json. Name the folder that holds unet/");
  await refuses({ "refs/main": "x", "snapshots/abc/x": "x" }, "/snapshots/abc");
  await refuses({ "sd/model_index.json": "{}" }, "Did you mean");
  await refuses({ "model_index.json": "{" }, "not valid JSON");
  await refuses({ ...whole(), "unet/config.json": "[]" }, "unet/config.json");
  const incomplete = Object.entries(whole()).filter(([path]) => !path.startsWith("unet/"));
  await refuses(
    Object.fromEntries(incomplete),
    "holds no folder unet/, which its model_index.json names",
  );
  const none = whole();
  delete none["unet/diffusion_pytorch_model.safetensors"];
  await laidOut(none, async (root) => {
    const model = await openModelFolder(root);
    await assertRejects(() => model.weights("unet"), FileError, "unet: holds no weights");
    await Deno.remove(`${root}/scheduler/scheduler_config.json`);
    const later = await openModelFolder(root);
    assertThrows(() => later.config("scheduler"), FileError, "holds no configuration");
  });
});

Deno.test("fingerprint: a copy in half precision has the same, a changed model another", async () => {
  const print = await printOf(whole());
  assertMatch(print, /^[0-9a-f]{64}$/);
  const changed = async (change: (files: Files) => void) => {
    const files = whole();
    change(files);
    return await printOf(files);
  };
  const half = Object.fromEntries(
    Object.entries(unet()).map(([n, t]) => [n, { ...t, dtype: "F16" as const }]),
  );
  const unetFile = "unet/diffusion_pytorch_model.safetensors";
  const same = [
    (f: Files) => f[unetFile] = half,
    (f: Files) =>
      f["text_encoder/model.safetensors"] = {
        "text_model.final_layer_norm.bias": text()["text_model.final_layer_norm.bias"],
      },
    (f: Files) => f["vae/diffusion_pytorch_model.safetensors"] = unet(),
    (f: Files) => f["unet/config.json"] = '{"other": 1}',
  ];
  for (const change of same) assertEquals(await changed(change), print);
  const other = [
    (f: Files) =>
      f[unetFile] = { ...unet(), "mid.to_k.weight": { shape: [16, 12], data: ramp(192, 1.01) } },
    (f: Files) =>
      f[unetFile] = { ...unet(), "mid.to_k.weight": { shape: [12, 16], data: ramp(192) } },
    (f: Files) => f[unetFile] = { ...unet(), extra: { shape: [0], data: new Float32Array(0) } },
    (f: Files) => f[unetFile] = { "mid.to_k.weight": unet()["mid.to_k.weight"] },
    (f: Files) => f["text_encoder/model.safetensors"] = unet(),
  ];
  for (const change of other) assertNotEquals(await changed(change), print);
});
