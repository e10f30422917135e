/** Published models at full size: every parameter's name and shape are those of diffusers and transformers. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { main } from "../cli/main.ts";
import { FileError } from "../files/errors.ts";
import { architectureNamed, architectureNames } from "../models/architectures.ts";
import { clipTextConfig } from "../models/clip/text.ts";
import { clipConfig } from "../models/clip/vision.ts";
import type { ParameterSpecs } from "../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../models/specs.ts";
import { unetConfig } from "../models/unet/unet.ts";
import { vaeConfig } from "../models/vae/vae.ts";
import { vitConfig } from "../models/vit.ts";
import { sizeOf } from "../tensor/shape.ts";

/** What `golden/architectures.py` found out about a component. */
interface Summary {
  config: Record<string, unknown>;
  tensors: number;
  parameters: number;
  sha256: string;
}

const golden: Record<string, Record<string, Summary>> = JSON.parse(
  await Deno.readTextFile(new URL("./golden/architectures.json", import.meta.url)),
);

const READERS: Record<string, (config: unknown, file?: string) => ModelConfig> = {
  unet: unetConfig,
  vae: vaeConfig,
  text_encoder: clipTextConfig,
  text_encoder_2: clipTextConfig,
  clip: clipConfig,
  dino: vitConfig,
};

async function summary(specs: ParameterSpecs): Promise<Omit<Summary, "config">> {
  const lines = [...specs].map(([name, { shape }]) => `${name} ${shape.join("x")}\n`).sort();
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(lines.join("")));
  return {
    tensors: specs.size,
    parameters: [...specs.values()].reduce((n, { shape }) => n + sizeOf(shape), 0),
    sha256: new Uint8Array(hash).toHex(),
  };
}

for (const [name, parts] of Object.entries(golden)) {
  Deno.test(`${name}: parameters have the names and shapes that PyTorch gives them`, async () => {
    for (const [part, { config, ...expected }] of Object.entries(parts)) {
      const read = READERS[part](config);
      assertEquals(await summary(parameterSpecs(read)), expected, `${name}, ${part}`);
    }
  });
}

Deno.test("architectures by name are what their folders' configs say", () => {
  assertEquals([...architectureNames].sort(), Object.keys(golden).sort());
  for (const [name, parts] of Object.entries(golden)) {
    const read = Object.entries(parts).map(([part, { config }]) => [part, READERS[part](config)]);
    assertEquals(architectureNamed(name), Object.fromEntries(read), name);
  }
  assertEquals(architectureNamed("toString"), undefined);
});

Deno.test("keys and values of cross-attention: 32 matrices in Stable Diffusion 1 and 2, 140 in XL", () => {
  const kv = (name: string) => {
    const specs = [...parameterSpecs(architectureNamed(name)!.unet)]
      .filter(([path]) => /attn2\.to_[kv]\.weight$/.test(path));
    return [specs.length, specs.reduce((n, [, { shape }]) => n + sizeOf(shape), 0)];
  };
  assertEquals(kv("sd15"), [32, 19_169_280]);
  assertEquals(kv("sd21"), [32, 25_559_040]);
  assertEquals(kv("sdxl"), [140, 340_787_200]);
});

Deno.test("what a published config could ask for and nothing here computes is refused by its name", () => {
  const refused: [model: string, part: string, change: Record<string, unknown>][] = [
    ["sdxl", "unet", { addition_embed_type: "image" }],
    ["sdxl", "unet", { addition_time_embed_dim: 999 }],
    ["sdxl", "unet", { projection_class_embeddings_input_dim: 1536 }],
    ["sdxl", "unet", { addition_embed_type: null }],
    ["sdxl", "unet", { transformer_layers_per_block: [[1, 2], 2, 10] }],
    ["sdxl", "unet", { time_cond_proj_dim: 256 }],
    ["sd21", "unet", { class_embed_type: "projection" }],
    ["sd21", "unet", { attention_head_dim: [5, 10, 20] }],
    ["sd21", "unet", { dual_cross_attention: true }],
    ["sd21", "text_encoder", { hidden_act: "gelu_new" }],
    ["sd21", "text_encoder", { model_type: "t5" }],
    ["sdxl", "vae", { latents_mean: [0, 0, 0, 0] }],
    ["clip-vit-h-14", "clip", { model_type: "siglip" }],
    ["dino-vits16", "dino", { model_type: "dinov2" }],
    ["dino-vits16", "dino", { qkv_bias: false }],
    ["dino-vits16", "dino", { hidden_act: "relu" }],
    ["dino-vits16", "dino", { patch_size: 15 }],
  ];
  for (const [model, part, change] of refused) {
    const config = { ...golden[model][part].config, ...change };
    const file = `m/${part}/config.json`;
    const error = assertThrows(() => READERS[part](config, file), FileError);
    assert(error.message.includes(file), error.message);
    const field = change.addition_embed_type === null
      ? "addition_time_embed_dim"
      : Object.keys(change)[0];
    assert(error.message.includes(field), error.message);
  }
});

Deno.test("the commands of docs/models.md run as they stand, and its numbers are right", async () => {
  const text = await Deno.readTextFile(new URL("../docs/models.md", import.meta.url));
  const commands = [...text.matchAll(/^moongate (inspect --architecture .+)$/gm)].map(([, line]) =>
    line.split(" ")
  );
  assertEquals(commands.length, 3);
  for (const args of commands) {
    const out: string[] = [];
    assertEquals(await main(args, { out: (l) => out.push(l), err: () => {} }), 0, args.join(" "));
    assert(out.join("\n").includes("weight"));
  }
  for (const [name, parts] of Object.entries(golden)) {
    const row = text.split("\n").find((line) =>
      line.startsWith("|") && line.includes(`\`${name}\``)
    );
    assert(row, `${name} is in the table`);
    for (const [part, { parameters }] of Object.entries(parts)) {
      const number = parameters.toLocaleString("en");
      assert((part === "vae" ? text : row).includes(number), `${name}, ${part}: ${number}`);
    }
  }
});
