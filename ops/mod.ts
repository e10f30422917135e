/** The door of the ops: every function of tensors that users have, by the rooms of this folder. */
export { erf, gelu, quickGelu, relu, sigmoid, silu, tanh } from "./elementwise/activation.ts";
export { geglu } from "./elementwise/geglu.ts";
export {
  abs,
  add,
  clamp,
  div,
  exp,
  floor,
  log,
  maximum,
  minimum,
  mul,
  neg,
  rsqrt,
  sqrt,
  square,
  sub,
} from "./elementwise/arithmetic.ts";
export { cos, sin } from "./elementwise/trigonometry.ts";
export { attention, type AttentionOptions, type ScorePlaces } from "./attention.ts";
export { rotaryEmbedding, type RotaryOptions } from "./attention/rotary.ts";
export { cast } from "./elementwise/cast.ts";
export {
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  notEqual,
  where,
} from "./elementwise/compare.ts";
export {
  cbrt,
  cosh,
  exp2,
  expm1,
  log10,
  log1p,
  log2,
  logAddExp,
  logSigmoid,
  sinh,
  softplus,
} from "./elementwise/exponential.ts";
export { acos, acosh, asin, asinh, atan, atan2, atanh, tan } from "./elementwise/inverse.ts";
export {
  bitcastConvertType,
  bitwiseAnd,
  bitwiseCount,
  bitwiseNot,
  bitwiseOr,
  bitwiseXor,
  isFinite,
  isInf,
  isNan,
  leftShift,
  logicalAnd,
  logicalNot,
  logicalOr,
  logicalXor,
  rightShift,
} from "./elementwise/logic.ts";
export { pow, reciprocal } from "./elementwise/power.ts";
export { ceil, fmod, mod, remainder, round, sign, trunc } from "./elementwise/rounding.ts";
export {
  celu,
  elu,
  glu,
  hardSigmoid,
  hardSwish,
  hardTanh,
  leakyRelu,
  mish,
  relu6,
  selu,
  shrink,
  softsign,
  swiglu,
  threshold,
} from "./elementwise/units.ts";
export {
  arange,
  eye,
  full,
  fullLike,
  iota,
  linspace,
  oneHot,
  ones,
  onesLike,
  tri,
  tril,
  triu,
  zeros,
  zerosLike,
} from "./create/create.ts";
export { flip, type Index, index, repeat, roll, tile } from "./shape/flip.ts";
export { type BlockOptions, centerCrop, depthToSpace, spaceToDepth } from "./shape/blocks.ts";
export { fold, type PatchOptions, unfold } from "./shape/patches.ts";
export { pad, type PadMode, type PadOptions } from "./shape/pad.ts";
export { diagonal, expandDims, moveAxis, split, squeeze, stack, unsqueeze } from "./shape/parts.ts";
export { slidingWindowView, type WindowOptions } from "./shape/windows.ts";
export { dynamicSlice, dynamicUpdateSlice, type Start } from "./index/dynamic.ts";
export { gather, take, takeAlongAxis } from "./index/take.ts";
export { putAlongAxis, scatter, type ScatterMode, type ScatterOptions } from "./index/scatter.ts";
export { cummax, cummin, cumprod, cumsum, linearScan, type ScanOptions } from "./scan/scan.ts";
export {
  argmax,
  argmin,
  type ArgOptions,
  hardmax,
  norm,
  type NormOptions,
  prod,
  type SpreadOptions,
  std,
  variance,
} from "./order/fold.ts";
export {
  argsort,
  compress,
  nonzero,
  searchsorted,
  type SizedOptions,
  sort,
  type SortOptions,
  topK,
  type Unique,
  unique,
} from "./order/sort.ts";
export { einsum } from "./product/einsum.ts";
export { dot, outer, tensordot } from "./product/dot.ts";
export {
  avgPool,
  globalAvgPool,
  globalMaxPool,
  lpPool,
  maxPool,
  maxPoolWithPlaces,
  maxUnpool,
  type PoolOptions,
} from "./pool/pool.ts";
export {
  adaptiveAvgPool,
  adaptiveMaxPool,
  type ResizeCoordinates,
  resizeImage,
  type ResizeMethod,
  type ResizeOptions,
} from "./pool/resize.ts";
export {
  batchNorm,
  type BatchNormOptions,
  instanceNorm,
  localResponseNorm,
  type LocalResponseOptions,
  moments,
  normalize,
  rmsNorm,
  standardize,
} from "./norm/kinds.ts";
export { dropout } from "./dropout.ts";
export {
  bceWithLogits,
  type BinaryOptions,
  type ClassOptions,
  cosineSimilarity,
  crossEntropy,
  type CrossEntropyOptions,
  huberLoss,
  klDivergence,
  l1Loss,
  type LossOptions,
  mseLoss,
  nllLoss,
  type Reduction,
} from "./loss/loss.ts";
export {
  conv,
  conv2d,
  type ConvAnyOptions,
  type ConvCommon,
  type ConvOptions,
  type ConvPadding,
  convTranspose,
  type ConvTransposeOptions,
  type Padding,
} from "./conv.ts";
export { embedding, replaceRows } from "./embedding/embedding.ts";
export { stopGradient } from "./gradient.ts";
export { scalar, tensor } from "./leaf.ts";
export type { Operand } from "./elementwise/map.ts";
export { linear, matmul, type MatmulOptions } from "./matmul.ts";
export { expand, type ReduceOptions, sum } from "./broadcast.ts";
export { concat, upsampleNearest } from "./concat.ts";
export { permute, reshape, slice, transpose } from "./movement.ts";
export { groupNorm, type GroupNormOptions, layerNorm, type LayerNormOptions } from "./norm/norm.ts";
export {
  type DrawOptions,
  foldIn,
  type Key,
  keyFromSeed,
  randomBits,
  randomExponential,
  randomGumbel,
  randomKey,
  randomLaplace,
  randomNormal,
  randomSplit,
  randomTruncatedNormal,
  randomUniform,
  type TruncatedOptions,
} from "./random.ts";
export {
  type CategoricalOptions,
  type ChoiceOptions,
  randomBernoulli,
  randomCategorical,
  randomChoice,
  randomPermutation,
} from "./random/choose.ts";
export { type IntOptions, randomInt } from "./random/integers.ts";
export { all, any, max, mean, min } from "./reduce.ts";
export { logSoftmax, logSumExp, softmax } from "./softmax.ts";
