/**
 * What is measured: the operations and their sizes, operands that every library gets alike, and sampled values of the
 * right result in double precision, so that no fast but wrong answer enters the table.
 */
import { type ModelCase, modelOperands } from "./model_cases.ts";

/** A square matrix product. Operands `a`, `b` `[n, n]`. */
export interface MatmulCase {
  readonly kind: "matmul";
  readonly n: number;
}

/** A convolution with stride 1 and zeros around, as large as its input. Operands `x` NCHW, `w` OIHW; result NCHW. */
export interface ConvCase {
  readonly kind: "conv2d";
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly out: number;
  /** Side of the window, odd. */
  readonly window: number;
}

/** Softmax over each row of `x`. */
export interface SoftmaxCase {
  readonly kind: "softmax";
  readonly rows: number;
  readonly columns: number;
}

/** Layer normalization (ε 1e-5) of each row of `x`, scaled by `g` and shifted by `b`. */
export interface LayerNormCase {
  readonly kind: "layernorm";
  readonly rows: number;
  readonly columns: number;
}

/**
 * Gradient of mean((relu(x·w1 + b1)·w2 + b2 − y)²) with respect to `w1`, `b1`, `w2`, `b2`, in this order.
 * Operands `x` `[batch, inputs]`, `y` `[batch, outputs]`, `w1` `[inputs, hidden]`, `w2` `[hidden, outputs]`.
 */
export interface MlpCase {
  readonly kind: "mlp-grad";
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
  readonly outputs: number;
}

export type Case =
  & (MatmulCase | ConvCase | SoftmaxCase | LayerNormCase | MlpCase | ModelCase)
  & {
    /** Name for `--cases`. */
    readonly name: string;
    /** Name in the table. */
    readonly title: string;
    /** Arithmetic operations (2 per multiply-add) of products; undefined where memory decides. */
    readonly flops?: number;
  };

/** Whether a case takes the miniature: its rivals are PyTorch and diffusers. */
export const isModelCase = (c: Case): c is Case & ModelCase =>
  c.kind === "step" || c.kind === "sample";

const PROMPTS = ["a red mug", "photo of a mug in the snow", "a blue car", "two mugs on a table"];

const sample = (pictures: number): Case => ({
  kind: "sample",
  prompts: PROMPTS.slice(0, pictures),
  steps: 20,
  guidance: 4,
  name: `sample-${pictures}`,
  title: `20 steps of sampling, ${pictures === 1 ? "a picture" : `${pictures} pictures`}`,
});

const matmul = (n: number): Case => ({
  kind: "matmul",
  n,
  name: `matmul-${n}`,
  title: `matmul ${n}`,
  flops: 2 * n ** 3,
});

export const CASES: readonly Case[] = [
  matmul(512),
  matmul(1024),
  {
    kind: "conv2d",
    batch: 1,
    channels: 64,
    height: 64,
    width: 64,
    out: 64,
    window: 3,
    name: "conv2d",
    title: "conv2d 3×3, 1×64×64×64 → 64",
    flops: 2 * 64 * 64 * 64 * 64 * 9,
  },
  { kind: "softmax", rows: 4096, columns: 256, name: "softmax", title: "softmax 4096×256" },
  { kind: "layernorm", rows: 4096, columns: 256, name: "layernorm", title: "LayerNorm 4096×256" },
  {
    kind: "mlp-grad",
    batch: 64,
    inputs: 256,
    hidden: 512,
    outputs: 256,
    name: "mlp-grad",
    title: "gradient of an MLP loss, 64×256×512×256",
    // Forward: two products. Backward: w1's and w2's gradients, and the hidden layer's.
    flops: 2 * 64 * (2 * 256 * 512 + 3 * 512 * 256),
  },
  { kind: "step", batch: 8, name: "step", title: "training step of the miniature, batch 8" },
  sample(1),
  sample(4),
];

/** Operands by name, flat and row-major. */
export type Operands = Readonly<Record<string, Float32Array>>;

/** Deterministic numbers in [0, 1): mulberry32. */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function uniform(size: number, seed: number, scale = 1): Float32Array {
  const next = generator(seed);
  return Float32Array.from({ length: size }, () => (2 * next() - 1) * scale);
}

/** The same operands for every library. */
export function operandsOf(c: Case): Operands {
  switch (c.kind) {
    case "matmul":
      return { a: uniform(c.n ** 2, 1), b: uniform(c.n ** 2, 2) };
    case "conv2d":
      return {
        x: uniform(c.batch * c.channels * c.height * c.width, 3),
        w: uniform(c.out * c.channels * c.window ** 2, 4, 0.1),
      };
    case "softmax":
      return { x: uniform(c.rows * c.columns, 5, 4) };
    case "layernorm":
      return {
        x: uniform(c.rows * c.columns, 6, 3),
        g: uniform(c.columns, 7),
        b: uniform(c.columns, 8),
      };
    case "mlp-grad":
      return {
        x: uniform(c.batch * c.inputs, 9),
        y: uniform(c.batch * c.outputs, 10),
        w1: uniform(c.inputs * c.hidden, 11, 0.1),
        b1: uniform(c.hidden, 12, 0.1),
        w2: uniform(c.hidden * c.outputs, 13, 0.1),
        b2: uniform(c.outputs, 14, 0.1),
      };
    case "step":
    case "sample":
      return modelOperands(c);
  }
}

/** A permuted copy: axis `i` of the result is axis `order[i]` of `data`. For libraries whose images are NHWC. */
export function permuted(
  data: ArrayLike<number>,
  shape: readonly number[],
  order: readonly number[],
): Float32Array {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const extents = order.map((axis) => shape[axis]);
  return Float32Array.from({ length: data.length }, (_, flat) => {
    let from = 0;
    for (let i = order.length - 1; i >= 0; i--) {
      from += (flat % extents[i]) * strides[order[i]];
      flat = Math.floor(flat / extents[i]);
    }
    return data[from];
  });
}

/**
 * Compares results with a double precision reference at 64 places of each output, or all of a smaller one.
 *
 * @param got every output of the case, flat
 * @returns the largest error, relative to the largest sampled value of that output
 * @throws when an output is missing or has another length
 */
export function deviation(
  got: readonly ArrayLike<number>[],
  expected: readonly Expected[],
): number {
  const next = generator(99);
  const errors = expected.map(({ size, at }, i) => {
    if (got[i]?.length !== size) {
      throw new Error(`output ${i} has ${got[i]?.length} elements, expected ${size}`);
    }
    const places = Array.from(
      { length: Math.min(size, 64) },
      (_, i) => size <= 64 ? i : Math.floor(next() * size),
    );
    const right = places.map(at);
    const largest = Math.max(...right.map(Math.abs));
    return Math.max(...places.map((k, j) => Math.abs(got[i][k] - right[j]))) / largest;
  });
  return errors.some(Number.isNaN) ? Infinity : Math.max(...errors);
}

/** One output of a case: how long it is, and its value at a flat index. */
export interface Expected {
  readonly size: number;
  at(index: number): number;
}
