/** Convolutions along time that see nothing of what is to come, whole or a few steps at a time. */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectOptions } from "../../tensor/arguments.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { sameShape, ShapeError, show } from "../../tensor/shape.ts";
import { concat } from "../concat.ts";
import { conv } from "../conv.ts";
import { cast } from "../elementwise/cast.ts";
import { pad, slice } from "../movement.ts";

/** Options of {@linkcode causalConv1d}. */
export interface CausalConvOptions {
  /** What came before x: the state that the call before gave. Default zeros. */
  readonly state?: Tensor;
  /** Steps between neighbouring places of the window. Default 1. */
  readonly dilation?: number;
  /** How many groups the channels fall into. Default: as many as the weight's shape says. */
  readonly groups?: number;
  /** Whether channels come second, `[B, C, T]` and `[Cout, Cin / groups, K]`. Default false. */
  readonly channelsFirst?: boolean;
}

/**
 * A convolution along time that ends at each step, and the state with which it goes on: a signal may come in pieces.
 *
 * @param x `[B, T, Cin]`, f32 or f16
 * @param w `[K, Cin / groups, Cout]`
 * @returns `[y, state]`: `[B, T, Cout]`, and the last (K − 1) · dilation steps of what was seen, `[B, …, Cin]`
 * @throws ShapeError when the channels differ or the state is of another shape
 */
export function causalConv1d(
  x: Tensor,
  w: Tensor,
  options: CausalConvOptions = {},
): [y: Tensor, state: Tensor] {
  const op = "causalConv1d";
  expectFloats(op, { x, w });
  expectOptions(op, 2, options, {
    state: "any",
    dilation: "number",
    groups: "number",
    channelsFirst: "true or false",
  });
  const { state, dilation = 1, channelsFirst } = options;
  if (state) expectFloats(op, { x, w, "options.state": state });
  if (x.shape.length !== 3 || w.shape.length !== 3) {
    throw new ShapeError(
      op,
      `x ${show(x.spec)}, weight ${show(w.spec)}: expected three axes of each`,
    );
  }
  const [time, channels, k] = channelsFirst ? [2, 1, w.shape[2]] : [1, 2, w.shape[0]];
  const before = Math.max(0, k - 1) * wholeNumber(op, "options.dilation", dilation, 1);
  const past = x.shape.with(time, before);
  if (state && !sameShape(state.shape, past)) {
    throw new ShapeError(op, `the state is ${show(state.spec)}, expected [${past}]`);
  }
  // A piece without steps has no window of its own: it is a step whose result is left out.
  const none = x.shape[time] ? 0 : 1;
  const widths = (before: number, after: number) =>
    x.shape.map((_, i): [number, number] => i === time ? [before, after] : [0, 0]);
  const seen = state
    ? pad(concat([cast(state, x.dtype), x], time), widths(0, none))
    : pad(x, widths(before, none));
  const groups = options.groups ?? Math.max(1, Math.floor(x.shape[channels] / w.shape[1]));
  const y = calledAs(op, () => conv(seen, w, { dilation, groups, channelsFirst }));
  const steps = x.shape[time];
  return [none ? slice(y, time, 0, 0) : y, slice(seen, time, steps, steps + before)];
}
