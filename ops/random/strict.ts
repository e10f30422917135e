/**
 * Arithmetic that every device rounds alike, so that a draw has the same bits on the host, on the CPU device and on any GPU.
 *
 * Why it takes a file: WGSL rounds sums and products of f32 correctly, but lets compilers join a product and a sum into one
 * instruction, which rounds once less, and take sums in another order, which drivers do; and it promises little of its
 * divisions, roots and logarithms. Here every sum and product goes through the integers before anything is made of it, and
 * the rest is made of sums and products. A function is written once, for a machine; one machine computes on the host, the
 * other writes WGSL.
 */

/** What functions are written with. Values are f32, u32, or truth values, and never f32 below 2⁻¹²⁶ but 0. */
export interface Machine<V> {
  /** Constants. */
  readonly number: (x: number) => V;
  readonly word: (x: number) => V;
  /** Of f32: rounded once each. */
  readonly add: (a: V, b: V) => V;
  readonly sub: (a: V, b: V) => V;
  readonly mul: (a: V, b: V) => V;
  readonly less: (a: V, b: V) => V;
  /** Of u32, modulo 2³². */
  readonly plus: (a: V, b: V) => V;
  readonly minus: (a: V, b: V) => V;
  readonly and: (a: V, b: number) => V;
  readonly xor: (a: V, b: V) => V;
  readonly left: (a: V, by: number) => V;
  readonly right: (a: V, by: number) => V;
  readonly is: (a: V, b: number) => V;
  /** A u32 below 2²⁴ as an f32. */
  readonly real: (a: V) => V;
  /** Bits of the other type. */
  readonly bits: (a: V) => V;
  readonly fromBits: (a: V) => V;
  /** `yes` where the condition holds. */
  readonly pick: (condition: V, yes: V, no: V) => V;
}

const buffer = new ArrayBuffer(4);
const asFloat = new Float32Array(buffer), asWord = new Uint32Array(buffer);
const { fround } = Math;

/** Computes: numbers that are f32 or u32. */
export const HOST: Machine<number> = {
  number: fround,
  word: (x) => x >>> 0,
  add: (a, b) => fround(a + b),
  sub: (a, b) => fround(a - b),
  mul: (a, b) => fround(a * b),
  less: (a, b) => Number(a < b),
  plus: (a, b) => (a + b) >>> 0,
  minus: (a, b) => (a - b) >>> 0,
  and: (a, b) => (a & b) >>> 0,
  xor: (a, b) => (a ^ b) >>> 0,
  left: (a, by) => (a << by) >>> 0,
  right: (a, by) => a >>> by,
  is: (a, b) => Number(a === b),
  real: (a) => a,
  bits(a) {
    asFloat[0] = a;
    return asWord[0];
  },
  fromBits(a) {
    asWord[0] = a;
    return asFloat[0];
  },
  pick: (condition, yes, no) => condition ? yes : no,
};

/** A polynomial by its coefficients, from that of 1 on. */
export const polynomial = <V>(m: Machine<V>, x: V, coefficients: readonly number[]): V =>
  coefficients.slice(0, -1).reduceRight(
    (sum, c) => m.add(m.mul(sum, x), m.number(c)),
    m.number(coefficients.at(-1)!),
  );

// Minimax fits, by Chebyshev nodes in float64: (ln(1 + f) − f)/f² for |f| ≤ ⅓, to 5e-9 of ln(1 + f).
const LOG = [-0.50000002, 0.33333206, -0.2499964, 0.20010872, -0.16684526, 0.13999426, -0.12142355];
const LOG_END = [0.14012320, -0.13043400];
const [LN2, LN2_REST] = [0.693145751953125, 1.4286068203094172e-6];
/** The word at which a mantissa of ⅔ begins. */
const TWO_THIRDS = 0x3f2aaaab;

/** x = 2ᵉ·(1 + f) with |f| ≤ ⅓ for a positive f32: f, and 127 + e as a word. */
export function parts<V>(m: Machine<V>, x: V): { readonly f: V; readonly exponent: V } {
  const shifted = m.plus(m.bits(x), m.word(0x3f800000 - TWO_THIRDS));
  const mantissa = m.plus(m.and(shifted, 0x7fffff), m.word(TWO_THIRDS));
  return { f: m.sub(m.fromBits(mantissa), m.number(1)), exponent: m.right(shifted, 23) };
}

/** turns·ln 2 + ln(1 + f), where turns is a whole number of at most 7 bits and |f| ≤ ⅓. */
export function logOf<V>(m: Machine<V>, turns: V, f: V): V {
  const square = m.mul(f, f);
  const rest = m.add(f, m.mul(square, polynomial(m, f, [...LOG, ...LOG_END])));
  return m.add(m.mul(turns, m.number(LN2)), m.add(m.mul(turns, m.number(LN2_REST)), rest));
}

/** The logarithm of a positive f32, to 2 units in the last place; near 1 to 1e-7. */
export function log<V>(m: Machine<V>, x: V): V {
  const { f, exponent } = parts(m, x);
  return logOf(m, m.sub(m.real(exponent), m.number(127)), f);
}

/** The square root of a positive f32, to 2 units in the last place: Newton's rule for its reciprocal. */
export function sqrt<V>(m: Machine<V>, x: V): V {
  const half = m.mul(x, m.number(0.5));
  let r = m.fromBits(m.minus(m.word(0x5f3759df), m.right(m.bits(x), 1)));
  for (let turn = 0; turn < 3; turn++) {
    r = m.mul(r, m.sub(m.number(1.5), m.mul(m.mul(half, r), r)));
  }
  return m.mul(x, r);
}

// sin x = x + x³·S(x²) and cos x = 1 − x²/2 + x⁴·C(x²) for |x| ≤ π/4, to 2e-8.
const SIN = [-0.16666664664, 0.0083327486346, -0.00019587949872];
const COS = [0.041666664662, -0.001388830334, 0.000024547991314];

/** Sine and cosine of `turn`·2⁻²⁴ turns; `turn` is a word of 24 bits. */
export function sinCos<V>(m: Machine<V>, turn: V): { readonly sin: V; readonly cos: V } {
  const quarter = m.right(m.plus(turn, m.word(2 ** 21)), 22);
  const rest = m.sub(m.real(turn), m.real(m.left(quarter, 22)));
  const x = m.mul(rest, m.number(2 ** -22 * Math.PI / 2)), z = m.mul(x, x);
  const s = m.add(x, m.mul(m.mul(x, z), polynomial(m, z, SIN)));
  const c = m.add(
    m.sub(m.number(1), m.mul(z, m.number(0.5))),
    m.mul(m.mul(z, z), polynomial(m, z, COS)),
  );
  const odd = m.is(m.and(quarter, 1), 1);
  const flip = (v: V, by: V) => m.fromBits(m.xor(m.bits(v), m.left(m.and(by, 2), 30)));
  return {
    sin: flip(m.pick(odd, c, s), quarter),
    cos: flip(m.pick(odd, s, c), m.plus(quarter, m.word(1))),
  };
}
