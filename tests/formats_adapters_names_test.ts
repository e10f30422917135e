// Names in adapter files: every layer of Stable Diffusion by all that tools call it, and files that strangers sent.
import { assert, assertEquals } from "@std/assert";
import { main } from "../cli/main.ts";
import {
  type AdapterKey,
  parseKey,
  partOf,
  placeLayers,
} from "../concepts/deltas/formats/adapters/keys.ts";
import { layersOfCompVis } from "../concepts/deltas/formats/compvis_names.ts";
import { clipTextConfig, clipTextSpecs } from "../models/clip/text.ts";
import { unetConfig, unetSpecs } from "../models/unet/unet.ts";
import full from "./golden/single_file/full.json" with { type: "json" };
import small from "./golden/single_file/names.json" with { type: "json" };

const flat = (name: string): string => name.replaceAll(".", "_");
const layersIn = (names: Iterable<string>): string[] =>
  [...names].filter((n) => n.endsWith(".weight")).map((n) => n.slice(0, -".weight".length)).sort();

/** Layers of keys, or the keys that have no place. */
function placed(keys: string[], layers?: number): string[] {
  const parsed = keys.map((key) => parseKey(key) ?? key);
  const lost = parsed.find((key) => typeof key === "string");
  assertEquals(lost, undefined);
  const { placed, open, nowhere } = placeLayers(parsed as AdapterKey[], layers);
  assertEquals([open, nowhere], [[], []]);
  return placed.map(({ layer }) => layer).sort();
}

Deno.test("every layer of a UNet is found by its names in diffusers and in CompVis, with dots and with underscores", () => {
  const families = [
    [full.sd1, { cross_attention_dim: 768 }],
    [full.sd2, { cross_attention_dim: 1024 }],
    [small.sd1, {}],
    [small.sdxl, {}],
  ] as const;
  for (const [{ tensors, configs }, more] of families) {
    const wanted = layersIn(unetSpecs(unetConfig({ ...configs.unet, ...more })).keys());
    const compvis = layersIn(
      Object.keys(tensors).filter((n) => n.startsWith("model.diffusion_model."))
        .map((n) => n.slice("model.diffusion_model.".length)),
    );
    assertEquals(compvis.length, wanted.length);
    for (
      const part of ["lora_down.weight", "lora_A.default.weight", "alpha", "hada_w1_a", "diff"]
    ) {
      for (const start of ["lora_unet_", "lycoris_"]) {
        assertEquals(placed(compvis.map((n) => `${start}${flat(n)}.${part}`)), wanted);
        assertEquals(placed(wanted.map((n) => `${start}${flat(n)}.${part}`)), wanted);
      }
      for (
        const start of ["diffusion_model.", "model.diffusion_model.", "lora_unet.", "unet.", ""]
      ) {
        assertEquals(placed(compvis.map((n) => `${start}${n}.${part}`)), wanted);
      }
      for (const start of ["unet.", "", "base_model.model.", "base_model.model.unet."]) {
        assertEquals(placed(wanted.map((n) => `${start}${n}.${part}`)), wanted);
      }
    }
    const attention = wanted.filter((n) => /\.to_\w+(\.0)?$/.test(n));
    const old = attention.map((n) =>
      n.replace(/\.to_(\w+)(\.0)?$/, ".processor.to_$1_lora.down.weight")
    );
    assertEquals(placed(old), attention);
    assertEquals(placed(old.map((n) => `unet.${n}`)), attention);
  }
});

Deno.test("every layer of a text encoder is found, by one name or another, for one and for two", () => {
  const config = clipTextConfig({
    ...full.sd1.configs.text_encoder,
    model_type: "clip_text_model",
  });
  const wanted = layersIn(clipTextSpecs(config).keys());
  assert(wanted.includes("text_model.encoder.layers.11.self_attn.q_proj"));
  const short = wanted.map((n) => n.replace(/^text_model\./, ""));
  for (
    const [start, component, names] of [
      ["lora_te_", "text_encoder", wanted.map(flat)],
      ["lora_te1_", "text_encoder", wanted.map(flat)],
      ["lora_te2_", "text_encoder_2", wanted.map(flat)],
      ["lora_te2.", "text_encoder_2", wanted],
      ["text_encoder.", "text_encoder", wanted],
      ["text_encoder_2.", "text_encoder_2", short],
      ["text_encoders.clip_l.transformer.", "text_encoder", wanted],
      ["text_encoders.clip_h.transformer.", "text_encoder", wanted],
      ["text_encoders.clip_g.transformer.", "text_encoder_2", wanted],
      ["base_model.model.", "text_encoder", wanted],
      ["base_model.model.", "text_encoder", short],
    ] as const
  ) {
    const keys = names.map((n) => `${start}${n}.lora_up.weight`);
    assertEquals(placed(keys), wanted, start);
    assert(keys.every((key) => parseKey(key)!.component === component), start);
  }
  const old = "text_encoder.text_model.encoder.layers.3.self_attn.to_out_lora.up.weight";
  assertEquals(placed([old]), ["text_model.encoder.layers.3.self_attn.out_proj"]);
});

Deno.test("few names do not tell the layers by chance: the model must", () => {
  const at = (...blocks: string[]) =>
    blocks.map((b) => `${b}.1.transformer_blocks.0.attn2.to_k.weight`);
  assertEquals(layersOfCompVis(at("input_blocks.1")), undefined);
  assertEquals(layersOfCompVis(at("input_blocks.7", "output_blocks.3")), undefined);
  assertEquals(layersOfCompVis(at("output_blocks.3")), undefined);
  // No other number of layers leaves all of these a place.
  assertEquals(
    layersOfCompVis(at("input_blocks.4", "input_blocks.5", "input_blocks.7", "input_blocks.8")),
    2,
  );
  assertEquals(layersOfCompVis(["input_blocks.2.0.op.weight", "input_blocks.4.0.op.weight"]), 1);
  const key = parseKey("lora_unet_input_blocks_7_1_proj_in.lora_up.weight")!;
  assertEquals(placeLayers([key]).open, [key]);
  assertEquals(placeLayers([key], 2).placed[0].layer, "down_blocks.2.attentions.0.proj_in");
  assertEquals(placeLayers([key], 1).placed[0].layer, "down_blocks.3.attentions.0.proj_in");
  const lost = { ...key, layer: "input_blocks.2.1.proj_in" };
  assertEquals(placeLayers([lost], 1).nowhere, [lost]);
});

Deno.test("what no adapter that is read has is no part of one", () => {
  for (
    const end of ["a1.weight", "oft_blocks", "oft_R.default.weight", "on_input", "lora_embedding_A"]
  ) {
    assertEquals(parseKey(`lora_unet_mid_block_attentions_0_proj_in.${end}`), undefined, end);
  }
  for (
    const key of [
      "lora_unet_mid_block_attentions_0_proj_in.weight",
      "transformer.blocks.0.attn.to_q.lora_A.weight",
      "lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_up.weight",
      "unet.nothing.lora_A.weight",
      "text_encoder.mid_block.x.lora_A.weight",
      "lora_A.weight",
      "",
    ]
  ) assertEquals(parseKey(key), undefined, key);
  assertEquals(partOf("x.lora_B.bias")?.part, "upBias");
});

/** Files of strangers for a small model, of which `base` has what they change; and ‖ΔW‖ of all that. */
const CASES: [file: string, weights: number, change: number][] = [
  ["by_diffusers", 1, 15.2374],
  ["by_diffusers_dora", 1, 8.6445],
  ["kohya_dora", 1, 17.8151],
  ["pytorch_lora_weights", 1, 1.5283],
  ["v024", 1, 1.5283],
  ["mixed", 1, 1.5283],
  ["kohya_unet_only", 2, 1.7934],
  ["sdxl_kohya", 1, 1.5283],
];

for (const [file, weights, change] of CASES) {
  Deno.test(`inspect ${file}: all of it is read, and as strong as it says`, async () => {
    const path = new URL(`./golden/cases/${file}.safetensors`, import.meta.url).pathname;
    const model = new URL("./golden/cases/base", import.meta.url).pathname, out: string[] = [];
    const code = await main(["inspect", path, "--model", model, "--json"], {
      out: (line) => out.push(line),
      err: (line) => out.push(line),
    });
    assertEquals(code, 0, out.join("\n"));
    const facts = JSON.parse(out.join("\n"));
    assertEquals([facts.weights.length, facts.notes], [weights, {}]);
    assert(Math.abs(facts.change / change - 1) < 1e-4, String(facts.change));
  });
}
