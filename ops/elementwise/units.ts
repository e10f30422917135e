/** Activations that are made of others: each is a few ops that the compiler makes one kernel of. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectNumber, expectTensors } from "../../tensor/arguments.ts";
import { axisOf, ShapeError } from "../../tensor/shape.ts";
import { slice } from "../movement.ts";
import { abs, add, clamp, div, mul, sub } from "./arithmetic.ts";
import { greater, less, where } from "./compare.ts";
import { expm1, softplus } from "./exponential.ts";
import { expectOperands, type Operand } from "./map.ts";
import { sigmoid, silu, tanh } from "./activation.ts";

/**
 * `x` above 0, `slope · x` below: leaky relu, and with a tensor of slopes PReLU.
 *
 * @param slope a number, or a tensor that broadcasts against x. Default 0.01
 */
export function leakyRelu(x: Tensor, slope: Operand = 0.01): Tensor {
  expectFloats("leakyRelu", { x });
  expectOperands("leakyRelu", [x, slope]);
  return calledAs("leakyRelu", () => where(less(x, 0), mul(x, slope), x));
}

/** `x` above 0, `α·(e^(x/β) − 1)` below; what is above takes no part in the exponential, so that none is infinite. */
function exponentialUnit(x: Tensor, alpha: number, beta = 1): Tensor {
  const above = greater(x, 0);
  const below = where(above, 0, x);
  return where(above, x, mul(expm1(beta === 1 ? below : div(below, beta)), alpha));
}

/** `x` above 0, `α·(eˣ − 1)` below. */
export function elu(x: Tensor, alpha = 1): Tensor {
  expectFloats("elu", { x });
  expectNumber("elu", 1, "alpha", alpha);
  return calledAs("elu", () => exponentialUnit(x, alpha));
}

/** {@linkcode elu} whose slope is 1 at 0 for every α: `α·(e^(x/α) − 1)` below. */
export function celu(x: Tensor, alpha = 1): Tensor {
  expectFloats("celu", { x });
  expectNumber("celu", 1, "alpha", alpha);
  return calledAs("celu", () => exponentialUnit(x, alpha, alpha));
}

/** The unit of self-normalizing networks (Klambauer et al., 2017): 1.0507 times {@linkcode elu} with α = 1.6733. */
export function selu(x: Tensor): Tensor {
  expectFloats("selu", { x });
  return mul(exponentialUnit(x, 1.6732632423543772), 1.0507009873554805);
}

/** `x`, kept within 0 … 6. */
export function relu6(x: Tensor): Tensor {
  expectTensors("relu6", { x });
  return clamp(x, 0, 6);
}

/** `slope · x + offset`, kept within 0 … 1: a sigmoid of straight lines, by default (x + 3) / 6. */
export function hardSigmoid(x: Tensor, slope = 1 / 6, offset = 0.5): Tensor {
  expectFloats("hardSigmoid", { x });
  expectNumber("hardSigmoid", 1, "slope", slope);
  expectNumber("hardSigmoid", 2, "offset", offset);
  return clamp(add(mul(x, slope), offset), 0, 1);
}

/** `x` above the threshold, else `value`: a thresholded relu. */
export function threshold(x: Tensor, above: number, value = 0): Tensor {
  expectTensors("threshold", { x });
  expectNumber("threshold", 1, "above", above);
  expectNumber("threshold", 2, "value", value);
  return calledAs("threshold", () => where(greater(x, above), x, value));
}

/** x · {@linkcode hardSigmoid}(x). */
export function hardSwish(x: Tensor): Tensor {
  expectFloats("hardSwish", { x });
  return mul(x, clamp(add(div(x, 6), 0.5), 0, 1));
}

/** x, kept within −1 … 1. */
export function hardTanh(x: Tensor): Tensor {
  expectFloats("hardTanh", { x });
  return clamp(x, -1, 1);
}

/** x · tanh(softplus(x)). */
export function mish(x: Tensor): Tensor {
  expectFloats("mish", { x });
  return mul(x, tanh(softplus(x)));
}

/** x / (1 + |x|). */
export function softsign(x: Tensor): Tensor {
  expectFloats("softsign", { x });
  return div(x, add(abs(x), 1));
}

/** 0 within ±λ, beyond it x moved towards 0 by the bias. */
export function shrink(x: Tensor, lambda = 0.5, bias = lambda): Tensor {
  expectFloats("shrink", { x });
  expectNumber("shrink", 1, "lambda", lambda);
  expectNumber("shrink", 2, "bias", bias);
  return calledAs(
    "shrink",
    () => where(less(x, -lambda), add(x, bias), where(greater(x, lambda), sub(x, bias), 0)),
  );
}

/** The two halves of an axis. */
function halves(op: string, x: Tensor, axis: number): [Tensor, Tensor] {
  expectFloats(op, { x });
  expectNumber(op, 1, "axis", axis);
  const a = axisOf(op, axis, x.shape.length);
  const n = x.shape[a];
  if (n % 2) throw new ShapeError(op, `axis ${a} of [${x.shape}] has no halves`);
  return [slice(x, a, 0, n / 2), slice(x, a, n / 2, n)];
}

/**
 * The gated linear unit: h·σ(gate) of the two halves of an axis.
 *
 * @param x `[…, 2n, …]`, f32 or f16
 * @returns `[…, n, …]`
 * @throws ShapeError when the axis has an odd extent
 */
export function glu(x: Tensor, axis = -1): Tensor {
  const [h, gate] = halves("glu", x, axis);
  return mul(h, sigmoid(gate));
}

/**
 * The gated unit of many language models: h·silu(gate) of the two halves of an axis, in the order of `geglu`.
 *
 * @param x `[…, 2n, …]`, f32 or f16
 * @returns `[…, n, …]`
 * @throws ShapeError when the axis has an odd extent
 */
export function swiglu(x: Tensor, axis = -1): Tensor {
  const [h, gate] = halves("swiglu", x, axis);
  return mul(h, silu(gate));
}
