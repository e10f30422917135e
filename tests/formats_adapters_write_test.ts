// What adapters can change goes through every format: all of it is there afterwards, or the format refuses it by name.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { compressDelta } from "../concepts/deltas/compress.ts";
import {
  asMatrix,
  changeMatrix,
  changeNorm,
  factoredChange,
  formOf,
} from "../concepts/deltas/changes.ts";
import type { Delta, DeltaWeight } from "../concepts/deltas/delta.ts";
import { type BaseModel, openBase } from "../concepts/deltas/formats/base.ts";
import type { DeltaFormatName } from "../concepts/deltas/formats/format.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { saveDelta, saveDeltaAs } from "../concepts/deltas/formats/save.ts";
import { mergeDeltas } from "../concepts/merge/deltas.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { norm } from "../numerics/matrix.ts";
import { inFolder } from "./formats_golden.ts";
import { relativeError, testDevice, uniform } from "./support/check.ts";

const GOLDEN = new URL("./golden/adapters", import.meta.url).pathname;
const SD1 = new URL("./golden/verify/sd1", import.meta.url).pathname;
const SDXL = new URL("./golden/sdxl", import.meta.url).pathname;

/** A golden file as a delta of its model. */
const read = async (file: string, base: BaseModel): Promise<Delta> =>
  base.fit(file, await loadDelta(`${GOLDEN}/${file}`, base));

/** Asserts that two deltas change a model in the same way. */
async function assertSame(found: Delta, wanted: Delta, base: BaseModel, what: string) {
  assertEquals([...found.weights.keys()].sort(), [...wanted.weights.keys()].sort(), what);
  for (const [path, w] of wanted.weights) {
    const W0 = await base.read(path);
    const [a, b] = [found.weights.get(path)!, w].map((x) => changeMatrix(x, W0).data);
    // Where the trained values themselves are held, they are rounded.
    const allowed = 1e-5 * norm(b) + 1e-7 * norm(Float64Array.from(W0));
    const error = norm(a.map((x, i) => x - b[i]));
    assert(error <= allowed, `${what} ${path}: ${error} of ${norm(b)}`);
  }
}

const values = (count: number, seed: number): Float32Array => {
  const draw = uniform(seed);
  return Float32Array.from({ length: count }, draw);
};

/** Factors of a rank for a parameter. */
function factors(shape: number[], rank: number, seed: number): DeltaWeight {
  const [rows, cols] = asMatrix(shape);
  return { shape, rank, u: values(rows * rank, seed), v: values(rank * cols, seed + 1) };
}

Deno.test("moongate's own files keep every adapter to the bit, of the version that it needs", async () => {
  const version: Record<string, string> = {
    "kohya.safetensors": "3", // Convolutions.
    "kohya_dora.safetensors": "3",
    "diffusers_024.safetensors": "2",
  };
  for (const { name } of Deno.readDirSync(GOLDEN)) {
    if (name === "expected.safetensors") continue;
    using base = await openBase(name.includes("sdxl") ? SDXL : SD1);
    const delta = await read(name, base);
    await inFolder(async (folder) => {
      await saveDelta(`${folder}/delta.safetensors`, delta);
      const again = await loadDelta(folder);
      assertEquals(new Map([...again.weights].sort()), new Map([...delta.weights].sort()), name);
      assertEquals({ ...again, weights: 0 }, { ...delta, weights: 0 });
      using source = await openSafetensors(`${folder}/delta.safetensors`);
      if (version[name]) assertEquals(source.metadata.version, version[name], name);
    });
  }
});

Deno.test("a LoRA of a UNet, convolutions and text encoders becomes each spelling and comes back", async () => {
  for (
    const file of [
      ...["kohya.safetensors", "kohya_alphas.safetensors", "kohya_sdxl.safetensors"],
      ...["diffusers_patterns.safetensors", "locon_core.safetensors", "peft_text", "peft_unet"],
    ]
  ) {
    using base = await openBase(file.includes("sdxl") ? SDXL : SD1);
    const delta = await read(file, base);
    for (const to of ["lora", "kohya"] as const) {
      await inFolder(async (folder) => {
        const { paths: [path], lost } = await saveDeltaAs(folder, delta, to);
        assertEquals(lost, []);
        await assertSame(await loadDelta(path), delta, base, `${file} ${to}`);
      });
    }
  }
});

Deno.test("kohya's alphas are the same for all layers, whatever their ranks: diffusers takes no others", async () => {
  const shapes: [number, number[]][] = [[1, [6, 4]], [3, [6, 4]], [3, [4, 4, 3, 3]], [2, [8, 4]]];
  const weights = new Map(shapes.map(([rank, shape], i) => [
    `unet.mid_block.resnets.${i}.${shape.length > 2 ? "conv1" : "time_emb_proj"}.weight`,
    factors(shape, rank, i),
  ]));
  const delta: Delta = { base: "", tokens: [], embeddings: [], weights, notes: {} };
  await inFolder(async (folder) => {
    const { paths: [path] } = await saveDeltaAs(folder, delta, "kohya");
    using source = await openSafetensors(path);
    for (const [name, { shape }] of source.tensors) {
      if (name.endsWith(".alpha")) assertEquals([...await source.readFloat32(name)], [3], name);
      if (name.endsWith(".lora_up.weight") && /conv/.test(name)) assertEquals(shape, [4, 3, 1, 1]);
    }
    const again = await loadDelta(path);
    for (const [name, w] of weights) {
      const [a, b] = [again.weights.get(name)!, w].map((x) => changeMatrix(x, []).data);
      assert(relativeError(a, b) < 1e-6, name);
    }
    // What has the rank that most have is not touched.
    const kept = "unet.mid_block.resnets.1.time_emb_proj.weight";
    assertEquals(again.weights.get(kept), weights.get(kept));
  });
});

Deno.test("differences of weights, biases and norms: kohya has a place for them, and LoRA's ranks for matrices", async () => {
  using base = await openBase(SD1);
  const delta = await read("full.safetensors", base);
  await inFolder(async (folder) => {
    const { paths: [path], lost } = await saveDeltaAs(folder, delta, "kohya", { base: base.read });
    assertEquals(lost, []);
    await assertSame(base.fit(path, await loadDelta(path)), delta, base, "kohya");
    const { lost: vectors } = await saveDeltaAs(`${folder}/lora`, delta, "lora", {
      base: base.read,
    });
    assertEquals(
      vectors.toSorted(),
      [...delta.weights.keys()].filter((p) => /norm|bias/.test(p)).sort(),
    );
  });
});

Deno.test("DoRA: kept in both spellings, or made a difference beside the model; refused where neither can be", async () => {
  using base = await openBase(SD1);
  const mixed = await read("kohya_dora.safetensors", base);
  const outputs = await read("diffusers_dora.safetensors", base);
  await inFolder(async (folder) => {
    const save = (delta: Delta, to: DeltaFormatName, more = {}) =>
      saveDeltaAs(`${folder}/${to}`, delta, to, more);
    for (const [delta, to] of [[mixed, "kohya"], [outputs, "kohya"], [outputs, "lora"]] as const) {
      const { paths: [path] } = await save(delta, to);
      const again = base.fit(path, await loadDelta(path));
      assertEquals(new Set([...again.weights.values()].map(formOf)), new Set(["scaled"]));
      await assertSame(again, delta, base, to);
    }
    const { message } = await assertRejects(() => save(mixed, "lora"), FileError);
    assertMatch(message, /has lengths of the inputs of "[^"]*" \(DoRA\), and diffusers takes/);
    const plain = await read("mixed.safetensors", base);
    const both = { ...outputs, weights: new Map([...plain.weights, ...outputs.weights]) };
    const some = new Map([...both.weights].filter(([p]) => p !== [...plain.weights.keys()][0]));
    some.set("unet.conv_in.weight", factors([4, 4, 3, 3], 1, 5));
    const half = () => save({ ...outputs, weights: some }, "lora");
    await assertRejects(half, FileError, "has no lengths of");
    // Beside the model it is a change like any other.
    const { paths: [cut] } = await save(outputs, "lora", { base: base.read, rank: 40 });
    await assertSame(base.fit(cut, await loadDelta(cut)), outputs, base, "cut");
    await assertRejects(() => save(outputs, "diffusers"), FileError, "holds lengths (DoRA), which");
    const { paths: [whole] } = await save(outputs, "adobe", { base: base.read });
    await assertSame(await loadDelta(whole), outputs, base, "adobe");
  });
});

Deno.test("every golden file into every format: all of it, or a refusal that names what has no place", async () => {
  const formats = ["compvis", "adobe", "diffusers-custom", "diffusers", "a1111"] as const;
  let carried = 0, refused = 0;
  for (const { name } of Deno.readDirSync(GOLDEN)) {
    if (name === "expected.safetensors") continue;
    using base = await openBase(name.includes("sdxl") ? SDXL : SD1);
    const delta = await read(name, base);
    for (const to of formats) {
      await inFolder(async (folder) => {
        try {
          const { paths: [path], lost } = await saveDeltaAs(folder, delta, to, {
            ...{ base: base.read, layers: base.layers },
          });
          assertEquals(lost, []);
          const again = base.fit(path, await loadDelta(path, base));
          await assertSame(again, delta, base, `${name} ${to}`);
          carried++;
        } catch (error) {
          if (!(error instanceof FileError)) throw error;
          const named = [...delta.weights.keys()].some((p) =>
            error.message.includes(p.replace("unet.", ""))
          );
          assert(named || /too few others to tell/.test(error.message), error.message);
          assertEquals([...Deno.readDirSync(folder)], []);
          refused++;
        }
      });
    }
  }
  assert(carried > 25 && refused > 25, `${carried} carried, ${refused} refused`);
});

Deno.test("factors of a convolution and lengths in sizes, norms, and lower ranks", async () => {
  using base = await openBase(SD1);
  const delta = await read("kohya_dora.safetensors", base);
  const conv = "unet.down_blocks.0.resnets.0.conv1.weight", W0 = await base.read(conv);
  const w = delta.weights.get(conv)!;
  assertEquals(changeNorm(w), undefined);
  const whole = changeNorm(w, W0)!, cut = factoredChange(w, W0, 2);
  assertEquals([cut.shape, cut.rank], [[4, 4, 3, 3], 2]);
  assert(changeNorm(cut)! < whole && changeNorm(cut)! > 0.5 * whole);
  assert(Math.abs(changeNorm(factoredChange(w, W0, 4))! / whole - 1) < 1e-6);
  const { delta: small } = await compressDelta(delta, { rank: 1 }, { base: base.read });
  assertEquals(formOf(small.weights.get(conv)!), "scaled");
  assertEquals(
    (small.weights.get("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight") as {
      rank: number;
    }).rank,
    1,
  );
  await assertRejects(() => compressDelta(delta, { rank: 1 }), RangeError, "takes the base model");
});

Deno.test("merging refuses adapters of other weights than keys and values by name", async () => {
  const device = await testDevice(), pipeline = await loadPipeline(device, SD1);
  const other = await loadDelta(`${GOLDEN}/peft_text`);
  const merged = mergeDeltas(pipeline, [other, other], { regularization: ["a"] });
  await assertRejects(() => merged, FileError, "text_model.encoder.layers");
});
