// Which model a single file is of, told by names and shapes alone; and other models, refused by what they are.
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { inspectModel } from "../cli/shared/model.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { componentsOf } from "../files/models/compvis_components.ts";
import { textConfigOf } from "../files/models/compvis_config.ts";
import { FileError } from "../files/errors.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";
import { openWeights } from "../files/models/weights.ts";
import { sizeOf } from "../tensor/shape.ts";
import { inFolder } from "./formats_golden.ts";
import full from "./golden/single_file/full.json" with { type: "json" };
import golden from "./golden/single_file/names.json" with { type: "json" };
import { layTokenizer, type Parameters, sketch } from "./models_sketch.ts";
import { testDevice } from "./support/check.ts";

const GOLDEN = new URL("./golden/single_file", import.meta.url).pathname;

/** Tensors with other names, and without those that get none. */
const renamed = (tensors: object, name: (old: string) => string | undefined) =>
  Object.fromEntries(
    Object.entries(tensors as Record<string, number[]>).flatMap(([old, shape]) => {
      const found = name(old);
      return found === undefined ? [] : [[found, shape]];
    }),
  );

Deno.test("Stable Diffusion 2 without OpenCLIP's last layer loses none; how many there are tells, of any size", () => {
  for (const [tensors, last] of [[golden.sd2.tensors, 2], [full.sd2.tensors, 23]] as const) {
    const cut = renamed(tensors, (n) => n.includes(`resblocks.${last}.`) ? undefined : n);
    assertEquals(Object.keys(tensors).length - Object.keys(cut).length, 12);
    const [whole, other] = [tensors as unknown as Record<string, number[]>, cut]
      .map((of) => componentsOf(sketch(of)).components.get("text_encoder")!);
    assertEquals([...other.keys()].sort(), [...whole.keys()].sort());
    const { num_hidden_layers: layers } = textConfigOf("x", other, true);
    assertEquals(layers, last);
  }
});

Deno.test("a single file's family is told by shapes, whatever its text encoder's parameters are called", () => {
  const named = (family: "sd2" | "sdxl", prefix: string) => {
    const { tensors, components } = golden[family];
    const component = family === "sd2" ? "text_encoder" : "text_encoder_2";
    const at = family === "sd2" ? "cond_stage_model." : "conditioner.embedders.1.";
    const held = (components as unknown as Record<string, Parameters>)[component];
    const texts = Object.entries(held).map(([name, [, shape]]) => [`${at}${prefix}${name}`, shape]);
    return {
      ...renamed(tensors, (n) => n.startsWith(at) ? undefined : n),
      ...Object.fromEntries(texts),
    };
  };
  for (const [family, told] of [["sd2", "2"], ["sdxl", "xl"]] as const) {
    const component = family === "sd2" ? "text_encoder" : "text_encoder_2";
    const published = golden[family].tensors as unknown as Record<string, number[]>;
    const whole = componentsOf(sketch(published));
    assertEquals(whole.family, told);
    for (const prefix of ["transformer.", "model.", "", "model.transformer."]) {
      const found = componentsOf(sketch(named(family, prefix)));
      assertEquals(found.family, told, prefix);
      const [one, other] = [found, whole].map((of) =>
        [...of.components.get(component)!].map(([name, { shape }]) => `${name} ${shape}`).sort()
      );
      assertEquals(one, other, prefix);
    }
  }
  assertEquals(componentsOf(sketch(golden.sd1.tensors as never)).family, "1");
  assertEquals(componentsOf(sketch(full.sd1.tensors as never)).family, "1");
  assertEquals(componentsOf(sketch(full.sd2.tensors as never)).family, "2");
});

Deno.test("a UNet that is told more than a prompt is refused by name before anything is planned", async () => {
  await inFolder(async (folder) => {
    await layTokenizer(folder);
    using checkpoint = await openWeights(`${GOLDEN}/sd1.ckpt`);
    const copied = new Map<string, TensorToWrite>();
    for (const name of checkpoint.tensors.keys()) copied.set(name, await checkpoint.read(name));
    const path = `${folder}/model.safetensors`;
    const conv = "model.diffusion_model.input_blocks.0.0.weight";
    for (
      const [channels, what] of [
        [9, "an inpainting model"],
        [8, "InstructPix2Pix"],
        [5, "a depth model"],
        [7, "an upscaler"],
        [6, "its autoencoder has 4"],
      ] as const
    ) {
      const shape = [32, channels, 3, 3];
      const data = new Float32Array(sizeOf(shape));
      await writeSafetensors(path, new Map([...copied, [conv, { shape, data }]]));
      const device = await testDevice();
      for (const open of [() => inspectModel(path), () => loadPipeline(device, path)]) {
        const error = await assertRejects(open, FileError, `takes ${channels} channels`);
        assertStringIncludes(error.message, what);
      }
    }
    // What is missing or misshapen is told at once, too, and not when it is its turn to be loaded.
    const lost = "first_stage_model.decoder.mid.block_1.conv1.weight";
    await writeSafetensors(path, new Map([...copied].filter(([name]) => name !== lost)));
    await assertRejects(() => inspectModel(path), FileError, "lacks decoder.mid_block.resnets.0");
  });
});

Deno.test("files of other models are refused by what they are", () => {
  const start = { "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3] };
  const kinds: [Record<string, number[]>, string][] = [
    [
      { "model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight": [2] },
      "a Stable Diffusion 3",
    ],
    [{ "double_blocks.0.img_attn.qkv.weight": [2, 2] }, "a FLUX model"],
    [{ ...start, "conditioner.embedders.0.model.ln_final.weight": [2] }, "the refiner of"],
    [{ ...start, "noise_augmentor.data_mean": [2] }, "an unCLIP model"],
    [{ ...start, "depth_model.model.pretrained.cls_token": [2] }, "a depth model"],
    [{ ...start, "low_scale_model.betas": [2] }, "an upscaler"],
    [{ ...start, "model.diffusion_model.time_embed.cond_proj.weight": [2] }, "latent consistency"],
    [
      { ...start, "model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.bias": [2] },
      "films",
    ],
    [{ "control_model.input_blocks.0.0.weight": [2] }, "a ControlNet"],
    [{ "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": [2] }, "give it as --delta"],
    [{ "down_blocks.0.resnets.0.conv1.weight": [2] }, "a UNet alone"],
    [{ "decoder.conv_in.weight": [2] }, "an autoencoder alone"],
    [{ "text_model.encoder.layers.0.mlp.fc1.bias": [2] }, "a text encoder alone"],
  ];
  for (const [tensors, what] of kinds) {
    const error = assertThrows(() => componentsOf(sketch(tensors)), FileError);
    assertStringIncludes(error.message, what);
  }
});
