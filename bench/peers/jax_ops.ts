/**
 * The cases' functions in jax-js. Its arrays are counted by hand: using one gives it away, `ref` keeps it. Images are NCHW,
 * kernels OIHW.
 */
import { HEADS, isParameter, LAYERS, RATE } from "../cases/training.ts";

export interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: number[];
  reshape(shape: number[]): JaxArray;
  transpose(axes?: number[]): JaxArray;
  add(other: JaxArray): JaxArray;
  sub(other: JaxArray): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  neg(): JaxArray;
  data(): Promise<Float32Array | Int32Array>;
  dispose(): void;
}

export type Named = Record<string, JaxArray>;
type Fn = (...args: never[]) => unknown;
type Axis = number | number[];

/** What is called of the library. */
export interface Jax {
  init(): Promise<string[]>;
  defaultDevice(name: string): void;
  blockUntilReady(tree: unknown): Promise<unknown>;
  jit<F extends Fn>(f: F): F;
  grad<F extends Fn>(f: F): (...args: Parameters<F>) => Named;
  valueAndGrad<F extends Fn>(f: F): (...args: Parameters<F>) => [JaxArray, Named];
  readonly numpy: {
    array(data: Float32Array | Int32Array, about: { shape: readonly number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    square(x: JaxArray): JaxArray;
    sum(x: JaxArray, axis?: Axis): JaxArray;
    mean(x: JaxArray, axis?: Axis): JaxArray;
    max(x: JaxArray, axis?: Axis): JaxArray;
    argmax(x: JaxArray, axis: number): JaxArray;
    cumsum(x: JaxArray, axis: number): JaxArray;
    take(x: JaxArray, ids: JaxArray, axis: number): JaxArray;
    concatenate(xs: JaxArray[], axis: number): JaxArray;
  };
  readonly lax: {
    convGeneralDilated(
      x: JaxArray,
      w: JaxArray,
      strides: number[],
      padding: [number, number][],
      options?: { featureGroupCount: number },
    ): JaxArray;
    reduceWindow(
      x: JaxArray,
      f: (x: JaxArray) => JaxArray,
      window: number[],
      strides: number[],
    ): JaxArray;
    topK(x: JaxArray, k: number): [JaxArray, JaxArray];
  };
  readonly nn: {
    relu(x: JaxArray): JaxArray;
    gelu(x: JaxArray, options: { approximate: boolean }): JaxArray;
    softmax(x: JaxArray, axis: number): JaxArray;
    logSoftmax(x: JaxArray, axis: number): JaxArray;
    oneHot(ids: JaxArray, classes: number): JaxArray;
    standardize(x: JaxArray, axis: number, options: { epsilon: number }): JaxArray;
    dotProductAttention(
      q: JaxArray,
      k: JaxArray,
      v: JaxArray,
      options?: { isCausal: boolean },
    ): JaxArray;
  };
}

const AROUND: [number, number][] = [[1, 1], [1, 1]];

/** @param gpu whether it computes on WebGPU */
export function functions(jax: Jax, gpu: boolean): Record<string, (x: Named) => JaxArray[]> {
  const { numpy: np, nn, lax } = jax;
  const product = ({ a, b }: Named) => [np.matmul(a, b)];
  const conv = (x: JaxArray, w: JaxArray, stride = 1) =>
    lax.convGeneralDilated(x, w, [stride, stride], AROUND);
  const pooled = (x: JaxArray) => lax.reduceWindow(x, (w) => np.max(w), [2, 2], [2, 2]);
  const norm = (x: JaxArray, g: JaxArray, b: JaxArray) =>
    nn.standardize(x, -1, { epsilon: 1e-5 }).mul(g).add(b);
  const crossEntropy = (logits: JaxArray, t: JaxArray) =>
    np.mean(np.sum(nn.logSoftmax(logits, -1).mul(t), -1)).neg();

  function trained(loss: (p: Named, data: Named) => JaxArray): (all: Named) => JaxArray[] {
    return (all) => {
      const part = (parameters: boolean) =>
        Object.fromEntries(
          Object.entries(all).filter(([name]) => isParameter(name) === parameters),
        );
      const [before, data] = [part(true), part(false)];
      const kept = Object.fromEntries(Object.entries(before).map(([name, p]) => [name, p.ref]));
      const [value, grads] = jax.valueAndGrad((p: Named) => loss(p, data))(before);
      return [value, ...Object.keys(kept).map((name) => kept[name].sub(grads[name].mul(RATE)))];
    };
  }

  function transformer(p: Named, { ids, t }: Named): JaxArray {
    const [batch, tokens] = ids.shape;
    const [words, width] = p.tokens.shape;
    // On WebGPU by a product: the gradient of looking up passes pointers that only Chrome's compiler takes.
    const found = gpu
      ? np.matmul(nn.oneHot(ids, words), p.tokens.ref)
      : np.take(p.tokens.ref, ids, 0);
    let x = found.add(p.places);
    for (let i = 0; i < LAYERS; i++) {
      const h = norm(x.ref, p[`${i}.g1`], p[`${i}.b1`]);
      const [q, k, v] = ["q", "k", "v"].map((name) =>
        np.matmul(h.ref, p[`${i}.${name}`]).reshape([batch, tokens, HEADS, width / HEADS])
      );
      h.dispose();
      const y = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([batch, tokens, width]);
      x = x.add(np.matmul(y, p[`${i}.o`]));
      const wide = np.matmul(norm(x.ref, p[`${i}.g2`], p[`${i}.b2`]), p[`${i}.w1`]);
      x = x.add(np.matmul(nn.gelu(wide, { approximate: true }), p[`${i}.w2`]));
    }
    return crossEntropy(np.matmul(x, p.tokens.transpose()), t);
  }

  return {
    "matmul-512": product,
    "matmul-1024": product,
    "matmul-batch": product,
    conv2d: ({ x, w }) => [conv(x, w)],
    "conv2d-stride": ({ x, w }) => [conv(x, w, 2)],
    "conv2d-depthwise": ({ x, w }) => [
      lax.convGeneralDilated(x, w, [1, 1], AROUND, { featureGroupCount: 128 }),
    ],
    attention: ({ q, k, v }) => [nn.dotProductAttention(q, k, v)],
    "mlp-grad": ({ x, y, ...parameters }) => {
      const { w1, b1, w2, b2 } = jax.grad((p: Named, x: JaxArray, y: JaxArray) => {
        const hidden = nn.relu(np.matmul(x, p.w1).add(p.b1));
        return np.mean(np.square(np.matmul(hidden, p.w2).add(p.b2).sub(y)));
      })(parameters, x, y);
      return [w1, b1, w2, b2];
    },
    softmax: ({ x }) => [nn.softmax(x, -1)],
    layernorm: ({ x, g, b }) => [norm(x, g, b)],
    gelu: ({ x }) => [nn.gelu(x, { approximate: true })],
    add: ({ x, b }) => [x.add(b)],
    mean: ({ x }) => [np.mean(x, 0)],
    max: ({ x }) => [np.max(x, -1)],
    argmax: ({ x }) => [np.argmax(x, -1)],
    topk: ({ x }) => {
      const [values, places] = lax.topK(x, 10);
      places.dispose();
      return [values];
    },
    cumsum: ({ x }) => [np.cumsum(x, 1)],
    // Multiplied, as nothing is moved before it is used.
    transpose: ({ x }) => [x.transpose().mul(1)],
    gather: ({ x, ids }) => [np.take(x, ids, 0)],
    maxpool: ({ x }) => [pooled(x)],
    concat: ({ a, b }) => [np.concatenate([a, b], 1)],
    "train-mlp": trained(({ w1, b1, w2, b2, w3, b3 }, { x, t }) => {
      const first = nn.relu(np.matmul(x, w1).add(b1));
      const second = nn.relu(np.matmul(first, w2).add(b2));
      return crossEntropy(np.matmul(second, w3).add(b3), t);
    }),
    "train-cnn": trained(({ w1, b1, w2, b2, w3, b3 }, { x, t }) => {
      const layer = (x: JaxArray, w: JaxArray, b: JaxArray) =>
        pooled(nn.relu(conv(x, w).add(b.reshape([-1, 1, 1]))));
      const features = np.mean(layer(layer(x, w1, b1), w2, b2), [2, 3]);
      return crossEntropy(np.matmul(features, w3).add(b3), t);
    }),
    "train-transformer": trained(transformer),
  };
}
