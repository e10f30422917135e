/**
 * Two-dimensional convolution and its two gradients as ops of their own, so that each is the derivative of the others
 * and derivatives of any order exist. Activations are NHWC and weights HWIO: all three are then products over contiguous
 * memory (`gemm/`), and none of them copies pixels around first. Groups, other numbers of dimensions and the transpose are
 * made of them in `ops/conv.ts`.
 */
import { apply, type Node, type Tensor } from "../../tensor/tensor.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { type Shape, ShapeError, show, sizeOf, type Spec } from "../../tensor/shape.ts";
import { multilinear } from "../../tensor/forward.ts";
import { defineOp } from "../../tensor/op.ts";
import { batchedConv, batchedInputGrad, batchedWeightGrad } from "./batch.ts";
import { planConv, planInputGrad, planWeightGrad } from "../gemm/convolution.ts";
import { type ConvAttrs, forAll, outputShape } from "../gemm/conv_shape.ts";

/** Calls `visit` with flat indices of every (pixel, weight, output) that are multiplied and added. */
function eachProduct(attrs: ConvAttrs, visit: (x: number, w: number, y: number) => void): void {
  const { batch, stride, dilation, pad, upsample: up } = attrs;
  const { image: [, h, w, ci], weight: [kh, kw, , co] } = attrs;
  const [images, oh, ow] = outputShape(attrs);
  for (let y = 0; y < batch * images * oh * ow; y++) {
    // Images of all convolutions follow each other, and so do windows.
    const b = Math.floor(y / (oh * ow));
    const first = Math.floor(b / images) * kh * kw;
    for (let tap = 0; tap < kh * kw; tap++) {
      const i = (Math.floor(y / ow) % oh) * stride[0] + Math.floor(tap / kw) * dilation[0] - pad[0];
      const j = (y % ow) * stride[1] + tap % kw * dilation[1] - pad[2];
      if (i < 0 || i >= h * up || j < 0 || j >= w * up) continue;
      const pixel = (b * h + Math.floor(i / up)) * w + Math.floor(j / up);
      for (let c = 0; c < ci; c++) {
        const x = pixel * ci + c;
        for (let o = 0; o < co; o++) visit(x, ((first + tap) * ci + c) * co + o, y * co + o);
      }
    }
  }
}

function check(
  op: string,
  inputs: readonly Spec[],
  attrs: ConvAttrs,
  each: readonly Shape[],
): void {
  const expected = each.map((shape) => forAll(attrs, shape));
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
    check("conv2d", [x, w], attrs, [attrs.image, attrs.weight]);
    return [{ shape: forAll(attrs, outputShape(attrs)), dtype: attrs.dtype }];
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
    const y = new Float64Array(sizeOf(forAll(attrs, outputShape(attrs))));
    eachProduct(attrs, (xi, wi, yi) => y[yi] += x[xi] * w[wi]);
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: planConv },
});

const inputGradOp = defineOp<ConvAttrs>({
  name: "conv2dInputGrad",
  shape([g, w], attrs) {
    check("conv2dInputGrad", [g, w], attrs, [outputShape(attrs), attrs.weight]);
    return [{ shape: forAll(attrs, attrs.image), dtype: attrs.dtype }];
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
    const dx = new Float64Array(sizeOf(forAll(attrs, attrs.image)));
    eachProduct(attrs, (xi, wi, yi) => dx[xi] += g[yi] * w[wi]);
    return [dx];
  },
  lowering: { kind: "kernel", epilogue: true, build: planInputGrad },
});

const weightGradOp = defineOp<ConvAttrs>({
  name: "conv2dWeightGrad",
  shape([x, g], attrs) {
    check("conv2dWeightGrad", [x, g], attrs, [attrs.image, outputShape(attrs)]);
    return [{ shape: forAll(attrs, attrs.weight), dtype: attrs.dtype }];
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
    const dw = new Float64Array(sizeOf(forAll(attrs, attrs.weight)));
    eachProduct(attrs, (xi, wi, yi) => dw[wi] += x[xi] * g[yi]);
    return [dw];
  },
  lowering: { kind: "kernel", epilogue: true, build: planWeightGrad },
});

const inputGrad = (g: Tensor, w: Tensor, attrs: ConvAttrs): Tensor =>
  apply(inputGradOp, [g, w], attrs)[0];
const weightGrad = (x: Tensor, g: Tensor, attrs: ConvAttrs): Tensor =>
  apply(weightGradOp, [x, g], attrs)[0];

/** @internal The convolution of a geometry that has been looked at. */
export const convolved = (x: Tensor, w: Tensor, attrs: ConvAttrs): Tensor =>
  apply(conv2dOp, [x, w], attrs)[0];
