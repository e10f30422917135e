/** Applications of every op there is, gathered from the tapes of functions, their derivatives and what the compiler makes of both. */
import { CASES, fill } from "../second_derivatives_cases.ts";
import * as m from "../../mod.ts";
import { randomBits } from "../../ops/random.ts";
import { simplify } from "../../compile/simplify.ts";
import { apply, type Node, tapeOf, type Tensor } from "../../tensor/tensor.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { show, sizeOf, type Spec } from "../../tensor/shape.ts";

const golden = JSON.parse(
  await Deno.readTextFile(new URL("../golden/second_derivatives.json", import.meta.url)),
) as { cases: Record<string, { shapes: number[][] }> };

/** A function of tensors, and what it takes. */
export interface Case {
  readonly f: (x: Tensor[]) => Tensor;
  readonly specs: readonly Spec[];
}

const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
const u32 = (...shape: number[]): Spec => ({ shape, dtype: "u32" });

/** Functions of the golden file, and of ids, keys and whole numbers. */
export const FUNCTIONS: Readonly<Record<string, Case>> = {
  ...Object.fromEntries(
    Object.entries(CASES).map(([name, f]) => [
      name,
      { f, specs: golden.cases[name].shapes.map((s) => f32(...s)) },
    ]),
  ),
  "embedding of ids": { f: ([t, ids]) => m.embedding(t, ids), specs: [f32(5, 3), u32(2, 3)] },
  "embedding of one id": { f: ([t, id]) => m.embedding(t, id), specs: [f32(5, 4), u32()] },
  "embedding of ids in replaceRows": {
    f: ([t, r, ids]) => m.embedding(m.replaceRows(t, r, [3, 1]), ids),
    specs: [f32(5, 2), f32(2, 2), u32(4)],
  },
  "draws of pairs": {
    f: ([k]) => m.add(m.randomNormal(k, [2, 4]), m.randomUniform(k, [2, 4], { stream: 3 })),
    specs: [u32(2)],
  },
  "draws of an odd number": {
    f: ([k]) => m.add(m.randomNormal(k, [3]), m.cast(randomBits(k, [3]), "f32")),
    specs: [u32(2)],
  },
  "draws of every kind": {
    f: ([k]) =>
      [
        m.randomExponential(k, [3]),
        m.randomGumbel(k, [3]),
        m.randomLaplace(k, [3]),
        m.randomTruncatedNormal(k, [3]),
        m.cast(m.randomInt(k, [3], -5, 5), "f32"),
      ].reduce((a, b) => m.add(a, b)),
    specs: [u32(2)],
  },
  "keys of keys": {
    f: ([k, n]) => m.cast(m.foldIn(m.reshape(m.foldIn(k, 3), [2]), n), "f32"),
    specs: [u32(2), u32(3)],
  },
  "one draw": { f: ([k]) => m.randomUniform(k, []), specs: [u32(2)] },
  "comparisons": {
    f: ([a, b]) => m.add(m.greaterEqual(a, b), m.add(m.less(a, b), m.equal(a, b))),
    specs: [f32(3), f32(3)],
  },
  "tests of floats": {
    f: ([a, b]) =>
      [m.lessEqual(a, b), m.greater(a, b), m.notEqual(a, b), m.isNan(a), m.isFinite(b)]
        .map((t) => m.cast(t, "u32")).reduce((x, y) => m.add(x, y)),
    specs: [f32(3), f32(3)],
  },
  "bits": {
    f: ([a, b]) =>
      [
        m.bitwiseAnd(a, b),
        m.bitwiseOr(a, b),
        m.bitwiseXor(a, m.bitwiseNot(b)),
        m.leftShift(a, b),
        m.rightShift(a, b),
        m.bitwiseCount(a),
      ].reduce((x, y) => m.add(x, y)),
    specs: [u32(3), u32(3)],
  },
  "bits as others": {
    f: ([a]) => m.bitcastConvertType(a, "u32"),
    specs: [{ shape: [3], dtype: "i32" }],
  },
  "whole numbers": {
    f: ([a, b]) => m.max(m.mul(a, m.sum(b, [0])), [0]),
    specs: [u32(3, 2), u32(4, 2)],
  },
  "where of a condition": {
    f: ([c, a, b]) => m.where(c, a, b),
    specs: [u32(2, 3), f32(2, 3), f32(2, 3)],
  },
  "truth values": {
    f: ([c, a]) =>
      m.where(m.logicalXor(c, m.any(c, 1, { keep: true })), a, m.cast(m.sum(c), "f32")),
    specs: [{ shape: [2, 3], dtype: "bool" }, f32(2, 3)],
  },
  "a row alone": {
    f: ([x, g, b]) => m.layerNorm(m.softmax(x), g, b),
    specs: [f32(6), f32(6), f32(6)],
  },
  "attention to fixed keys": {
    f: ([q]) => m.attention(q, fill([2, 2, 2, 4], 5), fill([2, 2, 2, 4], 6)),
    specs: [f32(2, 3, 2, 4)],
  },
  "a chain of scalars": { f: ([x]) => m.mul(m.sin(x), m.exp(x)), specs: [f32()] },
};

/** Numbers for a spec by seed: floats in [−1, 1), ids below 8, truth values. */
export const values = ({ shape, dtype }: Spec, seed: number): Tensor =>
  isFloat(dtype) ? m.cast(fill(shape, seed), dtype) : m.tensor(
    Array.from(
      { length: sizeOf(shape) },
      (_, i) => (i * 5 + 3 * seed) % (dtype === "bool" ? 2 : 8),
    ),
    shape,
    dtype,
  );

/** A function of floats with one number as its result, which depends on all of what the case gives. */
export const lossOf = ({ f }: Case) => (x: Tensor[]): Tensor => {
  const y = m.cast(f(x), "f32");
  return m.sum(m.mul(m.sin(y), fill(y.shape, 50)));
};

/** One application of every op in every form in which the functions above, or two orders of their derivatives, use it. */
export function applications(): Node[] {
  const found = new Map<string, Node>();
  for (const of of Object.values(FUNCTIONS)) {
    const xs = of.specs.map(values);
    const loss = lossOf(of);
    const floats = xs.flatMap((x, i) => isFloat(x.dtype) ? [i] : []);
    const among = (x: Tensor[]) => floats.reduce((all, at, i) => all.with(at, x[i]), xs);
    const first = m.grad((x: Tensor[]) => loss(among(x)));
    const own = floats.map((i) => xs[i]);
    const second = m.grad((x: Tensor[]) =>
      first(x).map((g, i) => m.sum(m.mul(g, fill(g.shape, 60 + i)))).reduce(
        (a, b) => m.add(a, b),
        m.scalar(0),
      )
    );
    const results = [of.f(xs), ...first(own), ...second(own)];
    for (const node of tapeOf([...results, ...simplify(results)])) {
      // What these repeat is not free to be anything.
      if (!node.inputs.length || /^(checkpoint|customVjp)$/.test(node.op.name)) continue;
      const { op, inputs, attrs } = node;
      const key = `${op.name} ${inputs.map((t) => show(t.spec))} ${
        op.name === "loop" ? "" : JSON.stringify(attrs)
      }`;
      if (!found.has(key)) found.set(key, node);
    }
  }
  return [...found.values()];
}

/** The node's op as a function. */
export const asFunction = ({ op, attrs }: Node) => (...xs: Tensor[]): Tensor[] =>
  apply(op, xs, attrs);
