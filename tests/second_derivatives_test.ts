// Derivatives of the first three orders of every operation, beside PyTorch's in float64.
import { assert, assertEquals } from "@std/assert";
import {
  add,
  attention,
  cast,
  concat,
  type DType,
  evaluate,
  expand,
  grad,
  groupNorm,
  layerNorm,
  logSoftmax,
  mul,
  scalar,
  ShapeError,
  sin,
  square,
  sum,
  type Tensor,
  tensor,
} from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { registered } from "../tensor/op.ts";
import { relativeError, testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";
import { CASES, EDGES, fill } from "./second_derivatives_cases.ts";

type Orders = number[][][];
const golden = JSON.parse(
  await Deno.readTextFile(new URL("golden/second_derivatives.json", import.meta.url)),
) as {
  cases: Record<string, { shapes: number[][]; orders: Orders }>;
  edges: Record<string, { values: number[][]; orders: Orders }>;
};

/** Gradients of `loss`, of the gradients' product with fixed numbers, and so on: a list of inputs for each order. */
function orders(loss: (x: Tensor[]) => Tensor, xs: Tensor[], weigh: number[]): Tensor[][] {
  if (!weigh.length) return [];
  const first = grad(loss);
  const along = (x: Tensor[]) =>
    first(x).map((g, i) => sum(weigh[0] ? mul(cast(g, "f32"), fill(g.shape, weigh[0] + i)) : g))
      .reduce((a, b) => add(a, b));
  return [first(xs), ...orders(along, xs, weigh.slice(1))];
}

/** The three orders of a case, with inputs of the given types. */
const derivatives = (name: string, dtype: (input: number) => DType = () => "f32"): Tensor[][] => {
  const { shapes } = golden.cases[name];
  const loss = (x: Tensor[]) => {
    const y = cast(CASES[name](x), "f32");
    return sum(mul(sin(y), fill(y.shape, 50)));
  };
  const xs = shapes.map((s, i) => interpretedAs(fill(s, i + 1), dtype(i)));
  return orders(loss, xs, [60, 70, 80]);
};

/** The same values as a constant of another type. */
const interpretedAs = (t: Tensor, dtype: DType): Tensor =>
  tensor([...interpret([t])[0]], t.shape, dtype);

/** Distance of all inputs' derivatives together, so that one that should be zero is compared with the others. */
const distance = (actual: ArrayLike<number>[], expected: number[][]): number =>
  relativeError(actual.flatMap((a) => Array.from(a)), expected.flat());

// Ops that differentiate nothing: they have no inputs, or none that is a number with a derivative.
const CONSTANT = ["input", "constant", "literal", "array", "stopGradient"];
// Nothing flows to the inputs of these: what they give is whole numbers, or drawn.
const STEPS = [
  ...[
    "less",
    "greaterEqual",
    "equal",
    "greater",
    "lessEqual",
    "notEqual",
    "argsort",
    "isNan",
    "isFinite",
  ],
  ...[
    "bitwiseAnd",
    "bitwiseOr",
    "bitwiseXor",
    "bitwiseNot",
    "bitwiseCount",
    "bitcastConvertType",
    "leftShift",
    "rightShift",
  ],
  ...["randomBits", "randomUniform", "randomNormal", "randomExponential", "randomGumbel"],
  ...["randomLaplace", "randomTruncatedNormal", "randomInt", "foldIn"],
];
const differentiated = new Set<string>();
for (const op of registered()) {
  const { vjp } = op;
  op.vjp = (g, node, wanted) => {
    differentiated.add(op.name);
    return vjp.call(op, g, node, wanted);
  };
}

Deno.test("three orders of derivatives of every operation are PyTorch's, in float64", () => {
  assertEquals(Object.keys(CASES), Object.keys(golden.cases));
  for (const name of Object.keys(CASES)) {
    const made = derivatives(name);
    for (const [k, of] of made.entries()) {
      const e = distance(interpret(of), golden.cases[name].orders[k]);
      // erf and gelu are a series here; sums of third derivatives cancel.
      assert(e < 1e-7, `${name}: derivatives of order ${k + 1} differ by ${e}`);
    }
  }
});

Deno.test("so are those of inputs in f16, and of some in f16 beside some in f32", () => {
  // The float64 definitions do not round to f16, and the inputs are exact in it: only types can be wrong.
  const mixtures = [() => true, (i: number) => i === 0, (i: number) => i > 0];
  let mixed = 0;
  for (const name of Object.keys(CASES)) {
    for (const half of mixtures) {
      let made: Tensor[][];
      try {
        made = derivatives(name, (i) => half(i) ? "f16" : "f32");
      } catch (error) {
        // Functions that add or multiply their inputs take one type only, and say so before anything is differentiated.
        assert(
          error instanceof ShapeError && /cast one of them first/.test(error.message),
          `${error}`,
        );
        continue;
      }
      mixed++;
      for (const [k, of] of made.entries()) {
        const e = distance(interpret(of), golden.cases[name].orders[k]);
        assert(e < 1e-6, `${name}: derivatives of order ${k + 1} differ by ${e}`);
      }
    }
  }
  assert(mixed > 2 * Object.keys(CASES).length);
});

Deno.test("no op is left out: the cases above differentiate the derivative of every one", () => {
  differentiated.clear();
  for (const name of Object.keys(CASES)) {
    const before = new Set(derivatives(name)[0].map((g) => g.node.id));
    assert(before.size > 0);
  }
  const missing = registered().map((op) => op.name).filter((name) =>
    !differentiated.has(name) && ![...CONSTANT, ...STEPS].includes(name)
  );
  assertEquals(missing, []);
});

test("two orders of derivatives hold on the device", async (device) => {
  for (const name of Object.keys(CASES)) {
    // Kernels of their own; those of the rest are the same on every device.
    if (!device.profile.cpu && !/norm|attention|softmax|logSum|embedding|transformer/i.test(name)) {
      continue;
    }
    const made = derivatives(name).slice(0, 2);
    const values = evaluate(device, made);
    const half = name === "cast";
    for (const [k, of] of values.entries()) {
      const actual = await Promise.all(of.map((t) => device.read(t) as Promise<Float32Array>));
      const e = distance(actual, golden.cases[name].orders[k]);
      const most = half ? 4e-3 : 2e-4;
      assert(e < most, `${name}: derivatives of order ${k + 1} differ by ${e}`);
    }
    values.flat().forEach((t) => device.free(t));
  }
});

Deno.test("at ties and at the ends of what f32 holds, derivatives are PyTorch's", async () => {
  assertEquals(Object.keys(EDGES), Object.keys(golden.edges));
  const device = await testDevice();
  for (const [name, { values, orders: expected }] of Object.entries(golden.edges)) {
    const xs = values.map((v) => tensor(v));
    const made = orders((x) => sum(EDGES[name](x)), xs, [0, 0]);
    for (const [k, of] of made.entries()) {
      const exact = interpret(of);
      const device32 = await Promise.all(
        of.map(async (t) => await device.read(evaluate(device, t)) as Float32Array),
      );
      expected[k].forEach((each, i) =>
        each.forEach((e, j) => {
          const close = (a: number) => Object.is(a, e) || Math.abs(a - e) < 1e-6;
          const where = `order ${k + 1} of ${name} at ${values[i][j]}`;
          assert(close(exact[i][j]), `${where}: ${exact[i][j]} in float64, PyTorch has ${e}`);
          assert(close(device32[i][j]), `${where}: ${device32[i][j]}, PyTorch has ${e}`);
        })
      );
    }
  }
});

Deno.test("second derivatives of what is empty are empty, or zero", async () => {
  const device = await testDevice();
  const none = (...shape: number[]) => expand(scalar(0), shape);
  const cases: [(x: Tensor[]) => Tensor, Tensor[]][] = [
    [([x, g]) => layerNorm(x, g, g), [none(0, 4), none(4)]],
    [([x, g]) => groupNorm(x, g, g, { groups: 2 }), [none(0, 3, 4), none(4)]],
    [([x, g]) => groupNorm(x, g, g, { groups: 2 }), [none(2, 0, 4), none(4)]],
    [([q, k]) => attention(q, k, k, { causal: true }), [none(1, 0, 2, 4), none(1, 3, 2, 4)]],
    [([q, k]) => attention(q, k, k, { causal: true }), [none(1, 3, 2, 4), none(1, 0, 2, 4)]],
    [([x]) => logSoftmax(x), [none(0, 3)]],
    [([x]) => logSoftmax(x), [none(3, 0)]],
    [([a, b]) => concat(Array.from({ length: 20 }, (_, i) => i % 2 ? a : b), 0), [
      none(0, 3),
      none(2, 3),
    ]],
  ];
  for (const [f, xs] of cases) {
    const made = orders((x) => sum(square(f(x))), xs, [60, 70]).flat();
    const exact = interpret(made);
    const values = evaluate(device, made);
    for (const [i, t] of values.entries()) {
      assertEquals(t.spec, made[i].spec);
      assertEquals([...await device.read(t) as Float32Array], [...exact[i]]);
    }
  }
});
