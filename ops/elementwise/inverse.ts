/** Inverse trigonometry, circular and hyperbolic, and the tangent: written out, since WGSL promises three digits of them. */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats } from "../../tensor/arguments.ts";
import type { Wgsl } from "../../tensor/op.ts";
import { add, div, mul, neg, rsqrt, square, sub } from "./arithmetic.ts";
import { defineMap } from "./define.ts";
import { applyMap, type Operand } from "./map.ts";
import { isNan, keepNan, NOT_A_NUMBER } from "./nan.ts";
import { arcOf, arcSineOf, log1pOf, num, signed } from "./series.ts";
import { cos, sin } from "./trigonometry.ts";

/** A function of one number and its slope, written with ops. */
const curve = (
  name: "asin" | "acos" | "atan" | "asinh" | "acosh" | "atanh",
  value: (x: string, w: Wgsl) => string,
  slope: (g: Tensor, x: Tensor) => Tensor,
) =>
  defineMap({
    name,
    arity: 1,
    expression: ([x], _attrs, w) => keepNan(value(x, w), x, w),
    reference: ([x]) => Math[name](x),
    vjp: [(g, [x]) => slope(g, x)],
  });

const nanWhere = (value: string, test: string, w: Wgsl): string =>
  w.let(`select(${value}, ${w.type("f32")}(${NOT_A_NUMBER}), ${test})`);

/** The arc sine of |x| from its own series below ½, and from that of √((1 − |x|)/2) above. */
function arcSine(x: string, w: Wgsl) {
  const size = w.let(`abs(${x})`);
  const large = w.let(`${size} > ${num(0.5, w)}`);
  const z = w.let(
    `select(${size} * ${size}, max((${num(1, w)} - ${size}) * ${num(0.5, w)}, ${
      num(0, w)
    }), ${large})`,
  );
  return { size, large, arc: arcSineOf(w.let(`select(${size}, sqrt(${z}), ${large})`), z, w) };
}

const asinOp = curve("asin", (x, w) => {
  const { size, large, arc } = arcSine(x, w);
  const turned = `${num(Math.PI / 2, w)} - ${num(2, w)} * ${arc}`;
  const value = signed(w.let(`select(${arc}, ${turned}, ${large})`), x, w);
  return nanWhere(value, `${size} > ${num(1, w)}`, w);
}, (g, x) => mul(g, rsqrt(sub(1, square(x)))));

const acosOp = curve("acos", (x, w) => {
  const { size, large, arc } = arcSine(x, w);
  const below = `${x} < ${num(0, w)}`;
  const twice = w.let(`${num(2, w)} * ${arc}`);
  const far = w.let(`select(${twice}, ${num(Math.PI, w)} - ${twice}, ${below})`);
  const near = w.let(`${num(Math.PI / 2, w)} - select(${arc}, -${arc}, ${below})`);
  return nanWhere(w.let(`select(${near}, ${far}, ${large})`), `${size} > ${num(1, w)}`, w);
}, (g, x) => neg(mul(g, rsqrt(sub(1, square(x))))));

const atanOp = curve("atan", (x, w) => {
  const size = w.let(`abs(${x})`);
  const large = w.let(`${size} > ${num(1, w)}`);
  const arc = arcOf(w.let(`select(${size}, ${num(1, w)} / ${size}, ${large})`), w);
  return signed(w.let(`select(${arc}, ${num(Math.PI / 2, w)} - ${arc}, ${large})`), x, w);
}, (g, x) => div(g, add(square(x), 1)));

/** Beyond this a square is beyond what f32 can add 1 to. */
const FAR = 1e8;
const farLog = (size: string, w: Wgsl): string => `log(${size}) + ${num(Math.LN2, w)}`;

const asinhOp = curve("asinh", (x, w) => {
  const size = w.let(`abs(${x})`);
  const a = w.let(`min(${size}, ${num(FAR, w)})`);
  const s = w.let(`${a} * ${a}`);
  const near = log1pOf(`${a} + ${s} / (${num(1, w)} + sqrt(${num(1, w)} + ${s}))`, w);
  return signed(w.let(`select(${near}, ${farLog(size, w)}, ${size} > ${num(FAR, w)})`), x, w);
}, (g, x) => mul(g, rsqrt(add(square(x), 1))));

const acoshOp = curve("acosh", (x, w) => {
  const t = w.let(`clamp(${x} - ${num(1, w)}, ${num(0, w)}, ${num(FAR, w)})`);
  const near = log1pOf(`${t} + sqrt(${t} * (${t} + ${num(2, w)}))`, w);
  const value = w.let(`select(${near}, ${farLog(x, w)}, ${x} > ${num(FAR, w)})`);
  return nanWhere(value, `${x} < ${num(1, w)}`, w);
}, (g, x) => mul(g, mul(rsqrt(sub(x, 1)), rsqrt(add(x, 1)))));

const atanhOp = curve("atanh", (x, w) => {
  const size = w.let(`abs(${x})`);
  const a = w.let(`min(${size}, ${num(1, w)})`);
  const half = w.let(
    `${num(0.5, w)} * ${log1pOf(`${num(2, w)} * ${a} / (${num(1, w)} - ${a})`, w)}`,
  );
  // Division by 0 is the driver's: at the end the value is said.
  const value = w.let(`select(${half}, ${num(Infinity, w)}, ${size} == ${num(1, w)})`);
  return nanWhere(signed(value, x, w), `${size} > ${num(1, w)}`, w);
}, (g, x) => div(g, sub(1, square(x))));

const atan2Op = defineMap({
  name: "atan2",
  arity: 2,
  expression([y, x], _attrs, w) {
    const words = w.type("u32");
    const [a, b] = [w.let(`abs(${y})`), w.let(`abs(${x})`)];
    const [low, high] = [w.let(`min(${a}, ${b})`), w.let(`max(${a}, ${b})`)];
    const same = w.let(`${low} == ${high}`);
    const ratio = w.let(
      `select(${low} / ${high}, select(${num(1, w)}, ${num(0, w)}, ${high} == ${
        num(0, w)
      }), ${same})`,
    );
    const arc = arcOf(ratio, w);
    const steep = w.let(`select(${arc}, ${num(Math.PI / 2, w)} - ${arc}, ${a} > ${b})`);
    const negative = (of: string) => `bitcast<${words}>(${of}) > ${words}(0x7fffffffu)`;
    const half = w.let(`select(${steep}, ${num(Math.PI, w)} - ${steep}, ${negative(x)})`);
    const value = w.let(`select(${half}, -${half}, ${negative(y)})`);
    return `select(${value}, ${w.type("f32")}(${NOT_A_NUMBER}), ${isNan(y, words)} | ${
      isNan(x, words)
    })`;
  },
  reference: ([y, x]) => Math.atan2(y, x),
  vjp: [
    (g, [y, x]) => div(mul(g, x), add(square(x), square(y))),
    (g, [y, x]) => neg(div(mul(g, y), add(square(x), square(y)))),
  ],
});

/** Tangent, in radians; as exact as {@linkcode sin} and {@linkcode cos}. */
export function tan(a: Tensor): Tensor {
  expectFloats("tan", { a });
  return div(sin(a), cos(a));
}
/** Arc sine, in radians; NaN beyond ±1. */
export const asin = (a: Tensor): Tensor => applyMap(asinOp, [a], undefined);
/** Arc cosine, in radians; NaN beyond ±1. */
export const acos = (a: Tensor): Tensor => applyMap(acosOp, [a], undefined);
/** Arc tangent, in radians. */
export const atan = (a: Tensor): Tensor => applyMap(atanOp, [a], undefined);
/** The angle of the point (x, y), between −π and π. */
export const atan2 = (y: Operand, x: Operand): Tensor => applyMap(atan2Op, [y, x], undefined);
/** Inverse hyperbolic sine. */
export const asinh = (a: Tensor): Tensor => applyMap(asinhOp, [a], undefined);
/** Inverse hyperbolic cosine; NaN below 1. */
export const acosh = (a: Tensor): Tensor => applyMap(acoshOp, [a], undefined);
/** Inverse hyperbolic tangent; NaN beyond ±1. */
export const atanh = (a: Tensor): Tensor => applyMap(atanhOp, [a], undefined);
