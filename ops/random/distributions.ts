/**
 * Distributions as functions of random words, written once for the host and for devices (`ops/random/strict.ts`), so that
 * both have the same bits.
 */
import { log, logOf, type Machine, parts, polynomial, sinCos, sqrt } from "./strict.ts";

/** (w + ½)·2⁻³², rounded to f32: above 0, and at most 1. */
export function unit<V>(m: Machine<V>, w: V): V {
  const high = m.mul(m.real(m.right(w, 16)), m.number(65536));
  const low = m.add(m.real(m.and(w, 0xffff)), m.number(0.5));
  return m.mul(m.add(high, low), m.number(2 ** -32));
}

/** Uniform in [0, 1): 24 bits, so that the largest value is still below 1 in f32. */
export const uniform = <V>(m: Machine<V>, w: V): V =>
  m.mul(m.real(m.right(w, 8)), m.number(2 ** -24));

/** −ln(1 − v) of v = (w + ½)·2⁻³²: exponential of mean 1, from 1.2e-10 to 22.9, exact at both ends. */
export function exponential<V>(m: Machine<V>, w: V): V {
  const { f, exponent } = parts(m, unit(m, m.xor(w, m.word(0xffffffff))));
  // Near 1 the rest to 1 is what the word itself says, with all its digits.
  const small = m.is(exponent, 127);
  const near = m.sub(m.number(0), unit(m, w));
  const turns = m.sub(m.real(exponent), m.number(127));
  return m.sub(m.number(0), logOf(m, turns, m.pick(small, near, f)));
}

/** Standard Gumbel, from −3.14 to 22.9: −ln of an exponential. */
export const gumbel = <V>(m: Machine<V>, w: V): V => m.sub(m.number(0), log(m, exponential(m, w)));

/** Laplace of mean 0 and scale 1: an exponential, with the last bit for its sign. */
export function laplace<V>(m: Machine<V>, w: V): V {
  const size = exponential(m, w);
  return m.fromBits(m.xor(m.bits(size), m.left(m.and(w, 1), 31)));
}

/** Box–Muller: a pair of words gives a pair of normal numbers, at most 6.8 in magnitude. */
export function normalPair<V>(m: Machine<V>, a: V, b: V): readonly [V, V] {
  const radius = sqrt(m, m.mul(exponential(m, m.xor(a, m.word(0xffffffff))), m.number(2)));
  // The angle runs from −π to π.
  const { sin, cos } = sinCos(m, m.and(m.plus(m.right(b, 8), m.word(2 ** 23)), 0xffffff));
  return [m.mul(radius, cos), m.mul(radius, sin)];
}

// −Φ⁻¹(p)/(1 − 2p) as polynomials of w = −ln 4p(1 − p), after M. Giles, "Approximating the erfinv function" (2010), here
// fitted for p down to 1e-38: of w − 2.5 below 5, of √w − 3 below 15, of √w − 6.5 beyond; all to 4e-8.
const MIDDLE = [
  ...[2.123313479, 0.348802027, -0.00590771944, -0.0017716210058, 0.00030878771436],
  ...[-7.0329825733e-6, -4.8975531869e-6, 6.6222950487e-7, 3.2901395862e-8, -1.2645069064e-8],
];
const TAIL = [
  ...[4.0064342458, 1.4165812636, 0.0133555200611, -0.0107797087485, 0.00806337941],
  ...[-0.0052024035699, 0.00203813575105, 0.000155566536910, -0.00038139294129],
];
const FAR = [
  ...[9.0008942519, 1.4270960981, -0.00072249429105, -1.5077738645e-5, 1.6705887752e-5],
  ...[-4.2438159357e-6, 6.939209225e-7, -1.167022299e-7, 4.2253131087e-8, -7.4030074708e-9],
];

/** −Φ⁻¹(p), how far out the normal tail of probability p begins, for p from 1e-38 to ½. */
export function tailOf<V>(m: Machine<V>, p: V): V {
  const one = m.number(1);
  const w = m.sub(m.number(0), log(m, m.mul(m.mul(p, m.number(4)), m.sub(one, p))));
  // Near p = ½ the logarithm may round to just below 0.
  const root = sqrt(m, m.pick(m.less(w, one), one, w));
  const middle = polynomial(m, m.sub(w, m.number(2.5)), MIDDLE);
  const tail = polynomial(m, m.sub(root, m.number(3)), TAIL);
  const far = polynomial(m, m.sub(root, m.number(6.5)), FAR);
  const by = m.pick(
    m.less(w, m.number(5)),
    middle,
    m.pick(m.less(w, m.number(15)), tail, far),
  );
  return m.mul(m.sub(one, m.mul(p, m.number(2))), by);
}

/** Where a normal distribution is cut, with the probabilities of what is beyond and between. */
export interface Cut {
  readonly lower: number;
  readonly upper: number;
  /** Of less than `lower`, of more than `upper`, between both, and between `lower` and 0 if that is inside. */
  readonly below: number;
  readonly above: number;
  readonly between: number;
  readonly left: number;
}

/** Normal between two bounds: what lies left of 0 by the left tail, the rest by the right one, so that neither loses digits. */
export function truncated<V>(m: Machine<V>, w: V, cut: Cut): V {
  const { number } = m;
  const at = m.mul(unit(m, w), number(cut.between));
  const left = m.less(at, number(cut.left));
  const p = m.pick(
    left,
    m.add(number(cut.below), at),
    m.add(number(cut.above), m.sub(number(cut.between), at)),
  );
  // Rounding may lead past ½, and in the outermost tails below what the fits hold for.
  const most = m.pick(m.less(p, number(0.5)), p, number(0.5));
  const far = tailOf(m, m.pick(m.less(number(1e-37), most), most, number(1e-37)));
  const x = m.pick(left, m.sub(number(0), far), far);
  const above = m.pick(m.less(x, number(cut.lower)), number(cut.lower), x);
  return m.pick(m.less(number(cut.upper), above), number(cut.upper), above);
}

/** The normal distribution's probability of less than x, in float64, to 1e-15 of it wherever it lies. */
export function normalBelow(x: number): number {
  if (x > 0) return 1 - normalBelow(-x);
  if (x === -Infinity) return 0;
  const z = -x;
  if (z < 3) {
    // ½ − φ(z)·Σ z^(2k+1)/(1·3·5…(2k+1)), all terms positive.
    let term = z, sum = z;
    for (let k = 1; term > sum * 1e-17; k++) sum += term *= z * z / (2 * k + 1);
    return 0.5 - sum * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI);
  }
  // Laplace's continued fraction, from far enough behind.
  let fraction = z;
  for (let k = 200; k > 0; k--) fraction = z + k / fraction;
  return Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI) / fraction;
}
