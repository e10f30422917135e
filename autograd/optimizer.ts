/**
 * Optimizers as pure functions of state: everything that changes from step to step (learning rate, step count) is a
 * tensor, so a compiled step follows any schedule. The compiler fuses each parameter's update into one kernel and, with
 * the state donated, writes it in place.
 */
import { expectTensor, type Tensor } from "../tensor/tensor.ts";
import { expectOptions } from "../tensor/arguments.ts";
import { what } from "../tensor/what.ts";
import { flatten } from "../tensor/tree.ts";
import { add, div, minimum, mul, sqrt, square, sub } from "../ops/elementwise/arithmetic.ts";
import type { Operand } from "../ops/elementwise/map.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { literal, scalar } from "../ops/leaf.ts";

/** Named parameters, gradients or moments. */
export type Named = { readonly [path: string]: Tensor };

/**
 * AdamW's state. `corrections` are 1 − β₁ᵗ and 1 − β₂ᵗ, kept as the same running averages (of ones) as the moments:
 * computed from the step count they would lose four digits to cancellation in the first steps.
 */
export interface AdamState {
  /** Trained values. */
  readonly params: Named;
  /** Running mean of the gradients. */
  readonly m: Named;
  /** Running mean of their squares. */
  readonly v: Named;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ, scalars. */
  readonly corrections: readonly [Tensor, Tensor];
}

/** Hyper-parameters; defaults are those of the method: β = (0.9, 0.999), ε = 1e-8, decay 0.01. */
export interface AdamOptions {
  /** Learning rate; a tensor where it changes from step to step. */
  readonly rate: Operand;
  /** Factor of the rate for each parameter, by its path. Default 1 for all. */
  readonly scale?: (path: string) => number;
  /** Decay of the mean. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the mean of squares. Default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the mean of squares. Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled weight decay; touches only the parameters given, never frozen ones. */
  readonly decay?: number;
}

/** State with zero moments. The result is traced: evaluate it to get device memory. */
export function adamInit(params: Named): AdamState {
  expectNamed("adamInit", "params", params);
  const zeros = () => mapNamed(params, (p) => expand(literal(0), p.shape));
  return { params, m: zeros(), v: zeros(), corrections: [scalar(0), scalar(0)] };
}

/** One AdamW step (Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the rate as in PyTorch). */
export function adamw(state: AdamState, grads: Named, options: AdamOptions): AdamState {
  expectNamed("adamw", "state.params", state?.params);
  expectNamed("adamw", "grads", grads, state.params);
  expectOptions("adamw", 2, options, ["rate", "scale", "beta1", "beta2", "epsilon", "decay"]);
  if (typeof options.rate !== "number") {
    expectTensor("adamw", "options.rate", options.rate, " or a number");
  }
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.01, scale } = options;
  const average = (old: Tensor, x: Tensor, beta: number) => add(mul(old, beta), mul(x, 1 - beta));
  const correction1 = add(mul(state.corrections[0], beta1), 1 - beta1);
  const correction2 = add(mul(state.corrections[1], beta2), 1 - beta2);
  const m = mapNamed(state.m, (old, k) => average(old, grads[k], beta1));
  const v = mapNamed(state.v, (old, k) => average(old, square(grads[k]), beta2));
  const params = mapNamed(state.params, (p, k) => {
    const direction = div(div(m[k], correction1), add(sqrt(div(v[k], correction2)), epsilon));
    const factor = scale?.(k) ?? 1;
    const rate = factor === 1 ? options.rate : mul(options.rate, factor);
    const shrunk = decay === 0 ? p : mul(p, sub(1, mul(rate, decay)));
    return sub(shrunk, mul(rate, direction));
  });
  return { params, m, v, corrections: [correction1, correction2] };
}

/** Plain gradient descent: p − rate · g. */
export function sgd(params: Named, grads: Named, rate: Operand): Named {
  expectNamed("sgd", "params", params);
  expectNamed("sgd", "grads", grads, params);
  return mapNamed(params, (p, k) => sub(p, mul(rate, grads[k])));
}

/** Gradients scaled down together so that their global L2 norm is at most `maxNorm`; and that norm. */
export function clipByGlobalNorm(grads: Named, maxNorm: number): { grads: Named; norm: Tensor } {
  expectNamed("clipByGlobalNorm", "grads", grads);
  const squares = flatten<Tensor>(grads).map(([, g]) => sum(square(g)));
  const norm = sqrt(squares.reduce((a, b) => add(a, b)));
  const scale = minimum(div(maxNorm, add(norm, 1e-6)), 1);
  return { grads: mapNamed(grads, (g) => mul(g, scale)), norm };
}

/** Refuses what is no object of tensors by name, or lacks one of the names that it should have. */
function expectNamed(op: string, name: string, x: unknown, names: object = {}): void {
  if (x === null || typeof x !== "object") {
    throw new TypeError(`${op}: ${name} is ${what(x)}, not an object of tensors by name`);
  }
  for (const key of Object.keys({ ...names, ...x })) {
    expectTensor(op, `${name}["${key}"]`, (x as Record<string, unknown>)[key]);
  }
}

function mapNamed(tree: Named, f: (t: Tensor, path: string) => Tensor): Named {
  return Object.fromEntries(Object.entries(tree).map(([k, t]) => [k, f(t, k)]));
}
