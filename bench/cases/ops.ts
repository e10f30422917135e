/** The operations that are compared. Each library has its own way to say them, under the same names (`bench/peers/`). */
import { sizeOf } from "../../tensor/shape.ts";
import type { ArrayOf, OpCase, Operand } from "./case.ts";

const image = (...shape: number[]): Operand => ({ shape, layout: "image" });
const kernel = (...shape: number[]): Operand => ({ shape, layout: "kernel", scale: 0.1 });
const plain = (...shape: number[]): Operand => ({ shape });

function op(
  name: string,
  title: string,
  operands: Record<string, Operand>,
  results: readonly ArrayOf[],
  flops?: number,
): OpCase {
  return { kind: "op", name, title, operands, results, ...(flops && { flops }) };
}

const matmul = (n: number): OpCase =>
  op(
    `matmul-${n}`,
    `matmul ${n}`,
    { a: plain(n, n), b: plain(n, n) },
    [plain(n, n)],
    2 * n ** 3,
  );

/** Of a convolution that makes `y` by windows of so many taps over so many channels. */
const macs = (y: Operand, taps: number): number => 2 * sizeOf(y.shape) * taps;

const ROWS = plain(4096, 256);
const HEADS = plain(1, 512, 8, 64);
const [SAME, HALVED, DEEP] = [image(1, 64, 64, 64), image(4, 32, 32, 64), image(1, 64, 64, 128)];

export const OPS: readonly OpCase[] = [
  matmul(512),
  matmul(1024),
  op(
    "matmul-batch",
    "matmul of 32, 256×64×256",
    { a: plain(32, 256, 64), b: plain(32, 64, 256) },
    [plain(32, 256, 256)],
    2 * 32 * 256 * 64 * 256,
  ),
  op(
    "conv2d",
    "conv2d 3×3, 1×64×64×64 → 64",
    { x: SAME, w: kernel(3, 3, 64, 64) },
    [SAME],
    macs(SAME, 9 * 64),
  ),
  op(
    "conv2d-stride",
    "conv2d 3×3, stride 2, 4×64×64×32 → 64",
    { x: image(4, 64, 64, 32), w: kernel(3, 3, 32, 64) },
    [HALVED],
    macs(HALVED, 9 * 32),
  ),
  op(
    "conv2d-depthwise",
    "conv2d 3×3 of each channel, 1×64×64×128",
    { x: DEEP, w: kernel(3, 3, 1, 128) },
    [DEEP],
    macs(DEEP, 9),
  ),
  op(
    "attention",
    "attention, 8 heads of 512×64",
    { q: { ...HEADS, scale: 3 }, k: { ...HEADS, scale: 3 }, v: HEADS },
    [HEADS],
    2 * 2 * 8 * 512 * 512 * 64,
  ),
  op(
    "mlp-grad",
    "gradient of an MLP loss, 64×256×512×256",
    // Of mean((relu(x·w1 + b1)·w2 + b2 − y)²), with respect to w1, b1, w2 and b2.
    {
      x: plain(64, 256),
      y: plain(64, 256),
      w1: { shape: [256, 512], scale: 0.1 },
      b1: { shape: [512], scale: 0.1 },
      w2: { shape: [512, 256], scale: 0.1 },
      b2: { shape: [256], scale: 0.1 },
    },
    [plain(256, 512), plain(512), plain(512, 256), plain(256)],
    // Forward: two products. Backward: w1's and w2's gradients, and the hidden layer's.
    2 * 64 * (2 * 256 * 512 + 3 * 512 * 256),
  ),
  op("softmax", "softmax 4096×256", { x: { ...ROWS, scale: 4 } }, [ROWS]),
  op(
    "layernorm",
    "LayerNorm 4096×256",
    { x: { ...ROWS, scale: 3 }, g: plain(256), b: plain(256) },
    [ROWS],
  ),
  op("gelu", "GELU (tanh) of 1,048,576", { x: { ...plain(1 << 20), scale: 4 } }, [plain(1 << 20)]),
  op("add", "x + b, 4096×256", { x: ROWS, b: plain(256) }, [ROWS]),
  op("mean", "mean of columns, 4096×256", { x: { ...ROWS, shift: 1 } }, [plain(256)]),
  op("max", "max of rows, 4096×256", { x: ROWS }, [plain(4096)]),
  op("argmax", "argmax of rows, 4096×256", { x: ROWS }, [plain(4096)]),
  op("topk", "the 10 largest of rows, 1024×1024", {
    x: plain(1024, 1024),
    k: { shape: [1], values: [10] },
  }, [plain(1024, 10)]),
  op("cumsum", "running sum of rows, 1024×1024", {
    x: { ...plain(1024, 1024), shift: 1 },
    axis: { shape: [], values: [1] },
  }, [plain(1024, 1024)]),
  op("transpose", "transpose 2048×1024", { x: plain(2048, 1024) }, [plain(1024, 2048)]),
  op("gather", "4096 rows of a table of 8192×256", {
    x: plain(8192, 256),
    ids: { shape: [4096], below: 8192 },
  }, [ROWS]),
  op("maxpool", "max pooling 2×2, 8×64×64×64", { x: image(8, 64, 64, 64) }, [
    image(8, 32, 32, 64),
  ]),
  op("concat", "two of 8×32×32×128, by channels", {
    a: image(8, 32, 32, 128),
    b: image(8, 32, 32, 128),
  }, [image(8, 32, 32, 256)]),
];
