/**
 * The functions of `tests/golden/second_derivatives.py`, by the same names: every public operation, and what models are
 * made of. Their inputs and their derivatives come from there.
 */
import * as m from "../mod.ts";
import type { Tensor } from "../mod.ts";
import { cutGradient } from "../ops/gradient.ts";
import { moreCases } from "./second_derivatives_more.ts";
import { wideCases } from "./second_derivatives_wide.ts";
import { randomBits } from "../ops/random.ts";

const { add, mul, sub, square, layerNorm, groupNorm, matmul, reshape, linear, silu, conv2d } = m;

/** Numbers in [−1, 1) that Python makes by the same formula. */
export function fill(shape: readonly number[], seed: number): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const values = Array.from(
    { length: n },
    (_, i) => Math.floor(64 * Math.sin(12.9898 * (i + 1) + 78.233 * seed)) / 64,
  );
  return m.tensor(values, shape);
}

const IDS = m.tensor([0, 3, 1, 3, 2, 7], [2, 3], "u32");
const PICK = m.tensor([1, 0, 1, 0, 1, 0], [2, 3], "u32");
const KEY = m.tensor([5, 6], [2], "u32");
const twice = (a: Tensor) => mul(a, 2);
const table = (t: Tensor, r: Tensor) => m.replaceRows(square(t), square(r), [3, 1]);
const padding = { padding: 1 };

function transformer([x, ln, wq, wk, wv, wo, w1, w2]: Tensor[]): Tensor {
  const [b, t, c] = x.shape;
  const h = layerNorm(x, ln, ln);
  const [q, k, v] = [wq, wk, wv].map((w) => reshape(linear(h, w), [b, t, 2, c / 2]));
  const y = add(x, linear(reshape(m.attention(q, k, v), [b, t, c]), wo));
  return add(y, linear(m.geglu(linear(layerNorm(y, ln, ln), w1)), w2));
}

function resnet([x, emb, g, w1, w2, proj]: Tensor[]): Tensor {
  const norm = (t: Tensor) => silu(groupNorm(t, g, g, { groups: 2 }));
  const h = conv2d(norm(x), w1, padding);
  const shift = reshape(linear(silu(emb), proj), [x.shape[0], 1, 1, x.shape[3]]);
  return add(x, conv2d(norm(add(h, shift)), w2, padding));
}

/** e^(ab)·b with the derivative that it has, written by hand. */
const expTimes: (a: Tensor, b: Tensor) => Tensor = m.customVjp(
  (a: Tensor, b: Tensor) => mul(m.exp(mul(a, b)), b),
  {
    forward: (a, b) => {
      const e = m.exp(mul(a, b));
      return [mul(e, b), { e, a, b }] as const;
    },
    backward: ({ e, a, b }, g) => [mul(g, mul(e, square(b))), mul(g, mul(e, add(mul(a, b), 1)))],
  },
);

/** Draws depend on nothing; times 0 they still take part. */
function noise(x: Tensor): Tensor {
  const drawn = [
    m.randomUniform(KEY, x.shape),
    m.randomExponential(m.foldIn(KEY, m.scalar(1, "u32")), x.shape),
    m.randomGumbel(KEY, x.shape),
    m.randomLaplace(KEY, x.shape),
    m.randomTruncatedNormal(KEY, x.shape),
    m.cast(m.randomInt(KEY, x.shape, 0, 3), "f32"),
  ].reduce(add, m.randomNormal(KEY, x.shape));
  const nothing = mul(add(drawn, m.cast(randomBits(KEY, x.shape), "f32")), 0);
  return mul(square(x), add(fill(x.shape, 9), nothing));
}

/** Functions of any number of tensors, by the names of the golden file. */
export const CASES: Readonly<Record<string, (x: Tensor[]) => Tensor>> = {
  "add": ([a, b]) => add(a, b),
  "sub": ([a, b]) => sub(a, b),
  "mul": ([a, b]) => mul(a, b),
  "div": ([a, b]) => m.div(a, add(b, 1.5)),
  "maximum": ([a, b]) => m.maximum(a, b),
  "minimum": ([a, b]) => m.minimum(a, b),
  "neg": ([a]) => m.neg(a),
  "abs": ([a]) => m.abs(a),
  "exp": ([a]) => m.exp(a),
  "log": ([a]) => m.log(add(a, 1.25)),
  "sqrt": ([a]) => m.sqrt(add(a, 1.25)),
  "rsqrt": ([a]) => m.rsqrt(add(a, 1.25)),
  "square": ([a]) => square(a),
  "floor": ([a]) => mul(a, m.floor(mul(a, 3))),
  "clamp": ([a]) => m.clamp(square(a), 0.1, 0.5),
  "pow 3": ([a]) => m.pow(a, 3),
  "pow 1": ([a]) => m.pow(a, 1),
  "pow 0": ([a]) => mul(m.pow(a, 0), a),
  "pow -2": ([a]) => m.pow(add(a, 1.5), -2),
  "pow 0.5": ([a]) => m.pow(add(a, 1.5), 0.5),
  "pow 2.5": ([a]) => m.pow(add(a, 1.5), 2.5),
  "pow -1.5": ([a]) => m.pow(add(a, 1.5), -1.5),
  "pow 20": ([a]) => m.pow(m.abs(a), 20),
  "sin": ([a]) => m.sin(mul(a, 9)),
  "cos": ([a]) => m.cos(mul(a, 9)),
  "sigmoid": ([a]) => m.sigmoid(mul(a, 3)),
  "tanh": ([a]) => m.tanh(twice(a)),
  "erf": ([a]) => m.erf(twice(a)),
  "silu": ([a]) => silu(mul(a, 3)),
  "quickGelu": ([a]) => m.quickGelu(mul(a, 3)),
  "gelu": ([a]) => m.gelu(mul(a, 3)),
  "gelu tanh": ([a]) => m.gelu(mul(a, 3), "tanh"),
  "relu": ([a]) => m.relu(sub(square(a), 0.25)),
  "geglu": ([a]) => m.geglu(a),
  "where": ([a, b]) => m.where(PICK, mul(a, b), a),
  "where less": ([a, b]) => m.where(m.less(a, b), square(a), mul(b, a)),
  "cast": ([a]) => m.cast(m.cast(square(a), "f16"), "f32"),
  "sum": ([a]) => m.sum(square(a), [0, 2]),
  "sum all": ([a]) => m.sum(square(a)),
  "sum keep": ([a]) => m.sum(square(a), [1], { keep: true }),
  "mean": ([a]) => m.mean(m.pow(a, 3), [0]),
  "max": ([a]) => m.max(square(a), [1]),
  "max all": ([a]) => m.max(a),
  "expand": ([a]) => m.expand(a, [2, 3, 4]),
  "reshape": ([a]) => reshape(square(a), [2, 6]),
  "permute": ([a]) => m.permute(square(a), [2, 0, 1]),
  "transpose": ([a]) => m.transpose(square(a)),
  "slice": ([a]) => m.slice(square(a), 1, 1, 3),
  "pad": ([a]) => m.pad(m.exp(a), [[1, 3], [2, 0]]),
  "concat": ([a, b]) => m.concat([a, b, square(a)], 1),
  "upsampleNearest": ([a]) => m.upsampleNearest(square(a)),
  "matmul": ([a, b]) => matmul(a, b),
  "matmul ta": ([a, b]) => matmul(a, b, { transposeA: true }),
  "matmul tb": ([a, b]) => matmul(a, b, { transposeB: true }),
  "matmul ta tb": ([a, b]) => matmul(a, b, { transposeA: true, transposeB: true }),
  "matmul batched": ([a, b]) => matmul(a, b),
  "matmul shared": ([a, b]) => matmul(a, b),
  "matmul shared ta": ([a, b]) => matmul(a, b, { transposeA: true }),
  "matmul shared ta tb": ([a, b]) => matmul(a, b, { transposeA: true, transposeB: true }),
  "linear": ([x, w, b]) => linear(x, w, b),
  "conv2d": ([x, w]) => conv2d(x, w, padding),
  "conv2d stride": ([x, w]) => conv2d(x, w, { stride: 2, padding: [0, 1, 2, 1] }),
  "conv2d upsampled": ([x, w]) => conv2d(x, w, { upsample: 2, padding: [1, 1, 0, 1] }),
  "conv2d 1x1": ([x, w]) => conv2d(x, w),
  "embedding": ([t]) => m.embedding(square(t), IDS),
  "replaceRows": ([t, r]) => square(table(t, r)),
  "embedding of replaceRows": ([t, r]) => m.embedding(table(t, r), IDS),
  "softmax": ([x]) => m.softmax(twice(x)),
  "logSumExp": ([x]) => m.logSumExp(twice(x)),
  "logSoftmax": ([x]) => m.logSoftmax(twice(x)),
  "layerNorm": ([x, g, b]) => layerNorm(x, g, b),
  "layerNorm of 8": ([x, g, b]) => layerNorm(x, g, b, { eps: 0.1 }),
  "layerNorm of one": ([x, g, b]) => layerNorm(square(x), g, b),
  "groupNorm": ([x, g, b]) => groupNorm(x, g, b, { groups: 2 }),
  "groupNorm of an image": ([x, g, b]) => groupNorm(x, g, b, { groups: 3, eps: 0.1 }),
  "groupNorm of one group": ([x, g, b]) => groupNorm(x, g, b, { groups: 1 }),
  "norm of a norm": ([x, g]) =>
    layerNorm(
      mul(square(layerNorm(x, g, g)), g),
      reshape(m.slice(x, 0, 0, 1), [4]),
      g,
    ),
  "attention": ([q, k, v]) => m.attention(q, k, v),
  "attention causal": ([q, k, v]) => m.attention(q, k, v, { causal: true }),
  "attention of itself": ([x]) => m.attention(x, square(x), add(x, 1), { scale: 2 }),
  "cutGradient": ([x]) => cutGradient(square(x), 0, 0),
  "stopGradient": ([x]) => mul(square(x), m.stopGradient(x)),
  "checkpoint": ([a, b]) =>
    m.checkpoint((p: Tensor, q: Tensor) => mul(m.exp(mul(p, q)), add(p, square(q))))(a, b),
  "checkpoint of what depends": ([x]) =>
    m.checkpoint((a: Tensor, b: Tensor) => add(mul(a, b), square(b)))(x, m.exp(x)),
  "customVjp": ([a, b]) => expTimes(a, b),
  "scan": ([xs, h, w]) => {
    const step = (c: Tensor, x: Tensor) => {
      const next = m.tanh(add(m.cast(m.sum(mul(w, c), [1]), c.dtype), m.cast(x, c.dtype)));
      return [next, square(next)] as const;
    };
    const [last, squares] = m.scan(step, h, xs);
    return add(twice(last), m.sum(squares, [0]));
  },
  "random": ([x]) => noise(x),
  "a use twice": ([x]) => add(mul(x, m.sin(x)), m.div(m.exp(x), add(x, 2))),
  "transformer": transformer,
  "resnet": resnet,
  ...moreCases(fill),
  ...wideCases,
};

/** The functions of the golden file's `edges`: first and second derivatives where there is more than one answer. */
export const EDGES: Readonly<Record<string, (x: Tensor[]) => Tensor>> = {
  "abs": ([a]) => m.abs(a),
  "relu": ([a]) => m.relu(a),
  "clamp": ([a]) => m.clamp(a, -1, 2),
  "clamp of a point": ([a]) => m.clamp(a, 1, 1),
  "maximum": ([a, b]) => m.maximum(a, b),
  "minimum": ([a, b]) => m.minimum(a, b),
  "maximum of itself": ([a]) => m.maximum(a, a),
  "max": ([a]) => m.max(a),
  "pow 2": ([a]) => m.pow(a, 2),
  "pow 1": ([a]) => m.pow(a, 1),
  "pow 0": ([a]) => m.pow(a, 0),
  "pow 3": ([a]) => m.pow(a, 3),
  "pow 1.5": ([a]) => m.pow(a, 1.5),
  "floor": ([a]) => m.floor(a),
  "gelu": ([a]) => m.gelu(a),
  "gelu tanh": ([a]) => m.gelu(a, "tanh"),
  "silu": ([a]) => silu(a),
  "sigmoid": ([a]) => m.sigmoid(a),
  "tanh": ([a]) => m.tanh(a),
  "erf": ([a]) => m.erf(a),
};
