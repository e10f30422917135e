// Four things that people do with transformations, each from the beginning, as one would write it.
import { assert, assertEquals } from "@std/assert";
import {
  add,
  attention,
  compile,
  defineOp,
  div,
  evaluate,
  grad,
  hvp,
  layerNorm,
  linear,
  mean,
  minimum,
  mul,
  type Named,
  type OneOut,
  randomUniform,
  reshape,
  sgd,
  slice,
  sqrt,
  square,
  sub,
  sum,
  tanh,
  type Tensor,
  tensor,
  valueAndGrad,
  vmap,
} from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { near } from "./support/own.ts";
import { sizeOf } from "../tensor/shape.ts";
import { computing, testDevice, uniform } from "./support/check.ts";

const device = await testDevice();
const noise = (seed: number, shape: number[], scale = 0.5) => {
  const draw = uniform(1000 + seed);
  return tensor(Array.from({ length: sizeOf(shape) }, () => 1.7 * scale * draw()), shape);
};
const read = async (t: Tensor) => Array.from(await device.read(evaluate(device, t)), Number);

Deno.test("gradients of each example: private training clips each before it adds them up", async () => {
  const params: Named = { w1: noise(1, [8, 3]), b1: noise(2, [8]), w2: noise(3, [1, 8]) };
  const inputs = noise(4, [16, 3], 1), targets = noise(5, [16], 1);

  // Everything is written for one example: a vector in, a number out.
  const model = (p: Named, x: Tensor) =>
    sum(linear(tanh(linear(reshape(x, [1, 3]), p.w1, p.b1)), p.w2));
  const loss = (p: Named, x: Tensor, y: Tensor) => square(sub(model(p, x), y));
  const clipped = (p: Named, x: Tensor, y: Tensor) => {
    const g = grad(loss)(p, x, y);
    const norm = sqrt(Object.values(g).map((t) => sum(square(t))).reduce((a, b) => add(a, b)));
    const scale = minimum(div(0.5, norm), 1);
    return Object.fromEntries(Object.entries(g).map(([name, t]) => [name, mul(t, scale)]));
  };

  // vmap makes it a function of all examples; the parameters are the same for each.
  const each = compile(device, vmap(clipped, { inAxes: [null, 0, 0] }));
  const g = each(params, inputs, targets);
  assertEquals(g.w1.shape, [16, 8, 3]);

  // It is what a loop would give, and the program does not grow with the number of examples.
  const row = (t: Tensor, i: number) => reshape(slice(t, 0, i, i + 1), t.shape.slice(1));
  const kept = evaluate(device, g);
  for (const i of [0, 7, 15]) {
    const one = evaluate(device, clipped(params, row(inputs, i), row(targets, i)));
    for (const name of Object.keys(params)) {
      near(await read(row(kept[name], i)), await read(one[name]), 1e-4);
    }
    const norm = (await Promise.all(Object.values(one).map(read))).flat()
      .reduce((n, v) => n + v * v, 0);
    assert(norm <= 0.25 + 1e-4);
  }
  const count = (x: Tensor, y: Tensor) => computing(each.plan(params, x, y).dispatches).length;
  assertEquals(count(inputs, targets), count(slice(inputs, 0, 0, 2), slice(targets, 0, 0, 2)));
});

Deno.test("a Hessian-vector product through attention: how curved the loss is along a direction", async () => {
  const [tokens, width, heads] = [6, 8, 2];
  const params: Named = Object.fromEntries(
    ["q", "k", "v", "out"].map((name, i) => [name, noise(10 + i, [width, width], 0.4)]),
  );
  const x = noise(20, [1, tokens, width], 1), y = noise(21, [1, tokens, width], 1);
  const scale = noise(22, [width], 1);

  const block = (p: Named) => {
    const h = layerNorm(x, scale, scale);
    const [q, k, v] = ["q", "k", "v"].map((name) =>
      reshape(linear(h, p[name]), [1, tokens, heads, width / heads])
    );
    return add(x, linear(reshape(attention(q, k, v), [1, tokens, width]), p.out));
  };
  const loss = (p: Named) => mean(square(sub(block(p), y)));

  // Forward mode over reverse mode: the Hessian, 256 × 256 numbers, is never made.
  const direction: Named = Object.fromEntries(
    Object.keys(params).map((name, i) => [name, noise(30 + i, [width, width], 1)]),
  );
  const product = compile(device, (p: Named, u: Named) => hvp(loss, p, u));
  const hv = evaluate(device, product(params, direction));

  // It is the change of the gradient along the direction.
  const h = 1e-4;
  const moved = (sign: number) =>
    grad(loss)(Object.fromEntries(
      Object.entries(params).map(([n, t]) => [n, add(t, mul(direction[n], sign * h))]),
    ));
  const [ahead, behind] = [moved(1), moved(-1)];
  for (const name of Object.keys(params)) {
    const [a, b] = interpret([ahead[name], behind[name]]);
    near(await read(hv[name]), a.map((v, i) => (v - b[i]) / (2 * h)), 1e-3);
  }
});

Deno.test("a gradient penalty: a critic whose slope is to be 1 is trained through its own gradient", async () => {
  const critic = (p: Named, x: Tensor) =>
    sum(linear(tanh(linear(reshape(x, [1, 2]), p.w1, p.b1)), p.w2));

  /** Wasserstein loss with gradient penalty (Gulrajani et al., 2017). */
  const loss = (p: Named, real: Tensor, fake: Tensor, key: Tensor) => {
    const score = vmap((x: Tensor) => critic(p, x));
    const between = randomUniform(key, [real.shape[0], 1]);
    const mixed = add(mul(real, between), mul(fake, sub(1, between)));
    const slopes = vmap(grad((x: Tensor) => critic(p, x)))(mixed);
    const norms = sqrt(add(sum(square(slopes), [1]), 1e-12));
    const penalty = mean(square(sub(norms, 1)));
    return add(sub(mean(score(fake)), mean(score(real))), mul(penalty, 10));
  };

  const start: Named = { w1: noise(1, [16, 2]), b1: noise(2, [16]), w2: noise(3, [1, 16]) };
  const step = compile(device, (p: Named, real: Tensor, fake: Tensor, key: Tensor) => {
    const { value, grads } = valueAndGrad(loss)(p, real, fake, key);
    return { params: sgd(p, grads, 0.02), value };
  }, { donate: [0] });
  let params = evaluate(device, start);
  const real = evaluate(device, add(noise(7, [32, 2], 0.2), 1)), fake = noise(8, [32, 2], 0.2);
  const values: number[] = [];
  for (let i = 0; i < 60; i++) {
    const made = step(params, real, fake, tensor([i, 1], [2], "u32"));
    params = made.params;
    values.push(await device.item(made.value));
  }
  assert(values.at(-1)! < values[0] - 0.5, `${values[0]} to ${values.at(-1)}`);
  const slope = vmap(grad((x: Tensor) => critic(params, x)))(mul(add(real, fake), 0.5));
  const norms = await read(sqrt(sum(square(slope), [1])));
  assert(norms.every((n) => n > 0.5 && n < 1.5), `${norms}`);
});

/** Heat flows between neighbours along the last axis, and none leaves at the ends. */
const diffuse: OneOut<{ readonly rate: number }> = defineOp({
  name: "diffuse",
  inputs: ["heat"],
  shape: ([s]) => {
    if (s.dtype !== "f32" || !s.shape.length) throw new RangeError(`diffuse: takes f32 rows`);
    return s;
  },
  element: ({ inputs: [{ shape }], attrs: { rate } }) => {
    const last = shape.at(-1)! - 1;
    return `
      let column = i % ${last + 1}u;
      let here = heat[i];
      let left = heat[select(i - 1u, i, column == 0u)];
      let right = heat[select(i + 1u, i, column == ${last}u)];
      return here + ${rate} * (left - here + right - here);`;
  },
  // What flows from one place to another flows back by the same rate: the map is its own transpose.
  vjp: ([g], { attrs }) => [g && diffuse(g, attrs)],
  batch: "alike",
  reference: ([x], [{ shape }], { rate }) => {
    const n = shape.at(-1)!;
    return [x.map((v, i) => {
      const left = i % n ? x[i - 1] : v, right = (i + 1) % n ? x[i + 1] : v;
      return v + rate * (left - v + right - v);
    })];
  },
});

Deno.test("an op of one's own in WGSL, with its derivative: where was the heat that is there now?", async () => {
  const later = (t: Tensor) => {
    for (let i = 0; i < 8; i++) t = diffuse(t, { rate: 0.25 });
    return t;
  };
  const truth = tensor([[0, 0, 4, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 2, 0, 0]]);
  const seen = evaluate(device, later(truth));
  near(await read(seen), interpret([later(truth)])[0]);
  near(await read(sum(seen, [1])), [4, 4]); // None of it is lost.

  // Descent on what was there at first. One row is one problem; vmap solves both at once.
  const loss = (start: Tensor, wanted: Tensor) => sum(square(sub(later(start), wanted)));
  const step = compile(device, (start: Tensor, wanted: Tensor) => {
    const { value, grads } = vmap(valueAndGrad(loss))(start, wanted);
    return { start: sub(start, mul(grads, 0.4)), value };
  }, { donate: [0] });
  let start = evaluate(device, mul(truth, 0));
  const errors: number[][] = [];
  for (let i = 0; i < 100; i++) {
    const made = step(start, seen);
    start = made.start;
    errors.push(Array.from(await device.read(made.value), Number));
  }
  for (const row of [0, 1]) assert(errors.at(-1)![row] < 0.05 * errors[0][row], `${errors.at(-1)}`);
});
