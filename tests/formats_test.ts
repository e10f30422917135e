// Deltas in every format of the ecosystem: what its own tools wrote (golden/deltas.py) is read, and ours comes back the same.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { main } from "../cli/main.ts";
import { changeNorm, formOf, trainedWeight } from "../concepts/deltas/changes.ts";
import type { Delta, DeltaWeight } from "../concepts/deltas/delta.ts";
import { adobe } from "../concepts/deltas/formats/adobe.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { compvis } from "../concepts/deltas/formats/compvis.ts";
import type { Content, DeltaFile } from "../concepts/deltas/formats/content.ts";
import { customDiffusion } from "../concepts/deltas/formats/custom_diffusion.ts";
import type { DeltaFormatName, Packed, Written } from "../concepts/deltas/formats/format.ts";
import { loadDelta, openDelta } from "../concepts/deltas/formats/load.ts";
import { formatOf } from "../concepts/deltas/formats/registry.ts";
import { saveDelta, saveDeltaAs } from "../concepts/deltas/formats/save.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import {
  assertGolden,
  assertRefusesDamage,
  expected,
  GOLDEN,
  type GoldenFile,
  inFolder,
  MODEL,
  placed,
  TOKENS,
} from "./formats_golden.ts";
import { relativeError, uniform } from "./support/check.ts";

/** Every golden in safetensors. */
const FILES: GoldenFile[] = [
  ["custom.safetensors", "diffusers-custom", "weight", 2, 0],
  ["plain.safetensors", "diffusers", "weight", 2, 0],
  ["a1111.safetensors", "a1111", "change", 2, 1e-6],
  ["a1111_factors.safetensors", "a1111", "factors", 2, 1e-3],
];

for (const golden of FILES) {
  const [file, format] = golden;
  Deno.test(`${file}, as its own tool wrote it, is recognised as ${format} and read`, () =>
    assertGolden(golden));
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
  await inFolder(async (folder) => {
    const name = "pytorch_custom_diffusion_weights.safetensors";
    await placed(folder, "custom.safetensors", name, "safetensors");
    await Deno.writeTextFile(`${folder}/README.md`, "a log, pictures, whatever else");
    const delta = await loadDelta(folder);
    assertEquals(delta.tokens.map((t) => t.token), TOKENS);
    assertEquals(delta.embeddings.map((e) => [...e]), TOKENS.map((t) => [...expected.get(t)]));
    await Deno.copyFile(`${GOLDEN}/plain.safetensors`, `${folder}/a`);
    await assertRejects(() => loadDelta(folder), FileError, "holds several deltas (a, pytorch_");
  });
});

Deno.test("an embedding alone; two of one name beside a delta are refused", async () => {
  const { format, delta } = await openDelta(`${GOLDEN}/new2.safetensors`);
  assertEquals([format.name, delta.tokens[0].token, delta.weights.size], [
    "embedding",
    "<new2>",
    0,
  ]);
  assertEquals(delta.embeddings[0], expected.get("<new2>"));
  await inFolder(async (folder) => {
    await placed(folder, "plain.safetensors", "x.safetensors", "safetensors");
    const other = { ...delta, embeddings: [delta.embeddings[0].map((x) => x + 1)] };
    await saveDeltaAs(`${folder}/other.safetensors`, other, "embedding");
    const both = () => loadDelta(`${folder}/x.safetensors`);
    await assertRejects(both, FileError, "holds another <new2> than");
  });
});

Deno.test("two text encoders: a token has an embedding for each", async () => {
  const delta: Delta = {
    ...await loadDelta(`${GOLDEN}/plain.safetensors`),
    embeddings2: [new Float32Array(20).fill(2), new Float32Array(20).fill(3)],
  };
  await inFolder(async (folder) => {
    for (const to of ["moongate", "diffusers"] as const) {
      const { paths } = await saveDeltaAs(`${folder}/${to}`, delta, to);
      const again = await loadDelta(paths[0]);
      assertEquals([again.embeddings, again.embeddings2], [delta.embeddings, delta.embeddings2]);
    }
  });
  assertThrows(() => compvis.write(delta, {}), FileError, "two text encoders");
});

/** What a format writes as a file that holds it, in whatever container. */
function asFile({ root, metadata = {} }: Written): DeltaFile {
  const content = (packed: Packed): Content => {
    if (packed instanceof Map) return new Map([...packed].map(([k, v]) => [k, content(v)]));
    if (Array.isArray(packed)) return packed.map(content);
    const { shape, data } = packed as { shape: number[]; data: Float32Array };
    const readAny = () => Promise.resolve(Array.from(data));
    return { dtype: "F32", shape, read: () => Promise.resolve(data), readAny };
  };
  const dict = content(root) as DeltaFile["root"];
  return { path: "x", container: "torch", metadata, root: dict, [Symbol.dispose]() {} };
}

Deno.test("nested formats read what they write: weights, factors, tokens, the text encoder, a second one", async () => {
  const whole = await loadDelta(`${GOLDEN}/plain.safetensors`);
  const cut = await loadDelta(`${GOLDEN}/a1111_factors.safetensors`);
  const bare = { ...whole, tokens: [], embeddings: [] };
  const two = {
    ...whole,
    embeddings2: whole.embeddings.map((_, i) => new Float32Array(20).fill(i)),
  };
  const text = "text_encoder.text_model.final_layer_norm.weight";
  const encoder = new Map([[text, { shape: [12], data: expected.get("<new1>") }]]);
  const cases: [format: typeof compvis, deltas: Delta[]][] = [
    [compvis, [whole, cut, bare]],
    [adobe, [whole, cut, bare, two, { ...whole, weights: encoder }]],
    [customDiffusion, [bare]],
  ];
  for (const [format, deltas] of cases) {
    for (const delta of deltas) {
      const file = asFile(format.write(delta, {}));
      assertEquals(formatOf(file), format);
      const again = await format.read(file, {});
      assertEquals(new Map([...again.weights].sort()), new Map([...delta.weights].sort()));
      assertEquals({ ...again, weights: 0 }, { ...delta, weights: 0 });
    }
  }
  const flat = new Map(compvis.write(whole, {}).root.get("state_dict") as Map<string, Packed>);
  const { data } = flat.get("embed") as { data: Float32Array };
  flat.set("embed", { shape: [data.length], data });
  const again = await compvis.read(asFile({ root: new Map([["state_dict", flat]]) }), {});
  assertEquals(again.embeddings, whole.embeddings);
});

Deno.test("damaged files are refused in words, and nothing else happens", async () => {
  await assertRefusesDamage(FILES.map(([file]) => file), uniform(7));
});

/** What `to` holds of a delta, exactly: the forms that it has, with the model's help. */
const ROUND: [to: DeltaFormatName, out: string][] = [
  ["moongate", "delta"],
  ["diffusers-custom", "custom"],
  ["diffusers", "plain"],
  ["a1111", "x.delta.safetensors"],
  ["lora", "lora"],
  ["kohya", "kohya.safetensors"],
];

Deno.test("every format gives back what was written in it: tokens, embeddings, weights", async () => {
  using base = await openBase(MODEL);
  for (const source of ["plain.safetensors", "a1111_factors.safetensors", "a1111.safetensors"]) {
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
  const read = await loadDelta(`${GOLDEN}/plain.safetensors`);
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

Deno.test("names that do not tell the layers are refused, and read with the model", async () => {
  await inFolder(async (folder) => {
    const whole = await loadDelta(`${GOLDEN}/plain.safetensors`);
    const up = new Map([...whole.weights].filter(([path]) => path.includes("up_blocks")));
    const part = { ...whole, weights: up };
    using base = await openBase(MODEL);
    const file = `${folder}/x.safetensors`, options = { base: base.read, rank: 12 };
    const save = (layers?: number) => saveDeltaAs(file, part, "a1111", { ...options, layers });
    await assertRejects(() => save(), FileError, "Name the model, too");
    await save(2);
    await assertRejects(() => loadDelta(file), FileError, "Name the model, too");
    const again = await loadDelta(file, { layers: 2 });
    assertEquals([...again.weights.keys()].sort(), [...up.keys()].sort());
  });
});

/** Runs the command; gives its code and what it printed. */
async function run(...args: string[]) {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

Deno.test("convert: to a LoRA and its embeddings, renamed; inspect says what each is", async () => {
  await inFolder(async (folder) => {
    const from = `${GOLDEN}/plain.safetensors`, lora = `${folder}/lora`;
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
      /plain\.safetensors: plain diffusers names[^]*<new2>[^]*--model/,
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
    const out = `${folder}/out`, from = `${GOLDEN}/plain.safetensors`;
    await Deno.writeTextFile(`${folder}/text`, "no delta at all, whatever it is called");
    const cases: [string[], RegExp][] = [
      [
        [from, "--to", "lora"],
        /plain\.safetensors: holds trained weights, and lora holds differences[^]*--model/,
      ],
      [
        [`${GOLDEN}/a1111.safetensors`, "--to", "diffusers"],
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
