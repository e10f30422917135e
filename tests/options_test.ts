// Options and hyper-parameters: a value of another kind, or one that can mean nothing, is refused by name before anything is
// traced; what an optimizer returns has its parameters' shapes and types.
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import * as library from "../mod.ts";
import { relativeError, testDevice } from "./support/check.ts";

// deno-lint-ignore no-explicit-any
type Any = any;
const api = library as Any;
const { cast, evaluate, tensor } = library;
const x = tensor([[1, 2], [3, 4]]);
const vector = tensor([1, 2]);
const image = tensor(new Float32Array(16), [1, 2, 2, 4]);
const weight = tensor(new Float32Array(16), [1, 1, 4, 4]);
const heads = tensor(new Float32Array(8), [1, 2, 2, 2]);
const key = tensor([0, 1], [2], "u32");
const named = { w: vector };
const device = await testDevice();

const NUMBERS = "a number or a list";
const FLAG = "true or false", NUMBER = "a number", FLOAT = "f32 or f16";
/** Every option of the door's functions that has a kind: how to call with it, and the kind. */
const OPTIONS: Record<string, [(options: Any) => unknown, Record<string, string>]> = {
  sum: [(o) => api.sum(x, [0], o), { keep: FLAG }],
  mean: [(o) => api.mean(x, [0], o), { keep: FLAG }],
  max: [(o) => api.max(x, [0], o), { keep: FLAG }],
  logSumExp: [(o) => api.logSumExp(x, o), { keep: FLAG }],
  matmul: [(o) => api.matmul(x, x, o), { transposeA: FLAG, transposeB: FLAG, dtype: FLOAT }],
  conv2d: [(o) => api.conv2d(image, weight, o), {
    stride: NUMBERS,
    dilation: NUMBERS,
    groups: NUMBER,
    dtype: FLOAT,
  }],
  maxPool: [(o) => api.maxPool(image, { window: 1, ...o }), {
    window: NUMBERS,
    stride: NUMBERS,
    ceilMode: FLAG,
  }],
  resizeImage: [(o) => api.resizeImage(image, [1, 2, 2, 4], o), { antialias: FLAG, cubic: NUMBER }],
  cumsum: [(o) => api.cumsum(x, 0, o), { reverse: FLAG, exclusive: FLAG }],
  argmax: [(o) => api.argmax(x, 0, o), { keep: FLAG, last: FLAG }],
  layerNorm: [(o) => api.layerNorm(x, vector, vector, o), { eps: NUMBER }],
  groupNorm: [(o) => api.groupNorm(x, vector, vector, { groups: 1, ...o }), {
    groups: NUMBER,
    eps: NUMBER,
  }],
  attention: [(o) => api.attention(heads, heads, heads, o), {
    causal: FLAG,
    scale: NUMBER,
    softCap: NUMBER,
    offset: NUMBER,
  }],
  randomNormal: [(o) => api.randomNormal(key, [2], o), { stream: NUMBER }],
  randomUniform: [(o) => api.randomUniform(key, [2], o), { stream: NUMBER }],
  randomTruncatedNormal: [(o) => api.randomTruncatedNormal(key, [2], o), {
    stream: NUMBER,
    lower: NUMBER,
    upper: NUMBER,
  }],
  randomCategorical: [(o) => api.randomCategorical(key, x, o), { stream: NUMBER, axis: NUMBER }],
  randomChoice: [(o) => api.randomChoice(key, 2, [1], o), { replace: FLAG, axis: NUMBER }],
  compile: [(o) => api.compile(device, () => x, o), { fuse: FLAG }],
  evaluate: [(o) => api.evaluate(device, x, o), { fuse: FLAG }],
  adamw: [(o) => api.adamw(api.adamInit(named), named, { rate: 1, ...o }), {
    beta1: NUMBER,
    beta2: NUMBER,
    epsilon: NUMBER,
    decay: NUMBER,
    scale: "a function",
  }],
};

const RIGHT: Record<string, (v: unknown) => boolean> = {
  [FLAG]: (v) => typeof v === "boolean",
  [NUMBER]: (v) => typeof v === "number",
  [NUMBERS]: (v) => typeof v === "number" || Array.isArray(v),
  [FLOAT]: (v) => v === "f32" || v === "f16",
  "a function": (v) => typeof v === "function",
};

Deno.test("an option of another kind is refused by its name, whatever it is", () => {
  const values = [null, "1", "no", "i32", 0, 1, NaN, true, [], [1], {}, 1n, x, () => 1];
  for (const [name, [call, options]] of Object.entries(OPTIONS)) {
    for (const [option, kind] of Object.entries(options)) {
      for (const value of values.filter((v) => !RIGHT[kind](v))) {
        const error = assertThrows(() => call({ [option]: value }), TypeError);
        assertStringIncludes(error.message, `${name}: options.${option} is `);
        assertStringIncludes(error.message, `not ${kind}`);
      }
    }
  }
});

Deno.test("debugRun, profile, explain and keys name what they cannot take", async () => {
  const step = library.compile(device, (t: library.Tensor) => library.add(t, 1));
  const cases: [() => unknown, string][] = [
    [() => api.debugRun(step, [x], { tolerance: "1" }), 'options.tolerance is the string "1"'],
    [() => api.debugRun(step, [x], { references: false }), 'no option "references"'],
    [() => api.debugRun(step, x), "argument 2 (args) is the tensor f32[2,2], not the list"],
    [() => api.profile(step, [x], { repeat: 5 }), 'no option "repeat"'],
    [() => api.profile(step, [x], { repeats: NaN }), "options.repeats must be a whole number"],
    [() => api.profile(step, [x], { wall: 1 }), "options.wall is the number 1"],
    [() => api.explain(step), "argument 1 (plan) is the function call, not a plan"],
    [() => api.explain(), "argument 1 (plan) is undefined, not a plan"],
    ...[NaN, -1, 0.5].map((p): [() => unknown, string] => [
      () => api.compile(device, () => x, { donate: [p] }),
      `compile: a place in options.donate must be a whole number of at least 0, not ${p}`,
    ]),
    [() => api.foldIn(3, 1), "foldIn: argument 1 (key) is the number 3"],
    [() => api.foldIn(x, 1), "foldIn: the key must be u32[2], not f32[2,2]"],
    [() => api.foldIn([1], 1), "the key is [1], not two u32"],
    [() => api.foldIn([1, NaN], 1), "the key is [1,NaN], not two u32"],
    [() => api.foldIn([1, 2, 3], 1), "not two u32"],
    [() => api.foldIn([-1, 2 ** 32], 1), "not two u32"],
    [() => api.foldIn([1, 2], 1n), "foldIn: argument 2 (data) is the bigint 1n"],
    [() => api.foldIn([1, 2], x), "foldIn: argument 2 (data) is the tensor"],
  ];
  for (const [call, message] of cases) {
    await assertRejects(async () => await call(), Error, message);
  }
  step.free();
});

Deno.test("an option that is undefined is one that was left out", () => {
  for (const [call, options] of Object.values(OPTIONS)) {
    for (const option of Object.keys(options)) {
      if (option !== "groups") call({ [option]: undefined });
    }
  }
});

Deno.test("strides and padding that kernels cannot count are refused by conv2d", () => {
  for (const value of [5e9, 2 ** 32, 1e39, 1e300, Infinity, NaN, -1, 0.5]) {
    for (const options of [{ stride: value }, { padding: value }, { padding: [0, value, 0, 0] }]) {
      const error = assertThrows(
        () => api.conv2d(image, weight, options),
        library.ShapeError,
        "conv2d",
      );
      assert(/stride|padding/.test(error.message), error.message);
    }
  }
  for (const padding of [null, "1", {}, ["1"]]) {
    assertThrows(() => api.conv2d(image, weight, { padding }), TypeError, "options.padding is");
  }
  for (const padding of [[], [0, 0]]) {
    assertThrows(() => api.conv2d(image, weight, { padding }), library.ShapeError, "padding");
  }
});

Deno.test("hyper-parameters that no training can have are refused by name", () => {
  const step = (o: Any) => api.adamw(api.adamInit(named), named, { rate: 1, ...o });
  const bad = {
    rate: [NaN, Infinity, -1, 1e39],
    beta1: [NaN, Infinity, -0.1, 1, 2, 1 - 2 ** -30],
    beta2: [NaN, Infinity, -0.1, 1, 2, 1 - 2 ** -30],
    epsilon: [NaN, Infinity, -1e-8, 1e39],
    decay: [NaN, Infinity, -0.01, 1e39],
  };
  for (const [option, values] of Object.entries(bad)) {
    for (const value of values) {
      assertThrows(() => step({ [option]: value }), RangeError, `adamw: options.${option} is`);
    }
  }
  for (const value of [NaN, -1, Infinity]) {
    assertThrows(() => step({ scale: () => value }), RangeError, 'options.scale("w") is');
    assertThrows(() => api.sgd(named, named, value), RangeError, "sgd: argument 3 (rate) is");
  }
  for (const value of [NaN, -1]) {
    assertThrows(() => api.clipByGlobalNorm(named, value), RangeError, "argument 2 (maxNorm) is");
  }
  assertThrows(() => api.clipByGlobalNorm(named, "1"), TypeError, "argument 2 (maxNorm)");
});

Deno.test("gradients, moments and rates that would change a parameter's shape or type are refused", () => {
  const odd = [
    x,
    tensor([[1, 2]]),
    tensor([1]),
    tensor(1),
    cast(vector, "f16"),
    cast(vector, "i32"),
  ];
  const state = api.adamInit(named);
  for (const w of odd) {
    const alike = (name: string) => `${name}["w"] is ${w.dtype}[${w.shape}], `;
    assertThrows(() => api.sgd(named, { w }, 1), library.ShapeError, alike("sgd: grads"));
    const of = (s: Any, g: Any) => () => api.adamw(s, g, { rate: 1 });
    assertThrows(of(state, { w }), library.ShapeError, alike("adamw: grads"));
    assertThrows(of({ ...state, m: { w } }, named), library.ShapeError, alike("adamw: m"));
    assertThrows(of({ ...state, v: { w } }, named), library.ShapeError, alike("adamw: v"));
  }
  for (const rate of [vector, x, tensor([])]) {
    assertThrows(() => api.sgd(named, named, rate), library.ShapeError, "not one number");
    assertThrows(() => api.adamw(state, named, { rate }), library.ShapeError, "not one number");
  }
  const half = { w: cast(vector, "f16") };
  assertThrows(() => api.adamw(api.adamInit(half), half, { rate: 1 }), Error, "adamw");
  for (const rate of [tensor(1), tensor([1]), tensor([[1]])]) {
    const scalars = { w: tensor(3) };
    assertEquals(library.sgd(scalars, scalars, rate).w.shape, []);
    const moved = library.adamw(library.adamInit(scalars), scalars, { rate });
    assertEquals(moved.params.w.shape, []);
  }
});

Deno.test("clipping takes nothing, and f16 whose squares leave f16", async () => {
  assertEquals(
    await device.item(evaluate(device, library.clipByGlobalNorm({}, 1).norm)),
    0,
  );
  for (const fuse of [true, false]) {
    const grads = { a: cast(tensor([300, 400]), "f16"), b: tensor([0]) };
    const clipped = evaluate(device, library.clipByGlobalNorm(grads, 1), { fuse });
    assertEquals([clipped.grads.a.dtype, clipped.grads.b.dtype], ["f16", "f32"]);
    assert(relativeError(await device.read(clipped.norm) as Float32Array, [500]) < 1e-5);
    assert(relativeError(await device.read(clipped.grads.a) as Float32Array, [0.6, 0.8]) < 1e-3);
  }
});

Deno.test("a reduction over no axis has the type of one over some", async () => {
  for (const dtype of ["f32", "f16"] as const) {
    for (const t of [cast(vector, dtype), cast(tensor(3), dtype), cast(tensor([], [0]), dtype)]) {
      for (const f of [library.sum, library.mean]) {
        const y = evaluate(device, f(t, []));
        assertEquals(y.spec, { shape: t.shape, dtype: "f32" });
        assertEquals(
          Array.from(await device.read(y), Number),
          Array.from(await device.read(evaluate(device, t)), Number),
        );
      }
      assertEquals(library.max(t, []).dtype, dtype);
    }
    assertEquals(library.sum(cast(tensor(3), dtype)).dtype, "f32");
  }
  assertEquals(library.sum(cast(vector, "i32"), []).dtype, "i32");
});

Deno.test("a loss of whole numbers has no gradient, and says so", () => {
  for (const dtype of ["i32", "u32"] as const) {
    const loss = (t: library.Tensor) => library.sum(cast(t, dtype));
    assertThrows(() => library.grad(loss)(vector), library.ShapeError, `the loss is ${dtype}[]`);
  }
});
