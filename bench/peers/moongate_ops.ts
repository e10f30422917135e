/** The cases' functions in this library. */
import {
  add,
  argmax,
  attention,
  concat,
  conv2d,
  crossEntropy,
  cumsum,
  embedding,
  gelu,
  grad,
  layerNorm,
  matmul,
  max,
  maxPool,
  mean,
  mul,
  relu,
  reshape,
  softmax,
  square,
  sub,
  take,
  type Tensor,
  topK,
  transpose,
  valueAndGrad,
} from "../../engine.ts";
import { HEADS, isParameter, LAYERS, RATE } from "../cases/training.ts";

type Named = Record<string, Tensor>;

/** A step of training: the loss, then the new parameters in the order of the operands. */
function trained(loss: (p: Named, data: Named) => Tensor): (all: Named) => Tensor[] {
  return (all) => {
    const part = (parameters: boolean) =>
      Object.fromEntries(Object.entries(all).filter(([name]) => isParameter(name) === parameters));
    const [before, data] = [part(true), part(false)];
    const { value, grads } = valueAndGrad((p: Named) => loss(p, data))(before);
    const after = Object.keys(before).map((name) => sub(before[name], mul(grads[name], RATE)));
    return [value, ...after];
  };
}

const same = ({ x, w }: Named) => conv2d(x, w, { padding: 1 });
const product = ({ a, b }: Named) => [matmul(a, b)];

function transformer(p: Named, { ids, t }: Named): Tensor {
  const [batch, tokens] = ids.shape;
  const width = p.tokens.shape[1];
  const heads = (x: Tensor) => reshape(x, [batch, tokens, HEADS, width / HEADS]);
  let x = add(embedding(p.tokens, ids), p.places);
  for (let i = 0; i < LAYERS; i++) {
    const h = layerNorm(x, p[`${i}.g1`], p[`${i}.b1`]);
    const [q, k, v] = ["q", "k", "v"].map((name) => heads(matmul(h, p[`${i}.${name}`])));
    const y = reshape(attention(q, k, v, { causal: true }), x.shape);
    x = add(x, matmul(y, p[`${i}.o`]));
    const wide = matmul(layerNorm(x, p[`${i}.g2`], p[`${i}.b2`]), p[`${i}.w1`]);
    x = add(x, matmul(gelu(wide, "tanh"), p[`${i}.w2`]));
  }
  return crossEntropy(matmul(x, transpose(p.tokens)), t);
}

export const FUNCTIONS: Readonly<Record<string, (x: Named) => Tensor[]>> = {
  "matmul-512": product,
  "matmul-1024": product,
  "matmul-batch": product,
  conv2d: (x) => [same(x)],
  "conv2d-stride": ({ x, w }) => [conv2d(x, w, { padding: 1, stride: 2 })],
  "conv2d-depthwise": ({ x, w }) => [conv2d(x, w, { padding: 1, groups: x.shape[3] })],
  attention: ({ q, k, v }) => [attention(q, k, v)],
  "mlp-grad": ({ x, y, ...parameters }) => {
    const { w1, b1, w2, b2 } = grad(({ w1, b1, w2, b2 }: Named) => {
      const hidden = relu(add(matmul(x, w1), b1));
      return mean(square(sub(add(matmul(hidden, w2), b2), y)));
    })(parameters);
    return [w1, b1, w2, b2];
  },
  softmax: ({ x }) => [softmax(x)],
  layernorm: ({ x, g, b }) => [layerNorm(x, g, b)],
  gelu: ({ x }) => [gelu(x, "tanh")],
  add: ({ x, b }) => [add(x, b)],
  mean: ({ x }) => [mean(x, [0])],
  max: ({ x }) => [max(x, [-1])],
  argmax: ({ x }) => [argmax(x)],
  topk: ({ x }) => [topK(x, 10)[0]],
  cumsum: ({ x }) => [cumsum(x)],
  transpose: ({ x }) => [transpose(x)],
  gather: ({ x, ids }) => [take(x, ids)],
  maxpool: ({ x }) => [maxPool(x, { window: 2 })],
  concat: ({ a, b }) => [concat([a, b], 3)],
  "train-mlp": trained(({ w1, b1, w2, b2, w3, b3 }, { x, t }) => {
    const hidden = relu(add(matmul(relu(add(matmul(x, w1), b1)), w2), b2));
    return crossEntropy(add(matmul(hidden, w3), b3), t);
  }),
  "train-cnn": trained(({ w1, b1, w2, b2, w3, b3 }, { x, t }) => {
    const layer = (x: Tensor, w: Tensor, b: Tensor) =>
      maxPool(relu(add(same({ x, w }), b)), { window: 2 });
    const features = mean(layer(layer(x, w1, b1), w2, b2), [1, 2]);
    return crossEntropy(add(matmul(features, w3), b3), t);
  }),
  "train-transformer": trained(transformer),
};
