/** Kernels and compositions of the wider surface, each with one operand spoilt: see `tests/edges_test.ts`. */
import * as m from "../../ops/mod.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Kernel } from "./edges.ts";

const IDS = tensor(Int32Array.of(4, 0, 0, 2, -1, 9, -9));
const PLACES = tensor(Int32Array.of(1, 1, 0, 2, -1, 0, 1, 7, 2), [3, 3]);
const SPOTS = tensor(Int32Array.of(0, 1, 2, 0, 0, 1, -1, -1, 5, 0), [5, 2]);

export const KERNELS_MORE: Record<string, Kernel> = {
  take: { shapes: [[5, 4]], f: (x) => m.take(x, IDS) },
  "take along the last axis": { shapes: [[3, 5]], f: (x) => m.take(x, IDS, -1) },
  takeAlongAxis: { shapes: [[3, 4]], f: (x) => m.takeAlongAxis(x, PLACES, 1) },
  "takeAlongAxis of fewer": { shapes: [[4, 5]], f: (x) => m.takeAlongAxis(x, PLACES, 1) },
  gather: { shapes: [[3, 2, 4]], f: (x) => m.gather(x, SPOTS) },
  ...Object.fromEntries((["set", "add", "max", "min"] as const).map((mode) => [
    `scatter ${mode}`,
    {
      shapes: [[3, 2, 4], [5, 4]],
      f: (x, u) => m.scatter(x, SPOTS, u, { mode }),
      close: { absolute: 1e-6 },
    } satisfies Kernel,
  ])),
  "scatter mul": {
    shapes: [[3, 2], [5]],
    f: (x, u) => m.scatter(x, SPOTS, m.stopGradient(u), { mode: "mul" }),
    spoil: [0],
  },
  "putAlongAxis add": {
    shapes: [[3, 4], [3, 3]],
    f: (x, u) => m.putAlongAxis(x, PLACES, u, 1, { mode: "add" }),
    close: { absolute: 1e-6 },
  },
  "putAlongAxis of fewer": {
    shapes: [[4, 5], [3, 3]],
    f: (x, u) => m.putAlongAxis(x, PLACES, u, 1),
  },
  "putAlongAxis of unique places": {
    shapes: [[3, 4], [1, 4]],
    f: (x, u) =>
      m.putAlongAxis(x, tensor(Int32Array.of(2, 0, 1, 2), [1, 4]), u, 0, { unique: true }),
  },
  "softmax of columns": { shapes: [[5, 3]], f: (x) => m.softmax(x, 0) },
  "logSumExp of two axes": { shapes: [[2, 3, 4]], f: (x) => m.logSumExp(x, { axes: [0, 2] }) },
  sort: { shapes: [[3, 7]], f: (x) => m.sort(x) },
  "sort of long rows": { shapes: [[2, 100]], f: (x) => m.sort(x, -1, { descending: true }) },
  "sort of columns": { shapes: [[9, 4]], f: (x) => m.sort(x, 0) },
  topK: { shapes: [[2, 40]], f: (x) => m.topK(x, 3)[0] },
  cumsum: { shapes: [[2, 6]], f: (x) => m.cumsum(x), close: { absolute: 1e-6 } },
  "cumsum of long rows, from the end, of those before": {
    shapes: [[2, 300]],
    f: (x) => m.cumsum(x, -1, { reverse: true, exclusive: true }),
    close: { absolute: 2e-5 },
  },
  "cumsum of columns": { shapes: [[200, 4]], f: (x) => m.cumsum(x, 0), close: { absolute: 2e-5 } },
  cumprod: { shapes: [[2, 6]], f: (x) => m.cumprod(x), gradients: false },
  "cumprod from the end": {
    shapes: [[6, 4]],
    f: (x) => m.cumprod(x, 0, { reverse: true, exclusive: true }),
    gradients: false,
  },
  cummax: { shapes: [[3, 6]], f: (x) => m.cummax(x) },
  cummin: { shapes: [[3, 150]], f: (x) => m.cummin(x, -1, { reverse: true }) },
  linearScan: {
    shapes: [[2, 200], [2, 200]],
    f: (a, b) => m.linearScan(a, b),
    // Chunks are joined as products of their factors: infinities of both signs meet.
    close: { anyBroken: true, absolute: 1e-5 },
    gradients: false,
  },
  prod: { shapes: [[3, 4, 2]], f: (x) => m.prod(x, [0, 2]), gradients: false },
  "prod of long rows": {
    shapes: [[2, 700]],
    f: (x) => m.prod(m.add(1, m.mul(x, 1e-3)), [1]),
    gradients: false,
  },
  min: { shapes: [[3, 4]], f: (x) => m.min(x, [1]) },
  variance: { shapes: [[3, 5]], f: (x) => m.variance(x, [1]) },
  norm: { shapes: [[3, 5]], f: (x) => m.norm(x, [1]) },
  maxPool: { shapes: [[1, 5, 6, 4]], f: (x) => m.maxPool(x, { window: 3, stride: 2, padding: 1 }) },
  "maxPool of a row": {
    shapes: [[2, 3, 8]],
    f: (x) => m.maxPool(x, { window: 2, channelsFirst: true }),
  },
  avgPool: {
    shapes: [[1, 5, 5, 3]],
    f: (x) => m.avgPool(x, { window: [2, 3], stride: 2, padding: 1, ceilMode: true }),
  },
  globalMaxPool: { shapes: [[2, 3, 4, 2]], f: (x) => m.globalMaxPool(x) },
  "windows of a row": {
    shapes: [[3, 12]],
    f: (x) => m.mul(m.slidingWindowView(x, [4], { stride: 2 }), 1),
  },
  index: { shapes: [[4, 6]], f: (x) => m.mul(m.index(x, [[null, null, -2], [1, 6, 2]]), 1) },
  flip: { shapes: [[3, 4]], f: (x) => m.mul(m.flip(x), 1) },
  roll: { shapes: [[3, 5]], f: (x) => m.roll(x, 2, [1]) },
  "pad with a number": { shapes: [[3, 4]], f: (x) => m.pad(x, [[1, 0], [2, 1]], { value: 7 }) },
  "pad of pads": {
    shapes: [[3, 4]],
    f: (x) => m.pad(m.pad(x, [[1, 0], [2, 1]], { value: 7 }), [[1, 1], [1, 1]], { value: -2 }),
  },
  "pad reflected": { shapes: [[4, 3]], f: (x) => m.pad(x, [[2, 5], [1, 1]], { mode: "reflect" }) },
  diagonal: { shapes: [[4, 5]], f: (x) => m.mul(m.diagonal(x, 1), 1) },
};
