// Ops and derivatives of a user's own: they work as the library's do, and whatever is wrong with one is named.
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import {
  debugRun,
  defineMap,
  defineOp,
  evaluate,
  grad,
  jvp,
  type Tensor,
  tensor,
  vmap,
} from "../mod.ts";
import { near, onDevice, values } from "./support/own.ts";
import { interpret } from "../compile/interpret.ts";
import { registered } from "../tensor/op.ts";
import { ownDevice, testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

/** x² · scale, elementwise. */
const scaledSquare = defineMap<{ readonly scale: number }>({
  name: "scaledSquare",
  arity: 1,
  expression: ([x], { scale }, w) => `(${x} * ${x} * ${w.number(scale)})`,
  vjp: [(g, [x], _y, { scale }) => m.mul(g, m.mul(x, 2 * scale))],
  reference: ([x], { scale }) => scale * x * x,
});

/** Σ of neighbours along the last axis, one element at a time. */
const neighbours: m.OneOut = defineOp({
  name: "neighbours",
  inputs: ["x"],
  shape: ([x]) => x,
  element: ({ inputs: [{ shape, dtype }] }) => ({
    declarations: `fn at(i: u32) -> ${dtype === "i32" ? "i32" : "f32"} { return ${
      dtype === "i32" ? "" : "f32"
    }(x[i]); }`,
    code: `
      let c = i % ${shape.at(-1)}u;
      var sum = at(i);
      if (c > 0u) { sum += at(i - 1u); }
      if (c + 1u < ${shape.at(-1)}u) { sum += at(i + 1u); }
      return sum;`,
  }),
  vjp: ([g]) => [g && neighbours(g)],
  batch: "alike",
  reference: ([x], [{ shape }]) => {
    const n = shape.at(-1)!;
    return [x.map((v, i) => v + (i % n ? x[i - 1] : 0) + ((i + 1) % n ? x[i + 1] : 0))];
  },
});

/** Σ and Σ² of rows, in two passes by way of scratch. */
const moments: m.ManyOut = defineOp({
  name: "moments",
  inputs: ["x"],
  outputs: ["sums", "squares"],
  shape: ([{ shape, dtype }]) => {
    const rows = { shape: shape.slice(0, -1), dtype };
    return [rows, rows];
  },
  kernel: ({ inputs: [{ shape: [rows, n] }] }) => ({
    scratch: { parts: { type: "f32", length: 2 * rows } },
    passes: [{
      count: 2 * rows,
      code: `let row = i / 2u;
        var s = 0.0;
        for (var k = 0u; k < ${n}u; k++) { let v = x[row * ${n}u + k]; s += select(v, v * v, i % 2u == 1u); }
        parts[i] = s;`,
    }, { count: rows, code: "sums[i] = parts[2u * i]; squares[i] = parts[2u * i + 1u];" }],
  }),
  vjp: ([g, h], { inputs: [x] }) => {
    const wide = (t: Tensor) => m.expand(m.reshape(t, [...t.shape, 1]), x.shape);
    const parts = [g && wide(g), h && m.mul(wide(h), m.mul(x, 2))].filter((t) => t !== undefined);
    return [parts.reduce((a, b) => m.add(a, b))];
  },
  batch: ({ inputs: [x] }) => {
    const [n, rows, d] = x.shape;
    return moments(m.reshape(x, [n * rows, d])).map((t) => m.reshape(t, [n, rows]));
  },
});

const x = tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]);

Deno.test("ops of a user's own are no ops of the library's tests", () => {
  assertEquals(registered().filter(({ name }) => /neighbours|moments|scaled/.test(name)), []);
});

test("an operand with nothing in it leaves the others what they are", async () => {
  for (const reference of [undefined, ([x]: Float64Array[]) => [x]]) {
    const total = (of: number) => `var s = 0.0; for (var k = 0u; k < ${of}u; k++) { s += b[k]; }`;
    const added: m.OneOut = defineOp({
      name: "added",
      inputs: ["a", "b"],
      shape: ([a]) => a,
      element: ({ inputs: [, { shape: [n] }] }) => `${total(n)} return a[i] + s;`,
      vjp: ([g], { inputs: [, b] }) => [g, g && m.expand(m.sum(g), b.shape)],
      reference: reference as m.OwnOp["reference"],
    });
    const [a, none] = [tensor([1, 2]), m.zeros([0])];
    assertEquals(await onDevice(added(a, none)), [1, 2]);
    assertEquals(await onDevice(added(a, tensor([3]))), [4, 5]);
    assertEquals(await onDevice(added(m.zeros([0]), a)), []);
    const loss = (t: Tensor) => m.sum(m.square(added(t, none)));
    assertEquals(await onDevice(grad(loss)(a)), [2, 4]);
  }
  const seven = defineOp({
    name: "seven",
    inputs: ["b"],
    shape: ([{ dtype }]) => ({ shape: [], dtype }),
    element: ({ inputs: [{ shape: [n] }] }) => `return 7.0 + f32(${n}u);`,
  });
  assertEquals(await onDevice(seven(m.zeros([0]))), [7]);
});

test("elementwise: numbers, attributes, fusion, derivatives and batches", async () => {
  const f = (t: Tensor) => m.add(scaledSquare(t, { scale: 3 }), 1);
  near(await onDevice(f(x)), [4, 13, 28, 49, 76, 109, 148, 193, 244, 301]);
  const device = await testDevice();
  assertEquals(m.compile(device, f).plan(x).dispatches.length, 1);
  near(await onDevice(grad((t: Tensor) => m.sum(f(t)))(x)), values(m.mul(x, 6)));
  near(await onDevice(vmap(grad((t: Tensor) => m.sum(f(t))))(x)), values(m.mul(x, 6)));
  near(values(jvp(f, [x], [x]).tangent), values(m.mul(m.square(x), 6)));
  const both = evaluate(device, [scaledSquare(x, { scale: 1 }), scaledSquare(x, { scale: -1 })]);
  assertEquals((await device.read(both[1]))[0], -1);
  const half = evaluate(device, scaledSquare(m.cast(x, "f16"), { scale: 1 }));
  assertEquals([half.dtype, (await device.read(half))[2]], ["f16", 9]);
  const atan2 = defineMap({
    name: "ratio",
    arity: 2,
    expression: ([a, b]) => `(${a} / ${b})`,
    vjp: [(g, [, b]) => m.div(g, b), null],
  });
  near(await onDevice(atan2(m.reshape(tensor([2, 4]), [2, 1]), 2)), [1, 2]);
});

test("element by element: what follows is stored with it; derivatives of every order, batches, every element type", async () => {
  const expected = [3, 6, 9, 12, 9, 13, 21, 24, 27, 19];
  near(await onDevice(neighbours(x)), expected);
  const device = await testDevice();
  const f = (t: Tensor) => m.mul(m.square(neighbours(t)), 2);
  assertEquals(m.compile(device, f).plan(x).dispatches.length, 1);
  near(await onDevice(f(x)), expected.map((v) => 2 * v * v));
  // Four at a time where rows are a whole number of fours.
  const wide = tensor(Float32Array.from({ length: 32 }, (_, i) => i % 7), [2, 16]);
  for (const t of [x, wide, m.cast(wide, "f16"), m.cast(wide, "i32")]) {
    near(await onDevice(neighbours(t)), values(neighbours(t)));
  }
  near(
    await onDevice(grad((t: Tensor) => m.sum(f(t)))(x)),
    values(neighbours(m.mul(neighbours(x), 4))),
  );
  near(await onDevice(vmap(neighbours, { inAxes: 1 })(m.transpose(x))), values(neighbours(x)));
  near(
    values(m.hvp((t: Tensor) => m.sum(f(t)), x, x)),
    values(neighbours(m.mul(neighbours(x), 4))),
  );
  near(await onDevice(neighbours(m.reshape(tensor([]), [0, 3]))), []);
});

test("passes: several outputs, scratch between them, and a batch rule of its own", async (device) => {
  const [sums, squares] = evaluate(device, moments(x));
  near(await device.read(sums), [15, 40]);
  near(await device.read(squares), [55, 330]);
  const loss = (t: Tensor) => m.sum(m.add(...moments(t) as [Tensor, Tensor]));
  near(await onDevice(grad(loss)(x)), values(m.add(m.mul(x, 2), 1)));
  const all = m.reshape(m.concat([x, m.neg(x)], 0), [2, 2, 5]);
  near(await onDevice(vmap(moments)(all)[0]), [15, 40, -15, -40]);
  const report = await debugRun(m.compile(device, (t: Tensor) => moments(t)), [x]);
  assertEquals([report.checked, report.problem], [2, undefined]);
});

test("an op defined again is another op, though it has the same name", async () => {
  const twice = [2, 3].map((n) =>
    defineMap({ name: "times", arity: 1, expression: ([v], _a, w) => `(${v} * ${w.number(n)})` })
  );
  const device = await testDevice();
  const results = evaluate(device, twice.map((f) => f(tensor([1]))));
  assertEquals(await Promise.all(results.map(async (t) => (await device.read(t))[0])), [2, 3]);
});

const broken = defineOp({
  name: "misspelt",
  inputs: ["x"],
  shape: ([s]) => s,
  element: () => `
    let a = x[i];
    let b = sine(a);
    return b;`,
});
const worse = defineMap({ name: "worse", arity: 1, expression: ([v]) => `sine(${v})` });

test("WGSL that does not compile is refused with the op and the line", async () => {
  using device = await ownDevice();
  const refused = evaluate(device, broken(x));
  const error = await assertRejects(() => device.read(refused), m.DeviceError);
  assertStringIncludes(error.message, 'compiling kernel "misspelt"');
  assertStringIncludes(error.message, "let b = sine(a); // misspelt, line 2");
  const other = await assertRejects(() => device.read(evaluate(device, worse(x))), m.DeviceError);
  assertStringIncludes(other.message, 'compiling kernel "worse"');
  assertStringIncludes(other.message, "sine(");
});

// deno-lint-ignore no-explicit-any
type Any = any;
const [define, map] = [defineOp, defineMap] as Any[];
const shape = ([s]: Any[]) => s;
const right = { name: "own", inputs: ["x"], shape, element: () => "return x[i];" };

Deno.test("what is wrong with a record is said when the op is defined", () => {
  const wrong: [() => unknown, string][] = [
    [() => define(3), "defineOp: argument 1 (options) is the number 3"],
    [
      () => define({ ...right, wgsl: "" }),
      'defineOp: there is no option "wgsl"; it takes { name, inputs',
    ],
    [() => define({ ...right, name: 7 }), "defineOp: its name is the number 7"],
    [() => define({ ...right, name: "" }), 'its name is the string ""'],
    [
      () => define({ ...right, name: "matmul" }),
      'an op of the library is called "matmul" already: take another name',
    ],
    [
      () => define({ ...right, inputs: "x" }),
      'defineOp of "own": inputs is the string "x", not a list of names',
    ],
    [() => define({ ...right, inputs: [] }), "inputs is an empty list"],
    [() => define({ ...right, inputs: ["2x"] }), 'one of its inputs is called the string "2x"'],
    [() => define({ ...right, inputs: ["i"] }), "and not y, i, e, h, t, main or element"],
    [() => define({ ...right, inputs: ["x", "x"] }), 'two arrays are called "x"'],
    [() => define({ ...right, outputs: ["x"] }), 'two arrays are called "x"'],
    [() => define({ ...right, outputs: ["a", "b"] }), "an element is of one output"],
    [() => define({ ...right, shape: undefined }), "(shape) is undefined, not a function"],
    [() => define({ ...right, shape: [2] }), "options.shape is a list of 1 number, not a function"],
    [
      () => define({ ...right, element: undefined }),
      "it takes either an element or a kernel, not none",
    ],
    [
      () => define({ ...right, kernel: () => 0 }),
      "it takes either an element or a kernel, not both",
    ],
    [() => define({ ...right, vjp: 3 }), "(vjp) is the number 3, not a function"],
    [() => define({ ...right, batch: "same" }), '(batch) is the string "same", not a function'],
    [
      () => map({ name: "own", arity: 0, expression: () => "" }),
      'defineMap of "own": its arity is the number 0',
    ],
    [() => map({ name: "own", arity: 1 }), "(expression) is undefined, not a function"],
    [
      () => map({ name: "own", arity: 2, expression: () => "1", vjp: [null] }),
      "vjp is a list of 1 value, not a list of 2",
    ],
    [
      () => map({ name: "own", arity: 1, expression: () => "1", vjp: [1] }),
      "(vjp[0]) is the number 1, not a function",
    ],
    [
      () => map({ name: "own", arity: 1, expression: () => "1", takes: "f16" }),
      'takes is the string "f16"',
    ],
  ];
  for (const [call, message] of wrong) assertThrows(call, TypeError, message);
});

test("what a rule gives is looked at when it is used", (device) => {
  const of = (more: Any) => define({ ...right, ...more });
  const lossOf = (f: Any) => (t: Tensor) => m.sum(f(t));
  const kernel = (k: Any) => () =>
    m.compile(device, of({ element: undefined, kernel: () => k })).plan(x);
  const pass = { count: 1, code: "out[i] = x[i];" };
  const wrong: [() => unknown, string][] = [
    [() => of({})(), "own: argument 1 (x) is undefined, not a tensor"],
    [() => of({})(2), "own: argument 1 (x) is the number 2"],
    [() => of({})(x, 3), "the attributes are the number 3, not plain data"],
    [() => of({})(x, { f: () => 1 }), "attribute f is the function f, not plain data"],
    [() => of({})(x, { n: 1 }, 2), "it takes 1 inputs and attributes, not 3 arguments"],
    [() => of({ shape: () => 3 })(x), "gave the number 3 for out, not { shape, dtype }"],
    [() => of({ shape: () => ({ shape: [2], dtype: "f64" }) })(x), "not { shape, dtype }"],
    [() => of({ shape: () => ({ shape: ["2"], dtype: "f32" }) })(x), "not { shape, dtype }"],
    [() => of({ shape: () => ({ shape: [-1], dtype: "f32" }) })(x), "[-1] is no shape"],
    [() => of({ shape: () => [] })(x), "gave 0 shapes for 1 outputs"],
    [
      () => grad(lossOf(of({})))(x),
      "has no derivative: give its record a vjp (null where it is zero)",
    ],
    [() => grad(lossOf(of({ vjp: () => 3 })))(x), "gave the number 3, not a list of 1"],
    [() => grad(lossOf(of({ vjp: () => [3] })))(x), "entry 1 is the number 3, not a tensor"],
    [
      () => grad(lossOf(of({ vjp: () => [m.scalar(1)] })))(x),
      "cotangent 1 is f32[], the input f32[2,5]",
    ],
    [
      () => grad(lossOf(of({ vjp: () => [m.cast(x, "f16")] })))(x),
      "cotangent 1 is f16[2,5], the input f32[2,5]",
    ],
    [() => jvp(of({}), [x], [x]), "has no derivative"],
    [() => jvp(of({ jvp: () => x }), [x], [x]), "gave the tensor f32[2,5], not a list of 1"],
    [() => jvp(of({ jvp: () => [m.scalar(1)] }), [x], [x]), "tangent f32[] for f32[2,5]"],
    [
      () => jvp(of({ vjp: ([g]: Any) => [m.square(g)] }), [x], [x]),
      "depends on the cotangent other than linearly",
    ],
    [() => vmap(of({}))(x), 'has no batch rule: say batch: "alike"'],
    [() => vmap(of({ batch: () => [m.scalar(1)] }))(x), "f32[] for f32[2,5]"],
    [() => vmap(of({ batch: () => x }))(x), "gave the tensor f32[2,5], not a list of 1"],
    [() => interpret([of({})(x)]), "has no definition in float64: give its record a reference"],
    [
      () => interpret([of({ reference: () => [[1]] })(x)]),
      "gave a list of 1 list, not f32[2,5] as flat arrays",
    ],
    [
      () => m.compile(device, of({ element: () => 3 })).plan(x),
      "is the number 3, not WGSL, or { code, declarations }",
    ],
    [() => m.compile(device, of({ element: () => "x[i];" })).plan(x), "never returns an element"],
    [kernel(3), 'the kernel of op "own'],
    [kernel({ passes: [] }), "has an empty list for passes"],
    [kernel({ passes: [null] }), "has null for its pass"],
    [kernel({ passes: [{ ...pass, count: 0 }] }), "has a count of 0"],
    [kernel({ passes: [{ count: 1 }] }), "has undefined for code, not WGSL"],
    [kernel({ passes: [{ count: 1, code: "let a = x[i];" }] }), "never mentions its output out"],
    [
      kernel({ passes: [pass], scratch: { s: { type: "f16", length: 4 } } }),
      'has scratch "s" of 4 f16',
    ],
    [kernel({ passes: [pass], scratch: { i: { type: "f32", length: 4 } } }), "scratch is called"],
  ];
  for (const [call, message] of wrong) assertThrows(call, Error, message);
});

test("an op that takes the name which another would have got is another op", async (device) => {
  const by = (name: string, k: number) =>
    defineMap({ name, arity: 1, expression: ([x]) => `(${x} * ${k}.0)` });
  const [a, b, c] = [by("scaled (2)", 2), by("scaled", 3), by("scaled", 5)];
  const x = tensor([1]);
  const found = [];
  for (const f of [a, b, c]) found.push((await device.read(f(x)))[0]);
  assertEquals(found, [2, 3, 5]);
});

test("a kernel whose text reads what changes is made anew, and found again by its text", async (device) => {
  let factor = 2;
  const inputs = ["x"];
  const ops = [
    defineOp({
      name: "byElement",
      inputs,
      shape: ([s]) => s,
      element: () => `return x[i] * ${factor}.0;`,
    }),
    defineOp({
      name: "byKernel",
      inputs,
      shape: ([s]) => s,
      kernel: ({ inputs: [{ shape }] }) => ({
        passes: [{
          count: shape[0],
          code: `out[i] = x[i] * scale();`,
          declarations: `fn scale() -> f32 { return ${factor}.0; }`,
        }],
      }),
    }),
    defineMap({
      name: "byMap",
      arity: 1,
      expression: ([x], _, w) => w.let(`(${x} * ${w.number(factor)})`),
    }),
  ];
  for (const op of ops) {
    const found: number[] = [], kernels: number[] = [];
    for (factor of [2, 3, 2, 3]) {
      found.push((await device.read(evaluate(device, op(tensor([1])))))[0]);
      kernels.push(device.pipelines.count);
    }
    assertEquals(found, [2, 3, 2, 3]);
    assertEquals(kernels.map((n) => n - kernels[0]), [0, 1, 1, 1]);
  }
});
