/** What is driven over the edges: every function of one argument, and every kernel of its own. See `tests/edges_test.ts`. */
import * as A from "../../ops/elementwise/arithmetic.ts";
import * as act from "../../ops/elementwise/activation.ts";
import { geglu } from "../../ops/elementwise/geglu.ts";
import * as trig from "../../ops/elementwise/trigonometry.ts";
import * as compare from "../../ops/elementwise/compare.ts";
import { tensor } from "../../ops/leaf.ts";
import { logSoftmax, logSumExp, softmax } from "../../ops/softmax.ts";
import { groupNorm, layerNorm } from "../../ops/norm/norm.ts";
import { linear, matmul } from "../../ops/matmul.ts";
import { conv2d } from "../../ops/conv.ts";
import { attention } from "../../ops/attention.ts";
import { embedding, replaceRows } from "../../ops/embedding/embedding.ts";
import { scan } from "../../autograd/scan.ts";
import { customVjp } from "../../autograd/custom_vjp.ts";
import { cutGradient, stopGradient, variable } from "../../ops/gradient.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Kernel, Unary } from "./edges.ts";
import { pow } from "../../ops/elementwise/power.ts";
import { UNARY_MORE } from "./edge_maps.ts";
import { KERNELS_MORE } from "./edge_kernels.ts";

export const FLOATS = ["f32", "f16"] as const;
export const ALL = ["f32", "f16", "i32", "u32", "bool"] as const;

export const SLOPE = { absolute: 3e-7 };
export const exactly = { relative: 0, signedZero: true };
export const UNARY: Record<string, Unary> = {
  neg: { f: A.neg, types: ["f32", "f16", "i32"], close: exactly },
  abs: { f: A.abs, types: ALL, close: exactly },
  exp: { f: A.exp },
  log: { f: A.log },
  sqrt: { f: A.sqrt },
  rsqrt: { f: A.rsqrt },
  square: { f: A.square, types: ALL },
  floor: { f: A.floor, close: exactly, derivative: false },
  relu: { f: act.relu, types: ALL },
  sigmoid: { f: act.sigmoid, close: SLOPE },
  tanh: { f: act.tanh, close: SLOPE },
  erf: { f: act.erf, close: SLOPE },
  silu: { f: act.silu, close: SLOPE },
  quickGelu: { f: act.quickGelu, close: SLOPE },
  gelu: { f: (x) => act.gelu(x), close: { absolute: 2e-6 } },
  "gelu (tanh)": { f: (x) => act.gelu(x, "tanh"), close: { absolute: 2e-6 } },
  // Beyond 1e5 the angle itself is lost in f32, as sin() says.
  sin: {
    f: trig.sin,
    close: { absolute: 3e-7 },
    keep: (v) => !(Math.abs(v) > 1e5) || !isFinite(v),
  },
  cos: {
    f: trig.cos,
    close: { absolute: 3e-7 },
    keep: (v) => !(Math.abs(v) > 1e5) || !isFinite(v),
  },
  "clamp between": { f: (x) => A.clamp(x, 0, 2), types: ALL },
  "clamp below": { f: (x) => A.clamp(x, -Infinity, 2), types: ALL },
  "clamp above": { f: (x) => A.clamp(x, 1, Infinity), types: ALL },
  "clamp upside down": { f: (x) => A.clamp(x, 2, 1), types: ALL },
  ...Object.fromEntries(
    [0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, 17, -17, 18].map((n) => [
      `pow ${n}`,
      { f: (x: Tensor) => A.add(pow(x, n), 0), derivative: false },
    ]),
  ),
  // Compilers take x + 0 for x and x · −0 for 0: the sign of a zero that is computed is theirs.
  "x + 0": { f: (x) => A.add(x, 0), types: ALL },
  "x + −0": { f: (x) => A.add(x, -0), types: FLOATS, close: exactly },
  "x − 0": { f: (x) => A.sub(x, 0), types: ALL, close: exactly },
  "x · −0": { f: (x) => A.mul(x, -0), types: FLOATS },
  "x · ∞": { f: (x) => A.mul(x, Infinity), types: FLOATS },
  "x · NaN": { f: (x) => A.mul(x, NaN), types: FLOATS },
  "x / 0": { f: (x) => A.div(x, 0), types: ALL },
  "x / −0": { f: (x) => A.div(x, -0), types: FLOATS },
  "0 / x": { f: (x) => A.div(0, x), types: FLOATS },
  "0 · x": { f: (x) => A.mul(0, x), types: ALL },
  "x − x": { f: (x) => A.sub(x, x), types: ALL },
  "1 / x": { f: (x) => A.div(1, x), types: ALL },
  "the smaller of x and −∞": { f: (x) => A.minimum(x, -Infinity), types: FLOATS },
  "not greater": { f: (x) => compare.where(compare.greaterEqual(x, 1), x, -Infinity) },
  where: { f: (x) => compare.where(x, x, 1), types: ALL, close: exactly, derivative: false },
  variable: { f: variable, types: ALL, close: exactly },
  customVjp: {
    f: customVjp((x: Tensor) => A.mul(x, 1), {
      forward: (x) => [A.mul(x, 1), x] as const,
      backward: (_x, g) => [A.mul(g, 2)],
    }),
    types: ALL,
    close: exactly,
  },
  cutGradient: { f: (x) => x.size ? cutGradient(x, 0, 0) : x, types: ALL, close: exactly },
  stopGradient: { f: stopGradient, types: ALL, close: exactly, derivative: false },
  ...UNARY_MORE,
};

export const KERNELS: Record<string, Kernel> = {
  matmul: { shapes: [[5, 7], [7, 3]], f: (a, b) => matmul(a, b) },
  "matmul of whole tiles": { shapes: [[2, 16, 32], [2, 32, 16]], f: (a, b) => matmul(a, b) },
  "matmul transposed": {
    shapes: [[2, 7, 5], [2, 3, 7]],
    f: (a, b) => matmul(a, b, { transposeA: true, transposeB: true }),
  },
  linear: { shapes: [[2, 3, 6], [4, 6], [4]], f: (x, w, b) => linear(x, w, b) },
  // A weight that is no finite number makes NaN of padding or not, as the kernel comes upon it: only images are spoilt there.
  conv2d: {
    shapes: [[1, 5, 6, 3], [3, 3, 3, 5]],
    f: (x, w) => conv2d(x, w, { padding: 1 }),
    spoil: [0],
  },
  "conv2d with strides": {
    shapes: [[2, 8, 8, 4], [3, 3, 4, 8]],
    f: (x, w) => conv2d(x, w, { padding: 1, stride: 2 }),
    spoil: [0],
  },
  "conv2d upsampled": {
    shapes: [[1, 4, 5, 4], [3, 3, 4, 8]],
    f: (x, w) => conv2d(x, w, { padding: 1, upsample: 2 }),
    spoil: [0],
  },
  "conv2d without padding": {
    shapes: [[1, 5, 6, 3], [3, 3, 3, 5]],
    f: (x, w) => conv2d(x, w),
    // An image's gradient is a convolution of a padded cotangent.
    gradients: false,
  },
  softmax: { shapes: [[3, 5]], f: (x) => softmax(x) },
  "softmax of long rows": { shapes: [[2, 1200]], f: (x) => softmax(x) },
  logSoftmax: { shapes: [[3, 8]], f: (x) => logSoftmax(x) },
  logSumExp: { shapes: [[3, 5]], f: (x) => logSumExp(x) },
  layerNorm: { shapes: [[3, 12], [12], [12]], f: (x, g, b) => layerNorm(x, g, b) },
  groupNorm: { shapes: [[2, 9, 8], [8], [8]], f: (x, g, b) => groupNorm(x, g, b, { groups: 2 }) },
  attention: {
    shapes: [[1, 3, 2, 8], [1, 5, 2, 8], [1, 5, 2, 8]],
    f: (q, k, v) => attention(q, k, v),
  },
  "causal attention": {
    shapes: [[2, 6, 1, 4], [2, 6, 1, 4], [2, 6, 1, 4]],
    f: (q, k, v) => attention(q, k, v, { causal: true }),
    // As in PyTorch, a weight of 0 times a broken value is NaN, and a broken query breaks the gradients of all keys.
    spoil: [0, 1],
    gradients: false,
  },
  scan: {
    shapes: [[6, 3], [3]],
    f: (xs, c) => scan((c: Tensor, x: Tensor) => [A.mul(A.add(c, x), 0.5), c] as const, c, xs)[1],
  },
  geglu: { shapes: [[3, 8]], f: geglu },
  embedding: {
    shapes: [[5, 4]],
    f: (t) => embedding(t, tensor(Uint32Array.of(4, 0, 0, 2, 9))),
  },
  replaceRows: {
    shapes: [[5, 4], [2, 4]],
    f: (t, r) => replaceRows(t, r, [3, 1]),
  },
  "embedding of replaced rows": {
    shapes: [[5, 4], [2, 4]],
    f: (t, r) => embedding(replaceRows(t, r, [3, 1]), tensor(Uint32Array.of(1, 3, 4, 1))),
  },
  ...KERNELS_MORE,
};
