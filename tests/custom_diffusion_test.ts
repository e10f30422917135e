import { assert, assertEquals } from "@std/assert";
import { compile, evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { type StepBatch, stepFunction, trainingStep } from "../concepts/training/step.ts";
import { customDiffusionMask } from "../concepts/training/trainable.ts";
import { stepLoss } from "../concepts/training/step.ts";
import { adamInit } from "../autograd/optimizer.ts";
import { valueAndGrad } from "../autograd/grad.ts";
import { input, tensor } from "../ops/leaf.ts";
import { loadPipeline, type PipelineParams, sketchParams } from "../diffusion/pipeline.ts";
import { vaeFactor } from "../models/vae/vae.ts";
import { flatten, mapTree, type Tree } from "../tensor/tree.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { relativeError, testDevice, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";
import { batchOf, feedsFor, small } from "./support/small_model.ts";

const MODEL = new URL("../world/miniature", import.meta.url).pathname;
const CAPTIONS = [
  "photo of a <new1> gate",
  "very small photo of a <new1> gate",
  "photo of a red mug",
  "a gate",
];

async function setUp() {
  const device = await testDevice();
  const model = await loadPipeline(device, MODEL, { addTokens: { "<new1>": "ktn" } });
  const trainable = customDiffusionMask(model, ["<new1>"]);
  const { unet, vae } = model.config;
  const [side, c] = [unet.sampleSize, vae.latentChannels];
  const size = side * vaeFactor(vae);
  const random = (shape: number[], seed: number) => {
    const r = uniform(seed);
    return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, r), shape);
  };
  const batch = {
    pixels: random([2, size, size, 3], 1),
    mean: random([2, side, side, c], 2),
    logvar: random([2, side, side, c], 3),
    ids: model.tokenize(CAPTIONS),
    mask: tensor(new Float32Array(4 * side * side).fill(1), [4, side, side]),
    key: tensor(Uint32Array.of(5, 6), [2]),
  };
  return { device, model, trainable, batch };
}

Deno.test("the mask is structural: gradients of the cross-attention K and V and of the new row, and nothing else", async () => {
  const { device, model, trainable, batch } = await setUp();
  const step = trainingStep(model, trainable, 0.01);
  const state = evaluate(device, adamInit(trainable.pick(model.params)));
  const { tape } = step.plan(state, batch, tensor([1e-3], []));
  const layers =
    flatten<Tensor>(model.params.unet).filter(([p]) => p.endsWith("attn2.to_k.weight")).length;
  assert(layers > 0);
  const named = (name: string) => tape.filter((n) => n.op.name === name);
  const weightGradients = named("matmul").filter((n) =>
    (n.attrs as { transposeA: boolean }).transposeA
  );
  assertEquals(weightGradients.length, 2 * layers);
  assertEquals(named("embeddingRowsGrad").length, 1);
  assertEquals(named("embeddingGrad").length, 0);
  assertEquals(named("conv2dWeightGrad").length, 0);
  assertEquals(trainable.paths.length, 2 * layers + 1);
});

Deno.test("the start token's features move no key or value matrix", async () => {
  const { model, trainable, batch } = await setUp();
  const trained = trainable.pick(model.params);
  const loss = (t: Record<string, Tensor>) =>
    stepLoss(model, trainable.merge(model.params, t) as PipelineParams, batch);
  const { grads } = valueAndGrad<Record<string, Tensor>>(loss)(trained);
  const path = trainable.paths.find((p) => p.endsWith("to_k.weight"))!;
  // dW = dKᵀ·context, with position 0 of dK cut: the factor that multiplies the context holds zeros there.
  const product = tapeOf([grads[path]]).findLast((n) => n.op.name === "matmul")!;
  assert((product.attrs as { transposeA: boolean }).transposeA);
  const before = new Set(tapeOf([product.inputs[0]]).map((n) => n.op.name));
  assert(before.has("pad") && before.has("slice"), "the cut is a slice padded with zeros");
});

Deno.test("only the selected parameters change in a training step", async () => {
  const { device, model, trainable, batch } = await setUp();
  const read = async (tree: Tree<Tensor>) =>
    new Map(
      await Promise.all(
        flatten<Tensor>(tree).map(async ([p, t]) => [p, await device.read(t)] as const),
      ),
    );
  const frozen = await read(model.params as unknown as Tree<Tensor>);
  const step = trainingStep(model, trainable, 0.01);
  let state = evaluate(device, adamInit(trainable.pick(model.params)));
  for (let k = 0; k < 2; k++) state = step(state, batch, tensor([1e-3], [])).state;
  for (const [path, before] of frozen) {
    assertEquals(
      await device.read(
        flatten<Tensor>(model.params as unknown as Tree<Tensor>).find(([p]) => p === path)![1],
      ),
      before,
      path,
    );
  }
  for (const path of trainable.paths) {
    const now = await device.read(state.params[path]) as Float32Array;
    const start = compile(device, () => trainable.pick(model.params)[path]);
    assert(relativeError(now, await device.read(start()) as Float32Array) > 0, `${path} trains`);
  }
});

test("a training step of a whole model is its definition in float64", async (device) => {
  const shape = small();
  const sketch = { ...shape, params: sketchParams(shape.config, "f32") };
  const batch = batchOf(shape, (spec) => input(spec, 0));
  const feeds = feedsFor(sketch, batch);
  /** The same tree with the values of the feeds in it. */
  const filled = <T extends object>(tree: T): T =>
    mapTree<Tensor, Tensor>(
      { ...tree } as Tree<Tensor>,
      (t) => tensor(Array.from(feeds.get(t)!), t.shape, t.dtype),
    ) as T;
  const params = filled(sketch.params);
  const trainable = shape.trains(params);
  const step = stepFunction({ ...shape, params }, trainable, 0.01);
  const start = adamInit(trainable.pick(params));
  const { state, loss } = step(start, filled<StepBatch>(batch), tensor([1e-3], []));
  // After one step the mean of gradients is a tenth of the first.
  const results = { loss, ...state.m };
  const exact = interpret(Object.values(results));
  const made = evaluate(device, Object.values(results));
  for (const [i, name] of Object.keys(results).entries()) {
    const e = relativeError(await device.read(made[i]) as Float32Array, exact[i]);
    assert(e < 1e-3, `${name} differs by ${e}`);
  }
  device.free(...made);
});
