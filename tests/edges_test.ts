// Every op at the edges: the numbers at which arithmetic breaks, every element type that it takes, extents 0 and 1, against
// its float64 definition. The rules are those of docs/numbers.md. An op that is added and not driven here fails the last test.
import { assert, assertEquals } from "@std/assert";
import * as A from "../ops/elementwise/arithmetic.ts";
import * as compare from "../ops/elementwise/compare.ts";
import * as move from "../ops/movement.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { concat, upsampleNearest } from "../ops/concat.ts";
import { all, any, max, mean } from "../ops/reduce.ts";
import { tensor } from "../ops/leaf.ts";
import { logSumExp, softmax } from "../ops/softmax.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { conv2d } from "../ops/conv.ts";
import { attention } from "../ops/attention.ts";
import { embedding, replaceRows } from "../ops/embedding/embedding.ts";
import * as random from "../ops/random.ts";
import { randomInt } from "../ops/random/integers.ts";
import { interpret } from "../compile/interpret.ts";
import { simplify } from "../compile/simplify.ts";
import { evaluate } from "../compile/compile.ts";
import { vjp } from "../autograd/grad.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { registered } from "../tensor/op.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { ShapeError, sizeOf } from "../tensor/shape.ts";
import { randomValues, testDevice, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";
import { agrees, type Closeness, EDGES } from "./support/edges.ts";
import { type Binary, BINARY_MORE } from "./support/edge_maps.ts";
import { ALL, exactly, FLOATS, KERNELS, UNARY } from "./support/edge_cases.ts";

const driven = new Set<string>();

/** That the device gives for every tensor what its float64 definition gives. */
async function check(
  what: string,
  tensors: readonly Tensor[],
  close: Closeness = {},
): Promise<void> {
  const device = await testDevice();
  // What was written, and what the compiler makes of it.
  tapeOf([...tensors, ...simplify(tensors)]).forEach((n) => driven.add(n.op.name));
  const exact = interpret(tensors);
  // Here and below: kernels that a software adapter takes long to compile, and that differ by nothing of its own, are tried
  // on the CPU device alone.
  for (const fuse of device.profile.cpu ? [true, false] : [true]) {
    const results = evaluate(device, [...tensors], { fuse });
    for (const [i, t] of results.entries()) {
      assertEquals(t.spec, tensors[i].spec, what);
      const actual = Array.from(await device.read(t), Number);
      actual.forEach((v, k) =>
        assert(
          agrees(v, exact[i][k], t.dtype, close),
          `${what}, fuse=${fuse}, result ${i} of ${t.dtype}[${t.shape}], element ${k}: ${v}, ` +
            `exactly ${exact[i][k]}`,
        )
      );
      device.free(t);
    }
  }
}

const edges = (dtype: DType, keep: (v: number) => boolean = () => true) => {
  const values = EDGES[dtype].filter(keep);
  return tensor(values, [values.length], dtype);
};

/** Where vectors of four fit and where they do not, one element, and none. */
const widths = (x: Tensor): Tensor[] => [
  concat([x, x, x, x], 0),
  move.slice(x, 0, 0, x.size - (x.size % 2 ? 0 : 1)),
  ...Array.from({ length: x.size }, (_, i) => move.slice(x, 0, i, i + 1)).slice(0, 2),
  move.slice(x, 0, 0, 0),
];

for (const dtype of ALL) {
  test(`functions of one argument at the edges of ${dtype}`, async (device) => {
    for (const [name, r] of Object.entries(UNARY)) {
      if (!(r.types ?? FLOATS).includes(dtype)) continue;
      const all = widths(edges(dtype, r.keep));
      for (const x of device.profile.cpu ? all : all.slice(0, 2)) {
        await check(name, [r.f(x)], r.close);
      }
    }
  });
}

test("their derivatives at the edges", async () => {
  for (const [name, r] of Object.entries(UNARY)) {
    if (r.derivative === false) continue;
    const x = edges("f32", r.keep);
    const y = r.f(x);
    const [g] = vjp([[y, expand(tensor([0.75]), y.shape)]], [x]);
    await check(`the derivative of ${name}`, [g!], { absolute: 4e-6, ...r.close, relative: 1e-5 });
  }
});

const BINARY = {
  add: [A.add, ALL],
  sub: [A.sub, ALL],
  mul: [A.mul, ALL],
  div: [A.div, ALL],
  maximum: [A.maximum, ALL],
  minimum: [A.minimum, ALL],
  less: [compare.less, ALL],
  greaterEqual: [compare.greaterEqual, ALL],
  equal: [compare.equal, ALL],
} as const;
const BINARIES: Record<string, Binary> = {
  ...Object.fromEntries(Object.entries(BINARY).map(([name, [f, types]]) => [name, { f, types }])),
  ...BINARY_MORE,
};

test("functions of two arguments at every pair of edges", async () => {
  for (const [name, { f, types, close, derivative = true }] of Object.entries(BINARIES)) {
    for (const dtype of types) {
      const x = edges(dtype), n = x.size;
      const rows = move.reshape(x, [n, 1]), columns = move.reshape(x, [1, n]);
      await check(`${name} of ${dtype}`, [f(rows, columns)], close);
      await check(`${name} of ${dtype}`, [f(move.slice(rows, 0, 0, 0), columns)]);
      if (!isFloat(dtype) || !derivative) continue;
      const y = f(rows, columns);
      if (!isFloat(y.dtype)) continue;
      // Compared as a whole with the gradient's own definition; sums of NaN and ∞ hide nothing but themselves.
      const wide = [expand(rows, [n, n]), expand(columns, [n, n])].map((t) => A.mul(t, 1));
      const [ga, gb] = vjp(
        [[f(wide[0], wide[1]), expand(tensor([0.75], [1], dtype), [n, n])]],
        wide,
      );
      await check(`derivatives of ${name} of ${dtype}`, [ga!, gb!]);
    }
  }
});

test("where: every condition with every pair", async () => {
  for (const dtype of ALL) {
    const x = edges(dtype), n = x.size;
    const [a, b] = [move.reshape(x, [n, 1]), move.reshape(x, [1, n])];
    for (const condition of ALL) {
      const c = edges(condition);
      const cs = expand(move.reshape(c, [c.size, 1, 1]), [c.size, n, n]);
      await check(`where ${condition} of ${dtype}`, [compare.where(cs, a, b)], exactly);
    }
  }
});

test("casts: from every type to every type, whatever is too large", async () => {
  for (const from of ALL) {
    for (const to of ALL) {
      for (const x of widths(edges(from))) {
        await check(`cast from ${from} to ${to}`, [cast(x, to)], { signedZero: true });
      }
    }
  }
  const beyond = tensor([
    2147483520,
    2147483648,
    4294967040,
    4294967296,
    -2147483648,
    -2147483904,
    -0.9,
    0.9,
    5e9,
  ]);
  await check("cast of f32 near the ends", [cast(beyond, "i32"), cast(beyond, "u32")]);
});

test("movement hands every number on as it is", async () => {
  for (const dtype of ALL) {
    const x = edges(dtype), n = x.size;
    const two = move.reshape(concat([x, x], 0), [2, n]);
    const image = move.reshape(concat([x, x, x, x], 0), [1, 2, n, 2]);
    await check(`movement of ${dtype}`, [
      move.transpose(two),
      move.permute(image, [0, 2, 1, 3]),
      move.slice(two, 1, 1, n - 1),
      move.slice(two, 1, 2, 2),
      move.slice(two, 0, 0, 1),
      move.pad(two, [[1, 0], [0, 2]]),
      move.pad(move.slice(two, 0, 0, 0), [[0, 1], [0, 2]]),
      expand(move.reshape(x, [1, n, 1]), [3, n, 2]),
      expand(move.slice(two, 1, 0, 1), [2, 0 * n + 5]),
      move.reshape(move.slice(two, 1, 0, 0), [-1]),
      move.reshape(move.slice(two, 1, 0, 0), [0, 7]),
      concat([x, x, move.slice(x, 0, 0, 0), x], 0),
      concat([two, two], 1),
      concat([move.reshape(x, [1, n, 1]), move.reshape(x, [1, n, 1])], 2),
      upsampleNearest(image),
      upsampleNearest(move.slice(image, 0, 0, 0)),
    ], exactly);
  }
});

test("sums, maxima and means: of pairs of edges, of long rows with one of them, of one, of nothing", async () => {
  for (const dtype of ALL) {
    const x = edges(dtype), n = x.size;
    const [a, b] = [move.reshape(x, [n, 1]), move.reshape(x, [1, n])].map((t) => expand(t, [n, n]));
    const pairs = concat([move.reshape(a, [n * n, 1]), move.reshape(b, [n * n, 1])], 1);
    const shapes: [Tensor, number[]][] = [
      [pairs, [1]],
      [move.transpose(pairs), [0]],
      [move.reshape(x, [n, 1]), [1]],
      [move.reshape(x, [1, n]), [0]],
      [move.slice(pairs, 1, 0, 0), [1]],
      [move.slice(pairs, 1, 0, 0), [0, 1]],
      [move.slice(pairs, 0, 0, 0), [1]],
      [move.slice(pairs, 0, 0, 0), [0]],
    ];
    for (const [t, axes] of shapes) {
      for (const keep of [true, false]) {
        await check(`sum of ${dtype}`, [sum(t, axes, { keep })]);
        await check(`max of ${dtype}`, [max(t, axes, { keep })]);
        await check(`truth of ${dtype}`, [any(t, axes, { keep }), all(t, axes, { keep })]);
        // The sum on the way to a mean is an f32, which the largest numbers leave.
        const quarter = (x: Tensor) => dtype === "f32" ? A.mul(x, 0.25) : x;
        if (isFloat(dtype)) await check(`mean of ${dtype}`, [mean(quarter(t), axes, { keep })]);
      }
    }
    // Every edge alone in a long row, at a place of its own: in the first part of what is folded, in the last, between.
    for (const length of [1024, 2500, 3000]) {
      const values = new Array(n * length).fill(0).map((_, i) => Math.floor(i / length) % 2);
      EDGES[dtype].forEach((v, i) => values[i * length + (i * 577) % length] = v);
      const rows = tensor(values, [n, length], dtype);
      await check(`sum of long rows of ${dtype}`, [sum(rows, [1]), sum(move.transpose(rows), [0])]);
      await check(`max of long rows of ${dtype}`, [max(rows, [1]), max(move.transpose(rows), [0])]);
    }
  }
});

test("the derivative of max at ties, infinities and NaN", async () => {
  const x = tensor([1, 1, 0, Infinity, Infinity, 2, -Infinity, -Infinity, -Infinity, NaN, 1, 2], [
    4,
    3,
  ]);
  const [g] = vjp([[max(x, [1]), tensor([1, 2, 3, 4])]], [x]);
  await check("max", [g!]);
});

/** Random values with one of them at an edge, for kernels that mix all of a row. */
function spoilt(shape: readonly number[], dtype: DType, value: number, at: number): Tensor {
  const values = randomValues({ shape, dtype }, uniform(11 + at));
  if (values.length) values[at % values.length] = value;
  return tensor(Array.from(values), shape, dtype);
}

test("kernels hand NaN and infinity on to where they belong and nowhere else", async () => {
  for (const [name, { shapes, f, close, spoil: only, gradients }] of Object.entries(KERNELS)) {
    for (const spoil of only ?? shapes.keys()) {
      for (const [i, value] of [NaN, Infinity, -Infinity, -0].entries()) {
        const xs = shapes.map((s, k) => spoilt(s, "f32", k === spoil ? value : 0.5, 3 * i + k));
        const y = f(...xs);
        const u = spoilt(y.shape, y.dtype, 0.5, 0);
        const what = `${name}, operand ${spoil} with ${value}`;
        await check(what, [y], { relative: 1e-4, absolute: 3e-6, ...close });
        if (gradients === false) continue;
        const gs = vjp([[y, u]], xs).filter((g) => g !== undefined);
        const near = { relative: 1e-3, absolute: 3e-5, anyBroken: true };
        await check(`gradients of ${what}`, gs, near);
      }
    }
  }
});

test("kernels take one and nothing, in every extent and both float types", async (device) => {
  for (const dtype of device.profile.cpu ? FLOATS : FLOATS.slice(0, 1)) {
    for (const [name, { shapes, f }] of Object.entries(KERNELS)) {
      for (const extent of [0, 1]) {
        for (let axis = 0; axis < Math.max(...shapes.map((s) => s.length)); axis++) {
          const small = shapes.map((s) => s.map((d, i) => i === axis ? extent : d));
          let y: Tensor, xs: Tensor[];
          try {
            xs = small.map((s, k) => spoilt(s, dtype, 0.5, k));
            y = f(...xs);
          } catch (error) {
            // What does not fit together any more is refused by name, before anything runs.
            assert(error instanceof ShapeError, `${name} with axis ${axis} of ${extent}: ${error}`);
            continue;
          }
          const what = `${name} of ${dtype}, axis ${axis} of extent ${extent}`;
          const close = dtype === "f16"
            ? { relative: 1e-2, absolute: 1e-2 }
            : { relative: 1e-4, absolute: 3e-6 };
          await check(what, [y], close);
          const u = spoilt(y.shape, y.dtype, 0.5, 0);
          const gs = vjp([[y, u]], xs).filter((g) => g !== undefined);
          await check(`gradients of ${what}`, gs, { relative: 2e-2, absolute: 2e-2 });
        }
      }
    }
  }
});

test("numbers that JSON cannot tell apart stay apart in one program", async () => {
  const x = tensor([1, 2]);
  const numbers = [Infinity, -Infinity, NaN, 0, -0];
  await check("numbers", numbers.map((n) => A.mul(x, n)).concat(numbers.map((n) => A.div(x, n))));
  await check("bounds", [A.clamp(x, Infinity, 1.5), A.clamp(x, -Infinity, 1.5)]);
});

test("products and attention over nothing are sums of nothing", async () => {
  const none = (...shape: number[]) => tensor(new Float32Array(sizeOf(shape)), shape);
  await check("over nothing", [
    matmul(none(2, 0), none(0, 3)),
    linear(none(4, 0), none(3, 0), tensor([1, 2, 3])),
    conv2d(none(1, 4, 4, 0), none(3, 3, 0, 2), { padding: 1 }),
    attention(spoilt([1, 2, 1, 4], "f32", 1, 0), none(1, 0, 1, 4), none(1, 0, 1, 4)),
    logSumExp(none(3, 0)),
    softmax(none(3, 0)),
    replaceRows(spoilt([3, 2], "f32", 1, 0), none(0, 2), []),
    embedding(spoilt([3, 2], "f32", 1, 0), tensor(new Uint32Array(0))),
  ]);
});

test("random draws of none, of one and of an odd number are what the host draws", async () => {
  const key = tensor(Uint32Array.of(7, 9));
  for (const shape of [[0], [1], [3, 5], [2, 0]]) {
    await check("random", [
      random.randomBits(key, shape),
      random.randomUniform(key, shape),
      random.randomNormal(key, shape),
      random.randomExponential(key, shape),
      random.randomGumbel(key, shape),
      random.randomLaplace(key, shape),
      random.randomTruncatedNormal(key, shape),
      randomInt(key, shape, -1, 7),
      random.foldIn(key, tensor(new Uint32Array(sizeOf(shape)), shape)),
    ]);
  }
});

Deno.test("every op of the library was driven", () => {
  const leaves = ["input", "array"];
  const missed = registered().map((op) => op.name).filter((n) =>
    !driven.has(n) && !leaves.includes(n)
  );
  assertEquals(missed, [], "add these to the tables above");
});
