/** The wider surface in `tests/golden/second_derivatives.py`, by the same names. See `tests/second_derivatives_cases.ts`. */
import * as m from "../mod.ts";
import type { Tensor } from "../mod.ts";

const { add, mul, sub, square, softmax, logSoftmax } = m;

const ints = (values: readonly number[], shape?: readonly number[]) =>
  m.tensor(Int32Array.from(values), shape);
const PLACES = ints([1, 1, 0, 2, 3, 0, 1, 0, 2], [3, 3]);
const SPOTS = ints([0, 1, 2, 0, 0, 1, 2, 1], [4, 2]);
const LABELS = ints([2, 0, 3]);
const KEY = m.tensor([5, 6], [2], "u32");
const thrice = (a: Tensor) => mul(a, 3);
/** Numbers whose derivative is 1, whatever they are: the golden file's `a - a.detach() + …`. */
const at = (a: Tensor, values: number[][]) => add(sub(a, m.stopGradient(a)), m.tensor(values));

type Case = (x: Tensor[]) => Tensor;

export const moreCases = (
  fill: (shape: readonly number[], seed: number) => Tensor,
): Record<string, Case> => ({
  "expm1": ([a]) => m.expm1(mul(a, 2)),
  "log1p": ([a]) => m.log1p(mul(a, 0.9)),
  "exp2": ([a]) => m.exp2(a),
  "log2": ([a]) => m.log2(add(a, 1.25)),
  "log10": ([a]) => m.log10(add(a, 1.25)),
  "cbrt": ([a]) => m.cbrt(add(a, 0.01)),
  "sinh": ([a]) => m.sinh(a),
  "cosh": ([a]) => m.cosh(a),
  "tan": ([a]) => m.tan(a),
  "asin": ([a]) => mul(m.asin(mul(a, 0.9)), 2),
  "acos": ([a]) => m.acos(mul(a, 0.9)),
  "atan": ([a]) => m.atan(thrice(a)),
  "atan2": ([a, b]) => m.atan2(a, add(b, 0.01)),
  "asinh": ([a]) => m.asinh(thrice(a)),
  "acosh": ([a]) => m.acosh(add(a, 2.5)),
  "atanh": ([a]) => m.atanh(mul(a, 0.9)),
  "logAddExp": ([a, b]) => m.logAddExp(a, b),
  "softplus": ([a]) => m.softplus(thrice(a)),
  "logSigmoid": ([a]) => m.logSigmoid(thrice(a)),
  "pow of tensors": ([a, b]) => m.pow(add(a, 1.5), mul(b, 2)),
  "steps": ([a]) =>
    add(
      add(mul(a, m.ceil(thrice(a))), mul(square(a), m.round(thrice(a)))),
      mul(mul(a, m.sign(a)), m.trunc(thrice(a))),
    ),
  "remainder": ([a, b]) => m.remainder(mul(a, 5), add(b, 1.5)),
  "fmod": ([a, b]) => m.fmod(mul(a, 5), add(b, 1.5)),
  "leakyRelu": ([a]) => m.leakyRelu(sub(square(a), 0.25), 0.1),
  "elu": ([a]) => m.elu(mul(a, 2), 1.5),
  "celu": ([a]) => m.celu(mul(a, 2), 1.5),
  "selu": ([a]) => m.selu(mul(a, 2)),
  "hardSwish": ([a]) => m.hardSwish(mul(a, 4)),
  "hardSigmoid": ([a]) => m.hardSigmoid(mul(a, 4)),
  "mish": ([a]) => m.mish(thrice(a)),
  "softsign": ([a]) => m.softsign(thrice(a)),
  "glu": ([a]) => m.glu(a),
  "swiglu": ([a]) => m.swiglu(a),
  "min": ([a]) => m.min(square(a), [1]),
  "prod": ([a]) => m.prod(mul(a, 2), [1]),
  "prod of two axes": ([a]) => m.prod(add(a, 1.5), [0, 2]),
  "prod with a zero": ([a]) => m.prod(at(a, [[0, 2, 3], [1, 0, 0]]), [1]),
  "variance": ([a]) => m.variance(a, [1], { ddof: 1 }),
  "std": ([a]) => m.std(a),
  "norm": ([a]) => m.norm(a, [1]),
  "norm of order 3": ([a]) => m.norm(a, [0], { ord: 3 }),
  "largest norm": ([a]) => m.norm(a, [1], { ord: Infinity }),
  "cumsum": ([a]) => m.cumsum(square(a), 1),
  "cumsum from the end, of those before": ([a]) =>
    m.cumsum(square(a), 0, { reverse: true, exclusive: true }),
  "cumprod": ([a]) => m.cumprod(mul(a, 2), 1),
  "cumprod with zeros": ([a]) => m.cumprod(at(a, [[2, 0, 3, 2], [0, 1, 0, 2]]), 1),
  "cumprod from the end, of those before": ([a]) =>
    m.cumprod(add(a, 1.5), 0, { reverse: true, exclusive: true }),
  "cummax": ([a]) => m.cummax(square(a), 1),
  "cummin from the end": ([a]) => m.cummin(square(a), 0, { reverse: true }),
  "linearScan": ([a, b]) => m.linearScan(a, b),
  "sort": ([a]) => m.sort(square(a), 1),
  "sort descending": ([a]) => m.sort(square(a), 0, { descending: true }),
  "topK": ([a]) => m.topK(m.exp(a), 2)[0],
  "take": ([a]) => m.take(square(a), ints([3, 0, 3, 1], [2, 2])),
  "takeAlongAxis": ([a]) => m.takeAlongAxis(square(a), PLACES, 1),
  "gather": ([a]) => m.gather(square(a), SPOTS),
  "scatter add": ([x, u]) => m.scatter(square(x), SPOTS, square(u), { mode: "add" }),
  "scatter set": ([x, u]) => m.scatter(square(x), ints([0, 0, 1, 1, 2, 2], [3, 2]), square(u)),
  "scatter max": ([x, u]) => m.putAlongAxis(square(x), PLACES, square(u), 1, { mode: "max" }),
  "scatter min": ([x, u]) => m.putAlongAxis(square(x), PLACES, square(u), 1, { mode: "min" }),
  "scatter mul": ([x]) =>
    m.putAlongAxis(square(x), PLACES, m.cast(fill([3, 3], 30), x.dtype), 1, { mode: "mul" }),
  "unique places": ([x, u]) =>
    m.putAlongAxis(square(x), ints([1, 3, 0, 2, 0, 1, 3, 2, 0], [3, 3]), square(u), 1, {
      unique: true,
    }),
  "slice with steps": ([a]) => m.index(square(a), [[1, null, 2], [1, 5, 3]]),
  "slice from the end": ([a]) => m.index(square(a), ["...", [null, 0, -2]]),
  "flip": ([a]) => m.flip(square(a)),
  "roll": ([a]) => m.roll(square(a), 1, [1]),
  "tile": ([a]) => m.tile(square(a), [2, 2, 1]),
  "repeat": ([a]) => m.repeat(square(a), 3, 1),
  "stack": ([a, b]) => m.stack([a, square(b), a], 1),
  "split": ([a]) => m.split(square(a), 3, 1)[1],
  "squeeze": ([a]) => m.unsqueeze(m.squeeze(square(a), [1]), [0]),
  "diagonal": ([a]) => m.diagonal(square(a), 1),
  "tril": ([a]) => m.tril(square(a), 1),
  "pad with a number": ([a]) => m.pad(square(a), [[0, 2], [1, 0]], { value: 2 }),
  "pad reflected": ([a]) => m.pad(square(a), [[0, 0], [2, 1]], { mode: "reflect" }),
  "pad at the edge": ([a]) => m.pad(square(a), [[0, 0], [2, 1]], { mode: "edge" }),
  "windows": ([a]) => m.slidingWindowView(square(a), [3], { axes: [0], stride: 2 }),
  "dot": ([a, b]) => m.dot(a, b),
  "outer": ([a, b]) => m.outer(a, b),
  "tensordot": ([a, b]) => m.tensordot(a, b, [[2, 0], [0, 1]]),
  "matmul broadcast": ([a, b]) => m.matmul(a, b),
  "matmul of a vector": ([a, b]) => m.matmul(a, b),
  "einsum": ([a, b, c]) => m.einsum("ij,jkl,kl->ki", a, b, c),
  "einsum of a diagonal": ([a, b]) => m.einsum("ii,i->i", a, b),
  "maxPool": ([x]) => m.maxPool(square(x), { window: 3, stride: 2, padding: 1 }),
  "avgPool": ([x]) => m.avgPool(square(x), { window: 2, padding: 1 }),
  "avgPool with its padding": ([x]) =>
    m.avgPool(square(x), { window: 3, stride: 2, padding: 1, countPadding: true }),
  "adaptiveAvgPool": ([x]) => m.adaptiveAvgPool(square(x), [3, 2]),
  "resize": ([x]) => m.resizeImage(square(x), [1, 5, 2, 2]),
  "resize cubic": ([x]) =>
    m.resizeImage(square(x), [1, 5, 6, 1], {
      method: "cubic",
      coordinates: "alignCorners",
      cubic: -0.75,
      outside: "edge",
    }),
  "batchNorm": ([x, g, b]) => m.batchNorm(x, g, b),
  "instanceNorm": ([x, g, b]) => m.instanceNorm(x, g, b),
  "rmsNorm": ([x, g]) => m.rmsNorm(x, g),
  "normalize": ([x]) => m.normalize(x),
  "localResponseNorm": ([x]) => m.localResponseNorm(x, 3, { alpha: 0.5 }),
  "attention of groups": ([q, k, v]) => m.attention(q, k, v),
  "attention of wider values": ([q, k, v]) => m.attention(q, k, v),
  "attention with a window and a cap": ([q, k, v]) =>
    m.attention(q, k, v, { causal: true, window: [1, Infinity], softCap: 2 }),
  "mseLoss": ([a, b]) => m.mseLoss(a, b),
  "l1Loss": ([a, b]) => m.l1Loss(a, b),
  "huberLoss": ([a, b]) => m.huberLoss(thrice(a), b, { delta: 0.7 }),
  "bceWithLogits": ([a]) =>
    m.bceWithLogits(thrice(a), square(fill([3, 4], 31)), { positiveWeight: 2 }),
  "crossEntropy": ([a]) =>
    m.crossEntropy(thrice(a), LABELS, { weight: m.tensor([1, 2, 0.5, 1]), smoothing: 0.1 }),
  "crossEntropy of probabilities": ([a, b]) => m.crossEntropy(thrice(a), softmax(b)),
  "nllLoss": ([a]) => m.nllLoss(logSoftmax(a), LABELS, { ignore: 0, reduction: "sum" }),
  "klDivergence": ([a, b]) => m.klDivergence(logSoftmax(a), softmax(b), { reduction: "sum" }),
  "cosineSimilarity": ([a, b]) => m.cosineSimilarity(a, b),
  "dropout of nothing": ([a]) => m.dropout(square(a), KEY, 0),
  "conv of a row": ([x, w]) =>
    m.conv(x, w, { stride: 2, dilation: 2, padding: 1, channelsFirst: true }),
  "conv in groups": ([x, w]) => m.conv(x, w, { stride: [2, 1], padding: 1, groups: 2 }),
  "conv of each channel": ([x, w]) => m.conv(x, w, { padding: 1, groups: 2 }),
  "conv in three dimensions": ([x, w]) => m.conv(x, w, { padding: [1, 0, 0], channelsFirst: true }),
  "convTranspose": ([x, w]) =>
    m.convTranspose(x, w, {
      stride: [2, 1],
      padding: [1, 0],
      dilation: [1, 2],
      channelsFirst: true,
    }),
  "convTranspose in groups": ([x, w]) =>
    m.convTranspose(x, w, { stride: 2, groups: 2, channelsFirst: true }),
});
