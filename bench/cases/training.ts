/**
 * Whole steps of training, as a user of a tensor library writes them: the loss, its gradient, and every parameter less
 * RATE times its gradient. Results: the loss, then the new parameters in the order of the operands. Cross-entropy against
 * `t`, whose rows have one 1.
 */
import type { OpCase, Operand } from "./case.ts";

export const RATE = 0.1;
export const LAYERS = 2;
export const HEADS = 4;

/** What a step is given beside parameters. */
const DATA = ["x", "t", "ids"];

/** A weight of variance 1 / inputs. */
const weight = (...shape: number[]): Operand => ({
  shape,
  scale: Math.sqrt(3 * shape.at(-1)! / shape.reduce((a, b) => a * b)),
  ...shape.length === 4 && { layout: "kernel" },
});
const bias = (n: number): Operand => ({ shape: [n], scale: 0.1 });
const gain = (n: number): Operand => ({ shape: [n], scale: 0.1, shift: 1 });
const classes = (...shape: number[]): Operand => ({ shape, oneHot: true });

function step(
  name: string,
  title: string,
  operands: Record<string, Operand>,
  flops: number,
): OpCase {
  const parameters = Object.entries(operands).filter(([name]) => !DATA.includes(name));
  const results = [
    { shape: [] },
    ...parameters.map(([, { shape, layout }]) => ({ shape, layout })),
  ];
  return { kind: "op", name, title, operands, results, flops };
}

/** Whether an operand is a parameter, and so trained. */
export const isParameter = (name: string): boolean => !DATA.includes(name);

const WIDTH = 128, TOKENS = 64, VOCABULARY = 64, BATCH = 8;
const POSITIONS = BATCH * TOKENS;

const block = (i: number): Record<string, Operand> => ({
  [`${i}.g1`]: gain(WIDTH),
  [`${i}.b1`]: bias(WIDTH),
  [`${i}.q`]: weight(WIDTH, WIDTH),
  [`${i}.k`]: weight(WIDTH, WIDTH),
  [`${i}.v`]: weight(WIDTH, WIDTH),
  [`${i}.o`]: weight(WIDTH, WIDTH),
  [`${i}.g2`]: gain(WIDTH),
  [`${i}.b2`]: bias(WIDTH),
  [`${i}.w1`]: weight(WIDTH, 4 * WIDTH),
  [`${i}.w2`]: weight(4 * WIDTH, WIDTH),
});

/** Of a product forward, and of the two backward. */
const TRAINED = 3 * 2;

export const TRAINING: readonly OpCase[] = [
  // relu(relu(x·w1 + b1)·w2 + b2)·w3 + b3.
  step("train-mlp", "training step of an MLP, 128×64×256×256×10", {
    x: { shape: [128, 64] },
    t: classes(128, 10),
    w1: weight(64, 256),
    b1: bias(256),
    w2: weight(256, 256),
    b2: bias(256),
    w3: weight(256, 10),
    b3: bias(10),
  }, 128 * (2 * 2 * 64 * 256 + TRAINED * (256 * 256 + 256 * 10))),
  // Convolution, ReLU and the largest of 2×2, twice; the mean over places; a product.
  step("train-cnn", "training step of a CNN, 32×28×28×1 → 16 → 32 → 10", {
    x: { shape: [32, 28, 28, 1], layout: "image" },
    t: classes(32, 10),
    w1: weight(3, 3, 1, 16),
    b1: bias(16),
    w2: weight(3, 3, 16, 32),
    b2: bias(32),
    w3: weight(32, 10),
    b3: bias(10),
  }, 32 * (2 * 2 * 784 * 9 * 16 + TRAINED * (196 * 9 * 16 * 32 + 32 * 10))),
  // Tokens and places; blocks of causal attention and a GELU (tanh) layer behind norms; logits by the table of tokens.
  step(
    "train-transformer",
    "training step of a transformer, 2 layers of 128, 8×64 tokens",
    {
      ids: { shape: [BATCH, TOKENS], below: VOCABULARY },
      t: classes(BATCH, TOKENS, VOCABULARY),
      tokens: { shape: [VOCABULARY, WIDTH], scale: 0.3 },
      places: { shape: [TOKENS, WIDTH], scale: 0.3 },
      ...Object.assign({}, ...Array.from({ length: LAYERS }, (_, i) => block(i))),
    },
    TRAINED * POSITIONS * (LAYERS * (12 * WIDTH ** 2 + 2 * TOKENS * WIDTH) + VOCABULARY * WIDTH),
  ),
];
