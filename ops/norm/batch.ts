/**
 * The batch rules of norms and their gradients: examples become images, or rows. Where scale and shift differ from example to
 * example they are applied behind a norm that has none.
 */
import { apply, type Batch, type Tensor } from "../../tensor/tensor.ts";
import type { Shape } from "../../tensor/shape.ts";
import { add, mul } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { expand } from "../broadcast.ts";
import { literal } from "../leaf.ts";
import { reshape } from "../movement.ts";
import type { NormAttrs } from "./shape.ts";

/** Examples as images of one batch: `[n, B, …]` as `[n·B, …]`. */
const merged = (x: Tensor): Tensor => reshape(x, [x.shape[0] * x.shape[1], ...x.shape.slice(2)]);

/** A number for each channel of each example, `[n, C]`, as it multiplies `[n, …, C]`. */
const perChannel = (t: Tensor, x: Shape): Tensor =>
  reshape(cast(t, "f32"), [x[0], ...Array(x.length - 2).fill(1), x.at(-1)!]);

const constantLike = (value: number, t: Tensor): Tensor =>
  expand(literal(value, t.dtype), [t.shape.at(-1)!]);

/** y and statistics of x, γ and β. */
export function batchedNorm(b: Batch<NormAttrs>): Tensor[] {
  const { node, inputs: [, gamma, beta], batched: [, ofGamma, ofBeta], size } = b;
  const { outputs: [y, stats], attrs, op } = node;
  const x = b.wide(0);
  const norm = (x: Tensor, gamma: Tensor, beta: Tensor) => {
    // An example may be a single row without leading axes.
    const rows = node.inputs[0].shape.length > 1 ? merged(x) : x;
    const [value, found] = apply(op, [rows, gamma, beta], attrs);
    return [reshape(value, [size, ...y.shape]), reshape(found, [size, ...stats.shape])];
  };
  if (!ofGamma && !ofBeta) return norm(x, gamma, beta);
  const [value, found] = norm(cast(x, "f32"), constantLike(1, gamma), constantLike(0, beta));
  const scaled = mul(value, perChannel(b.wide(1), x.shape));
  return [cast(add(scaled, perChannel(b.wide(2), x.shape)), y.dtype), found];
}

/** The input's gradient of x, γ, g and statistics: γ counts as part of g. */
export function batchedNormGrad(b: Batch<NormAttrs>): Tensor[] {
  const { node: { op, attrs, inputs: [{ shape }], outputs: [dx] }, batched, size } = b;
  const [x, , g, stats] = b.all();
  const rows = (t: Tensor) => shape.length > 1 ? merged(t) : t;
  const of = (x: Tensor, gamma: Tensor, g: Tensor) => {
    const [y] = apply(op, [rows(x), gamma, rows(g), merged(stats)], attrs);
    return [reshape(y, [size, ...dx.shape])];
  };
  const gamma = b.inputs[1];
  if (!batched[1]) return of(x, gamma, g);
  const weighted = mul(cast(g, "f32"), perChannel(gamma, x.shape));
  return [cast(of(cast(x, "f32"), constantLike(1, gamma), weighted)[0], dx.dtype)];
}
