/** f16: as storage of weights on adapters whose shaders have none, and as storage of activations on those that do. */
import { halfBits, widenF16 } from "../files/dtypes.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { adamInit, type Named } from "../autograd/optimizer.ts";
import { uniforms } from "../bench/portable_weights.ts";
import { evaluate } from "../compile/compile.ts";
import { packed } from "../compile/packed.ts";
import type { LoweredUse } from "../compile/lower.ts";
import { stepMemory } from "../concepts/training/memory.ts";
import { trainingStep } from "../concepts/training/step.ts";
import { AdapterError } from "../device/errors.ts";
import { promptFeatures } from "../diffusion/conditions.ts";
import { loadPipeline, sketchParams, withActivations } from "../diffusion/pipeline.ts";
import { unet } from "../models/unet/unet.ts";
import { vaeDecode } from "../models/vae/vae.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { conv2d } from "../ops/conv.ts";
import { embedding } from "../ops/embedding/embedding.ts";
import { tensor } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { slice, transpose } from "../ops/movement.ts";
import { mul } from "../ops/elementwise/arithmetic.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import type { Spec } from "../tensor/shape.ts";
import { flatten } from "../tensor/tree.ts";
import { checkOp, ownDevice, testDevice, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";
import { batchOf, small, uploaded } from "./support/small_model.ts";

const FOLDER = new URL("./golden/sd2", import.meta.url).pathname;
const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
const f16 = (...shape: number[]): Spec => ({ shape, dtype: "f16" });

Deno.test("kernels are rewritten for words in place of f16: what is read is called for, what is stored is packed", () => {
  const use = (name: string, type: string, access: "read" | "write") =>
    ({ name, type, access, memory: { bytes: 0 } }) as LoweredUse;
  const bindings = [
    use("a", "f16", "read"),
    use("b", "vec4<f16>", "write"),
    use("ab", "f32", "read"),
  ];
  const body =
    "b[at[1]] = vec4<f16>(vec4<f32>(b[i]) * f32(a[u32(a[0])]) * ab[0]); if (b[0] == b[1]) {}";
  const { types, body: made, helpers } = packed("k", bindings, body);
  assertEquals(types, ["u32", "vec2<u32>", "f32"]);
  assertEquals(
    made,
    "b[at[1]] = four_halves(vec4<f32>(b_at(i)) * f32(a_at(u32(a_at(0)))) * ab[0]); if (b_at(0) == b_at(1)) {}",
  );
  assert(helpers.includes("fn a_at(") && helpers.includes("fn b_at(") && !/\bf16\b/.test(helpers));
  const single = [use("y", "f16", "write")];
  assertThrows(
    () => packed("k", single, "y[0] = f16(x);"),
    Error,
    "k: stores f16 numbers one by one",
  );
});

test("without shader-f16, weights in f16 are read by words", async () => {
  using device = await ownDevice({ f16: false });
  assertEquals(device.facts.features.includes("shader-f16"), false);
  const options = { device, wrt: [0], tolerance: 2e-5 };
  const product = (x: Tensor, w: Tensor) => matmul(x, w, { transposeB: true });
  await checkOp([f32(5, 8), f16(12, 8)], product, options);
  await checkOp(
    [f32(1, 6, 6, 4), f16(3, 3, 4, 8)],
    (x, w) => conv2d(x, w, { padding: 1 }),
    options,
  );
  if (!device.profile.cpu) return;
  await checkOp([f32(5, 9), f16(7, 9)], product, options);
  const ids = Uint32Array.from([3, 0, 6]);
  await checkOp([f16(7, 8)], (table) => cast(embedding(table, tensor(ids)), "f32"), {
    ...{ device, tolerance: 2e-5, forwardOnly: true },
  });
  // Vectors, one element for all lanes, lanes one by one.
  await checkOp(
    [f32(6, 4), f16(9, 4), f16(6, 1), f16(4, 6)],
    (x, a, b, c) =>
      [slice(a, 0, 2, 8), b, transpose(c)].reduce((y, t) => mul(y, cast(t, "f32")), x),
    options,
  );
});

/** What a model of a folder makes of noise and a prompt. */
async function answer(f16: boolean) {
  using device = await ownDevice({ f16 });
  const model = await loadPipeline(device, FOLDER, { dtype: "f16" });
  const { config, params } = model;
  const { context } = promptFeatures(config, params, model.tokenize(["a dog"]));
  const random = uniform(7);
  const x = tensor(Float32Array.from({ length: 8 * 8 * 4 }, random), [1, 8, 8, 4]);
  const y = unet(config.unet, params.unet, x, tensor([500]), context);
  return await device.read(evaluate(device, y));
}

Deno.test("a model held in f16 answers the same, to the last bit, on an adapter without shader-f16", async () => {
  if (!(await testDevice()).profile.f16) return;
  assertEquals(await answer(false), await answer(true));
});

/** ‖a − b‖ / ‖b‖. */
const distance = (a: readonly number[], b: readonly number[]) =>
  Math.hypot(...a.map((x, i) => x - b[i])) / Math.hypot(...b);

Deno.test("30 steps with activations in f16 end near those in f32, in half of their memory; what trains is f32", async () => {
  const device = await testDevice();
  if (!device.profile.f16) return;
  const shape = small();
  const params = uploaded(device, shape, "f32");
  const trainable = shape.trains(params);
  let draw = 0;
  const given = batchOf(shape, ({ shape, dtype }) => {
    const size = shape.reduce((a, b) => a * b);
    const values = uniforms(`leaf ${draw++}`, size);
    return tensor(
      dtype === "u32"
        ? Uint32Array.from(values, (_, i) => i % 7 === 3 ? 19 : i % 19)
        : Float32Array.from(values),
      shape,
    );
  });
  const batch = {
    ...given,
    mask: tensor(new Float32Array(given.mask.size).fill(1), given.mask.shape),
  };
  const read = async (tree: Named) => {
    const parts = await Promise.all(Object.values(tree).map((t) => device.read(t)));
    assert(parts.every((p) => p instanceof Float32Array));
    return parts.map((p) => Array.from(p as Float32Array));
  };
  const start = await read(evaluate(device, trainable.pick(params)));
  const run = async (activations: "f32" | "f16") => {
    const config = withActivations(shape.config, activations, device.profile);
    const model = { ...shape, config, device, params };
    const { step: planned } = stepMemory(device.profile, model, trainable, shape, {});
    const step = trainingStep(model, trainable, 0.01);
    const rate = tensor([1e-3], []);
    let state = evaluate(device, adamInit(trainable.pick(params)));
    assertEquals(step.program(state, batch, rate).bytes, planned.total);
    const losses: number[] = [];
    let first: number[][] = [];
    for (let i = 0; i < 30; i++) {
      const made = step(state, { ...batch, key: tensor(Uint32Array.of(1, i)) }, rate);
      state = made.state;
      losses.push(await device.item(made.loss));
      // After one step the mean of gradients is a tenth of the first.
      if (i === 0) first = await read(state.m);
    }
    const trained = await read(state.params);
    step.free();
    device.free(...flatten<Tensor>({ ...state }).map(([, t]) => t));
    const delta = trained.map((p, i) => p.map((v, j) => v - start[i][j]));
    return { losses, first, delta, activations: planned.activations };
  };
  const [exact, half] = [await run("f32"), await run("f16")];
  device.free(...flatten<Tensor>({ ...params }).map(([, t]) => t));
  assert(half.activations < 0.6 * exact.activations, `${half.activations} of ${exact.activations}`);
  half.losses.forEach((x, i) =>
    assert(Math.abs(x / exact.losses[i] - 1) < 1e-3, `loss ${i}: ${x}`)
  );
  half.first.forEach((g, i) =>
    assert(distance(g, exact.first[i]) < 1e-2, `gradient ${i}: ${distance(g, exact.first[i])}`)
  );
  const whole = distance(half.delta.flat(), exact.delta.flat());
  assert(whole < 0.015, `the delta differs by ${whole}`);
});

Deno.test("activations in f16 are refused where shaders have none, before anything is loaded", () => {
  const { config } = small();
  assertThrows(() => withActivations(config, "f16", { f16: false }), AdapterError, "shader-f16");
  assertEquals(withActivations(config, "f32", { f16: false }), config);
  const upcast = withActivations({ ...config, vae: { ...config.vae, forceUpcast: true } }, "f16", {
    f16: true,
  });
  const halves = (y: Tensor) => tapeOf([y]).filter((n) => n.outputs[0].dtype === "f16");
  const { vae } = sketchParams(config, "f32");
  const z = tensor(new Float32Array(16), [1, 2, 2, 4]);
  assertEquals(halves(vaeDecode(upcast.vae, vae, z)).length, 0);
  const picture = vaeDecode({ ...upcast.vae, forceUpcast: false }, vae, z);
  assert(halves(picture).length > 20 && picture.dtype === "f32");
});

Deno.test("f16 without Float16Array: the same bits for every f16, between them, and beyond", () => {
  const halves = new Float16Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);
  assertEquals(widenF16(new Uint16Array(halves.buffer)), Float32Array.from(halves));
  const exact = Float32Array.from(halves).filter((x) => !Number.isNaN(x));
  const floats = new Float32Array(exact.length * 5);
  exact.forEach((x, i) => {
    const step = Math.max(Math.abs(x), 2 ** -14) * 2 ** -11;
    floats.set([x, x + step / 2, x + step, x - step, x + step * (1 + 2 ** -10)], i * 5);
  });
  const all = Float32Array.of(...[NaN, Infinity, -Infinity, -0, 65519, 65520, 65536, 1e30, 1e-30]);
  for (const some of [floats, all, new Float32Array(0)]) {
    const wanted = new Float16Array(some);
    assertEquals(halfBits(some), new Uint16Array(wanted.buffer));
  }
});
