/**
 * Losses: what a model's answer is worth. All take what they compare in f32 or f16, are computed in f32, and are a mean over
 * their elements unless asked for a sum or for each.
 */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectOptions, expectTensors, type OptionKind } from "../../tensor/arguments.ts";
import { isFloat, storedAs } from "../../tensor/dtype.ts";
import { axisOf, sameShape, ShapeError, show } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import { expand, sum } from "../broadcast.ts";
import {
  abs,
  add,
  div,
  log,
  maximum,
  mul,
  neg,
  sqrt,
  square,
  sub,
} from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, less, notEqual, where } from "../elementwise/compare.ts";
import { softplus } from "../elementwise/exponential.ts";
import { along, axisTo } from "../index/take.ts";
import { permute, reshape } from "../movement.ts";
import { logSoftmax } from "../softmax.ts";

/** What becomes of the losses of the elements. */
export type Reduction = "mean" | "sum" | "none";

/** Options of every loss. */
export interface LossOptions {
  /** Default "mean". */
  readonly reduction?: Reduction;
}

const REDUCTION = { reduction: "any" } as const;

function reductionOf(op: string, { reduction = "mean" }: LossOptions): Reduction {
  if (reduction === "mean" || reduction === "sum" || reduction === "none") return reduction;
  throw new TypeError(
    `${op}: options.reduction is ${what(reduction)}, not "mean", "sum" or "none"`,
  );
}

/** The mean of the elements' losses, their sum, or each; `weights` are what each counts in the mean. */
function reduced(op: string, each: Tensor, options: LossOptions, weights?: Tensor): Tensor {
  const reduction = reductionOf(op, options);
  if (reduction === "none") return each;
  const total = sum(each);
  return reduction === "sum" ? total : div(total, weights ? sum(weights) : each.size);
}

/** Two tensors of one shape, in f32. */
function pair(
  op: string,
  named: Readonly<Record<string, Tensor>>,
  options: LossOptions,
  more: Readonly<Record<string, OptionKind>> = {},
): [Tensor, Tensor] {
  expectTensors(op, named);
  expectOptions(op, 2, options, { ...REDUCTION, ...more });
  reductionOf(op, options);
  const [a, b] = Object.values(named);
  if (!sameShape(a.shape, b.shape) || !isFloat(a.dtype) || !isFloat(b.dtype)) {
    throw new ShapeError(op, `${show(a.spec)} and ${show(b.spec)} are no floats of one shape`);
  }
  return [cast(a, "f32"), cast(b, "f32")];
}

/**
 * Mean squared error.
 *
 * @param prediction `[…]`, f32 or f16
 * @param target of the same shape
 * @returns f32 `[]`; of that shape with `reduction: "none"`
 * @throws ShapeError when they are no floats of one shape
 */
export function mseLoss(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const [p, t] = pair("mseLoss", { prediction, target }, options);
  return reduced("mseLoss", square(sub(p, t)), options);
}

/**
 * Mean absolute error.
 *
 * @param prediction `[…]`, f32 or f16
 * @param target of the same shape
 * @returns f32 `[]`; of that shape with `reduction: "none"`
 * @throws ShapeError when they are no floats of one shape
 */
export function l1Loss(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const [p, t] = pair("l1Loss", { prediction, target }, options);
  return reduced("l1Loss", abs(sub(p, t)), options);
}

/**
 * Half the square of small errors, and of those beyond δ a straight line that goes on from there: Huber's loss. Divided by δ
 * it is PyTorch's smooth L1.
 *
 * @param prediction `[…]`, f32 or f16
 * @param target of the same shape
 * @param options `delta`: default 1
 * @returns f32 `[]`; of that shape with `reduction: "none"`
 * @throws ShapeError when they are no floats of one shape; RangeError when δ is not above 0
 */
export function huberLoss(
  prediction: Tensor,
  target: Tensor,
  options: LossOptions & { readonly delta?: number } = {},
): Tensor {
  const [p, t] = pair("huberLoss", { prediction, target }, options, { delta: "a number of f32" });
  const { delta = 1 } = options;
  if (!(delta > 0)) throw new RangeError(`huberLoss: options.delta is ${delta}, not above 0`);
  const e = sub(p, t);
  const size = abs(e);
  // Each side sees only what it is for, so that no square is beyond f32.
  const small = less(size, delta);
  const near = mul(square(where(small, e, 0)), 0.5);
  return reduced("huberLoss", where(small, near, mul(sub(size, delta / 2), delta)), options);
}

/** Options of {@linkcode bceWithLogits}. */
export interface BinaryOptions extends LossOptions {
  /** What an answer of 1 counts beside one of 0; broadcasts against the logits. Default 1. */
  readonly positiveWeight?: Tensor | number;
}

/**
 * Cross-entropy of yes and no from logits: −y·log σ(x) − (1 − y)·log(1 − σ(x)), without leaving the range of f32.
 *
 * @param logits `[…]`, f32 or f16
 * @param target of the same shape: probabilities of yes
 * @returns f32 `[]`; of that shape with `reduction: "none"`
 * @throws ShapeError when they are no floats of one shape
 */
export function bceWithLogits(logits: Tensor, target: Tensor, options: BinaryOptions = {}): Tensor {
  const op = "bceWithLogits";
  const [x, y] = pair(op, { logits, target }, options, { positiveWeight: "any" });
  const { positiveWeight } = options;
  if (positiveWeight === undefined) return reduced(op, sub(softplus(x), mul(x, y)), options);
  const weighed = calledAs(op, () => mul(y, positiveWeight), {
    "argument 2": "options.positiveWeight",
  });
  const yes = mul(weighed, softplus(neg(x)));
  return reduced(op, add(yes, mul(sub(1, y), softplus(x))), options);
}

/** Options of {@linkcode nllLoss} and {@linkcode crossEntropy}. */
export interface ClassOptions extends LossOptions {
  /** The axis of the classes. Default the last; PyTorch's is 1. */
  readonly axis?: number;
  /** What each class counts, `[C]`. */
  readonly weight?: Tensor;
  /** A label that counts nothing. */
  readonly ignore?: number;
}

/** Options of {@linkcode crossEntropy}. */
export interface CrossEntropyOptions extends ClassOptions {
  /** What part of a label is spread over all classes. Default 0. */
  readonly smoothing?: number;
}

const CLASSES = { ...REDUCTION, axis: "number", weight: "any", ignore: "number" } as const;

/** Losses of integer labels, and of what each counts. */
function ofLabels(
  op: string,
  logs: Tensor,
  labels: Tensor,
  options: CrossEntropyOptions,
): [each: Tensor, counts: Tensor] {
  const { weight, ignore, smoothing = 0 } = options;
  const lead = logs.shape.slice(0, -1), c = logs.shape.at(-1)!;
  if (!sameShape(labels.shape, lead) || isFloat(labels.dtype)) {
    throw new ShapeError(op, `labels are ${show(labels.spec)}, expected i32 or u32 of [${lead}]`);
  }
  if (weight) {
    expectTensors(op, { x: logs, labels, weight });
    if (!sameShape(weight.shape, [c])) {
      throw new ShapeError(op, `weights are ${show(weight.spec)} for ${c} classes`);
    }
  }
  const each = reshape(labels, [...lead, 1]);
  const hit = equal(
    expand(each, logs.shape),
    along(logs.shape, lead.length, storedAs(labels.dtype as "i32")),
  );
  const w = weight ? expand(cast(weight, "f32"), logs.shape) : undefined;
  const picked = neg(sum(where(hit, w ? mul(logs, w) : logs, 0), [-1]));
  const all = smoothing ? neg(sum(w ? mul(logs, w) : logs, [-1])) : undefined;
  const mixed = all ? add(mul(picked, 1 - smoothing), mul(all, smoothing / c)) : picked;
  // Labels that are no class count nothing, as the one that is left out.
  const counts = w ? sum(where(hit, w, 0), [-1]) : sum(cast(hit, "f32"), [-1]);
  if (ignore === undefined) return [mixed, counts];
  const counted = calledAs(op, () => notEqual(labels, ignore));
  return [where(counted, mixed, 0), where(counted, counts, 0)];
}

function classes(op: string, x: Tensor, options: CrossEntropyOptions): Tensor {
  reductionOf(op, options);
  if (!isFloat(x.dtype)) throw new ShapeError(op, `takes f32, f16, not ${show(x.spec)}`);
  const a = axisOf(op, options.axis ?? -1, x.shape.length);
  return permute(cast(x, "f32"), axisTo(x.shape.length, a, "last").to);
}

/**
 * Negative log-likelihood of integer labels: −logs[label], in the mean weighted by what each label's class counts.
 *
 * @param logs logarithms of probabilities, `[…, C]` (or with classes at `axis`)
 * @param labels i32 or u32 `[…]`
 * @returns f32 `[]`; without the axis of the classes with `reduction: "none"`
 * @throws ShapeError when labels or weights do not fit
 */
export function nllLoss(logs: Tensor, labels: Tensor, options: ClassOptions = {}): Tensor {
  expectTensors("nllLoss", { logs, labels });
  expectOptions("nllLoss", 2, options, CLASSES);
  const x = classes("nllLoss", logs, options);
  const [each, counts] = ofLabels("nllLoss", x, labels, options);
  return reduced("nllLoss", each, options, counts);
}

/**
 * Cross-entropy from logits, as PyTorch has it: of integer labels, or of probabilities of every class.
 *
 * @param logits `[…, C]` (or with classes at `axis`)
 * @param target i32 or u32 `[…]`, or floats of the shape of the logits
 * @returns f32 `[]`; without the axis of the classes with `reduction: "none"`
 * @throws ShapeError when target or weights do not fit the logits
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  const op = "crossEntropy";
  expectTensors(op, { logits, target });
  expectOptions(op, 2, options, { ...CLASSES, smoothing: "a number of f32" });
  const x = logSoftmax(classes(op, logits, options));
  if (!isFloat(target.dtype)) {
    const [each, counts] = ofLabels(op, x, target, options);
    return reduced(op, each, options, counts);
  }
  if (!sameShape(target.shape, logits.shape)) {
    throw new ShapeError(
      op,
      `probabilities ${show(target.spec)} for ${
        show(logits.spec)
      }; numbers of classes are i32 or u32: cast(target, "u32")`,
    );
  }
  const { weight, smoothing = 0 } = options;
  const p = classes(op, target, options);
  const c = x.shape.at(-1)!;
  const soft = smoothing ? add(mul(p, 1 - smoothing), smoothing / c) : p;
  return reduced(op, neg(sum(mul(weight ? mul(x, cast(weight, "f32")) : x, soft), [-1])), options);
}

/**
 * Kullback–Leibler divergence of a distribution from another: Σ p·(log p − log q), 0 where p is 0. As in PyTorch the mean is
 * one over elements; for one over distributions take the sum and divide.
 *
 * @param logs log q, what a model says
 * @param target p
 * @returns f32 `[]`; of their shape with `reduction: "none"`
 * @throws ShapeError when they are no floats of one shape
 */
export function klDivergence(logs: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const [q, p] = pair("klDivergence", { logs, target }, options);
  const some = less(0, p);
  const safe = where(some, p, 1);
  return reduced("klDivergence", sub(where(some, mul(p, log(safe)), 0), mul(p, q)), options);
}

/**
 * The cosine of the angle between vectors along an axis.
 *
 * @param a `[…]`, f32 or f16
 * @param b of a shape that broadcasts with that of a
 * @param options `eps`: lengths below it count as it. Default 1e-8
 * @returns without the axis
 * @throws ShapeError when they are no floats of as many axes
 */
export function cosineSimilarity(
  a: Tensor,
  b: Tensor,
  axis = -1,
  options: { readonly eps?: number } = {},
): Tensor {
  const op = "cosineSimilarity";
  expectTensors(op, { a, b });
  if (typeof axis !== "number") {
    throw new TypeError(`${op}: argument 3 (axis) is ${what(axis)}, not a number`);
  }
  expectOptions(op, 3, options, { eps: "a number of f32" });
  if (!isFloat(a.dtype) || !isFloat(b.dtype) || a.shape.length !== b.shape.length) {
    throw new ShapeError(op, `${show(a.spec)} and ${show(b.spec)} are no floats of as many axes`);
  }
  const [x, y] = [cast(a, "f32"), cast(b, "f32")];
  const along = [axisOf(op, axis, a.shape.length)];
  const { eps = 1e-8 } = options;
  const both = mul(sum(square(x), along), sum(square(y), along));
  const sizes = calledAs(op, () => maximum(both, eps * eps));
  return div(sum(mul(x, y), along), sqrt(sizes));
}
