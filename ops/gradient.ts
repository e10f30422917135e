/** Identities that change only what flows backward. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectTensors } from "../tensor/arguments.ts";
import { axisOf } from "../tensor/shape.ts";
import { alike } from "../tensor/batch.ts";
import { constant } from "../tensor/forward.ts";
import { defineOp } from "../tensor/op.ts";
import { add } from "./elementwise/arithmetic.ts";
import { pad, slice } from "./movement.ts";

const stopGradientOp = defineOp<undefined>({
  name: "stopGradient",
  shape: ([x]) => [x],
  vjp: () => [undefined],
  batch: alike,
  jvp: constant,
  reference: ([x]) => [x],
  lowering: { kind: "alias" },
});

const cutGradientOp = defineOp<{ readonly axis: number; readonly index: number }>({
  name: "cutGradient",
  shape: ([x]) => [x],
  vjp: ([g], { attrs: { axis, index } }) => [g && without(g, axis, index)],
  batch: ({ inputs: [x], node: { attrs: { axis, index } } }) => [cutGradient(x, axis + 1, index)],
  jvp: ([t], { attrs: { axis, index } }) => [t && without(t, axis, index)],
  reference: ([x]) => [x],
  lowering: { kind: "alias" },
});

const variableOp = defineOp<undefined>({
  name: "variable",
  shape: ([x]) => [x],
  vjp: ([g]) => [g],
  batch: alike,
  jvp: (tangents) => tangents,
  reference: ([x]) => [x],
  lowering: { kind: "alias" },
});

/** `g` with zeros at one index of an axis. */
function without(g: Tensor, axis: number, index: number): Tensor | undefined {
  const n = g.shape[axis];
  const kept = [[0, index], [index + 1, n]].filter(([from, to]) => to > from).map(([from, to]) =>
    pad(
      slice(g, axis, from, to),
      g.shape.map((_, d): [number, number] => d === axis ? [from, n - to] : [0, 0]),
    )
  );
  return kept.length ? kept.reduce((a, b) => add(a, b)) : undefined;
}

/** `x`, as a constant to differentiation. */
export function stopGradient(x: Tensor): Tensor {
  expectTensors("stopGradient", { x });
  return apply(stopGradientOp, [x], undefined)[0];
}

/**
 * `x` as a variable of its own: a derivative by it does not see how `x` came about, nor other uses of `x`. What the
 * compiler makes of it is `x` itself.
 */
export const variable = (x: Tensor): Tensor => apply(variableOp, [x], undefined)[0];

/**
 * `x`, but no gradient flows through one index of an axis. Custom Diffusion cuts the start token's part of every key
 * and value this way, since its feature is the same for every prompt.
 */
export function cutGradient(x: Tensor, axis: number, index: number): Tensor {
  return apply(cutGradientOp, [x], { axis: axisOf("cutGradient", axis, x.shape.length), index })[0];
}
