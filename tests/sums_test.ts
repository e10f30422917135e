// How exact sums are: rounding errors may grow with the logarithm of how much is added up, not with that itself.
import { assert } from "@std/assert";
import { mean } from "../ops/reduce.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { exp, mul } from "../ops/elementwise/arithmetic.ts";
import { reshape } from "../ops/movement.ts";
import { groupNorm, layerNorm } from "../ops/norm/norm.ts";
import { embedding, replaceRows } from "../ops/embedding/embedding.ts";
import { logSumExp, softmax } from "../ops/softmax.ts";
import { tensor } from "../ops/leaf.ts";
import { linear, matmul } from "../ops/matmul.ts";
import { conv2d } from "../ops/conv.ts";
import { evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { grad, vjp } from "../autograd/grad.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { relativeError, testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

const UNIT = 2 ** -24;
/** Same signs and one rounding after the other in one direction: the worst that sums meet in practice. */
const tenths = (n: number) => new Float32Array(n).fill(0.1);
/** Written one by one: of ten million numbers `Float32Array.from` takes longer than all sums of them. */
function filled(n: number, f: (i: number) => number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(n);
  for (let i = 0; i < n; i++) values[i] = f(i);
  return values;
}
const waves = (n: number) => filled(n, (i) => 3 + Math.sin(i * i));
const signs = (n: number) => filled(n, (i) => Math.sin(i * i) * 1e3);

async function read(t: Tensor): Promise<Float32Array> {
  const device = await testDevice();
  const value = evaluate(device, t);
  const out = await device.read(value) as Float32Array;
  device.free(value);
  return out;
}

test("a sum of any length is right to a few units in the last place for each doubling of it", async () => {
  for (const n of [1, 2, 17, 1000, 1025, 10_000, 100_001, 1_000_000, 10_000_000]) {
    for (const values of [tenths(n), waves(n), signs(n)]) {
      let [exact, size] = [0, 0];
      for (const v of values) {
        exact += v;
        size += Math.abs(v);
      }
      const [total] = await read(sum(tensor(values)));
      const most = UNIT * size * Math.max(1, Math.log2(n));
      assert(Math.abs(total - exact) <= most, `${n} numbers: ${total}, not ${exact} ± ${most}`);
    }
  }
});

test("sums over any axes, behind other work and in derivatives are as exact", async () => {
  const x = tensor(tenths(1 << 18), [64, 1024, 4]);
  const parts: [string, Tensor][] = [
    ["rows", sum(x, [1, 2])],
    ["columns", sum(x, [0, 1])],
    ["middle", sum(x, [1])],
    ["odd", sum(reshape(tensor(tenths(3 * 20_001)), [3, 20_001]), [1])],
    ["columns of odd", sum(reshape(tensor(tenths(3 * 20_001)), [20_001, 3]), [0])],
    ["computed", sum(exp(mul(x, 0.3)))],
    ["mean", mean(x)],
    ["broadcast", grad((t: Tensor) => sum(mul(expand(t, [100_000]), 0.1)))(tensor([1]))],
  ];
  for (const [name, t] of parts) {
    const e = relativeError(await read(t), interpret([t])[0]);
    assert(e < 20 * UNIT, `${name}: ${e / UNIT} half units`);
  }
});

test("norms and softmax of long rows are as exact", async () => {
  const n = 40_000;
  const rows = tensor(waves(2 * n), [2, n]);
  const [ones, none] = [1, 0].map((v) => tensor(new Float32Array(n).fill(v)));
  const image = tensor(waves(n * 4), [1, n, 4]);
  const four = tensor([1, 1, 1, 1]);
  const layer = layerNorm(rows, ones, none);
  const group = groupNorm(image, four, mul(four, 0), { groups: 1 });
  const by = (y: Tensor, x: Tensor) =>
    vjp([[y, tensor(tenths(x.size).map((v, i) => v * (1 + i % 3)), x.shape)]], [x])[0]!;
  const parts: [string, Tensor][] = [
    ["layerNorm", layer],
    ["groupNorm", group],
    ["gradient of layerNorm", by(layer, rows)],
    ["gradient of groupNorm", by(group, image)],
    ["softmax", softmax(mul(rows, 0.001))],
    ["logSumExp", exp(logSumExp(mul(rows, 0.001)))],
  ];
  for (const [name, t] of parts) {
    const e = relativeError(await read(t), interpret([t])[0]);
    assert(e < 40 * UNIT, `${name}: ${e / UNIT} half units`);
  }
});

test("gradients of a row that is looked up again and again are as exact", async () => {
  const n = 20_000;
  const ids = tensor(new Uint32Array(n).fill(1));
  const weights = tensor(tenths(n * 2), [n, 2]);
  const table = tensor(new Float32Array(6), [3, 2]);
  const whole = grad((t: Tensor) => sum(mul(embedding(t, ids), weights)))(table);
  const some = grad((r: Tensor) => sum(mul(embedding(replaceRows(table, r, [1]), ids), weights)))(
    tensor([0, 0], [1, 2]),
  );
  for (const t of [whole, some]) {
    const e = relativeError(await read(t), interpret([t])[0]);
    assert(e < 15 * UNIT, `${e / UNIT} half units`);
  }
});

test("products over a million places, and the gradients of weights, do not add them one by one", async () => {
  const n = 1_000_000;
  const x = tensor(tenths(n));
  const column = expand(tensor([[1]]), [n, 1]);
  const image = reshape(x, [1, 1000, 1000, 1]);
  const zeros = (...shape: number[]) => expand(tensor(0), shape);
  const exact = n * Math.fround(0.1);
  const parts: [string, Tensor, number][] = [
    ["product", matmul(reshape(x, [1, n]), column), exact],
    ["linear", grad((w: Tensor) => sum(linear(reshape(x, [n, 1]), w)))(zeros(1, 1)), exact],
    ["pixels", grad((w: Tensor) => sum(conv2d(image, w)))(zeros(1, 1, 1, 1)), exact],
    [
      "windows",
      grad((w: Tensor) => sum(conv2d(image, w)))(zeros(3, 3, 1, 1)),
      998 * 998 * Math.fround(0.1),
    ],
  ];
  for (const [name, t, expected] of parts) {
    for (const v of await read(t)) {
      const e = Math.abs(v / expected - 1);
      assert(e < 2e-4, `${name}: off by ${e}`);
    }
  }
});
