// Deltas at sampling time: strengths, stacks in any order, and the base as it was afterwards, to the last bit.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { compile } from "../compile/compile.ts";
import { withDelta, withDeltas } from "../concepts/deltas/apply.ts";
import { factoredChange, trainedWeight, weightChange } from "../concepts/deltas/changes.ts";
import type { Delta, DeltaWeight } from "../concepts/deltas/delta.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { mergeDeltas } from "../concepts/merge/deltas.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { openModelFolder } from "../files/models/folder.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { loadComponent } from "../models/load.ts";
import type { ParameterTree } from "../models/params.ts";
import { unet, unetConfig } from "../models/unet/unet.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { randomFolder } from "./models_folder.ts";
import { toNHWC } from "./models_golden.ts";
import { relativeError, testDevice, uniform } from "./support/check.ts";

const GOLDEN = new URL("./golden/deltas", import.meta.url).pathname;
const device = await testDevice();

/** The golden UNet as a pipeline that has nothing else. */
async function bare(): Promise<Pipeline> {
  const folder = await openModelFolder(`${GOLDEN}/model`);
  using source = await folder.weights("unet");
  const config = unetConfig(folder.config("unet"));
  const params = { unet: await loadComponent(device, source, config), text_encoder: {}, vae: {} };
  return { device, folder: folder.path, config: { unet: config }, params } as unknown as Pipeline;
}
const base = await bare();
const trained = { ...await loadDelta(`${GOLDEN}/plain.safetensors`), tokens: [], embeddings: [] };
const reader = await openBase(`${GOLDEN}/model`);
globalThis.addEventListener("unload", () => reader[Symbol.dispose]());

/** The same delta with each weight turned into something else. */
async function mapped(
  delta: Delta,
  turn: (w: DeltaWeight, W0: Float32Array, path: string) => DeltaWeight,
): Promise<Delta> {
  const weights = new Map<string, DeltaWeight>();
  for (const [path, w] of delta.weights) weights.set(path, turn(w, await reader.read(path), path));
  return { ...delta, weights };
}

/** All parameters of a pipeline's UNet on the host. */
async function values(pipeline: Pipeline): Promise<Map<string, Float32Array>> {
  const read = new Map<string, Float32Array>();
  for (const [path, t] of flatten<Tensor>({ unet: pipeline.params.unet })) {
    read.set(path, await device.read(t) as Float32Array);
  }
  return read;
}

const original = await values(base);
const change = await mapped(trained, weightChange);
const factors = await mapped(trained, (w, W0) => factoredChange(w, W0, 2));
/** Another delta on the same weights. */
const other = await mapped(trained, (w, W0) => ({
  shape: w.shape,
  data: W0.map((x, i) => x + 0.01 * Math.sin(i)),
}));

Deno.test("strength 1 is what was trained and strength 0 the base, bit by bit; freeing leaves the base", async () => {
  const one = withDelta(base, trained), none = withDeltas(base, [{ delta: trained, strength: 0 }]);
  const tuned = await values(one), same = await values(none);
  for (const [path, W0] of original) {
    const w = trained.weights.get(path);
    assertEquals(tuned.get(path), w ? (w as { data: Float32Array }).data : W0, path);
    assertEquals(same.get(path), W0, path);
  }
  assert(trained.weights.size === 12 && tuned.size === original.size);
  one.free();
  none.free();
  assertEquals(await values(base), original);
});

Deno.test("a weight at strength s lies on the line from the base through what was trained, whatever its form", async () => {
  for (const delta of [trained, change, factors]) {
    for (const strength of [1, 0.5, -1, 2.25]) {
      const model = withDeltas(base, [{ delta, strength }]), found = await values(model);
      for (const [path, w] of delta.weights) {
        const W0 = original.get(path)!, W = trainedWeight(w, W0).data;
        const wanted = W0.map((x, i) => x + strength * (W[i] - x));
        assert(relativeError(found.get(path)!, wanted) < 1e-6, path);
      }
      model.free();
    }
  }
});

Deno.test("deltas add up, and their order does not change a bit", async () => {
  const stack = [
    { delta: trained, strength: 0.7 },
    { delta: other, strength: 0.7 },
    { delta: change, strength: -0.2 },
    { delta: factors, strength: 0.45 },
    { delta: trained },
  ];
  const orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 0, 3, 2]];
  let first: Map<string, Float32Array> | undefined;
  for (const order of orders) {
    const model = withDeltas(base, order.map((i) => stack[i])), found = await values(model);
    first ??= found;
    assertEquals(found, first);
    model.free();
  }
  for (const path of trained.weights.keys()) {
    const W0 = original.get(path)!;
    const parts = stack.map(({ delta, strength = 1 }) =>
      trainedWeight(delta.weights.get(path)!, W0).data.map((x, i) => strength * (x - W0[i]))
    );
    const wanted = W0.map((x, i) => parts.reduce((sum, p) => sum + p[i], x));
    assert(relativeError(first!.get(path)!, wanted) < 1e-6, path);
  }
  assertEquals(await values(base), original);
});

Deno.test("diffusers with our LoRA files changes the UNet's answer as our delta does, at any strength", async () => {
  using golden = await openSafetensors(`${GOLDEN}/outputs.safetensors`);
  const read = async (name: string) => {
    const { shape } = golden.tensors.get(name)!, data = await golden.readFloat32(name);
    if (shape.length !== 4) return tensor(data, shape);
    const [b, c, h, w] = shape;
    return tensor(toNHWC(data, shape), [b, h, w, c]);
  };
  const theirs = async (name: string) =>
    toNHWC(await golden.readFloat32(name), golden.tensors.get(name)!.shape);
  const [x, t, context] = await Promise.all(["x", "t", "context"].map(read));
  const program = compile(
    device,
    (params: ParameterTree, x: Tensor, t: Tensor, context: Tensor) => ({
      y: unet(base.config.unet, params, x, t, context),
    }),
  );
  const ours = async ({ params }: Pipeline) =>
    (await device.read(program(params.unet, x, t, context).y) as Float32Array).slice();
  const minus = (a: Float32Array, b: Float32Array) => a.map((v, i) => v - b[i]);
  const [before, theirBefore] = [await ours(base), await theirs("base")];
  assert(relativeError(before, theirBefore) < 1e-4);
  const cases: [name: string, delta: Delta, strength: number][] = [["trained", trained, 1]];
  for (const kind of ["lora", "kohya"]) {
    for (const rank of [2, 4]) {
      for (const strength of [1, 0.5]) {
        const name = `${kind}.${rank}.${strength.toFixed(1)}`;
        cases.push([name, trained, strength], [name, change, strength], [name, factors, strength]);
      }
    }
  }
  for (const [name, delta, strength] of cases) {
    const model = withDeltas(base, [{ delta, strength }]);
    const wanted = minus(await theirs(name), theirBefore);
    const error = relativeError(minus(await ours(model), before), wanted);
    assert(error < 1e-3, `${name}: the change of the answer is off by ${error}`);
    model.free();
  }
  program.free();
});

Deno.test("deltas of other models are refused by name", async () => {
  const odd = await mapped(
    trained,
    (w, _, path) => path.includes("mid") ? { shape: [2, 2], data: new Float32Array(4) } : w,
  );
  assertThrows(() => withDelta(base, odd, "odd.bin"), FileError, "odd.bin: holds");
  const unknown = {
    ...trained,
    weights: new Map([["unet.x.weight", [...trained.weights.values()][0]]]),
  };
  assertThrows(() => withDelta(base, unknown, "u"), FileError, 'u: changes "unet.x.weight", which');
  assertThrows(
    () => withDeltas(base, [{ delta: trained, strength: NaN }]),
    RangeError,
    "no number",
  );
});

Deno.test("new words get their rows at any strength; two teachers of one word are refused", async () => {
  const folder = await randomFolder();
  try {
    const model = await loadPipeline(device, folder, {
      addTokens: { "<new1>": "ktn", "<new2>": "ktn" },
    });
    const width = model.config.text_encoder.width;
    const teach = (token: string, x: number): Delta => ({
      base: "",
      tokens: [{ token, className: "", initializer: "" }],
      embeddings: [new Float32Array(width).fill(x)],
      weights: new Map(),
      notes: {},
    });
    const [one, two] = [teach("<new1>", 1), teach("<new2>", 2)];
    const row = async (pipeline: Pipeline, token: string) => {
      const table = flatten<Tensor>({ ...pipeline.params }).find(([p]) =>
        p.endsWith("token_embedding.weight")
      )![1];
      const data = await device.read(table) as Float32Array;
      const [id] = pipeline.tokenIds(token);
      return data.slice(id * width, (id + 1) * width);
    };
    const both = withDeltas(model, [{ delta: two, strength: 0.1 }, { delta: one, strength: 0 }]);
    assertEquals(await row(both, "<new1>"), one.embeddings[0]);
    assertEquals(await row(both, "<new2>"), two.embeddings[0]);
    assertEquals(await row(both, "ktn"), await row(model, "ktn"));
    assertThrows(
      () =>
        withDeltas(model, [{ delta: one, name: "a" }, { delta: one, name: "b" }]),
      FileError,
      "b: teaches <new1>, as a does",
    );
    assertThrows(() => withDelta(model, teach("<new3>", 1), "c"), FileError, "was loaded without");
    const wide = { ...one, embeddings: [new Float32Array(width + 1)] };
    assertThrows(
      () => withDelta(model, wide, "d"),
      FileError,
      `d: has ${width + 1} numbers for <new1>`,
    );
    both.free();
    model.free();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a merge takes deltas of every form, and comes out the same", async () => {
  const folder = await randomFolder();
  try {
    const names = { "<new1>": "ktn", "<new2>": "ktn" };
    const model = await loadPipeline(device, folder, { addTokens: names });
    const paths = flatten<Tensor>({ unet: model.params.unet }).filter(([p]) =>
      /attn2\.to_k\./.test(p)
    );
    const [[path, t]] = paths, [out, into] = t.shape;
    const W0 = await device.read(t) as Float32Array;
    const teach = (token: string, seed: number): [Delta, Delta] => {
      const draw = uniform(seed), random = (n: number) => Float32Array.from({ length: n }, draw);
      const factored = { shape: [out, into], rank: 1, u: random(out), v: random(into) };
      const delta = {
        base: "",
        tokens: [{ token, className: "gate", initializer: "" }],
        embeddings: [random(model.config.text_encoder.width)],
        notes: {},
      };
      return [
        { ...delta, weights: new Map([[path, factored]]) },
        { ...delta, weights: new Map([[path, trainedWeight(factored, W0)]]) },
      ];
    };
    const [one, two] = [teach("<new1>", 3), teach("<new2>", 4)];
    const regularization = ["photo of a red mug", "a blue cone at night", "two mugs on a beach"];
    const merged = async (deltas: Delta[]) =>
      (await mergeDeltas(model, deltas, { regularization, ridge: 1e-3 })).delta.weights.get(path);
    const [a, b] = [await merged([one[0], two[0]]), await merged([one[1], two[1]])];
    const [x, y] = [a, b].map((w) => (w as { data: Float32Array }).data);
    assert(relativeError(x, y) < 1e-5);
    assert(relativeError(x, W0) > 1e-3, "something was merged");
    model.free();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
