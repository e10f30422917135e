/**
 * Activations, elementwise. Each derivative is one op of the input alone (`siluSlope(x)`, …), so that the backward
 * pass keeps nothing but the input, and fuses.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { ShapeError } from "../tensor/shape.ts";
import type { Op, Wgsl } from "../tensor/op.ts";
import { applyMap, defineMap } from "./map.ts";
import { add, exp, mul, square, sub } from "./arithmetic.ts";
import { less, where } from "./compare.ts";
import { slice } from "./movement.ts";

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

function activation(r: Activation): { value: Unary; slope: Unary } {
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
  return { value: (x) => applyMap(valueOp, [x], undefined), slope };
}

/** WGSL of σ(x). Beyond ±87 the exponential would leave the range of f32. */
const sigmoidWgsl = (x: string, w: Wgsl): string =>
  w.let(`(${one(w)} / (${one(w)} + exp(-clamp(${x}, ${num(-87, w)}, ${num(87, w)}))))`);
/** WGSL of tanh. Some drivers compute sinh/cosh, which is ∞/∞ for large arguments. */
const tanhWgsl = (x: string, w: Wgsl): string =>
  w.let(`tanh(clamp(${x}, ${num(-15, w)}, ${num(15, w)}))`);
const num = (v: number, w: Wgsl): string => `${w.type("f32")}(${v})`;
const one = (w: Wgsl): string => num(1, w);

const sigma = (x: number): number => 1 / (1 + Math.exp(-x));

const sigmoidPair = activation({
  name: "sigmoid",
  value: sigmoidWgsl,
  slope: (x, w) => {
    const s = sigmoidWgsl(x, w);
    return `(${s} * (${one(w)} - ${s}))`;
  },
  curvature: (x) => {
    const s = sigmoid(x);
    return mul(mul(s, sub(1, s)), sub(1, mul(s, 2)));
  },
  reference: sigma,
  slopeReference: (x) => sigma(x) * sigma(-x),
});

const tanhPair = activation({
  name: "tanh",
  value: tanhWgsl,
  slope: (x, w) => {
    const t = tanhWgsl(x, w);
    return `(${one(w)} - ${t} * ${t})`;
  },
  curvature: (x) => {
    const t = tanh(x);
    return mul(mul(t, -2), sub(1, square(t)));
  },
  reference: Math.tanh,
  slopeReference: (x) => 1 - Math.tanh(x) ** 2,
});

// erf(x) ≈ x·P(x²)/Q(x²) on |x| ≤ 4, beyond which it is ±1 in f32; coefficients of Eigen's `perf` (a few ulp).
const ERF_P = [
  -2.72614225801306e-10,
  2.77068142495902e-8,
  -2.10102402082508e-6,
  -5.69250639462346e-5,
  -7.34990630326855e-4,
  -2.95459980854025e-3,
  -1.60960333262415e-2,
];
const ERF_Q = [
  -1.45660718464996e-5,
  -2.13374055278905e-4,
  -1.68282697438203e-3,
  -7.37332916720468e-3,
  -1.42647390514189e-2,
];

function erfWgsl(x: string, w: Wgsl): string {
  const c = w.let(`clamp(${x}, ${num(-4, w)}, ${num(4, w)})`);
  const s = w.let(`${c} * ${c}`);
  const horner = (p: readonly number[]) =>
    p.slice(1).reduce((acc, k) => `(${acc} * ${s} + ${num(k, w)})`, num(p[0], w));
  // Exactly ±1 at the ends, so that x·Φ(x) vanishes for large negative x.
  return w.let(
    `select(${c} * ${horner(ERF_P)} / ${horner(ERF_Q)}, sign(${c}), abs(${c}) == ${num(4, w)})`,
  );
}

/** erf in float64: the Maclaurin series near zero, Lentz's continued fraction of erfc elsewhere. */
export function erfOf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return sum * 2 / Math.sqrt(Math.PI);
  }
  let tail = z;
  for (let n = 120; n >= 1; n--) tail = z + n / 2 / tail;
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / tail);
}

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
      const s = sigmoidWgsl(scaled(x, w), w);
      return `(${s} * (${one(w)} + ${scaled(x, w)} * (${one(w)} - ${s})))`;
    },
    curvature: (x) => {
      const z = mul(x, beta);
      const s = sigmoid(z);
      return mul(mul(mul(s, sub(1, s)), beta), add(2, mul(z, sub(1, mul(s, 2)))));
    },
    reference: (x) => x * sigma(beta * x),
    slopeReference: (x) => sigma(beta * x) * (1 + beta * x * sigma(-beta * x)),
  });
}
const siluPair = swish("silu", 1);
const quickGeluPair = swish("quickGelu", 1.702);

const ROOT_HALF = Math.SQRT1_2;
const DENSITY = 1 / Math.sqrt(2 * Math.PI);
const normalCdf = (x: number): number => 0.5 * (1 + erfOf(x * ROOT_HALF));
const cdfWgsl = (x: string, w: Wgsl): string =>
  `(${num(0.5, w)} + ${num(0.5, w)} * ${erfWgsl(`(${x} * ${num(ROOT_HALF, w)})`, w)})`;

/** Beyond ±20 the slopes of gelu are 0 and 1; squares of larger arguments might overflow, and ∞·0 is no number. */
const boundedWgsl = (x: string, w: Wgsl): string =>
  w.let(`clamp(${x}, ${num(-20, w)}, ${num(20, w)})`);

const geluPair = activation({
  name: "gelu",
  value: (x, w) => `(${x} * ${cdfWgsl(x, w)})`,
  slope: (x, w) => {
    const c = boundedWgsl(x, w);
    const density = `${num(DENSITY, w)} * exp(${num(-0.5, w)} * ${c} * ${c})`;
    return `(${cdfWgsl(x, w)} + ${c} * ${density})`;
  },
  curvature: (x) => {
    const s = square(x);
    return mul(mul(exp(mul(s, -0.5)), DENSITY), sub(2, s));
  },
  reference: (x) => x * normalCdf(x),
  slopeReference: (x) => normalCdf(x) + x * DENSITY * Math.exp(-x * x / 2),
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
  curvature: (x) => {
    // (1 − t²)(u′ + ½x·u″ − x·t·u′²)
    const s = square(x);
    const t = tanh(mul(mul(x, K), add(1, mul(s, A))));
    const du = add(K, mul(s, 3 * K * A));
    const bracket = sub(add(du, mul(s, 3 * K * A)), mul(mul(x, t), square(du)));
    return mul(sub(1, square(t)), bracket);
  },
  reference: (x) => 0.5 * x * (1 + Math.tanh(inner(x))),
  slopeReference: (x) => {
    const t = Math.tanh(inner(x));
    return 0.5 * (1 + t + x * (1 - t * t) * (K + 3 * K * A * x * x));
  },
});

const reluOp = defineMap({
  name: "relu",
  arity: 1,
  expression: ([x], _attrs, w) => `max(${x}, ${num(0, w)})`,
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
  return (approximate === "tanh" ? geluTanhPair : geluPair).value(x);
}

/**
 * The gated unit of transformer feed-forward layers: the last axis holds `h` and then `gate`; gives h·gelu(gate).
 *
 * @param x `[..., 2d]`
 * @returns `[..., d]`
 * @throws ShapeError when the last extent is odd
 */
export function geglu(x: Tensor): Tensor {
  const width = x.shape.at(-1) ?? 1;
  if (width % 2) throw new ShapeError("geglu", `the last axis of [${x.shape}] has no halves`);
  return mul(slice(x, -1, 0, width / 2), gelu(slice(x, -1, width / 2, width)));
}
