// Deltas in every format of the ecosystem: what its own tools wrote (golden/deltas.py) is read, and ours comes back the same.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { main } from "../cli/main.ts";
import { changeNorm, formOf, trainedWeight, weightChange } from "../concepts/changes.ts";
import type { Delta, DeltaWeight } from "../concepts/delta.ts";
import { openBase } from "../concepts/formats/base.ts";
import {
  fromCompVis,
  layersOf,
  layersOfCompVis,
  toCompVis,
} from "../concepts/formats/compvis_names.ts";
import type { DeltaFormatName } from "../concepts/formats/format.ts";
import { loadDelta, openDelta } from "../concepts/formats/load.ts";
import { fromUnderscores } from "../concepts/formats/names.ts";
import { saveDelta, saveDeltaAs } from "../concepts/formats/save.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors.ts";
import { unetConfig, unetSpecs } from "../models/unet.ts";
import { relativeError, uniform } from "./support/check.ts";

const GOLDEN = new URL("./golden/deltas", import.meta.url).pathname;
const MODEL = `${GOLDEN}/model`;
const TOKENS = ["<new1>", "<new2>"];

/** What PyTorch wrote the files from. */
async function expectation() {
  using source = await openSafetensors(`${GOLDEN}/expected.safetensors`);
  const all = new Map<string, Float32Array>();
  for (const name of source.tensors.keys()) all.set(name, await source.readFloat32(name));
  return {
    names: [...all.keys()].filter((name) => name.endsWith(".weight")),
    get: (name: string) => all.get(name)!,
  };
}
const expected = await expectation();

/** Runs in a temporary folder. */
async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Puts a golden file where its tool would have it, with the tokens beside it. */
async function placed(folder: string, file: string, as: string, tokens: "bin" | "safetensors") {
  await Deno.copyFile(`${GOLDEN}/${file}`, `${folder}/${as}`);
  for (const i of [1, 2]) {
    await Deno.copyFile(`${GOLDEN}/new${i}.${tokens}`, `${folder}/<new${i}>.${tokens}`);
  }
}

/** Every golden file: its format, the form of its changes, how far they may be from those that it was made from. */
const FILES: [
  file: string,
  format: DeltaFormatName,
  form: string,
  tokens: number,
  error: number,
][] = [
  ["compvis.ckpt", "compvis", "weight", 2, 0],
  ["compvis_flat.ckpt", "compvis", "weight", 2, 0],
  ["compvis_bare.ckpt", "compvis", "weight", 0, 0],
  ["compvis_compressed.ckpt", "compvis", "factors", 2, 1e-3],
  ["adobe.bin", "adobe", "weight", 2, 0],
  ["adobe_bf16.bin", "adobe", "weight", 0, 2e-2],
  ["adobe_compressed.bin", "adobe", "factors", 2, 1e-3],
  ["custom.bin", "diffusers-custom", "weight", 2, 0],
  ["custom.safetensors", "diffusers-custom", "weight", 2, 0],
  ["plain.safetensors", "diffusers", "weight", 2, 0],
  ["a1111.safetensors", "a1111", "change", 2, 1e-6],
  ["a1111_factors.safetensors", "a1111", "factors", 2, 1e-3],
];

for (const [file, format, form, tokens, error] of FILES) {
  Deno.test(`${file}, as PyTorch wrote it, is recognised as ${format} and read`, async () => {
    const loaded = await openDelta(`${GOLDEN}/${file}`), { delta } = loaded;
    assertEquals(loaded.format.name, format);
    assertEquals(delta.tokens.map((t) => t.token), TOKENS.slice(0, tokens));
    delta.embeddings.forEach((row, i) => assertEquals(row, expected.get(TOKENS[i])));
    assertEquals([...delta.weights.keys()].sort(), expected.names.map((n) => `unet.${n}`).sort());
    using base = await openBase(MODEL);
    base.check(file, delta);
    for (const [path, w] of delta.weights) {
      assertEquals(formOf(w), form, path);
      const W0 = await base.read(path), W = expected.get(path.slice("unet.".length));
      if (!error) assertEquals((w as { data: Float32Array }).data, W, path);
      const [found, wanted] = [w, { shape: w.shape, data: W }].map((x) =>
        weightChange(x, W0).change
      );
      assert(
        relativeError(found, wanted) <= error + 1e-9,
        `${path}: ${relativeError(found, wanted)}`,
      );
    }
  });
}

Deno.test("names do not matter: a file under any other is read the same", async () => {
  await inFolder(async (folder) => {
    for (const [file, format] of FILES) {
      await Deno.copyFile(`${GOLDEN}/${file}`, `${folder}/anything`);
      assertEquals((await openDelta(`${folder}/anything`)).format.name, format);
    }
  });
});

Deno.test("a folder as diffusers leaves it: the weights and a file for each token", async () => {
  for (const kind of ["bin", "safetensors"] as const) {
    await inFolder(async (folder) => {
      await placed(folder, `custom.${kind}`, `pytorch_custom_diffusion_weights.${kind}`, kind);
      await Deno.writeTextFile(`${folder}/README.md`, "a log, pictures, whatever else");
      const delta = await loadDelta(folder);
      assertEquals(delta.tokens.map((t) => t.token), TOKENS);
      assertEquals(delta.embeddings.map((e) => [...e]), TOKENS.map((t) => [...expected.get(t)]));
      await Deno.copyFile(`${GOLDEN}/adobe.bin`, `${folder}/delta.bin`);
      await assertRejects(
        () => loadDelta(folder),
        FileError,
        "holds several deltas (delta.bin, pyt",
      );
    });
  }
});

Deno.test("embeddings of one token: diffusers' and AUTOMATIC1111's; two of one name are refused", async () => {
  for (
    const [file, token] of [["new2.bin", "<new2>"], ["new2.safetensors", "<new2>"], [
      "webui_embedding.pt",
      "<webui_embedding>",
    ]]
  ) {
    const { format, delta } = await openDelta(`${GOLDEN}/${file}`);
    assertEquals([format.name, delta.tokens[0].token, delta.weights.size], ["embedding", token, 0]);
    assertEquals(delta.embeddings[0], expected.get(token === "<new2>" ? token : "<new1>"));
  }
  await inFolder(async (folder) => {
    await placed(folder, "plain.safetensors", "x.safetensors", "safetensors");
    const delta = await loadDelta(`${GOLDEN}/new1.safetensors`);
    const other = { ...delta, embeddings: [delta.embeddings[0].map((x) => x + 1)] };
    await saveDeltaAs(`${folder}/other.safetensors`, other, "embedding");
    await assertRejects(
      () => loadDelta(`${folder}/x.safetensors`),
      FileError,
      "holds another <new1> than",
    );
  });
});

Deno.test("two text encoders: a token has an embedding for each", async () => {
  const delta = await loadDelta(`${GOLDEN}/adobe_two_encoders.bin`);
  assertEquals(delta.embeddings.map((e) => e.length), [12]);
  assertEquals(delta.embeddings2!.map((e) => [...e]), [Array(20).fill(2)]);
  await inFolder(async (folder) => {
    for (const to of ["adobe", "moongate", "diffusers"] as const) {
      const { paths } = await saveDeltaAs(`${folder}/${to}`, delta, to);
      const again = await loadDelta(paths[0]);
      assertEquals(
        [again.embeddings, again.embeddings2],
        [delta.embeddings, delta.embeddings2],
        to,
      );
    }
    await assertRejects(
      () => saveDeltaAs(`${folder}/no`, delta, "compvis"),
      FileError,
      "two text encoders",
    );
  });
});

Deno.test("damaged files of every format are refused in words, and nothing else happens", async () => {
  const draw = uniform(7);
  const any = (n: number) => Math.min(n - 1, Math.floor((draw() + 1) / 2 * n));
  await inFolder(async (folder) => {
    let refused = 0;
    for (const [file] of FILES) {
      const bytes = await Deno.readFile(`${GOLDEN}/${file}`);
      for (let i = 0; i < 60; i++) {
        const damaged = bytes.slice(0, i % 6 ? bytes.length : any(bytes.length));
        // Half of the damage goes where headers are.
        const reach = i % 2 ? damaged.length : Math.min(damaged.length, 2000);
        for (let k = 0; reach && k <= i % 3; k++) damaged[any(reach)] = any(256);
        await Deno.writeFile(`${folder}/x`, damaged);
        try {
          await loadDelta(`${folder}/x`);
        } catch (error) {
          if (!(error instanceof FileError)) throw error;
          assert(error.message.includes(`${folder}/x`), error.message);
          refused++;
        }
      }
    }
    assert(refused > 100, `${refused} refused`);
  });
});

/** What `to` holds of a delta, exactly: the forms that it has, with the model's help. */
const ROUND: [to: DeltaFormatName, out: string][] = [
  ["moongate", "delta"],
  ["compvis", "x.ckpt"],
  ["adobe", "delta.bin"],
  ["diffusers-custom", "custom"],
  ["diffusers-custom", "custom.bin"],
  ["diffusers", "plain"],
  ["diffusers", "plain.bin"],
  ["a1111", "x.delta.safetensors"],
  ["lora", "lora"],
  ["kohya", "kohya.safetensors"],
];

Deno.test("every format gives back what was written in it: tokens, embeddings, weights", async () => {
  using base = await openBase(MODEL);
  for (const source of ["compvis.ckpt", "adobe_compressed.bin", "a1111.safetensors"]) {
    const delta = await loadDelta(`${GOLDEN}/${source}`);
    for (const [to, out] of ROUND) {
      await inFolder(async (folder) => {
        const { paths, lost } = await saveDeltaAs(`${folder}/${out}`, delta, to, {
          base: base.read,
          rank: to === "lora" || to === "kohya" ? 12 : undefined,
        });
        assertEquals(lost, []);
        const again = await openDelta(out.includes(".") ? paths[0] : `${folder}/${out}`);
        assertEquals(again.format.name, to);
        assertEquals(again.delta.tokens.map((t) => t.token), TOKENS);
        assertEquals(again.delta.embeddings, delta.embeddings);
        assertEquals([...again.delta.weights.keys()].sort(), [...delta.weights.keys()].sort());
        for (const [path, w] of again.delta.weights) {
          const W0 = await base.read(path), before = delta.weights.get(path)!;
          if (formOf(w) === formOf(before)) assertEquals(w, before, `${source} ${to} ${path}`);
          const [a, b] = [w, before].map((x) => trainedWeight(x, W0).data);
          assert(relativeError(a, b) < 1e-6, `${source} ${to} ${path}: ${relativeError(a, b)}`);
        }
      });
    }
  }
});

Deno.test("our own format keeps everything that others have no place for, of every form", async () => {
  const weights = new Map<string, DeltaWeight>([
    ["unet.a.weight", { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
    ["unet.b.bias", { shape: [2], change: Float32Array.of(1, -0) }],
    ["unet.c.weight", {
      shape: [2, 3],
      rank: 1,
      u: Float32Array.of(1, 2),
      v: Float32Array.of(3, 4, 5),
    }],
    ["unet.d.weight", { shape: [2, 3], rank: 0, u: new Float32Array(), v: new Float32Array() }],
  ]);
  const delta: Delta = {
    base: "ab12",
    tokens: [{ token: "<new1>", className: "gate", initializer: "ktn" }],
    embeddings: [Float32Array.of(7)],
    weights,
    notes: { steps: 3, captions: ["a gate"] },
  };
  await inFolder(async (folder) => {
    await saveDelta(`${folder}/delta.safetensors`, delta);
    const again = await loadDelta(folder);
    assertEquals({ ...again, weights: undefined }, { ...delta, weights: undefined });
    assertEquals(new Map([...again.weights].sort()), weights);
    // Only what needs the newer version says that it is of it.
    const version = async () => {
      using source = await openSafetensors(`${folder}/delta.safetensors`);
      return source.metadata.version;
    };
    assertEquals(await version(), "2");
    const plain = new Map([...weights].slice(0, 1));
    await saveDelta(`${folder}/delta.safetensors`, { ...delta, weights: plain });
    assertEquals(await version(), "1");
  });
});

Deno.test("a lower rank keeps the largest part of the change; what a LoRA has no place for is said", async () => {
  using base = await openBase(MODEL);
  const read = await loadDelta(`${GOLDEN}/compvis.ckpt`);
  const bias = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.bias";
  const weights = new Map(read.weights).set(bias, { shape: [16], data: await base.read(bias) });
  await inFolder(async (folder) => {
    const save = (rank: number) =>
      saveDeltaAs(`${folder}/${rank}`, { ...read, weights }, "lora", { base: base.read, rank });
    assertEquals((await save(1)).lost, [bias]);
    assertEquals((await save(2)).lost, [bias]);
    const one = await loadDelta(`${folder}/1`), two = await loadDelta(`${folder}/2`);
    for (const [path, w] of two.weights) {
      assertEquals((w as { rank: number }).rank, 2);
      const whole = changeNorm(read.weights.get(path)!, await base.read(path))!;
      assert(Math.abs(changeNorm(w)! / whole - 1) < 1e-5, "the golden's changes have rank 2");
      assert(changeNorm(one.weights.get(path)!)! < changeNorm(w)!);
    }
  });
});

Deno.test("CompVis names follow from the layers per block, for every parameter of every transformer", () => {
  // Written out by hand from the layout of Stable Diffusion 1.x (two layers) and of a UNet with one.
  const known: [layers: number, diffusers: string, compvis: string][] = [
    [2, "down_blocks.0.attentions.0.norm.weight", "input_blocks.1.1.norm.weight"],
    [2, "down_blocks.1.attentions.1.x", "input_blocks.5.1.x"],
    [2, "down_blocks.2.attentions.1.x", "input_blocks.8.1.x"],
    [2, "mid_block.attentions.0.x", "middle_block.1.x"],
    [2, "up_blocks.1.attentions.0.x", "output_blocks.3.1.x"],
    [2, "up_blocks.3.attentions.2.x", "output_blocks.11.1.x"],
    [1, "down_blocks.1.attentions.0.x", "input_blocks.3.1.x"],
    [1, "up_blocks.1.attentions.1.x", "output_blocks.3.1.x"],
  ];
  for (const [layers, name, other] of known) {
    assertEquals([toCompVis(name, layers), fromCompVis(other, layers)], [other, name]);
  }
  assertEquals(toCompVis("down_blocks.0.resnets.0.conv1.weight", 2), undefined);
  assertEquals(fromCompVis("input_blocks.3.1.x", 2), undefined); // A downsampling has no transformer.
  for (const layers of [1, 2, 3]) {
    for (const attention of [[true, true, false], [false, true, true], [true, true, true]]) {
      const specs = unetSpecs(unetConfig({
        block_out_channels: [4, 8, 8],
        down_block_types: attention.map((a) => a ? "CrossAttnDownBlock2D" : "DownBlock2D"),
        up_block_types: attention.toReversed().map((a) => a ? "CrossAttnUpBlock2D" : "UpBlock2D"),
        layers_per_block: layers,
        norm_num_groups: 2,
        attention_head_dim: 2,
        cross_attention_dim: 4,
      }));
      const names = [...specs.keys()].filter((n) => /\.attn2\.to_[kv]\./.test(n));
      const others = names.map((n) => toCompVis(n, layers)!);
      assertEquals(new Set(others).size, names.length);
      assertEquals(others.map((n) => fromCompVis(n, layers)), names);
      assertEquals([layersOf(names), layersOfCompVis(others)], [layers, layers]);
      for (const name of names) assertEquals(fromUnderscores(name.replaceAll(".", "_")), name);
    }
  }
});

Deno.test("names that do not tell the layers are refused, and read with the model", async () => {
  await inFolder(async (folder) => {
    const whole = await loadDelta(`${GOLDEN}/plain.safetensors`);
    const up = new Map([...whole.weights].filter(([path]) => path.includes("up_blocks")));
    const part = { ...whole, weights: up };
    const file = `${folder}/x.ckpt`;
    await assertRejects(() => saveDeltaAs(file, part, "compvis"), FileError, "Name the model, too");
    await saveDeltaAs(file, part, "compvis", { layers: 2 });
    await assertRejects(() => loadDelta(file), FileError, "Name the model, too");
    assertEquals((await loadDelta(file, { layers: 2 })).weights, up);
  });
});

/** Runs the command; gives its code and what it printed. */
async function run(...args: string[]) {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

Deno.test("convert: from CompVis to a LoRA and its embeddings, renamed; inspect says what each is", async () => {
  await inFolder(async (folder) => {
    const from = `${GOLDEN}/compvis.ckpt`, lora = `${folder}/lora`;
    const made = await run(
      ...["convert", from, "--to", "kohya", "--rank", "3", "--model", MODEL, "--out", lora, "-q"],
      ...["--token", "<gate> gate"],
    );
    assertEquals(made.code, 0, made.err);
    assertEquals(
      made.out.split("\n"),
      ["moongate_lora", "gate", "new2"].map((n) => `${lora}/${n}.safetensors`),
    );
    const seen = await run("inspect", lora, "--json"), facts = JSON.parse(seen.out);
    assertEquals([facts.format, facts.weights.length, facts.tokens[0].token], [
      "kohya",
      12,
      "<gate>",
    ]);
    assertEquals(new Set(facts.weights.map((w: { rank: number }) => w.rank)), new Set([3]));
    const whole = JSON.parse((await run("inspect", from, "--model", MODEL, "--json")).out);
    assert(Math.abs(facts.change / whole.change - 1) < 1e-5);
    assertEquals([whole.baseFits, whole.parameters], ["unknown", 1344]);
    assertMatch(
      (await run("inspect", from)).out,
      /compvis\.ckpt: CompVis delta[^]*<new2>[^]*--model/,
    );
    assertMatch(
      (await run("inspect", MODEL)).out,
      /model folder[^]*UNet2DConditionModel +304 +71948 +F16/,
    );
    assertMatch(
      (await run("inspect", `${MODEL}/unet/diffusion_pytorch_model.safetensors`)).out,
      /UNet weights \(diffusers\), safetensors\n304 tensors/,
    );
  });
});

Deno.test("inspect --architecture: names and PyTorch shapes of Stable Diffusion, and nothing is loaded", async () => {
  const listed = async (component: string) => {
    const { code, out, err } = await run(
      ...["inspect", "--architecture", "sd15", "--component", component, "--json"],
    );
    assertEquals(code, 0, err);
    const { tensors } = JSON.parse(out) as { tensors: Record<string, number[]> };
    const sizes = Object.values(tensors).map((shape) => shape.reduce((a, b) => a * b, 1));
    return { tensors, count: sizes.length, total: sizes.reduce((a, b) => a + b) };
  };
  const { tensors, count, total } = await listed("unet");
  assertEquals([count, total], [686, 859_520_964]);
  assertEquals(tensors["conv_in.weight"], [320, 4, 3, 3]);
  const pairs = Object.entries(tensors).filter(([n]) => /attn2\.to_[kv]\./.test(n));
  assertEquals(pairs.reduce((sum, [, [a, b]]) => sum + a * b, 0), 19_169_280);
  assertEquals((await listed("text_encoder")).total, 123_060_480);
  assertEquals((await listed("vae")).total, 83_653_863);
  for (
    const [args, message] of [
      [["--architecture", "sd99"], /sd99 is not known: there are [^]*sd15/],
      [["--architecture", "sd15", "--component", "soul"], /sd15 has unet, /],
      [["--architecture", "sd15", "x"], /give a path, or --architecture/],
      [[], /give a path, or --architecture/],
    ] as [string[], RegExp][]
  ) {
    const { code, err } = await run("inspect", ...args);
    assertEquals(code, 1);
    assertMatch(err, message);
  }
});

Deno.test("convert refuses what can't be, and leaves nothing", async () => {
  await inFolder(async (folder) => {
    const out = `${folder}/out`, from = `${GOLDEN}/compvis.ckpt`;
    await Deno.writeTextFile(`${folder}/text`, "no delta at all, whatever it is called");
    const cases: [string[], RegExp][] = [
      [
        [from, "--to", "lora"],
        /compvis\.ckpt: holds trained weights, and lora holds differences[^]*--model/,
      ],
      [
        [`${GOLDEN}/a1111.safetensors`, "--to", "adobe"],
        /a1111[^]*: holds differences to its base/,
      ],
      [[from, "--to", "diffusers", "--rank", "2"], /holds whole weights, not factors/],
      [[from, "--to", "moongate", "--token", "new"], /must look like "<new2>"/],
      [[from, "--to", "moongate", "--token", "<new2>"], /two new words would be called <new2>/],
      [[from, "--to", "embedding"], /an embedding file is one token/],
      [[from, "--to", "gif"], /Allowed choices are moongate, a1111/],
      [[from, "--to", "moongate", "--out", `${out}.bin`], /can't hold the format moongate/],
      [[`${folder}/text`, "--to", "moongate"], /text: /],
      [[`${folder}/none`, "--to", "moongate"], /none: does not exist/],
      [[folder, "--to", "moongate"], /holds no delta/],
      [[`${GOLDEN}/expected.safetensors`, "--to", "moongate"], /is no delta in any format/],
    ];
    for (const [args, message] of cases) {
      const { code, err } = await run("convert", "--out", out, ...args, "-q");
      assertEquals(code, 1, args.join(" "));
      assertMatch(err, message);
    }
    assertEquals([...Deno.readDirSync(folder)].map((e) => e.name), ["text"]);
  });
});
