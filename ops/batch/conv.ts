/**
 * The batch rules of convolution and its two gradients. Where only one operand differs from example to example, examples are
 * images, or channels, of one larger convolution. Where both do, each example is a product of its own: of the pixels under
 * every window, written out, with its weights.
 */
import { apply, type Batch, type Op, type Tensor } from "../../tensor/tensor.ts";
import { reverse } from "../../tensor/reverse.ts";
import { add } from "../elementwise/arithmetic.ts";
import { expand } from "../broadcast.ts";
import { concat } from "../concat.ts";
import { variable } from "../gradient.ts";
import { literal } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { pad, reshape, slice } from "../movement.ts";
import { type ConvAttrs, outputShape } from "../gemm/convolution.ts";
import { foldInto, unfold } from "./fold.ts";

/** Applies the op with examples folded into an axis of one operand, and unfolds them from an axis of the result. */
function folded(
  b: Batch<ConvAttrs>,
  operand: number,
  from: number,
  geometry: (n: number) => Partial<ConvAttrs>,
  to: number,
): Tensor[] {
  const inputs = b.inputs.map((t, i) => i === operand ? foldInto(t, from) : t);
  const [y] = apply(b.node.op as Op<ConvAttrs>, inputs, {
    ...b.node.attrs,
    ...geometry(b.size),
  });
  return [unfold(y, to, b.size)];
}

const images = ({ node: { attrs: { image } } }: Batch<ConvAttrs>) => (n: number) => ({
  image: image.with(0, n * image[0]),
});
const inputs = ({ node: { attrs: { image, weight } } }: Batch<ConvAttrs>) => (n: number) => ({
  image: image.with(3, n * image[3]),
  weight: weight.with(2, n * weight[2]),
});
const outputs = ({ node: { attrs: { weight } } }: Batch<ConvAttrs>) => (n: number) => ({
  weight: weight.with(3, n * weight[3]),
});

/** y of x and w. */
export function batchedConv(b: Batch<ConvAttrs>): Tensor[] {
  if (!b.batched[1]) return folded(b, 0, 0, images(b), 0);
  if (!b.batched[0]) return folded(b, 1, 3, outputs(b), 3);
  const [x, w] = b.inputs;
  const { attrs, outputs: [y] } = b.node;
  const product = matmul(windows(x, attrs), flatWeight(w, attrs), { dtype: attrs.dtype });
  return [reshape(product, [b.size, ...y.shape])];
}

/** The image's gradient of g and w. */
export function batchedInputGrad(b: Batch<ConvAttrs>): Tensor[] {
  if (!b.batched[1]) return folded(b, 0, 0, images(b), 0);
  if (!b.batched[0]) return folded(b, 1, 2, inputs(b), 3);
  const [g, w] = b.inputs;
  const { attrs } = b.node;
  const spread = matmul(flatOutput(g, attrs), flatWeight(w, attrs), {
    transposeB: true,
    dtype: attrs.dtype,
  });
  // The transpose of writing windows out: what every window says of a pixel is added up.
  const x = variable(expand(literal(0, attrs.dtype), [b.size, ...attrs.image]));
  const [dx] = reverse([[windows(x, attrs), spread]], [x], add);
  return [dx ?? x];
}

/** The weight's gradient of x and g. */
export function batchedWeightGrad(b: Batch<ConvAttrs>): Tensor[] {
  if (!b.batched[1]) return folded(b, 0, 3, inputs(b), 2);
  if (!b.batched[0]) return folded(b, 1, 3, outputs(b), 3);
  const [x, g] = b.inputs;
  const { attrs } = b.node;
  const product = matmul(windows(x, attrs), flatOutput(g, attrs), {
    transposeA: true,
    dtype: attrs.dtype,
  });
  return [reshape(product, [b.size, ...attrs.weight])];
}

const pixelsOf = ([b, oh, ow]: readonly number[]): number => b * oh * ow;

/** `[n, KH, KW, Cin, Cout]` as `[n, KH·KW·Cin, Cout]`. */
const flatWeight = (w: Tensor, { weight: [kh, kw, ci, co] }: ConvAttrs): Tensor =>
  reshape(w, [w.shape[0], kh * kw * ci, co]);

/** `[n, B, OH, OW, Cout]` as `[n, B·OH·OW, Cout]`. */
const flatOutput = (y: Tensor, attrs: ConvAttrs): Tensor =>
  reshape(y, [y.shape[0], pixelsOf(outputShape(attrs)), attrs.weight[3]]);

/** What every window sees, tap by tap: `[n, B, H, W, Cin]` as `[n, B·OH·OW, KH·KW·Cin]`. */
function windows(x: Tensor, attrs: ConvAttrs): Tensor {
  const { stride, pad: [top, , left], image: [batch, height, width, ci], weight: [kh, kw] } = attrs;
  const [, oh, ow] = outputShape(attrs);
  // So far that a slice of whole strides fits behind the last tap; what no window sees is left out.
  const [tall, wide] = [kh - 1 + oh * stride, kw - 1 + ow * stride];
  const framed = along(along(x, 2, top, height, tall), 3, left, width, wide);
  const taps = Array.from({ length: kh * kw }, (_, tap) => {
    const lines = every(framed, 2, Math.floor(tap / kw), oh, stride);
    return every(lines, 3, tap % kw, ow, stride);
  });
  return reshape(concat(taps, 4), [x.shape[0], batch * oh * ow, kh * kw * ci]);
}

/** `total` places of an axis that begins with `before` zeros, cut or filled up with zeros at its end. */
function along(x: Tensor, axis: number, before: number, extent: number, total: number): Tensor {
  const kept = Math.max(0, Math.min(extent, total - before));
  const front = Math.min(before, total);
  return pad(
    slice(x, axis, 0, kept),
    x.shape.map((_, i): [number, number] => i === axis ? [front, total - front - kept] : [0, 0]),
  );
}

/** Elements `start`, `start + stride`, … of an axis, `count` of them. */
function every(x: Tensor, axis: number, start: number, count: number, stride: number): Tensor {
  const part = slice(x, axis, start, start + count * stride);
  if (stride === 1) return part;
  const { shape } = part;
  const split = [...shape.slice(0, axis), count, stride, ...shape.slice(axis + 1)];
  return reshape(slice(reshape(part, split), axis + 1, 0, 1), shape.with(axis, count));
}
