/**
 * Two-dimensional convolution and its two gradients as ops of their own, so that each is the derivative of the others
 * and derivatives of any order exist. Activations are NHWC and weights HWIO: all three are then products over contiguous
 * memory (`gemm/`), and none of them copies pixels around first.
 */
import { apply, type Node, type Tensor } from "../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../tensor/arguments.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { type Shape, ShapeError, show, sizeOf, type Spec } from "../tensor/shape.ts";
import { multilinear } from "../tensor/forward.ts";
import { defineOp } from "../tensor/op.ts";
import { batchedConv, batchedInputGrad, batchedWeightGrad } from "./batch/conv.ts";
import {
  type ConvAttrs,
  outputShape,
  planConv,
  planInputGrad,
  planWeightGrad,
} from "./gemm/convolution.ts";

/** Padding in pixels: the same on all sides, or `[top, bottom, left, right]`. */
export type Padding = number | readonly [top: number, bottom: number, left: number, right: number];

/** Largest stride and padding: beyond any image, and within what kernels count with. */
const MOST = 2 ** 30;

/** Options of {@linkcode conv2d}. */
export interface ConvOptions {
  /** Pixels between neighbouring windows. Default 1. */
  readonly stride?: number;
  /** Zeros around the image. Default 0. */
  readonly padding?: Padding;
  /** Element type of the result, which is rounded once. Default: that of x. */
  readonly dtype?: DType;
}

/** Calls `visit` with flat indices of every (pixel, weight, output) that are multiplied and added. */
function eachProduct(attrs: ConvAttrs, visit: (x: number, w: number, y: number) => void): void {
  const { stride, pad, image: [, h, w, ci], weight: [kh, kw, , co] } = attrs;
  const [batch, oh, ow] = outputShape(attrs);
  for (let y = 0; y < batch * oh * ow; y++) {
    const b = Math.floor(y / (oh * ow));
    for (let tap = 0; tap < kh * kw; tap++) {
      const i = (Math.floor(y / ow) % oh) * stride + Math.floor(tap / kw) - pad[0];
      const j = (y % ow) * stride + tap % kw - pad[2];
      if (i < 0 || i >= h || j < 0 || j >= w) continue;
      for (let c = 0; c < ci; c++) {
        const x = ((b * h + i) * w + j) * ci + c;
        for (let o = 0; o < co; o++) visit(x, (tap * ci + c) * co + o, y * co + o);
      }
    }
  }
}

function check(op: string, inputs: readonly Spec[], expected: readonly Shape[]): void {
  inputs.forEach((s, i) => {
    if (!isFloat(s.dtype)) {
      throw new ShapeError(
        op,
        `operands are ${inputs.map(show).join(" and ")}; expected f32 or f16`,
      );
    }
    if (s.shape.join() !== expected[i].join()) {
      throw new ShapeError(op, `operand ${i} is ${show(s)}; expected [${expected[i]}]`);
    }
  });
}

/** A gradient in the element type of the input it belongs to. */
const into = (
  node: Node<ConvAttrs>,
  i: number,
  make: (attrs: ConvAttrs) => Tensor,
  wanted: readonly boolean[],
) => wanted[i] ? make({ ...node.attrs, dtype: node.inputs[i].dtype }) : undefined;

const conv2dOp = defineOp<ConvAttrs>({
  name: "conv2d",
  shape([x, w], attrs) {
    check("conv2d", [x, w], [attrs.image, attrs.weight]);
    return [{ shape: outputShape(attrs), dtype: attrs.dtype }];
  },
  vjp([g], node, wanted) {
    const [x, w] = node.inputs;
    return g
      ? [
        into(node, 0, (attrs) => inputGrad(g, w, attrs), wanted),
        into(node, 1, (attrs) => weightGrad(x, g, attrs), wanted),
      ]
      : [undefined, undefined];
  },
  batch: batchedConv,
  jvp: multilinear,
  reference([x, w], _specs, attrs) {
    const y = new Float64Array(sizeOf(outputShape(attrs)));
    eachProduct(attrs, (xi, wi, yi) => y[yi] += x[xi] * w[wi]);
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: planConv },
});

const inputGradOp = defineOp<ConvAttrs>({
  name: "conv2dInputGrad",
  shape([g, w], attrs) {
    check("conv2dInputGrad", [g, w], [outputShape(attrs), attrs.weight]);
    return [{ shape: attrs.image, dtype: attrs.dtype }];
  },
  vjp([u], node, wanted) {
    const [g, w] = node.inputs;
    return u
      ? [
        into(node, 0, (attrs) => apply(conv2dOp, [u, w], attrs)[0], wanted),
        into(node, 1, (attrs) => weightGrad(u, g, attrs), wanted),
      ]
      : [undefined, undefined];
  },
  batch: batchedInputGrad,
  jvp: multilinear,
  reference([g, w], _specs, attrs) {
    const dx = new Float64Array(sizeOf(attrs.image));
    eachProduct(attrs, (xi, wi, yi) => dx[xi] += g[yi] * w[wi]);
    return [dx];
  },
  lowering: { kind: "kernel", epilogue: true, build: planInputGrad },
});

const weightGradOp = defineOp<ConvAttrs>({
  name: "conv2dWeightGrad",
  shape([x, g], attrs) {
    check("conv2dWeightGrad", [x, g], [attrs.image, outputShape(attrs)]);
    return [{ shape: attrs.weight, dtype: attrs.dtype }];
  },
  vjp([u], node, wanted) {
    const [x, g] = node.inputs;
    return u
      ? [
        into(node, 0, (attrs) => inputGrad(g, u, attrs), wanted),
        into(node, 1, (attrs) => apply(conv2dOp, [x, u], attrs)[0], wanted),
      ]
      : [undefined, undefined];
  },
  batch: batchedWeightGrad,
  jvp: multilinear,
  reference([x, g], _specs, attrs) {
    const dw = new Float64Array(sizeOf(attrs.weight));
    eachProduct(attrs, (xi, wi, yi) => dw[wi] += x[xi] * g[yi]);
    return [dw];
  },
  lowering: { kind: "kernel", epilogue: true, build: planWeightGrad },
});

const inputGrad = (g: Tensor, w: Tensor, attrs: ConvAttrs): Tensor =>
  apply(inputGradOp, [g, w], attrs)[0];
const weightGrad = (x: Tensor, g: Tensor, attrs: ConvAttrs): Tensor =>
  apply(weightGradOp, [x, g], attrs)[0];

/**
 * Two-dimensional convolution (cross-correlation, as in PyTorch) without bias: add one with `add`, which costs nothing.
 *
 * @param x image `[B, H, W, Cin]`
 * @param w weight `[KH, KW, Cin, Cout]`
 * @returns `[B, OH, OW, Cout]` with `OH = ⌊(H + top + bottom − KH) / stride⌋ + 1`
 * @throws ShapeError when the channels differ, or the window is larger than the padded image
 */
export function conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  expectTensors("conv2d", { x, w });
  expectOptions("conv2d", 2, options, { stride: "number", padding: "any", dtype: "f32 or f16" });
  const { stride = 1, padding = 0, dtype = x.dtype } = options;
  const pad = typeof padding === "number" ? [padding, padding, padding, padding] as const : padding;
  const fail = (detail: string) =>
    new ShapeError("conv2d", `image ${show(x.spec)}, weight ${show(w.spec)}: ${detail}`);
  if (x.shape.length !== 4 || w.shape.length !== 4) {
    throw fail("expected [B, H, W, Cin] and [KH, KW, Cin, Cout]");
  }
  if (x.shape[3] !== w.shape[2]) {
    throw fail(`the image has ${x.shape[3]} channels, the weight takes ${w.shape[2]}`);
  }
  if (!Number.isInteger(stride) || stride < 1) {
    throw fail(`stride ${stride} is no positive integer`);
  }
  if (stride > MOST || pad?.some?.((p) => p > MOST)) {
    throw fail(`strides and padding are at most ${MOST}, kernels count in 32 bits`);
  }
  if (pad?.length !== 4 || pad.some((p) => !Number.isInteger(p) || p < 0)) {
    throw fail(`padding [${pad}] is not allowed`);
  }
  const attrs: ConvAttrs = { stride, pad, image: x.shape, weight: w.shape, dtype };
  const [, oh, ow] = outputShape(attrs);
  if (oh < 1 || ow < 1) throw fail(`the window does not fit into the image padded by [${pad}]`);
  return apply(conv2dOp, [x, w], attrs)[0];
}
