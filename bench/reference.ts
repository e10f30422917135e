/** The right results of the cases in double precision; those of operations are computed only where they are asked for. */
import type { Case, ConvCase, Expected, MlpCase, Operands } from "./cases.ts";
import { modelResults } from "./model_cases.ts";

/** The outputs of a case, in the order that its type documents. */
export function expectedOf(c: Case, operands: Operands): Expected[] {
  switch (c.kind) {
    case "matmul":
      return [{
        size: c.n ** 2,
        at: (k) => dot(c.n, operands.a, k - k % c.n, 1, operands.b, k % c.n, c.n),
      }];
    case "conv2d":
      return [convolution(c, operands)];
    case "softmax":
      return [{
        size: c.rows * c.columns,
        at(k) {
          const row = rowOf(operands.x, k, c.columns);
          const top = Math.max(...row);
          return Math.exp(operands.x[k] - top) / total(row.map((v) => Math.exp(v - top)));
        },
      }];
    case "layernorm":
      return [{
        size: c.rows * c.columns,
        at(k) {
          const row = rowOf(operands.x, k, c.columns);
          const mean = total(row) / c.columns;
          const variance = total(row.map((v) => (v - mean) ** 2)) / c.columns;
          const hat = (operands.x[k] - mean) / Math.sqrt(variance + 1e-5);
          return hat * operands.g[k % c.columns] + operands.b[k % c.columns];
        },
      }];
    case "mlp-grad":
      return mlpGradient(c, operands);
    case "step":
    case "sample":
      return modelResults(c.name);
  }
}

/** Σ a[i]·b[j] over `n` pairs, i and j starting and advancing as told. */
function dot(
  n: number,
  a: ArrayLike<number>,
  i: number,
  di: number,
  b: ArrayLike<number>,
  j: number,
  dj: number,
): number {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[i + k * di] * b[j + k * dj];
  return sum;
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

const rowOf = (x: Float32Array, k: number, columns: number): number[] =>
  Array.from(x.subarray(k - k % columns, k - k % columns + columns));

function convolution(c: ConvCase, { x, w }: Operands): Expected {
  const margin = (c.window - 1) / 2;
  const at = (k: number) => {
    const column = k % c.width;
    const row = Math.floor(k / c.width) % c.height;
    const out = Math.floor(k / (c.width * c.height)) % c.out;
    const image = Math.floor(k / (c.width * c.height * c.out));
    let sum = 0;
    for (let channel = 0; channel < c.channels; channel++) {
      for (let tap = 0; tap < c.window ** 2; tap++) {
        const i = row + Math.floor(tap / c.window) - margin;
        const j = column + tap % c.window - margin;
        if (i < 0 || i >= c.height || j < 0 || j >= c.width) continue;
        sum += x[((image * c.channels + channel) * c.height + i) * c.width + j] *
          w[(out * c.channels + channel) * c.window ** 2 + tap];
      }
    }
    return sum;
  };
  return { size: c.batch * c.out * c.height * c.width, at };
}

function mlpGradient(c: MlpCase, { x, y, w1, b1, w2, b2 }: Operands): Expected[] {
  const { batch, inputs, hidden, outputs } = c;
  const h = Float64Array.from({ length: batch * hidden }, (_, k) => {
    const [n, j] = [Math.floor(k / hidden), k % hidden];
    return Math.max(0, b1[j] + dot(inputs, x, n * inputs, 1, w1, j, hidden));
  });
  const dOut = Float64Array.from({ length: batch * outputs }, (_, k) => {
    const [n, o] = [Math.floor(k / outputs), k % outputs];
    const value = b2[o] + dot(hidden, h, n * hidden, 1, w2, o, outputs);
    return 2 * (value - y[k]) / (batch * outputs);
  });
  const dHidden = h.map((v, k) => {
    const [n, j] = [Math.floor(k / hidden), k % hidden];
    return v > 0 ? dot(outputs, dOut, n * outputs, 1, w2, j * outputs, 1) : 0;
  });
  const ones = new Float64Array(batch).fill(1);
  return [
    {
      size: inputs * hidden,
      at: (k) => dot(batch, x, Math.floor(k / hidden), inputs, dHidden, k % hidden, hidden),
    },
    { size: hidden, at: (k) => dot(batch, ones, 0, 1, dHidden, k, hidden) },
    {
      size: hidden * outputs,
      at: (k) => dot(batch, h, Math.floor(k / outputs), hidden, dOut, k % outputs, outputs),
    },
    { size: outputs, at: (k) => dot(batch, ones, 0, 1, dOut, k, outputs) },
  ];
}
