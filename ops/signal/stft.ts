/** Windows of a signal, their spectra one after the other, and the signal that these came from. */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectNumber, expectOptions } from "../../tensor/arguments.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { sameShape, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { expand } from "../broadcast.ts";
import { ones } from "../create/create.ts";
import { div, mul } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { less, where } from "../elementwise/compare.ts";
import { tensor } from "../leaf.ts";
import { reshape } from "../movement.ts";
import { fold } from "../shape/patches.ts";
import { slidingWindowView } from "../shape/windows.ts";
import { irfft, rfft } from "./fft.ts";

/** Options of {@linkcode generalCosine} and the windows that are made by it. */
export interface CosineOptions {
  /** Whether the window goes on as if repeated, as spectra want it; else it is symmetric. Default true, as in PyTorch. */
  readonly periodic?: boolean;
}

function cosines(op: string, n: number, a: readonly number[], options: CosineOptions): Tensor {
  expectNumber(op, 0, "n", n);
  expectOptions(op, op === "generalCosine" ? 2 : 1, options, { periodic: "true or false" });
  wholeNumber(op, "n", n);
  const turn = 2 * Math.PI / Math.max(1, options.periodic ?? true ? n : n - 1);
  const value = (t: number) =>
    a.reduce((sum, c, k) => sum + c * (-1) ** k * Math.cos(k * t * turn), 0);
  return tensor(Float64Array.from({ length: n }, (_, t) => n === 1 ? 1 : value(t)), [n], "f32");
}

/**
 * A window of cosines: a₀ − a₁ cos(2πt/n) + a₂ cos(4πt/n) − …
 *
 * @param a its coefficients
 * @returns f32 `[n]`
 */
export function generalCosine(
  n: number,
  a: readonly number[],
  options: CosineOptions = {},
): Tensor {
  expectNumber("generalCosine", 0, "n", n);
  if (!Array.isArray(a) || !a.every((c) => typeof c === "number")) {
    throw new TypeError("generalCosine: argument 2 (a) is not a list such as [0.5, 0.5]");
  }
  return cosines("generalCosine", n, a, options);
}

/**
 * Hann's window: ½ − ½ cos(2πt/n).
 *
 * @returns f32 `[n]`
 */
export const hann = (n: number, options: CosineOptions = {}): Tensor =>
  cosines("hann", n, [0.5, 0.5], options);
/**
 * Hamming's window: 0.54 − 0.46 cos(2πt/n).
 *
 * @returns f32 `[n]`
 */
export const hamming = (n: number, options: CosineOptions = {}): Tensor =>
  cosines("hamming", n, [0.54, 0.46], options);
/**
 * Blackman's window: 0.42 − 0.5 cos(2πt/n) + 0.08 cos(4πt/n).
 *
 * @returns f32 `[n]`
 */
export const blackman = (n: number, options: CosineOptions = {}): Tensor =>
  cosines("blackman", n, [0.42, 0.5, 0.08], options);

/** Options of {@linkcode stft} and {@linkcode istft}. */
export interface StftOptions {
  /** Samples from one frame to the next. Default a quarter of a frame. */
  readonly hop?: number;
  /** What each frame is multiplied by: `[frame]`. Default nothing. */
  readonly window?: Tensor;
}

/**
 * Spectra of frames of a signal, one after the other. Frames lie within the signal: `pad` in mode "reflect" by half a frame
 * gives those that are centred, as PyTorch has them.
 *
 * @param x `[…, T]`, f32 or f16
 * @param frame samples of a frame, at most T
 * @returns f32 `[…, frames, ⌊frame/2⌋ + 1, 2]`: real and imaginary parts
 * @throws ShapeError when a frame is longer than the signal, or the window than a frame
 */
export function stft(x: Tensor, frame: number, options: StftOptions = {}): Tensor {
  const { n, hop, window } = prepared("stft", x, frame, options, (n) => x.shape.at(-1)! >= n);
  const frames = slidingWindowView(x, [n], { stride: hop });
  return rfft(window ? mul(cast(frames, "f32"), window) : frames);
}

/** Looks at the arguments; the window in f32. */
function prepared(
  op: string,
  x: Tensor,
  frame: number,
  options: StftOptions,
  fits: (n: number) => boolean,
) {
  expectFloats(op, { x });
  expectNumber(op, 1, "frame", frame);
  expectOptions(op, 2, options, { hop: "number", window: "any" });
  const n = wholeNumber(op, "the frame", frame, 1);
  const { hop = Math.max(1, n >> 2), window } = options;
  if (window) expectFloats(op, { x, frame: x, "options.window": window });
  if (!x.shape.length || !fits(n) || (window && !sameShape(window.shape, [n]))) {
    throw new ShapeError(
      op,
      `frames of ${n} in ${show(x.spec)}${window ? ` with a window ${show(window.spec)}` : ""}`,
    );
  }
  return { n, hop: wholeNumber(op, "options.hop", hop, 1), window: window && cast(window, "f32") };
}

/**
 * The signal of spectra that {@linkcode stft} with the same options gave: frames times the window, added up where they overlap and
 * divided by what squares of windows add up to. Of other spectra it is the signal whose own are nearest. Samples that no
 * window has are 0.
 *
 * @param x `[…, frames, ⌊frame/2⌋ + 1, 2]`, f32 or f16
 * @param frame samples of a frame
 * @returns f32 `[…, (frames − 1) · hop + frame]`
 */
export function istft(x: Tensor, frame: number, options: StftOptions = {}): Tensor {
  const rank = x?.shape?.length ?? 0;
  const { n, hop, window } = prepared(
    "istft",
    x,
    frame,
    options,
    (n) => rank > 2 && x.shape[rank - 2] === (n >> 1) + 1 && x.shape[rank - 3] > 0,
  );
  const [lead, count] = [x.shape.slice(0, -3), x.shape[rank - 3]];
  const length = (count - 1) * hop + n;
  /** Frames [R, count, n] where they belong. */
  const added = (frames: Tensor) => fold(frames, [length], [n], { stride: hop });
  const frames = reshape(irfft(x, n), [sizeOf(lead), count, n]);
  const whole = added(window ? mul(frames, window) : frames);
  const squares = window ? mul(window, window) : ones([n]);
  const weight = added(expand(squares, [1, count, n]));
  const none = less(weight, 1e-11);
  return reshape(where(none, 0, div(whole, where(none, 1, weight))), [...lead, length]);
}
