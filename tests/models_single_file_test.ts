/** A whole model in one file is the model that the same weights make in a folder: names, shapes, numbers, configs. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { InspectRequest } from "../cli/inspect/request.ts";
import { run as inspect } from "../cli/inspect/work.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { clipTokenizer } from "../files/models/clip_vocabulary.ts";
import { FileError } from "../files/errors.ts";
import { fingerprint } from "../files/models/fingerprint.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { componentsOf } from "../files/models/compvis_components.ts";
import {
  type Hints,
  textConfigOf,
  unetConfigOf,
  vaeConfigOf,
} from "../files/models/compvis_config.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";
import { openWeights } from "../files/models/weights.ts";
import { clipTextConfig } from "../models/clip/text.ts";
import { toEngine } from "../models/layout.ts";
import { engineShape } from "../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../models/specs.ts";
import { loadTokenizer } from "../models/clip/tokenizer.ts";
import { unetConfig } from "../models/unet/unet.ts";
import { vaeConfig } from "../models/vae/vae.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { testDevice } from "./support/check.ts";
import { layTokenizer, type Parameters, sketch } from "./models_sketch.ts";
import { inFolder } from "./formats_golden.ts";
import full from "./golden/single_file/full.json" with { type: "json" };
import golden from "./golden/single_file/names.json" with { type: "json" };

const GOLDEN = new URL("./golden/single_file", import.meta.url).pathname;

const READERS: Record<string, (config: unknown) => ModelConfig> = {
  unet: unetConfig,
  vae: vaeConfig,
  text_encoder: clipTextConfig,
};

/** What `single_file.py` puts into parameter number `n`. */
const numbers = (n: number, size: number) =>
  Float32Array.from({ length: size }, (_, i) => ((7 * i + n) % 97 - 48) / 512);

for (const name of ["sd1", "sd2"] as const) {
  Deno.test(`${name}.ckpt is given out as a folder: every parameter by its diffusers name, and configs`, async () => {
    const { components, configs } = golden[name];
    const model = await openModelFolder(`${GOLDEN}/${name}.ckpt`);
    assertEquals(model.components, ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]);
    for (const [component, read] of Object.entries(READERS)) {
      assertEquals(
        read(model.config(component)),
        read(configs[component as keyof typeof configs]),
        component,
      );
      const expected = components[component as keyof typeof components] as unknown as Parameters;
      using weights = await model.weights(component);
      assertEquals([...weights.tensors.keys()].sort(), Object.keys(expected).sort());
      for (const [parameter, [number, shape]] of Object.entries(expected)) {
        const { dtype, shape: found } = weights.tensors.get(parameter)!;
        assertEquals([found, dtype], [shape, "F16"], parameter);
        const data = await weights.readFloat32(parameter);
        assertEquals(data, numbers(number, sizeOf(shape)), parameter);
      }
    }
    const v = name === "sd2";
    assertEquals(model.config("scheduler").prediction_type, v ? "v_prediction" : "epsilon");
    const specs = parameterSpecs(unetConfig(model.config("unet")));
    assertEquals([...specs.keys()].sort(), Object.keys(components.unet).sort());
  });

  Deno.test(`full-size ${name}: every name and shape of a published file has its place`, () => {
    const { tensors, configs } = full[name];
    const found = componentsOf(sketch(tensors as unknown as Record<string, number[]>));
    const parts = (component: string) => found.components.get(component)!;
    const hints: Hints = name === "sd2" ? { parameterization: "v" } : {};
    const unet = unetConfigOf("full.ckpt", parts("unet"), hints);
    const made: Record<string, unknown> = {
      unet,
      vae: vaeConfigOf("full.ckpt", parts("vae"), hints, unet.sample_size as number),
      text_encoder: textConfigOf("full.ckpt", parts("text_encoder"), name === "sd2"),
    };
    for (const [component, read] of Object.entries(READERS)) {
      const config = read(made[component]);
      assertEquals(config, read(configs[component as keyof typeof configs]), component);
      const specs = parameterSpecs(config), held = parts(component);
      assertEquals([...held.keys()].sort(), [...specs.keys()].sort());
      for (const [parameter, { shape }] of specs) {
        assertEquals(held.get(parameter)!.shape, shape, parameter);
      }
    }
  });
}

Deno.test("sdxl.ckpt is given out as a folder: two text encoders, a projection turned round, added conditions", async () => {
  const { components, configs } = golden.sdxl;
  const model = await openModelFolder(`${GOLDEN}/sdxl.ckpt`);
  const texts = ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"];
  assertEquals(model.components, ["scheduler", ...texts, "unet", "vae"]);
  assertEquals(model.index._class_name, "StableDiffusionXLPipeline");
  assertEquals(model.index.text_encoder_2, ["transformers", "CLIPTextModelWithProjection"]);
  assertEquals(model.config("scheduler")._class_name, "EulerDiscreteScheduler");
  for (const [component, expected] of Object.entries(components)) {
    for (const [field, value] of Object.entries(configs[component as keyof typeof configs])) {
      if (field === "bos_token_id") continue;
      assertEquals(model.config(component)[field], value, `${component} ${field}`);
    }
    using weights = await model.weights(component);
    assertEquals([...weights.tensors.keys()].sort(), Object.keys(expected).sort());
    for (const [parameter, [number, shape]] of Object.entries(expected as unknown as Parameters)) {
      assertEquals(weights.tensors.get(parameter)!.shape, shape, parameter);
      const data = numbers(number, sizeOf(shape));
      assertEquals(await weights.readFloat32(parameter), data, parameter);
    }
  }
  using second = await model.weights("text_encoder_2");
  const [number, shape] = components.text_encoder_2["text_projection.weight"] as [number, number[]];
  assertEquals(
    [...await second.readPart("text_projection.weight", 60, 9) as Float16Array],
    [...numbers(number, sizeOf(shape)).slice(60, 69)],
  );
  assertEquals((await loadTokenizer(await model.tokenizer("tokenizer_2"))).pad, 0);
  assertEquals((await loadTokenizer(await model.tokenizer("tokenizer"))).pad, 49407);
});

Deno.test("a single file is loaded by the same call as a folder, in either container, with new words", async () => {
  const device = await testDevice();
  await inFolder(async (folder) => {
    await layTokenizer(folder);
    await Deno.copyFile(`${GOLDEN}/sd1.ckpt`, `${folder}/model.ckpt`);
    using checkpoint = await openWeights(`${folder}/model.ckpt`);
    assertEquals(checkpoint.metadata.global_step, "840000");
    const copied = new Map<string, TensorToWrite>();
    for (const tensor of checkpoint.tensors.keys()) {
      copied.set(tensor, await checkpoint.read(tensor));
    }
    await writeSafetensors(`${folder}/model.safetensors`, copied);
    for (const file of ["model.ckpt", "model.safetensors"]) {
      const before = device.buffers.allocated;
      const model = await loadPipeline(device, `${folder}/${file}`, {
        addTokens: { "<new1>": "a" },
      });
      assertEquals(model.tokenIds("<new1>"), [96]);
      for (const [component, read] of Object.entries(READERS)) {
        const config = read(golden.sd1.configs[component as "unet"]);
        const expected = golden.sd1.components[component as "unet"] as unknown as Parameters;
        const specs = parameterSpecs(config);
        for (const [name, tensor] of flatten<Tensor>(model.params[component])) {
          const spec = specs.get(name)!, [number, shape] = expected[name];
          if (name.endsWith("token_embedding.weight")) continue;
          assertEquals(tensor.shape, engineShape(spec), name);
          const data = numbers(number, sizeOf(shape));
          const engine = spec.layout === "conv" ? toEngine(data, spec.shape) : data;
          assertEquals(await device.read(tensor), engine, name);
        }
      }
      model.free();
      assertEquals(device.buffers.allocated, before);
    }
    const prints = await Promise.all(
      ["ckpt", "safetensors"].map(async (ending) =>
        await fingerprint(await openModelFolder(`${folder}/model.${ending}`))
      ),
    );
    assertEquals(prints[0], prints[1]);
  });
});

Deno.test("a single file and a folder of the same weights have the same fingerprint, whatever transformers calls them", async () => {
  const single = await openModelFolder(`${GOLDEN}/sd1.ckpt`);
  const print = await fingerprint(single);
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/model_index.json`, "{}");
    for (
      const [component, file] of [["unet", "diffusion_pytorch_model"], ["text_encoder", "model"]]
    ) {
      await Deno.mkdir(`${folder}/${component}`);
      const held = golden.sd1.components[component as "unet"] as unknown as Parameters;
      const tensors = Object.entries(held).map((
        [name, [number, shape]],
      ): [string, TensorToWrite] => [
        name.replace(/^text_model\./, ""),
        { shape, data: numbers(number, sizeOf(shape)) },
      ]);
      await writeSafetensors(`${folder}/${component}/${file}.safetensors`, new Map(tensors));
    }
    assertEquals(await fingerprint(await openModelFolder(folder)), print);
  });
});

Deno.test("a single file is a base of deltas, and inspect tells its parts", async () => {
  const path = `${GOLDEN}/sd1.ckpt`;
  const name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight";
  const [number, shape] = golden.sd1.components.unet[name] as [number, number[]];
  using base = await openBase(path);
  assertEquals(base.layers, 1);
  assertEquals(await base.read(`unet.${name}`), numbers(number, sizeOf(shape)));
  const { facts, lines } = await inspect({ path } as InspectRequest);
  assertEquals([facts.kind, facts.base], ["model", base.fingerprint]);
  assertStringIncludes(lines[0], "single-file model, StableDiffusionPipeline");
});

Deno.test("the config beside a single file says what its shapes don't", async () => {
  await inFolder(async (folder) => {
    await Deno.copyFile(`${GOLDEN}/sd2.ckpt`, `${folder}/model.ckpt`);
    await Deno.writeTextFile(
      `${folder}/model.yaml`,
      "model:\n  params:\n    linear_start: 0.001\n    linear_end: 0.0120 # end\n    scale_factor: 0.2\n" +
        "    unet_config:\n      params:\n        num_head_channels: 32 # need to fix\n",
    );
    const model = await openModelFolder(`${folder}/model.ckpt`);
    const scheduler = model.config("scheduler");
    assertEquals(
      [scheduler.prediction_type, scheduler.beta_start, scheduler.beta_end],
      ["epsilon", 0.001, 0.012],
    );
    assertEquals(model.config("unet").attention_head_dim, [2, 2]);
    assertEquals(model.config("vae").scaling_factor, 0.2);
  });
});

Deno.test("CLIP's vocabulary: the ids that everyone knows; padding by model", async () => {
  for (const [file, pad] of [["sd1.ckpt", 49407], ["sd2.ckpt", 0]] as const) {
    const model = await openModelFolder(`${GOLDEN}/${file}`);
    const tokenizer = await loadTokenizer(await model.tokenizer());
    assertEquals([tokenizer.size, tokenizer.maxLength], [49408, 77]);
    assertEquals(tokenizer.encode("Photo of a  cat"), [49406, 1125, 539, 320, 2368, 49407]);
    assertEquals(tokenizer.encodePadded("")[5], pad);
    // é is two bytes, and the pieces are put together again.
    assertEquals(tokenizer.decode(tokenizer.encode("café naïve 世界")), "café naïve 世界");
  }
});

Deno.test("CLIP's vocabulary is OpenAI's, entry by entry", async () => {
  const { vocab } = await clipTokenizer("!");
  const text = new TextEncoder().encode(
    Object.keys(vocab).sort((a, b) => vocab[a] - vocab[b]).join("\n"),
  );
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", text)).toHex();
  // Of the entries in order, one a line, as Python makes them from the file in open_clip 3.3.0.
  assertEquals(hash, "7cccc44d334555d1ff3c0ac5f0246b428fab2918383e77ee745cf30d41010b78");
});

Deno.test("files that are no whole model are refused in words", async () => {
  await inFolder(async (folder) => {
    const one = (name: string, shape: number[] = [2, 2]): [string, TensorToWrite] => [
      name,
      { shape, data: new Float32Array(sizeOf(shape)) },
    ];
    const refuses = async (tensors: [string, TensorToWrite][], part: string) => {
      await writeSafetensors(`${folder}/x.safetensors`, new Map(tensors));
      const error = await assertRejects(
        () => openModelFolder(`${folder}/x.safetensors`),
        FileError,
      );
      assertStringIncludes(error.message, `${folder}/x.safetensors: `);
      assertStringIncludes(error.message, part);
    };
    await refuses([one("mid.weight")], "is no model: it holds no UNet");
    const start = one("model.diffusion_model.input_blocks.0.0.weight", [8, 4, 3, 3]);
    await refuses([start], `lacks what diffusers calls "mid_block.attentions.0.proj_in.weight"`);
    await refuses(
      [start, one("cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight", [4, 2])],
      "are no three matrices",
    );
  });
});
