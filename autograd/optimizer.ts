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
import { reshape } from "../ops/movement.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
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

/**
 * One AdamW step (Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the rate as in PyTorch).
 *
 * @throws ShapeError when a gradient or a moment has not its parameter's shape and type, or a parameter is no f32
 * @throws RangeError when a rate, a decay or ε is below 0 or not finite, or a β does not lie from 0 to below 1
 */
export function adamw(state: AdamState, grads: Named, options: AdamOptions): AdamState {
  expectNamed("adamw", "state.params", state?.params);
  expectNamed("adamw", "grads", grads, state.params);
  expectAlike("adamw", { params: state.params, grads, m: state.m, v: state.v });
  expectOptions("adamw", 2, options, {
    rate: "any",
    scale: "function",
    beta1: "number",
    beta2: "number",
    epsilon: "number",
    decay: "number",
  });
  const given = rateOf("adamw", "options.rate", options.rate);
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.01, scale } = options;
  for (const [name, beta] of Object.entries({ beta1, beta2 })) {
    // 1 takes nothing in; as an f32, which computes it, just below 1 is 1 too.
    expectRange(
      "adamw",
      `options.${name}`,
      beta,
      beta >= 0 && Math.fround(beta) < 1,
      "from 0 to below 1",
    );
  }
  expectSize("adamw", "options.epsilon", epsilon);
  expectSize("adamw", "options.decay", decay);
  for (const [k, p] of Object.entries(state.params)) {
    if (p.dtype === "f32") continue;
    throw new ShapeError(
      "adamw",
      `params["${k}"] is ${show(p.spec)}; f32 is trained, cast it first`,
    );
  }
  const average = (old: Tensor, x: Tensor, beta: number) => add(mul(old, beta), mul(x, 1 - beta));
  const correction1 = add(mul(state.corrections[0], beta1), 1 - beta1);
  const correction2 = add(mul(state.corrections[1], beta2), 1 - beta2);
  const m = mapNamed(state.m, (old, k) => average(old, grads[k], beta1));
  const v = mapNamed(state.v, (old, k) => average(old, square(grads[k]), beta2));
  const params = mapNamed(state.params, (p, k) => {
    const direction = div(div(m[k], correction1), add(sqrt(div(v[k], correction2)), epsilon));
    const factor = scale?.(k) ?? 1;
    expectSize("adamw", `options.scale("${k}")`, factor);
    const rate = factor === 1 ? given : mul(given, factor);
    const shrunk = decay === 0 ? p : mul(p, sub(1, mul(rate, decay)));
    return sub(shrunk, mul(rate, direction));
  });
  return { params, m, v, corrections: [correction1, correction2] };
}

/**
 * Plain gradient descent: p − rate · g.
 *
 * @throws ShapeError when a gradient has not its parameter's shape and type; RangeError when the rate is below 0
 */
export function sgd(params: Named, grads: Named, rate: Operand): Named {
  expectNamed("sgd", "params", params);
  expectNamed("sgd", "grads", grads, params);
  expectAlike("sgd", { params, grads });
  const step = rateOf("sgd", "argument 3 (rate)", rate);
  return mapNamed(params, (p, k) => sub(p, mul(step, grads[k])));
}

/**
 * Gradients scaled down together so that their global L2 norm is at most `maxNorm`; and that norm, in f32.
 *
 * @throws RangeError when `maxNorm` is below 0 or NaN
 */
export function clipByGlobalNorm(grads: Named, maxNorm: number): { grads: Named; norm: Tensor } {
  expectNamed("clipByGlobalNorm", "grads", grads);
  expectSize("clipByGlobalNorm", "argument 2 (maxNorm)", maxNorm, true);
  // In f32 also of f16, whose squares leave its range.
  const squares = flatten<Tensor>(grads).map(([, g]) => sum(square(cast(g, "f32"))));
  const norm = sqrt(squares.reduce((a, b) => add(a, b), scalar(0)));
  const scale = minimum(div(maxNorm, add(norm, 1e-6)), 1);
  return { grads: mapNamed(grads, (g) => cast(mul(cast(g, "f32"), scale), g.dtype)), norm };
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

/** Refuses tensors of one name that have not one shape and element type: broadcasting would change the parameter's. */
function expectAlike(op: string, of: Readonly<Record<string, Named>>): void {
  const [[first, params], ...others] = Object.entries(of);
  for (const [name, tensors] of others) {
    expectNamed(op, name, tensors, params);
    for (const [k, p] of Object.entries(params)) {
      if (sameShape(p.shape, tensors[k].shape) && p.dtype === tensors[k].dtype) continue;
      const [a, b] = [p, tensors[k]].map((t) => show(t.spec));
      throw new ShapeError(
        op,
        `${name}["${k}"] is ${b}, ${first}["${k}"] is ${a}; they must be alike`,
      );
    }
  }
}

/** The rate as something that changes no shape; refuses what is no number of at least 0 and no tensor of one element. */
function rateOf(op: string, name: string, rate: unknown): Operand {
  if (typeof rate === "number") {
    expectSize(op, name, rate);
    return rate;
  }
  expectTensor(op, name, rate, " or a number");
  if (rate.size === 1) return reshape(rate, []);
  throw new ShapeError(op, `${name} is ${show(rate.spec)}, not one number`);
}

/** Refuses what is no number of at least 0 that f32 holds; `open` admits ∞. */
function expectSize(op: string, name: string, x: number, open = false): void {
  const held = Number.isFinite(Math.fround(x)) || open && x === Infinity;
  expectRange(op, name, x, x >= 0 && held, `a ${open ? "" : "finite "}f32 of at least 0`);
}

function expectRange(op: string, name: string, x: unknown, fits: boolean, range: string): void {
  if (typeof x !== "number") throw new TypeError(`${op}: ${name} is ${what(x)}, not a number`);
  if (!fits) throw new RangeError(`${op}: ${name} is ${x}, not ${range}`);
}

function mapNamed(tree: Named, f: (t: Tensor, path: string) => Tensor): Named {
  return Object.fromEntries(Object.entries(tree).map(([k, t]) => [k, f(t, k)]));
}
