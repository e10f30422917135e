/**
 * The cases' functions in tfjs. Images are NHWC, kernels HWIO; layer normalization, GELU and attention are composed, as it
 * has no ops for them.
 */
import { HEADS, isParameter, LAYERS, RATE } from "../cases/training.ts";

export interface TfTensor {
  readonly shape: number[];
  data(): Promise<Float32Array | Int32Array>;
  dispose(): void;
}

export type Named = Record<string, TfTensor>;

/** What is called, out of the hundreds of functions that the library has. */
export interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  env(): { set(flag: string, value: boolean): void };
  backend(): {
    /** WebGPU's alone, as what follows. */
    readonly commandEncoder?: GPUCommandEncoder | null;
    endComputePassEncoder(): void;
    submitQueue(): void;
  };
  tensor(
    data: Float32Array | Int32Array,
    shape: readonly number[],
    dtype: "float32" | "int32",
  ): TfTensor;
  tidy<T>(f: () => T): T;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  conv2d(
    x: TfTensor,
    w: TfTensor,
    stride: number,
    padding: number,
    format: "NHWC",
    dilation: number,
    rounding: "floor",
  ): TfTensor;
  depthwiseConv2d(x: TfTensor, w: TfTensor, stride: number, padding: "same"): TfTensor;
  maxPool(x: TfTensor, window: number, stride: number, padding: "valid"): TfTensor;
  softmax(x: TfTensor, axis: number): TfTensor;
  logSoftmax(x: TfTensor, axis: number): TfTensor;
  moments(x: TfTensor, axis: number, keep: boolean): { mean: TfTensor; variance: TfTensor };
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  neg(x: TfTensor): TfTensor;
  tanh(x: TfTensor): TfTensor;
  rsqrt(x: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  square(x: TfTensor): TfTensor;
  mean(x: TfTensor, axis?: number | number[]): TfTensor;
  sum(x: TfTensor, axis?: number): TfTensor;
  max(x: TfTensor, axis: number): TfTensor;
  argMax(x: TfTensor, axis: number): TfTensor;
  topk(x: TfTensor, k: number): { values: TfTensor; indices: TfTensor };
  cumsum(x: TfTensor, axis: number): TfTensor;
  transpose(x: TfTensor, axes?: number[]): TfTensor;
  reshape(x: TfTensor, shape: number[]): TfTensor;
  gather(x: TfTensor, ids: TfTensor): TfTensor;
  oneHot(ids: TfTensor, depth: number): TfTensor;
  concat(xs: TfTensor[], axis: number): TfTensor;
  grads(f: (...xs: TfTensor[]) => TfTensor): (xs: TfTensor[]) => TfTensor[];
  valueAndGrads(
    f: (...xs: TfTensor[]) => TfTensor,
  ): (xs: TfTensor[]) => { value: TfTensor; grads: TfTensor[] };
}

export function functions(tf: Tf): Record<string, (x: Named) => TfTensor[]> {
  const product = ({ a, b }: Named) => [tf.matMul(a, b)];
  const conv = (x: TfTensor, w: TfTensor, stride = 1) =>
    tf.conv2d(x, w, stride, 1, "NHWC", 1, "floor");
  const layer = (x: TfTensor, w: TfTensor, b: TfTensor) => tf.relu(tf.add(tf.matMul(x, w), b));
  const crossEntropy = (logits: TfTensor, t: TfTensor) =>
    tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits, -1), t), -1)));

  function norm(x: TfTensor, g: TfTensor, b: TfTensor): TfTensor {
    const { mean, variance } = tf.moments(x, -1, true);
    const hat = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(hat, g), b);
  }

  function gelu(x: TfTensor): TfTensor {
    const inner = tf.mul(
      tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)),
      Math.sqrt(2 / Math.PI),
    );
    return tf.mul(tf.mul(x, tf.add(tf.tanh(inner), 1)), 0.5);
  }

  /** Heads `[B, T, H, D]`; with `mask`, added to the scores. */
  function attention(q: TfTensor, k: TfTensor, v: TfTensor, mask?: TfTensor): TfTensor {
    const [qs, ks, vs] = [q, k, v].map((x) => tf.transpose(x, [0, 2, 1, 3]));
    const scaled = tf.mul(tf.matMul(qs, ks, false, true), 1 / Math.sqrt(q.shape[3]));
    const scores = tf.softmax(mask ? tf.add(scaled, mask) : scaled, -1);
    return tf.transpose(tf.matMul(scores, vs), [0, 2, 1, 3]);
  }

  function trained(loss: (p: Named, data: Named) => TfTensor): (all: Named) => TfTensor[] {
    return (all) => {
      const names = Object.keys(all).filter(isParameter);
      const before = names.map((name) => all[name]);
      const { value, grads } = tf.valueAndGrads((...ps) =>
        loss(Object.fromEntries(names.map((name, i) => [name, ps[i]])), all)
      )(before);
      return [value, ...before.map((p, i) => tf.sub(p, tf.mul(grads[i], RATE)))];
    };
  }

  /** −1e9 where a key comes after its query. */
  function causal(tokens: number): TfTensor {
    const values = Float32Array.from(
      { length: tokens ** 2 },
      (_, i) => i % tokens > Math.floor(i / tokens) ? -1e9 : 0,
    );
    return tf.tensor(values, [tokens, tokens], "float32");
  }

  function transformer(p: Named, { ids, t }: Named): TfTensor {
    const [batch, tokens] = ids.shape;
    const width = p.tokens.shape[1];
    const rows = (x: TfTensor) => tf.reshape(x, [batch * tokens, width]);
    const mask = causal(tokens);
    // By a product, as looking up has no derivative on WebAssembly.
    const found = tf.matMul(
      tf.reshape(tf.oneHot(ids, p.tokens.shape[0]), [-1, p.tokens.shape[0]]),
      p.tokens,
    );
    let x = rows(tf.add(tf.reshape(found, [batch, tokens, width]), p.places));
    for (let i = 0; i < LAYERS; i++) {
      const h = norm(x, p[`${i}.g1`], p[`${i}.b1`]);
      const [q, k, v] = ["q", "k", "v"].map((name) =>
        tf.reshape(tf.matMul(h, p[`${i}.${name}`]), [batch, tokens, HEADS, width / HEADS])
      );
      x = tf.add(x, tf.matMul(rows(attention(q, k, v, mask)), p[`${i}.o`]));
      const wide = tf.matMul(norm(x, p[`${i}.g2`], p[`${i}.b2`]), p[`${i}.w1`]);
      x = tf.add(x, tf.matMul(gelu(wide), p[`${i}.w2`]));
    }
    const logits = tf.matMul(x, p.tokens, false, true);
    return crossEntropy(logits, tf.reshape(t, [batch * tokens, p.tokens.shape[0]]));
  }

  return {
    "matmul-512": product,
    "matmul-1024": product,
    "matmul-batch": product,
    conv2d: ({ x, w }) => [conv(x, w)],
    "conv2d-stride": ({ x, w }) => [conv(x, w, 2)],
    "conv2d-depthwise": ({ x, w }) => [
      tf.depthwiseConv2d(x, tf.reshape(w, [3, 3, 128, 1]), 1, "same"),
    ],
    attention: ({ q, k, v }) => [attention(q, k, v)],
    "mlp-grad": ({ x, y, w1, b1, w2, b2 }) =>
      tf.grads((w1, b1, w2, b2) =>
        tf.mean(tf.square(tf.sub(tf.add(tf.matMul(layer(x, w1, b1), w2), b2), y)))
      )([w1, b1, w2, b2]),
    softmax: ({ x }) => [tf.softmax(x, -1)],
    layernorm: ({ x, g, b }) => [norm(x, g, b)],
    gelu: ({ x }) => [gelu(x)],
    add: ({ x, b }) => [tf.add(x, b)],
    mean: ({ x }) => [tf.mean(x, 0)],
    max: ({ x }) => [tf.max(x, -1)],
    argmax: ({ x }) => [tf.argMax(x, -1)],
    topk: ({ x }) => [tf.topk(x, 10).values],
    cumsum: ({ x }) => [tf.cumsum(x, 1)],
    transpose: ({ x }) => [tf.transpose(x)],
    gather: ({ x, ids }) => [tf.gather(x, ids)],
    maxpool: ({ x }) => [tf.maxPool(x, 2, 2, "valid")],
    concat: ({ a, b }) => [tf.concat([a, b], 3)],
    "train-mlp": trained(({ w1, b1, w2, b2, w3, b3 }, { x, t }) =>
      crossEntropy(tf.add(tf.matMul(layer(layer(x, w1, b1), w2, b2), w3), b3), t)
    ),
    "train-cnn": trained(({ w1, b1, w2, b2, w3, b3 }, { x, t }) => {
      const block = (x: TfTensor, w: TfTensor, b: TfTensor) =>
        tf.maxPool(tf.relu(tf.add(conv(x, w), b)), 2, 2, "valid");
      const features = tf.mean(block(block(x, w1, b1), w2, b2), [1, 2]);
      return crossEntropy(tf.add(tf.matMul(features, w3), b3), t);
    }),
    "train-transformer": trained(transformer),
  };
}
