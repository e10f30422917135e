/** Model folders as diffusers and transformers save them (`golden/folder.py`); and how much of a file is in memory at once. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Device } from "../device/device.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { FILE_BYTES, type FileDType } from "../files/dtypes.ts";
import { FileError } from "../files/errors.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { tensorSource } from "../files/safetensors/read.ts";
import { openWeights } from "../files/models/weights.ts";
import { clipTextConfig } from "../models/clip/text.ts";
import { toEngine } from "../models/layout.ts";
import { loadComponent } from "../models/load.ts";
import { withRows } from "../models/clip/new_tokens.ts";
import { engineShape } from "../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../models/specs.ts";
import { unetConfig } from "../models/unet/unet.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { testDevice } from "./support/check.ts";
import names from "./golden/folder/names.json" with { type: "json" };

const GOLDEN = new URL("./golden", import.meta.url).pathname;

/** What `folder.py` puts into parameter number `n`. */
const numbers = (n: number, size: number) =>
  Float32Array.from({ length: size }, (_, i) => ((7 * i + n) % 97 - 48) / 512);

Deno.test("a folder of PyTorch shards, fp16 shards, bf16 and tokenizer.json alone is loaded to the last number", async () => {
  const device = await testDevice();
  const before = device.buffers.allocated;
  const model = await loadPipeline(device, `${GOLDEN}/folder`);
  for (const [component, listed] of Object.entries(names)) {
    const specs = parameterSpecs(model.config[component as keyof typeof names] as ModelConfig);
    const found = flatten<Tensor>(model.params[component]);
    assertEquals(found.length, listed.length);
    for (const [name, tensor] of found) {
      const spec = specs.get(name)!, bare = name.replace(/^text_model\./, "");
      const data = numbers(listed.findIndex((n) => n === name || n === bare), sizeOf(spec.shape));
      assertEquals(tensor.shape, engineShape(spec), name);
      const engine = spec.layout === "conv" ? toEngine(data, spec.shape) : data;
      assertEquals(await device.read(tensor), engine, name);
    }
  }
  assertEquals(model.tokenizer.encodePadded("Dog cat").slice(0, 5), [56, 53, 55, 57, 57]);
  model.free();
  assertEquals(device.buffers.allocated, before);
});

Deno.test("each component's file is found: shards by their index, the only variant, a PyTorch file", async () => {
  const model = await openModelFolder(`${GOLDEN}/folder`);
  const nameOf = async (component: string) => {
    using source = await model.weights(component);
    return [source.name.split("/").at(-1), source.tensors.values().next().value!.dtype];
  };
  assertEquals(await nameOf("unet"), ["diffusion_pytorch_model.bin.index.json", "F32"]);
  assertEquals(await nameOf("vae"), [
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "F16",
  ]);
  assertEquals(await nameOf("text_encoder"), ["model.safetensors", "BF16"]);
});

Deno.test("a text encoder is the same as transformers 4 and 5 save it", async () => {
  const device = await testDevice();
  const config = clipTextConfig(
    JSON.parse(await Deno.readTextFile(`${GOLDEN}/folder_bin/config.json`)),
  );
  const [four, five] = await Promise.all(
    ["folder_bin/pytorch_model.bin", "folder/text_encoder/model.safetensors"].map(async (file) => {
      using source = await openWeights(`${GOLDEN}/${file}`);
      return flatten<Tensor>(await loadComponent(device, source, config));
    }),
  );
  assertEquals(four.map(([name]) => name), five.map(([name]) => name));
  for (const [i, [name, tensor]] of four.entries()) {
    assertEquals(await device.read(tensor), await device.read(five[i][1]), name);
  }
  device.free(...[...four, ...five].map(([, tensor]) => tensor));
});

/** A device that keeps nothing and counts the bytes that are on the host at a time. */
function counting(config: ModelConfig, dtype: FileDType) {
  const specs = parameterSpecs(config);
  const counts = { read: 0, most: 0, whole: 0 };
  const source = tensorSource(
    "counted",
    new Map([...specs].map(([name, { shape }]) => [name, { dtype, shape }])),
    {},
    (_, _first, count) => {
      // bf16 is in memory as it was read and as f32.
      counts.read = count * (dtype === "BF16" ? 6 : FILE_BYTES[dtype]);
      counts.whole += count;
      return Promise.resolve(dtype === "F16" ? new Float16Array(count) : new Float32Array(count));
    },
    () => {},
  );
  const device = {
    profile: { f16: true },
    async uploadParts(parts: AsyncIterable<ArrayBufferView>) {
      for await (const part of parts) {
        counts.most = Math.max(counts.most, counts.read + part.byteLength);
      }
    },
    free() {},
  } as unknown as Device;
  return {
    source,
    device,
    counts,
    size: [...specs.values()].reduce((n, s) => n + sizeOf(s.shape), 0),
  };
}

const MEGABYTE = 2 ** 20;

Deno.test("of a full-size text encoder with new words at most 100 MB are on the host at a time, each number once", async () => {
  for (const [stored, held] of [["F32", "f16"], ["BF16", "f32"]] as const) {
    const config = clipTextConfig({
      hidden_size: 1024,
      intermediate_size: 4096,
      num_hidden_layers: 1,
      num_attention_heads: 16,
    });
    const { source, device, counts, size } = counting(config, stored);
    const rows = [{ row: config.vocabulary, from: 7 }, { row: config.vocabulary + 1, from: 8 }];
    const extended = { ...config, vocabulary: config.vocabulary + 2 };
    await loadComponent(device, withRows(source, rows), extended, { dtype: held });
    assertEquals(counts.whole, size + 2 * 1024);
    assert(counts.most < 100 * MEGABYTE, `${counts.most / MEGABYTE} MB`);
  }
});

Deno.test("of the largest convolutions of Stable Diffusion at most 256 MB are on the host at a time", async () => {
  const config = unetConfig({
    block_out_channels: [1280],
    down_block_types: ["DownBlock2D"],
    up_block_types: ["UpBlock2D"],
    layers_per_block: 1,
    attention_head_dim: 8,
  });
  const { source, device, counts, size } = counting(config, "BF16");
  await loadComponent(device, source, config);
  assertEquals(counts.whole, size);
  assert(counts.most < 256 * MEGABYTE, `${counts.most / MEGABYTE} MB`);
});

Deno.test("a tensor of whole numbers where real ones belong is refused before anything is uploaded", async () => {
  const config = clipTextConfig({
    vocab_size: 8,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 1,
  });
  const { source, device } = counting(config, "I32");
  const error = await assertRejects(() => loadComponent(device, source, config), FileError);
  assert(error.message.includes("counted: holds no real numbers in "), error.message);
});
