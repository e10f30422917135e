// Adapter files that are not understood, or contradict themselves, are refused by the name of what is wrong in them.
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { FactoredChange } from "../concepts/deltas/delta.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { FileError } from "../files/errors.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";
import { inFolder } from "./formats_golden.ts";

const tensor = (...shape: number[]): TensorToWrite => {
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(i + size)) };
};

type Tensors = Record<string, TensorToWrite>;

const TO_K = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k";
const KOHYA = `lora_unet_${TO_K.replaceAll(".", "_")}`;
const PEFT = `unet.${TO_K}`;

/** A layer's adapter, in PEFT's spelling. */
const peft: Tensors = {
  [`${PEFT}.lora_A.weight`]: tensor(2, 8),
  [`${PEFT}.lora_B.weight`]: tensor(8, 2),
};
const kohya: Tensors = {
  [`${KOHYA}.lora_down.weight`]: tensor(2, 8),
  [`${KOHYA}.lora_up.weight`]: tensor(8, 2),
};
/** A factor of numbers that are as large as f32 has them, nearly. */
const huge = (part: "up" | "down"): Tensors => ({
  [`${KOHYA}.lora_${part}.weight`]: {
    shape: part === "up" ? [8, 2] : [2, 8],
    data: new Float32Array(16).fill(2e38),
  },
});
const settings = (values: unknown) => ({ lora_adapter_metadata: JSON.stringify(values) });
const without = (tensors: Tensors, key: string): Tensors =>
  Object.fromEntries(Object.entries(tensors).filter(([name]) => !name.includes(key)));

const REFUSED: [
  why: string,
  tensors: Tensors,
  message: RegExp,
  metadata?: Record<string, string>,
][] = [
  [
    "an adapter of another kind of model",
    { "transformer.x.attn.to_q.lora_A.weight": tensor(2, 8), ...peft },
    /changes "transformer\.x\.attn\.to_q\.lora_A\.weight", which is in no UNet.*another kind/,
  ],
  ["a third text encoder", { "lora_te3_encoder_block_0_x.lora_down.weight": tensor(2, 8) }, /te3_/],
  ["OFT", { [`${KOHYA}.oft_blocks`]: tensor(2, 4, 4) }, /oft_blocks".*no adapter of a kind/],
  ["GLoRA", { [`${KOHYA}.a1.weight`]: tensor(2, 8), ...kohya }, /a1\.weight"/],
  ["IA3", { [`${KOHYA}.weight`]: tensor(8), [`${KOHYA}.on_input`]: tensor() }, /on_input"/],
  [
    "a key that nobody knows",
    { ...peft, [`${PEFT}.lora_C.weight`]: tensor(1) },
    /lora_C\.weight", which no UNet and/,
  ],
  ["a stray tensor", { ...kohya, "optimizer.state": tensor(1) }, /holds "optimizer\.state"/],
  ["half an adapter", without(peft, "lora_B"), /lora_A\.weight" without up/],
  ["the other half", without(kohya, "lora_down"), /lora_up\.weight" without down/],
  [
    "a core without the rest",
    { ...without(kohya, "lora_down"), [`${KOHYA}.lora_mid.weight`]: tensor(2, 2, 3, 3) },
    /without down/,
  ],
  [
    "ranks that differ",
    { ...peft, [`${PEFT}.lora_B.weight`]: tensor(8, 3) },
    /\[8,3\] and \[2,8\], which can't be multiplied/,
  ],
  [
    "a core that does not fit",
    { ...kohya, [`${KOHYA}.lora_mid.weight`]: tensor(3, 2, 3, 3) },
    /lora_mid\.weight" belongs to tensors of \[8,2\] and \[3,2,3,3\] and \[2,8\]/,
  ],
  [
    "LoHa without a part",
    { [`${KOHYA}.hada_w1_a`]: tensor(8, 2), [`${KOHYA}.hada_w1_b`]: tensor(2, 8) },
    /without hada_w2_a/,
  ],
  [
    "LoHa of two sizes",
    {
      ...{ [`${KOHYA}.hada_w1_a`]: tensor(8, 2), [`${KOHYA}.hada_w1_b`]: tensor(2, 8) },
      ...{ [`${KOHYA}.hada_w2_a`]: tensor(8, 2), [`${KOHYA}.hada_w2_b`]: tensor(2, 9) },
    },
    /\[8,2\] and \[2,9\], which don't fit/,
  ],
  [
    "LoKr twice over",
    {
      ...{ [`${KOHYA}.lokr_w1`]: tensor(2, 2), [`${KOHYA}.lokr_w1_a`]: tensor(2, 2) },
      ...{ [`${KOHYA}.lokr_w2`]: tensor(4, 4) },
    },
    /holds both "[^"]*lokr_w1" and "[^"]*lokr_w1_a"/,
  ],
  ["LoKr by half", { [`${KOHYA}.lokr_w2`]: tensor(4, 4) }, /without lokr_w1_a/],
  [
    "two ways to change a weight",
    { ...kohya, [`${KOHYA}.diff`]: tensor(8, 8) },
    /changes the same weight by "[^"]*diff", "[^"]*lora_down\.weight"/,
  ],
  [
    "two ways to change a bias",
    { [`${KOHYA}.diff_b`]: tensor(8), [`${PEFT}.bias`]: tensor(8) },
    /changes the same weight by/,
  ],
  [
    "two adapters of one layer",
    { ...peft, [`base_model.model.${TO_K}.lora_A.weight`]: tensor(2, 9) },
    /holds both "base_model[^"]*" and "unet\.[^"]*", which are of the same layer and differ/,
  ],
  [
    "two adapters in one file",
    {
      ...{
        [`${PEFT}.lora_A.one.weight`]: tensor(2, 8),
        [`${PEFT}.lora_B.one.weight`]: tensor(8, 2),
      },
      [`${PEFT}.lora_A.two.weight`]: tensor(3, 8),
    },
    /holds both/,
  ],
  ["alpha that is no number", {
    ...kohya,
    [`${KOHYA}.alpha`]: { shape: [], data: Float32Array.of(NaN) },
  }, /alpha" holds NaN/],
  [
    "an alpha of infinity in the settings",
    peft,
    /says lora_alpha Infinity/,
    { lora_adapter_metadata: '{"unet.lora_alpha":1e999,"unet.r":2}' },
  ],
  [
    "an alpha that takes factors out of f32",
    { ...kohya, [`${KOHYA}.alpha`]: { shape: [], data: Float32Array.of(1e38) }, ...huge("up") },
    /changes "unet\.[^"]*" by NaN, infinity, or more than/,
  ],
  [
    "factors whose product is more than an f32",
    { ...kohya, ...huge("up"), ...huge("down") },
    /or more/,
  ],
  [
    "a pattern's alpha of infinity",
    peft,
    /alpha_pattern of "to_k"/,
    { lora_adapter_metadata: '{"unet.lora_alpha":1,"unet.alpha_pattern":{"to_k":1e999}}' },
  ],
  [
    "LoKr out of f32",
    {
      [`${KOHYA}.lokr_w1`]: { shape: [2, 2], data: new Float32Array(4).fill(1e30) },
      [`${KOHYA}.lokr_w2`]: { shape: [4, 4], data: new Float32Array(16).fill(1e30) },
    },
    /or more than/,
  ],
  ["several alphas", { ...kohya, [`${KOHYA}.alpha`]: tensor(2) }, /alpha" holds 2 numbers/],
  [
    "lengths of nothing",
    { [`${KOHYA}.dora_scale`]: tensor(8, 1) },
    /lengths of "unet\.mid.*no change/,
  ],
  [
    "lengths of another layer",
    { ...kohya, [`${KOHYA}.dora_scale`]: tensor(7, 1) },
    /dora_scale" holds 7 lengths for a layer of \[8,8\]/,
  ],
  [
    "DoRA without lengths",
    peft,
    /says that it is a DoRA, and holds no lengths/,
    settings({ "unet.use_dora": true }),
  ],
  [
    "a change of other weights than the model's",
    peft,
    /init_lora_weights "pissa_niter_4"/,
    settings({ "unet.init_lora_weights": "pissa_niter_4" }),
  ],
  ["another kind of PEFT's", peft, /says use_qalora/, settings({ "unet.use_qalora": true })],
  ["alpha in words", peft, /says lora_alpha "much"/, settings({ "unet.lora_alpha": "much" })],
  [
    "a pattern's alpha in words",
    peft,
    /alpha_pattern of "to_k" is "much"/,
    settings({ "unet.lora_alpha": 1, "unet.alpha_pattern": { to_k: "much" } }),
  ],
  [
    "a pattern that could take for ever",
    peft,
    /has the pattern "\(a\+\)\+", which is not understood/,
    settings({ "unet.lora_alpha": 1, "unet.alpha_pattern": { "(a+)+": 1 } }),
  ],
  ["settings that are none", peft, /its header field lora_adapter_metadata is not valid JSON/, {
    lora_adapter_metadata: "{",
  }],
  [
    "a layer that could be in several places",
    { "lora_unet_input_blocks_7_1_proj_in.lora_down.weight": tensor(2, 8) },
    /input_blocks_7_1_proj_in.*too few others to tell.*--model/,
  ],
  [
    "a layer that no UNet has",
    {
      "lora_unet_middle_block_1_proj_in.lora_down.weight": tensor(2, 8),
      "lora_unet_middle_block_7_x.lora_down.weight": tensor(1, 1),
    },
    /middle_block_7_x[^"]*", which no UNet and/,
  ],
  [
    "words of several vectors",
    { ...kohya, "bundle_emb.cat.string_to_param.*": tensor(3, 8) },
    /holds 3 vectors for <cat>/,
  ],
  [
    "words for one of two encoders",
    { ...kohya, "bundle_emb.cat.clip_g": tensor(1, 8) },
    /holds <cat> for one of two text encoders only/,
  ],
  [
    "a convolution of one dimension",
    { ...peft, [`${PEFT}.lora_A.weight`]: tensor(2, 8, 3) },
    /\[2,8,3\], which can't/,
  ],
];

for (const [why, tensors, message, metadata] of REFUSED) {
  Deno.test(`refused by name: ${why}`, async () => {
    await inFolder(async (folder) => {
      const path = `${folder}/x.safetensors`;
      await writeSafetensors(path, new Map(Object.entries(tensors)), metadata);
      const { message: said } = await assertRejects(() => loadDelta(path), FileError);
      assertMatch(said, message);
    });
  });
}

Deno.test("what is refused for one reason above is read without it", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    for (
      const [tensors, metadata] of [[peft], [kohya], [
        peft,
        settings({ "unet.lora_alpha": 1 }),
      ]] as const
    ) {
      await writeSafetensors(path, new Map(Object.entries(tensors)), metadata);
      const { weights, notes } = await loadDelta(path);
      assertEquals([[...weights.keys()], notes], [[`${PEFT}.weight`], {}]);
    }
    // Settings beside are refused by their own name.
    await Deno.writeTextFile(
      `${folder}/adapter_config.json`,
      JSON.stringify({ layer_replication: [[0, 4]] }),
    );
    await writeSafetensors(path, new Map(Object.entries(peft)));
    const { message } = await assertRejects(() => loadDelta(path), FileError);
    assertMatch(message, /adapter_config\.json: says layer_replication/);
  });
});

Deno.test("an alpha is one number, of whatever element type: whole ones, too", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    const types = [Int32Array, Uint8Array, Float32Array, Float64Array, Float16Array];
    const arrays = [...types.map((type) => type.of(8)), BigInt64Array.of(8n)];
    for (const data of arrays) {
      for (const shape of [[], [1]]) {
        const alpha = { [`${KOHYA}.alpha`]: { shape, data } };
        await writeSafetensors(path, new Map(Object.entries({ ...kohya, ...alpha })));
        const { weights } = await loadDelta(path);
        const { u } = weights.get(`${PEFT}.weight`) as FactoredChange;
        const up = kohya[`${KOHYA}.lora_up.weight`].data as Float32Array;
        assertEquals(u, up.map((x) => 4 * x));
      }
    }
  });
});
