/** A right call of every function of the ops: `tests/arguments_test.ts` puts what is wrong in place of one argument, `tests/dtypes_test.ts` other element types. */
import * as m from "../../mod.ts";

const x = m.tensor([[1, 2], [3, 4]]);
const vector = m.tensor([1, 2]);
const whole = m.tensor(Uint32Array.of(0, 1));
const wholes = m.tensor(Int32Array.of(0, 1, 1, 0), [2, 2]);
const image = m.tensor(new Float32Array(16), [1, 2, 2, 4]);
const filters = m.tensor(new Float32Array(16), [1, 1, 4, 4]);
const heads = m.tensor(new Float32Array(8), [1, 2, 2, 2]);
const each = (names: string, ...args: unknown[]): Record<string, readonly unknown[]> =>
  Object.fromEntries(names.split(" ").map((name) => [name, args]));

const MORE_CALLS: Record<string, readonly unknown[]> = {
  ...each(
    "ceil trunc round sign expm1 log1p exp2 log2 log10 cbrt sinh cosh softplus logSigmoid",
    x,
  ),
  ...each("asin acos atan asinh acosh atanh tan isNan isFinite isInf logicalNot selu relu6", x),
  ...each("reciprocal hardSigmoid hardSwish hardTanh mish softsign zerosLike onesLike", x),
  ...each("bitwiseNot bitwiseCount", whole),
  ...each("fmod mod remainder logAddExp atan2 logicalAnd logicalOr logicalXor", x, x),
  ...each("greater lessEqual notEqual", x, x),
  ...each("bitwiseAnd bitwiseOr bitwiseXor leftShift rightShift", whole, whole),
  ...each("dot outer", vector, vector),
  ...each("min prod any all", x, [0], { keep: true }),
  ...each("variance std", x, [0], { keep: true, ddof: 1 }),
  norm: [x, [0], { keep: true, ord: 1 }],
  ...each("argmax argmin", x, 0, { keep: true }),
  ...each("cumsum cumprod", x, 0, { reverse: true, exclusive: true }),
  ...each("cummax cummin", x, 0, { reverse: true }),
  linearScan: [x, x, 0, { reverse: true }],
  ...each("sort argsort", x, 0, { descending: true }),
  topK: [x, 1, 0, { smallest: true }],
  searchsorted: [vector, x, { side: "right" }],
  unique: [x, { size: 2 }],
  nonzero: [x, { size: 2 }],
  compress: [whole, x, 1, { size: 1 }],
  ...each("randomBits randomUniform randomNormal randomExponential", whole, [2], { stream: 1 }),
  ...each("randomGumbel randomLaplace", whole, [2], { stream: 1 }),
  randomTruncatedNormal: [whole, [2], { lower: 0 }],
  randomSplit: [whole, 2],
  randomInt: [whole, [2], 0, 5, { dtype: "u32" }],
  randomBernoulli: [whole, 0.5, [2], { stream: 1 }],
  randomCategorical: [whole, x, { axis: 0 }],
  randomPermutation: [whole, x, 0],
  randomChoice: [whole, x, [2], { replace: true }],
  leakyRelu: [x],
  ...each("elu celu", x, 2),
  shrink: [x, 0.5, 0.1],
  ...each("glu swiglu", x, 1),
  zeros: [[2, 3], "f32"],
  ones: [[2, 3], "f32"],
  full: [[2, 3], 7, "f32"],
  fullLike: [x, 7],
  iota: [3, "f32"],
  arange: [0, 4, 2, "f32"],
  linspace: [0, 1, 3, { endpoint: false }],
  eye: [2, 3, 1, "f32"],
  tri: [2, 3, 1, "f32"],
  ...each("tril triu", x, 1),
  bitcastConvertType: [x, "i32"],
  oneHot: [whole, 3, { axis: 0 }],
  flip: [x, [0]],
  index: [x, [0, ":"]],
  roll: [x, [1], [0]],
  tile: [x, [2, 1]],
  repeat: [x, 2, 0],
  pad: [x, [[0, 1], [0, 0]], { value: 1 }],
  split: [x, [1], 1],
  stack: [[x, x], 1],
  squeeze: [m.tensor([[1]]), [0]],
  ...each("expandDims unsqueeze", x, [0]),
  moveAxis: [x, 0, 1],
  diagonal: [x, 1],
  slidingWindowView: [x, [2], { stride: 1 }],
  take: [x, whole, 1],
  takeAlongAxis: [x, wholes, 1],
  gather: [x, wholes, { batchDims: 0 }],
  scatter: [x, wholes, vector, { mode: "add" }],
  putAlongAxis: [x, wholes, x, 1, { mode: "add" }],
  ...each("conv convTranspose", image, filters, { stride: 1 }),
  einsum: ["ij,jk->ik", x, x],
  tensordot: [x, x, [[1], [0]]],
  ...each("maxPool maxPoolWithPlaces avgPool", image, { window: 2 }),
  ...each("globalAvgPool globalMaxPool", image, { channelsFirst: true }),
  ...each("adaptiveAvgPool adaptiveMaxPool", image, [1, 1], { channelsFirst: false }),
  resizeImage: [image, [1, 3, 3, 4], { method: "linear" }],
  batchNorm: [x, vector, vector, { eps: 1e-5 }],
  instanceNorm: [m.expandDims(x, [0]), vector, vector, { eps: 1e-5 }],
  localResponseNorm: [image, 3, { alpha: 1 }],
  moments: [x, [0]],
  normalize: [x, [0], { ord: 1 }],
  rmsNorm: [x, vector, { eps: 1e-5 }],
  dropout: [x, whole, 0.5, { stream: 1 }],
  ...each("mseLoss l1Loss huberLoss bceWithLogits klDivergence", x, x, { reduction: "sum" }),
  cosineSimilarity: [x, x, 0, { eps: 1e-6 }],
  crossEntropy: [x, whole, { axis: 0 }],
  nllLoss: [x, whole, { axis: 0 }],
  threshold: [x, 1, 0],
  hardmax: [x, 1],
  standardize: [x, [0], { eps: 1e-5 }],
  lpPool: [image, { window: 2, ord: 3 }],
  maxUnpool: [image, m.zeros([1, 2, 2, 4], "u32"), [4, 4], { channelsFirst: false }],
  unfold: [image, [2, 2], { stride: 1 }],
  fold: [m.zeros([1, 1, 16]), [2, 2], [2, 2], { stride: 1 }],
  ...each("depthToSpace spaceToDepth", image, 2, { order: "places" }),
  centerCrop: [x, [1, 3]],
  dynamicSlice: [x, [m.scalar(1, "i32"), 0], [1, 2]],
  dynamicUpdateSlice: [x, m.tensor([[1]]), [m.scalar(1, "i32"), 0]],
  gridSample: [image, m.zeros([1, 3, 2]), { method: "cubic" }],
  affineGrid: [m.zeros([1, 2, 3]), [2, 2], { alignCorners: true }],
  roiAlign: [image, m.zeros([2, 4]), m.zeros([2], "u32"), [2, 2], { samples: 1 }],
  deformConv: [image, m.zeros([1, 2, 2, 2]), m.zeros([1, 1, 4, 3]), { stride: 1 }],
  causalConv1d: [m.zeros([1, 3, 2]), m.zeros([2, 1, 2]), { dilation: 1 }],
  ...each("fft ifft", x, 0),
  rfft: [x, 1],
  irfft: [x, 2, 0],
  ...each("hann hamming blackman", 4, { periodic: true }),
  generalCosine: [4, [0.5, 0.5], { periodic: true }],
  stft: [x, 2, { hop: 1 }],
  istft: [m.zeros([2, 2, 2]), 2, { hop: 1 }],
  reducePrecision: [x, "bfloat16", { saturate: true }],
  ...each("quantize fakeQuantize", x, vector, "int8", { axis: 0 }),
  dequantize: [wholes, vector, { axis: 0 }],
  rotaryEmbedding: [heads, m.zeros([2, 1]), m.zeros([2, 1]), { interleaved: true }],
};

/** A right call of every op. */
export const CALLS: Record<string, readonly unknown[]> = {
  ...Object.fromEntries(
    [
      "erf",
      "geglu",
      "quickGelu",
      "relu",
      "sigmoid",
      "silu",
      "tanh",
      "abs",
      "exp",
      "floor",
      "log",
      "neg",
    ]
      .concat([
        "rsqrt",
        "sqrt",
        "square",
        "cos",
        "sin",
        "stopGradient",
        "transpose",
      ])
      .map((name) => [name, [x]]),
  ),
  ...Object.fromEntries(
    ["add", "div", "maximum", "minimum", "mul", "sub", "equal", "greaterEqual", "less"]
      .map((name) => [name, [x, x]]),
  ),
  gelu: [x, "tanh"],
  clamp: [x, 0, 1],
  pow: [x, 2],
  attention: [heads, heads, heads, { causal: true }],
  cast: [x, "f16"],
  where: [whole, vector, vector],
  conv2d: [image, filters, { stride: 1 }],
  embedding: [x, whole],
  replaceRows: [x, x, [0, 1]],
  linear: [x, x, vector],
  matmul: [x, x, { transposeA: true }],
  expand: [vector, [2, 2]],
  sum: [x, [0], { keep: true }],
  mean: [x, [0], { keep: true }],
  max: [x, [0], { keep: true }],
  logSumExp: [x, { keep: true }],
  logSoftmax: [x, 0],
  softmax: [x, 0],
  concat: [[x, x], 0],
  upsampleNearest: [image, 2],
  permute: [x, [1, 0]],
  reshape: [x, [4]],
  slice: [x, 0, 0, 1],
  groupNorm: [x, vector, vector, { groups: 1 }],
  layerNorm: [x, vector, vector, { eps: 1e-5 }],
  ...MORE_CALLS,
};

/** The functions that take axes: which argument they are, and whether they are an option of it. */
export const AXES: Readonly<Record<string, readonly [at: number, option?: string]>> = {
  ...Object.fromEntries(
    ("sum mean max min any all prod variance std norm flip squeeze expandDims unsqueeze moments standardize " +
      "normalize").split(" ").map((name) => [name, [1] as const]),
  ),
  roll: [2],
  logSumExp: [1, "axes"],
  slidingWindowView: [2, "axes"],
};

/** Whether something else than the call above has is as right: what may be left out, a number for a list, a tensor for a number. */
export function alsoRight(name: string, at: number, wrong: unknown): boolean {
  if (wrong === undefined) return (LEFT_OUT[name] ?? Infinity) <= at;
  if (typeof wrong === "number") {
    return (name === "tensordot" && at === 2) || (["roll", "split"].includes(name) && at === 1) ||
      AXES[name]?.[0] === at;
  }
  return ["pow", "randomBernoulli"].includes(name) && at === 1 && wrong instanceof m.Tensor;
}

/** The first argument that may be left out. */
const LEFT_OUT: Readonly<Record<string, number>> = Object.fromEntries([
  ...("argmax argmin cumsum cumprod cummax cummin sort argsort elu celu shrink glu swiglu eye tri tril triu diagonal " +
    "arange split stack softmax logSoftmax randomSplit randomBernoulli hardmax fft ifft rfft irfft")
    .split(" ").map((name) => [name, 1]),
  ...("linearScan topK compress take cosineSimilarity randomPermutation threshold").split(" ")
    .map((name) => [name, 2]),
]);
