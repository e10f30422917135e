/** Parts of an image read at places that are data: regions of interest, and windows whose places have moved. */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectList, expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { sameShape, ShapeError, show } from "../../tensor/shape.ts";
import { expand } from "../broadcast.ts";
import { add, maximum, mul, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { greater, less, where } from "../elementwise/compare.ts";
import { logicalOr } from "../elementwise/logic.ts";
import { tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { permute, reshape, slice, toFirst, toLast } from "../movement.ts";
import { mean } from "../reduce.ts";
import { perAxis, sides } from "../shape/windows.ts";
import { type Reading, sampled } from "./places.ts";

const NEAREST: Reading = { method: "nearest", outside: "edge", corners: false };
const AT_EDGE: Reading = { method: "linear", outside: "edge", corners: false };
const BEYOND: Reading = { method: "linear", outside: "zeros", corners: false };

/** Options of {@linkcode roiAlign}. */
export interface RoiAlignOptions {
  /** What boxes are multiplied by to be in pixels of x. Default 1. */
  readonly scale?: number;
  /** Places read along each side of a bin. Fixed, since shapes are; default 2. */
  readonly samples?: number;
  /** Whether boxes count from the ends of pixels, as they should; else from their middles, and are at least one wide. Default true. */
  readonly aligned?: boolean;
  /** Whether channels come second, `[B, C, H, W]`. Default false. */
  readonly channelsFirst?: boolean;
}

/**
 * Regions of images, each brought to one size: the means of bins, read between pixels (He et al., 2017, RoIAlign).
 *
 * @param x `[B, H, W, C]`, f32 or f16
 * @param boxes `[N, 4]`: x₁, y₁, x₂, y₂
 * @param images `[N]` i32 or u32: the image that each box is of
 * @param size bins down and across
 * @returns `[N, …size, C]` in x's element type; a place more than a pixel outside counts as 0
 * @throws ShapeError when boxes or ids do not fit
 */
export function roiAlign(
  x: Tensor,
  boxes: Tensor,
  images: Tensor,
  size: readonly number[],
  options: RoiAlignOptions = {},
): Tensor {
  const op = "roiAlign";
  expectFloats(op, { x, boxes });
  expectTensors(op, { x, boxes, images });
  expectList(op, 3, "size", size, "[7, 7]");
  expectOptions(op, 4, options, {
    scale: "a number of f32",
    samples: "number",
    aligned: "true or false",
    channelsFirst: "true or false",
  });
  const { scale = 1, samples = 2, aligned = true, channelsFirst } = options;
  const s = wholeNumber(op, "options.samples", samples, 1);
  const n = boxes.shape[0];
  if (
    x.shape.length !== 4 || !sameShape(boxes.shape, [n, 4]) || !sameShape(images.shape, [n]) ||
    size.length !== 2 || isFloat(images.dtype)
  ) {
    throw new ShapeError(
      op,
      `boxes ${show(boxes.spec)} of images ${show(images.spec)} for ${
        show(x.spec)
      } and [${size}]; ` +
        "expected [N,4], integers [N], [B,H,W,C] and two extents",
    );
  }
  const [h, w] = size.map((d) => wholeNumber(op, "an extent", d, 1));
  const image = toLast(x, channelsFirst);
  const [, height, width, c] = image.shape;
  const edge = (i: number) =>
    sub(mul(cast(slice(boxes, 1, i, i + 1), "f32"), scale), aligned ? 0.5 : 0);
  /** Where samples lie along one side, `[N, bins · samples]`, and which lie more than a pixel outside. */
  const along = (i: number, bins: number, extent: number) => {
    const from = edge(i);
    const span = sub(edge(i + 2), from);
    const steps = Float64Array.from({ length: bins * s }, (_, k) => (k + 0.5) / (bins * s));
    const at = add(from, mul(aligned ? span : maximum(span, 1), tensor(steps)));
    return [at, logicalOr(less(at, -1), greater(at, extent))];
  };
  const across = (t: Tensor, i: number) =>
    reshape(
      expand(reshape(t, [n, ...(i ? [1, w * s] : [h * s, 1])]), [n, h * s, w * s]),
      [1, n * h * s * w * s],
    );
  const [y, yOut] = along(1, h, height).map((t) => across(t, 0));
  const [z, zOut] = along(0, w, width).map((t) => across(t, 1));
  const of = reshape(
    expand(reshape(cast(images, "f32"), [n, 1]), [n, h * s * w * s]),
    y.shape,
  );
  const all = sampled(reshape(image, [1, ...image.shape]), [of, y, z], [NEAREST, AT_EDGE, AT_EDGE]);
  const kept = where(reshape(logicalOr(yOut, zOut), [1, y.size, 1]), 0, all);
  const bins = mean(reshape(kept, [n, h, s, w, s, c]), [2, 4]);
  return toFirst(cast(bins, x.dtype), channelsFirst);
}

/** Options of {@linkcode deformConv}. */
export interface DeformConvOptions {
  /** What each place of a window is multiplied by: `[B, H', W', G · kh · kw]`. */
  readonly mask?: Tensor;
  /** Pixels between neighbouring windows, for both dimensions or each. Default 1. */
  readonly stride?: number | readonly number[];
  /** Zeros around the image: one number, one or `[before, after]` for each dimension. Default 0. */
  readonly padding?: number | readonly (number | readonly [number, number])[];
  /** Pixels between neighbouring places of a window. Default 1. */
  readonly dilation?: number | readonly number[];
  /** Whether channels come second everywhere, as in PyTorch; weights are then `[Cout, Cin, kh, kw]`. Default false. */
  readonly channelsFirst?: boolean;
}

/**
 * A convolution whose windows read where offsets say (Dai et al., 2017; with a mask Zhu et al., 2019).
 *
 * @param x `[B, H, W, Cin]`, f32 or f16
 * @param offset `[B, H', W', G · kh · kw · 2]`: for each of G parts of the channels and each place of the window how far down
 *   and across it moves, in pixels
 * @param w `[kh, kw, Cin, Cout]`
 * @returns `[B, H', W', Cout]` in x's element type
 * @throws ShapeError when the offsets do not fit the windows
 */
export function deformConv(
  x: Tensor,
  offset: Tensor,
  w: Tensor,
  options: DeformConvOptions = {},
): Tensor {
  const op = "deformConv";
  expectFloats(op, { x, offset, w });
  expectOptions(op, 3, options, {
    mask: "any",
    stride: "a number or a list",
    padding: "a number or a list",
    dilation: "a number or a list",
    channelsFirst: "true or false",
  });
  const { mask, channelsFirst: first } = options;
  if (mask) expectFloats(op, { x, offset, w, "options.mask": mask });
  const fail = (detail: string) =>
    new ShapeError(
      op,
      `image ${show(x.spec)}, offset ${show(offset.spec)}, weight ${show(w.spec)}: ${detail}`,
    );
  if ([x, offset, w].some((t) => t.shape.length !== 4)) throw fail("expected four axes of each");
  const [image, moved] = [x, offset].map((t) => toLast(t, first));
  const [kh, kw, ci, co] = first ? [2, 3, 1, 0].map((i) => w.shape[i]) : w.shape;
  const [b, , , c] = image.shape;
  const [stride, dilation] = (["stride", "dilation"] as const).map((name) =>
    perAxis(op, name, options[name], 2, 1, 1)
  );
  const pads = sides(op, options.padding, 2);
  const out = [kh, kw].map((k, i) =>
    Math.floor(
      (image.shape[1 + i] + pads[i][0] + pads[i][1] - (k - 1) * dilation[i] - 1) / stride[i],
    ) + 1
  );
  const k = kh * kw, n = out[0] * out[1], g = moved.shape[3] / (2 * k);
  if (c !== ci || !sameShape(moved.shape, [b, ...out, 2 * k * g]) || !g || c % g) {
    throw fail(`expected offsets [${[b, ...out]}, G·${2 * k}] for G parts of ${ci} channels`);
  }
  // Parts of the channels are images of their own.
  const parts = reshape(
    permute(reshape(image, [...image.shape.slice(0, 3), g, c / g]), [0, 3, 1, 2, 4]),
    [b * g, ...image.shape.slice(1, 3), c / g],
  );
  const byPart = (t: Tensor, rest: number) =>
    reshape(permute(reshape(t, [b, n, g, k * rest]), [0, 2, 1, 3]), [b * g, n * k, rest]);
  const offsets = cast(byPart(moved, 2), "f32");
  const places = [0, 1].map((i) => {
    const fixed = Float64Array.from({ length: n * k }, (_, p) => {
      const [o, t] = [Math.floor(p / k), p % k];
      const [window, place] = i
        ? [o % out[1], t % kw]
        : [Math.floor(o / out[1]), Math.floor(t / kw)];
      return window * stride[i] - pads[i][0] + place * dilation[i];
    });
    return add(reshape(slice(offsets, 2, i, i + 1), [b * g, n * k]), tensor(fixed));
  });
  let read = sampled(parts, places, [BEYOND, BEYOND]);
  if (mask) {
    const m = toLast(mask, first);
    if (!sameShape(m.shape, [b, ...out, g * k])) {
      throw fail(`the mask is ${show(mask.spec)}, expected one number for each of G·${k} places`);
    }
    read = mul(read, cast(byPart(m, 1), "f32"));
  }
  const columns = permute(reshape(read, [b, g, n, k, c / g]), [0, 2, 3, 1, 4]);
  const y = matmul(
    reshape(columns, [b, n, k * c]),
    reshape(first ? permute(w, [2, 3, 1, 0]) : w, [k * c, co]),
    { dtype: "f32" },
  );
  return toFirst(cast(reshape(y, [b, ...out, co]), x.dtype), first);
}
