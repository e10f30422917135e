// Truth values as an element type: what gives them, what keeps them and what counts them; that numbers are taken for them wherever
// they are taken; and how they come in and go out.
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { compile, evaluate, scalar, type Tensor, tensor, vmap } from "../mod.ts";
import { CALLS } from "./support/argument_calls.ts";
import { test } from "./support/devices.ts";
import { inFolder } from "./support/dist.ts";
import { is, retyped, tensorsOf, typeOf } from "./support/retyped.ts";
import weights from "./golden/weights.json" with { type: "json" };

// deno-lint-ignore no-explicit-any
const api = m as any;
const [T, F] = [true, false];

/** What truth values become in every public function that takes them. */
const BECOME: Record<string, string> = {
  bool: "all any bitwiseAnd bitwiseNot bitwiseOr bitwiseXor equal greater greaterEqual less " +
    "lessEqual logicalAnd logicalNot logicalOr logicalXor notEqual " +
    // Kept.
    "adaptiveMaxPool centerCrop compress concat cummax cummin depthToSpace diagonal dynamicSlice " +
    "dynamicUpdateSlice expand expandDims eye flip full fullLike gather globalMaxPool hardmax index " +
    "max maxPool maxPoolWithPlaces maxUnpool maximum min minimum moveAxis ones onesLike pad permute " +
    "repeat reshape roll slice slidingWindowView sort spaceToDepth split squeeze stack stopGradient " +
    "take takeAlongAxis threshold tile topK transpose tri tril triu unfold unique unsqueeze " +
    "upsampleNearest where zeros zerosLike",
  u32: "abs add bitwiseCount clamp cumprod cumsum div einsum fmod leftShift mod mul outer prod " +
    "relu relu6 remainder rightShift sign square sub sum " +
    // By "add", which is what these are called with.
    "putAlongAxis scatter " +
    // Places.
    "argmax argmin argsort nonzero searchsorted",
  f32: "dequantize oneHot",
  f16: "cast",
};

Deno.test("what truth values become, in every function that takes them", () => {
  const found: Record<string, string[]> = {};
  for (const [name, args] of Object.entries(CALLS)) {
    const own = typeOf(name);
    if (!own) continue;
    let made: Tensor;
    try {
      [made] = tensorsOf(api[name](...args.map((a) => retyped(a, own, "bool"))));
    } catch {
      continue; // tests/dtypes_test.ts looks at refusals.
    }
    (found[made.dtype] ??= []).push(name);
  }
  const sorted = (names: readonly string[]) => [...names].sort();
  assertEquals(
    Object.fromEntries(Object.entries(found).map(([type, names]) => [type, sorted(names)])),
    Object.fromEntries(
      Object.entries(BECOME).map(([type, names]) => [type, sorted(names.split(" "))]),
    ),
  );
});

Deno.test("every comparison, test and draw of truth gives bool, whatever it is of", () => {
  const x = tensor([0, 1]), key = m.randomKey(3);
  const of = (t: Tensor) => [
    ...[m.less, m.lessEqual, m.greater, m.greaterEqual, m.equal, m.notEqual].flatMap((f) => [
      f(t, t),
      f(t, 1),
      f(1, t),
    ]),
    ...[m.logicalAnd, m.logicalOr, m.logicalXor].flatMap((f) => [f(t, t), f(t, x), f(1, t)]),
    ...[m.logicalNot(t), m.any(t), m.all(t, 0, { keep: true }), m.cast(t, "bool")],
  ];
  for (const dtype of ["f32", "f16", "i32", "u32", "bool"] as const) {
    for (const t of of(m.cast(x, dtype))) assertEquals(t.dtype, "bool", `${t} of ${dtype}`);
  }
  for (const t of [m.isNan(x), m.isFinite(x), m.isInf(x), m.randomBernoulli(key, 0.5, [2])]) {
    assertEquals(t.dtype, "bool", String(t));
  }
});

test("a cast to bool is what is not 0, NaN too; from it true is 1", async (device) => {
  const x = [0, -0, 0.25, -3, NaN, Infinity];
  await is(device, m.cast(tensor(x), "bool"), "bool", [F, F, T, T, T, T]);
  await is(device, m.cast(tensor(x, [6], "f16"), "bool"), "bool", [F, F, T, T, T, T]);
  await is(device, m.cast(tensor(Int32Array.of(0, -1, 7)), "bool"), "bool", [F, T, T]);
  await is(device, m.cast(tensor(Uint32Array.of(0, 2 ** 31)), "bool"), "bool", [F, T]);
  const truth = tensor([true, false]);
  for (const dtype of ["f32", "f16", "i32", "u32"] as const) {
    await is(device, m.cast(truth, dtype), dtype, [1, 0]);
  }
  assertEquals(m.cast(truth, "bool"), truth);
});

test("arithmetic counts truth values, beside each other and beside u32; nothing else is promoted", async (device) => {
  const [a, b] = [tensor([T, T, F]), tensor([T, F, F])];
  await is(device, m.add(a, b), "u32", [2, 1, 0]);
  await is(device, m.sub(1, a), "u32", [0, 0, 1]);
  await is(device, m.mul(a, 5), "u32", [5, 5, 0]);
  await is(device, m.sum(a), "u32", 2);
  await is(device, m.sum(a, []), "u32", [1, 1, 0]);
  await is(device, m.prod(a), "u32", 0);
  await is(device, m.cumsum(a), "u32", [1, 2, 2]);
  await is(device, m.cumsum(a, 0, { exclusive: true }), "u32", [0, 1, 2]);
  await is(device, m.einsum("i,i->", a, a), "u32", 2);
  await is(device, m.scatter(a, tensor([[2n], [2n]]), tensor([T, T]), { mode: "add" }), "u32", [
    1,
    1,
    2,
  ]);
  await is(device, m.scatter(a, tensor([[2n], [0n]]), tensor([T, F])), "bool", [F, T, T]);
  const words = tensor(Uint32Array.of(3, 0, 1));
  await is(device, m.add(a, words), "u32", [4, 1, 1]);
  await is(device, m.maximum(a, words), "u32", [3, 1, 1]);
  await is(device, m.bitwiseAnd(words, a), "u32", [1, 0, 0]);
  await is(device, m.where(b, a, words), "u32", [1, 0, 1]);
  await is(device, m.concat([a, words], 0), "u32", [1, 1, 0, 3, 0, 1]);
  await is(device, m.equal(a, words), "bool", [F, F, F]);
  // Of their own kind they stay what they are.
  await is(device, m.maximum(a, b), "bool", [T, T, F]);
  await is(device, m.bitwiseXor(a, b), "bool", [F, T, F]);
  await is(device, m.bitwiseNot(a), "bool", [F, F, T]);
  await is(device, m.where(b, a, 1), "bool", [T, T, T]);
  await is(device, m.min(a), "bool", F);
  await is(device, m.cummin(a), "bool", [T, T, F]);
  for (const f of [m.add, m.mul, m.maximum, m.less, m.equal]) {
    assertThrows(() => f(a, tensor([1, 2, 3])), m.ShapeError, "bool");
    assertThrows(() => f(tensor(Int32Array.of(1, 2, 3)), a), m.ShapeError, "bool");
  }
  assertThrows(() => m.neg(a), m.ShapeError, "neg: takes f32, f16, i32, not bool[3]");
  assertThrows(() => m.mean(a), m.ShapeError, "mean: takes f32, f16, not bool[3]");
  assertThrows(() => m.where(b, a, 2), RangeError, "where: 2 is no bool");
});

test("where truth values are taken, numbers are as before: what is not 0 is true", async (device) => {
  const q = m.ones([1, 2, 1, 2]), k = m.ones([1, 3, 1, 2]);
  const v = tensor([1, 2, 4, 8, 16, 32], [1, 3, 1, 2]);
  const seen = [[1, 0, 0], [0, 0, 2]];
  for (const dtype of ["f32", "f16", "i32", "u32", "bool"] as const) {
    const c = m.cast(tensor(seen), dtype), row = m.index(c, [1]), one = m.index(row, [2]);
    await is(device, m.where(c, 1, -1), "f32", [[1, -1, -1], [-1, -1, 1]]);
    await is(device, m.attention(q, k, v, { mask: c }), "f32", [[[[1, 2]], [[16, 32]]]]);
    await is(device, m.logicalOr(c, 0), "bool", [[T, F, F], [F, F, T]]);
    await is(device, m.any(c, 1), "bool", [T, T]);
    await is(device, m.all(c), "bool", F);
    await is(device, m.compress(row, tensor([7, 8, 9]), 0, { size: 1 }), "f32", [9]);
    await is(device, m.nonzero(row, { size: 1 }), "u32", [[2]]);
    await is(device, m.cond(one, (x: Tensor) => m.mul(x, 2), (x) => x, tensor(4)), "f32", 8);
    const halved = m.whileLoop(
      ({ n }) => m.cast(m.greater(n, 1), dtype),
      ({ n }) => ({ n: m.mul(n, 0.5) }),
      { n: scalar(12) },
      { maxSteps: 9 },
    );
    await is(device, halved.n, "f32", 0.75);
  }
});

test("ids that are truth values choose between the first and the second", async (device) => {
  const ids = m.greater(tensor([1, -1]), 0), table = tensor([[1, 2], [3, 4]]);
  await is(device, m.take(table, ids), "f32", [[3, 4], [1, 2]]);
  await is(device, m.embedding(table, ids), "f32", [[3, 4], [1, 2]]);
  await is(device, m.oneHot(ids, 3), "f32", [[0, 1, 0], [1, 0, 0]]);
  await is(device, m.oneHot(ids, 2, { dtype: "bool" }), "bool", [[F, T], [T, F]]);
  await is(device, m.dynamicSlice(table, [m.index(ids, [0]), 0], [1, 2]), "f32", [[3, 4]]);
  const loss = m.nllLoss(table, ids, { reduction: "none" });
  await is(device, loss, "f32", [-2, -3]);
});

test("tensors of truth are made as others are, and print as true and false", async (device) => {
  await is(device, m.zeros([2], "bool"), "bool", [F, F]);
  await is(device, m.ones([], "bool"), "bool", T);
  await is(device, m.full([1, 2], 1, "bool"), "bool", [[T, T]]);
  await is(device, m.eye(2, 2, 0, "bool"), "bool", [[T, F], [F, T]]);
  await is(device, m.tri(2, 3, 0, "bool"), "bool", [[T, F, F], [T, T, F]]);
  await is(device, m.onesLike(tensor([F])), "bool", [T]);
  await is(device, m.pad(tensor([F]), [[1, 1]], { value: 1 }), "bool", [T, F, T]);
  await is(device, device.upload([[true], [false]]), "bool", [[T], [F]]);
  assertEquals(String(tensor([[true, false]])), "bool[1,2] [[true, false]]");
  assertEquals(String(m.ones([], "bool")), "bool[] true");
  assertEquals([scalar(true), scalar(false, "f32")].map(String), ["bool[] true", "f32[] 0"]);
  assertEquals(String(m.ones([])), "f32[] 1");
  assertEquals(
    String(m.zeros([3], "bool")),
    "bool[3] (result of expand, not computed yet)",
  );
  for (const wrong of [2, -1, 0.5, NaN]) {
    assertThrows(() => tensor([wrong], [1], "bool"), RangeError, `tensor: value 0, ${wrong}, `);
    assertThrows(() => m.full([1], wrong, "bool"), RangeError, `full: ${wrong} is no bool`);
  }
  assertThrows(
    () => tensor(Uint32Array.of(0, 2), [2], "bool"),
    RangeError,
    "value 1, 2, is neither",
  );
  assertThrows(() => m.iota(2, "bool"), m.ShapeError, "iota: counts in numbers, not in bool");
  assertThrows(() => m.arange(0, 2, 1, "bool"), m.ShapeError, "arange: counts in numbers");
  assertThrows(() => m.bitcastConvertType(tensor([T]), "u32"), m.ShapeError, "bool");
  // The host reads the words that they are stored as.
  const t = evaluate(device, m.less(tensor([1, 5]), 3));
  assertEquals(await device.read(t), Uint32Array.of(1, 0));
  assertEquals(await device.item(m.index(t, [0])), 1);
  // Of none there is nothing, of which none is true and all are.
  await is(device, m.any(m.zeros([2, 0], "bool"), 1), "bool", [F, F]);
  await is(device, m.all(m.zeros([2, 0]), 1), "bool", [T, T]);
  await is(device, m.less(m.zeros([0]), 1), "bool", []);
});

test("programs take truth values, donated ones too, and give them back", async (device) => {
  const step = compile(
    device,
    (done: Tensor, x: Tensor) => {
      const now = m.logicalOr(done, m.greater(x, 2));
      return { done: now, left: m.sum(m.logicalNot(now)), x: m.where(now, x, m.add(x, 1)) };
    },
    { donate: [0] },
  );
  let done = device.upload([false, false, false, false]);
  let x: Tensor = tensor([0, 1, 2, 3]);
  const seen: number[] = [];
  for (let i = 0; i < 3; i++) {
    const made = step(done, x);
    ({ done } = made);
    x = evaluate(device, made.x);
    seen.push(await device.item(made.left));
  }
  assertEquals(seen, [3, 2, 1]);
  await is(device, done, "bool", [F, T, T, T]);
  // A mask of u32 is another program of the same function.
  const words = step(device.upload(Uint32Array.of(0, 1, 0, 0)), tensor([0, 0, 0, 9]));
  await is(device, words.done, "bool", [F, T, F, T]);
  step.free();
});

test("mapped, looped, differentiated: truth values go along and have no derivative", async (device) => {
  const rows = tensor([[1, -2], [-3, 4]]);
  await is(device, vmap((x: Tensor) => m.any(m.greater(x, 3)))(rows), "bool", [F, T]);
  const masks = m.greater(rows, 0);
  await is(
    device,
    vmap((mask: Tensor, x: Tensor) => m.where(mask, x, 0))(masks, rows),
    "f32",
    [[1, 0], [0, 4]],
  );
  await is(device, vmap((mask: Tensor) => m.sum(mask))(masks), "u32", [1, 1]);
  const [last, all] = m.scan(
    (odd: Tensor, x: Tensor) => [m.logicalXor(odd, x), odd] as const,
    tensor(false),
    tensor([T, F, T, T, F, T]),
  );
  await is(device, last, "bool", F);
  await is(device, all, "bool", [F, T, T, F, T, T]);
  assertThrows(
    () => m.scan((c: Tensor) => [m.logicalNot(c), c], scalar(1, "u32"), undefined, { length: 2 }),
    m.ShapeError,
    "the carry is u32[] before a turn, bool[] after it",
  );
  const masked = (x: Tensor) => m.sum(m.where(m.greater(x, 0), m.square(x), 0));
  await is(device, m.grad(masked)(rows), "f32", [[2, 0], [0, 8]]);
  await is(device, m.grad((x: Tensor) => m.checkpoint(masked)(x))(rows), "f32", [[2, 0], [0, 8]]);
  const by = (x: Tensor) => m.sum(m.mul(x, m.cast(m.greater(x, 0), "f32")));
  await is(device, m.grad(by)(rows), "f32", [[1, 0], [0, 1]]);
  const { value, tangent } = m.jvp(masked, [rows], [m.onesLike(rows)]);
  await is(device, value, "f32", 17);
  await is(device, tangent, "f32", 10);
  assertThrows(() => m.grad((x: Tensor) => m.any(x))(rows), m.ShapeError, "bool");
});

test("an op of one's own sees words, and gives 0 and 1 for truth values", async (device) => {
  const turned = m.defineOp({
    name: "turned truth",
    inputs: ["x"],
    shape: ([x]) => x,
    element: ({ inputs: [x], outputs: [y] }) => {
      assertEquals([x.dtype, y.dtype], ["u32", "u32"]);
      return "return 1u - x[i];";
    },
    vjp: null,
    reference: ([x]) => [x.map((v) => 1 - v)],
  });
  const twice = m.defineMap({
    name: "twice",
    arity: 1,
    takes: "integers",
    expression: ([x], _attrs, w) => `(${x} * ${w.number(2)})`,
    reference: ([x]) => x * 2,
  });
  const truth = m.greater(tensor([3, 0, 5, 1, 0]), 2);
  await is(device, m.where(turned(truth), 1, 0), "f32", [0, 1, 0, 1, 1]);
  await is(device, turned(truth), "bool", [F, T, F, T, T]);
  await is(device, twice(truth), "u32", [2, 0, 2, 0, 0]);
  const program = compile(device, (x: Tensor) => turned(m.less(x, 2)));
  const report = await m.debugRun(program, [tensor([1, 2, 3])]);
  assertEquals(report.problem, undefined);
  program.free();
  // What is neither 0 nor 1 is found, also where nothing says what it should be.
  const seven = m.defineOp({
    name: "seven",
    inputs: ["x"],
    shape: ([x]) => ({ ...x, dtype: "bool" }),
    element: () => "return select(1u, 7u, x[i] > 1.0);",
  });
  const wrong = compile(device, (x: Tensor) => seven(x));
  const { problem } = await m.debugRun(wrong, [tensor([1, 2, 3])]);
  assertEquals([problem?.kind, problem?.index, problem?.actual], ["no truth value", 1, 7]);
  assertEquals(problem!.message.includes("bool[3] is 7 at index 1"), true, problem!.message);
  wrong.free();
});

test("truth values lie in files as bytes, and come back", async (device) => {
  await inFolder(async (folder) => {
    const tree = {
      mask: tensor([[T, F], [T, T]]),
      there: device.upload([F, T, T]),
      flag: true,
    };
    const path = `${folder}/tree.safetensors`;
    await m.optim.saveTree(path, tree, { device });
    using file = await m.openSafetensors(path);
    assertEquals(file.tensors.get("mask"), { ...file.tensors.get("mask")!, dtype: "BOOL" });
    assertEquals((await file.read("there")).data, Uint8Array.of(0, 1, 1));
    for (const on of [undefined, device]) {
      const { tree: back } = await m.optim.loadTree<typeof tree>(path, { device: on, like: tree });
      await is(device, back.mask, "bool", [[T, F], [T, T]]);
      await is(device, back.there, "bool", [F, T, T]);
      assertEquals(back.flag, true);
    }
    const words = { ...tree, mask: tensor(Uint32Array.of(1, 0, 1, 1), [2, 2]) };
    await assertRejects(
      () => m.optim.loadTree(path, { like: words }),
      Error,
      '"mask" is bool[2,2], not u32[2,2]',
    );
  });
  // What PyTorch wrote.
  const golden = new URL("./golden/weights.safetensors", import.meta.url).pathname;
  using file = await m.openSafetensors(golden);
  const { dtype, shape, data } = await file.read("bool");
  assertEquals(dtype, "BOOL");
  await is(device, device.upload(data, shape, "bool"), "bool", weights.tensors.bool.values);
  // Any byte but 0 is true, and a file has no others than 0 and 1.
  const odd = await m.encodeNpy({ shape: [3], data: Uint8Array.of(0, 1, 200), dtype: "BOOL" });
  assertEquals(odd.slice(-3), Uint8Array.of(0, 1, 1));
  odd[odd.length - 1] = 7;
  assertEquals((await m.readNpy(odd)).data, Uint8Array.of(0, 1, 1));
  await assertRejects(
    () => m.encodeNpy({ shape: [1], data: Float32Array.of(1), dtype: "BOOL" }),
    Error,
    "a Float32Array can't be written as BOOL",
  );
});
