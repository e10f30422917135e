/**
 * Activations, elementwise. Each derivative is one op of the input alone (`siluSlope(x)`, …), so that the backward
 * pass keeps nothing but the input, and fuses.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats } from "../../tensor/arguments.ts";
import { what } from "../../tensor/what.ts";
import type { Op, Wgsl } from "../../tensor/op.ts";
import { f32 } from "../../tensor/kernel.ts";
import { defineMap } from "./define.ts";
import { applyMap } from "./map.ts";
import { add, clamp, exp, mul, neg, square, sub } from "./arithmetic.ts";
import { less, where } from "./compare.ts";
import { erfOf, erfWgsl } from "./erf.ts";
import { extreme, keepNan } from "./nan.ts";

type Unary = (x: Tensor) => Tensor;

/** An activation and its slope, as two ops; `curvature` is the slope's derivative, written with ops. */
interface Activation {
  readonly name: string;
  readonly value: (x: string, w: Wgsl) => string;
  readonly slope: (x: string, w: Wgsl) => string;
  readonly curvature: Unary;
  readonly reference: (x: number) => number;
  readonly slopeReference: (x: number) => number;
}

/** An activation as functions of tensors, and what kernels of their own need of it. */
interface Activated {
  readonly value: Unary;
  readonly slope: Unary;
  readonly rules: Activation;
}

function activation(r: Activation): Activated {
  const make = (
    name: string,
    expression: (x: string, w: Wgsl) => string,
    reference: (x: number) => number,
    derivative: Unary,
  ): Op<undefined> =>
    defineMap({
      name,
      arity: 1,
      expression: ([x], _attrs, w) => expression(x, w),
      reference: ([x]) => reference(x),
      vjp: [(g, [x]) => mul(g, derivative(x))],
    });
  const slopeOp = make(`${r.name}Slope`, r.slope, r.slopeReference, r.curvature);
  const slope: Unary = (x) => applyMap(slopeOp, [x], undefined);
  const valueOp = make(r.name, r.value, r.reference, slope);
  const value: Unary = (x) => applyMap(valueOp, [x], undefined);
  return { value, slope, rules: r };
}

/** WGSL of σ(x). */
const sigmoidWgsl = (x: string, w: Wgsl): string =>
  w.let(`(${one(w)} / (${one(w)} + exp(-(${x}))))`);
/** WGSL of σ(x)·σ(−x), the slope of σ, without taking σ from 1: that leaves nothing of it beyond x = 17. */
const bellWgsl = (x: string, w: Wgsl): string => {
  const e = w.let(`exp(-abs(${x}))`);
  return `(${e} / ((${one(w)} + ${e}) * (${one(w)} + ${e})))`;
};
/**
 * WGSL of tanh, of our own: drivers compute sinh/cosh (∞/∞ for large arguments), lose half their digits near zero, or both.
 * Near zero x + x³·P(x²) (Cephes' coefficients), elsewhere 1 − 2/(e²ˣ + 1).
 */
function tanhWgsl(of: string, w: Wgsl): string {
  const x = w.let(of);
  const s = w.let(`${x} * ${x}`);
  const [first, ...rest] = TANH.map((c) => num(c, w));
  const polynomial = rest.reduce((p, c) => `(${p} * ${s} + ${c})`, first);
  const near = `${x} + ${x} * ${s} * ${polynomial}`;
  const size = w.let(`abs(${x})`);
  const far = w.let(`${one(w)} - ${num(2, w)} / (exp(${num(2, w)} * ${size}) + ${one(w)})`);
  const signed = `select(${far}, -${far}, ${x} < ${num(0, w)})`;
  return w.let(`select(${signed}, ${near}, ${size} < ${num(0.625, w)})`);
}
const TANH = [
  -5.70498872745e-3,
  2.06390887954e-2,
  -5.37397155531e-2,
  0.133314422036,
  -0.333332819422,
];
const num = (v: number, w: Wgsl): string => `${w.type("f32")}(${f32(v)})`;
const one = (w: Wgsl): string => num(1, w);

/**
 * Beyond ±100 the slopes of all gated units are 0 and 1 to the last bit, at ±∞ in the limit; of larger arguments squares
 * would overflow, and ∞·0 is no number.
 */
const FLAT = 100;
const bounded = (x: number): number => Math.min(Math.max(x, -FLAT), FLAT);
function boundedWgsl(of: string, w: Wgsl): string {
  const x = w.let(of);
  return w.let(keepNan(`clamp(${x}, ${num(-FLAT, w)}, ${num(FLAT, w)})`, x, w));
}

const sigma = (x: number): number => 1 / (1 + Math.exp(-x));

const sigmoidPair: Activated = activation({
  name: "sigmoid",
  value: sigmoidWgsl,
  slope: bellWgsl,
  curvature: (x) => mul(sigmoidPair.slope(x), neg(tanh(mul(x, 0.5)))),
  reference: sigma,
  slopeReference: (x) => sigma(x) * sigma(-x),
});

const tanhPair: Activated = activation({
  name: "tanh",
  value: tanhWgsl,
  slope: (x, w) => `(${num(4, w)} * ${bellWgsl(`(${num(2, w)} * ${x})`, w)})`,
  curvature: (x) => mul(mul(tanh(x), -2), tanhPair.slope(x)),
  reference: Math.tanh,
  slopeReference: (x) => 4 * sigma(2 * x) * sigma(-2 * x),
});

const erfPair = activation({
  name: "erf",
  value: erfWgsl,
  slope: (x, w) => `(${num(2 / Math.sqrt(Math.PI), w)} * exp(-${x} * ${x}))`,
  curvature: (x) => mul(mul(exp(mul(square(x), -1)), x), -4 / Math.sqrt(Math.PI)),
  reference: erfOf,
  slopeReference: (x) => 2 / Math.sqrt(Math.PI) * Math.exp(-x * x),
});

/** x·σ(βx): SiLU and its sharper cousin in CLIP. */
function swish(name: string, beta: number) {
  const scaled = (x: string, w: Wgsl) => beta === 1 ? x : `(${x} * ${num(beta, w)})`;
  return activation({
    name,
    value: (x, w) => `(${x} * ${sigmoidWgsl(scaled(x, w), w)})`,
    slope: (x, w) => {
      const z = boundedWgsl(scaled(x, w), w);
      const s = sigmoidWgsl(z, w);
      return `(${s} * (${one(w)} + ${z} * (${one(w)} - ${s})))`;
    },
    curvature: (x) => {
      const z = clamp(mul(x, beta), -FLAT, FLAT);
      return mul(mul(sigmoidPair.slope(z), beta), sub(2, mul(z, tanh(mul(z, 0.5)))));
    },
    reference: (x) => x * sigma(beta * x),
    slopeReference: (x) => {
      const z = bounded(beta * x);
      return sigma(z) * (1 + z * sigma(-z));
    },
  });
}
const siluPair = swish("silu", 1);
const quickGeluPair = swish("quickGelu", 1.702);

const ROOT_HALF = Math.SQRT1_2;
const DENSITY = 1 / Math.sqrt(2 * Math.PI);
const normalCdf = (x: number): number => 0.5 * (1 + erfOf(x * ROOT_HALF));
const cdfWgsl = (x: string, w: Wgsl): string =>
  `(${num(0.5, w)} + ${num(0.5, w)} * ${erfWgsl(`(${x} * ${num(ROOT_HALF, w)})`, w)})`;

export const geluPair = activation({
  name: "gelu",
  value: (x, w) => `(${x} * ${cdfWgsl(x, w)})`,
  slope: (x, w) => {
    const c = boundedWgsl(x, w);
    const density = `${num(DENSITY, w)} * exp(${num(-0.5, w)} * ${c} * ${c})`;
    return `(${cdfWgsl(x, w)} + ${c} * ${density})`;
  },
  curvature: (x) => {
    const s = square(clamp(x, -FLAT, FLAT));
    return mul(mul(exp(mul(s, -0.5)), DENSITY), sub(2, s));
  },
  reference: (x) => x * normalCdf(x),
  slopeReference: (x) => normalCdf(x) + bounded(x) * DENSITY * Math.exp(-x * x / 2),
});

// gelu's tanh form: ½x(1 + tanh u), u = k(x + ax³).
const K = Math.sqrt(2 / Math.PI);
const A = 0.044715;
const innerWgsl = (x: string, w: Wgsl): string =>
  `(${num(K, w)} * ${x} * (${one(w)} + ${num(A, w)} * ${x} * ${x}))`;
const inner = (x: number): number => K * x * (1 + A * x * x);

const geluTanhPair = activation({
  name: "geluTanh",
  value: (x, w) => `(${num(0.5, w)} * ${x} * (${one(w)} + ${tanhWgsl(innerWgsl(x, w), w)}))`,
  slope: (x, w) => {
    const c = boundedWgsl(x, w);
    const t = tanhWgsl(innerWgsl(c, w), w);
    const du = `(${num(K, w)} + ${num(3 * K * A, w)} * ${c} * ${c})`;
    return `(${num(0.5, w)} * (${one(w)} + ${t} + ${c} * (${one(w)} - ${t} * ${t}) * ${du}))`;
  },
  curvature: (unbounded) => {
    // (1 − t²)(u′ + ½x·u″ − x·t·u′²)
    const x = clamp(unbounded, -FLAT, FLAT);
    const s = square(x);
    const t = tanh(mul(mul(x, K), add(1, mul(s, A))));
    const du = add(K, mul(s, 3 * K * A));
    const bracket = sub(add(du, mul(s, 3 * K * A)), mul(mul(x, t), square(du)));
    return mul(sub(1, square(t)), bracket);
  },
  reference: (x) => 0.5 * x * (1 + Math.tanh(inner(x))),
  slopeReference: (given) => {
    const x = bounded(given);
    const t = Math.tanh(inner(x));
    return 0.5 * (1 + t + x * (1 - t * t) * (K + 3 * K * A * x * x));
  },
});

const reluOp = defineMap({
  name: "relu",
  arity: 1,
  takes: "integers",
  expression: ([x], _attrs, w) => extreme("max", x, w.number(0), w),
  reference: ([x]) => Math.max(x, 0),
  vjp: [(g, [x]) => where(less(0, x), g, 0)],
});

/** σ(x) = 1/(1 + e⁻ˣ). */
export const sigmoid: (x: Tensor) => Tensor = sigmoidPair.value;
/** Hyperbolic tangent. */
export const tanh: (x: Tensor) => Tensor = tanhPair.value;
/** The error function, to a few units in the last place of f32. */
export const erf: (x: Tensor) => Tensor = erfPair.value;
/** x·σ(x). */
export const silu: (x: Tensor) => Tensor = siluPair.value;
/** x·σ(1.702x), the activation of OpenAI's CLIP. */
export const quickGelu: (x: Tensor) => Tensor = quickGeluPair.value;
/** max(x, 0); the gradient at 0 is 0. */
export const relu = (x: Tensor): Tensor => applyMap(reluOp, [x], undefined);

/** x·Φ(x) with the normal distribution function Φ: exact, or in the customary tanh form. */
export function gelu(x: Tensor, approximate: "none" | "tanh" = "none"): Tensor {
  expectFloats("gelu", { x });
  if (approximate !== "none" && approximate !== "tanh") {
    throw new TypeError(`gelu: argument 2 is ${what(approximate)}, not "none" or "tanh"`);
  }
  return (approximate === "tanh" ? geluTanhPair : geluPair).value(x);
}
