// Random programs on the CPU device against the float64 reference: ops, shapes and element types drawn, fused and not.
// `MOONGATE_FUZZ` says how many, `MOONGATE_FUZZ_SEED` where to begin.
import { assert, assertEquals } from "@std/assert";
import { evaluate } from "../compile/compile.ts";
import { bytesOf } from "../compile/pieces.ts";
import { blueprint } from "../compile/trace.ts";
import { interpret } from "../compile/interpret.ts";
import { gpu } from "../device/adapter.ts";
import { Device } from "../device/device.ts";
import { gelu, relu, silu, tanh } from "../ops/elementwise/activation.ts";
import {
  abs,
  add,
  div,
  exp,
  maximum,
  minimum,
  mul,
  sqrt,
  square,
  sub,
} from "../ops/elementwise/arithmetic.ts";
import { expand, sum } from "../ops/broadcast.ts";
import { max, mean } from "../ops/reduce.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { less, where } from "../ops/elementwise/compare.ts";
import { concat } from "../ops/concat.ts";
import { tensor } from "../ops/leaf.ts";
import { matmul } from "../ops/matmul.ts";
import { pad, permute, reshape, slice } from "../ops/movement.ts";
import { layerNorm } from "../ops/norm/norm.ts";
import { logSumExp, softmax } from "../ops/softmax.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { relativeError } from "./support/check.ts";
import { Draw } from "./support/mutate.ts";

const ALL = Number(Deno.env.get("MOONGATE_FUZZ") ?? 300);
const SEED = Number(Deno.env.get("MOONGATE_FUZZ_SEED") ?? 1);

/** A leaf of numbers between −1 and 1. */
function leaf(draw: Draw, shape: readonly number[], dtype: "f32" | "f16" = "f32"): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const values = Array.from({ length: n }, () => (draw.below(2001) - 1000) / 1000);
  return tensor(dtype === "f16" ? Array.from(new Float16Array(values)) : values, shape, dtype);
}

const extent = (draw: Draw) => draw.of([1, 2, 3, 4, 5, 7, 8, 12, 16, 17]);
const UNARY = [
  tanh,
  silu,
  gelu,
  relu,
  abs,
  square,
  (x: Tensor) => exp(mul(x, 0.5)),
  (x: Tensor) => sqrt(add(abs(x), 0.5)),
];
const BINARY = [add, sub, mul, maximum, minimum, (a: Tensor, b: Tensor) => div(a, add(abs(b), 1)), (
  a: Tensor,
  b: Tensor,
) => where(less(a, b), a, mul(b, 2))];

/** One more op on `x`, which stays near 1 in size and has at least one axis. */
function step(draw: Draw, x: Tensor): Tensor {
  const { shape } = x;
  const last = shape.length - 1;
  const axis = draw.below(shape.length);
  const at = (f: (d: number, i: number) => number) => shape.map(f);
  switch (draw.below(14)) {
    case 0:
    case 1:
      return draw.of(UNARY)(x);
    case 2:
      return draw.of(BINARY)(x, leaf(draw, shape));
    case 3: // One operand repeated along some axes.
      return draw.of(BINARY)(x, expand(leaf(draw, at((d) => draw.chance(0.5) ? 1 : d)), shape));
    case 4: {
      const order = shape.map((_, i) => i);
      for (let i = last; i > 0; i--) {
        const j = draw.below(i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
      return permute(x, order);
    }
    case 5:
      return pad(x, at(() => 0).map(() => [draw.below(3), draw.below(3)]));
    case 6:
    case 7: {
      const from = draw.below(Math.ceil(shape[axis] / 2));
      return slice(x, axis, from, shape[axis] - draw.below(Math.floor(shape[axis] / 2) + 1));
    }
    case 8:
      return concat([x, leaf(draw, at((d, i) => i === axis ? extent(draw) : d))], axis);
    case 9:
      return reshape(x, draw.chance(0.5) ? [x.size, 1] : [1, x.size]);
    case 10: {
      const join = draw.of([mean, max, (x: Tensor, axes: number[]) => tanh(sum(x, axes))]);
      const y = join(x, [axis]);
      return y.shape.length ? y : reshape(y, [1]);
    }
    case 11:
      return draw.chance(0.5) ? softmax(x) : tanh(expand(logSumExp(x, { keep: true }), shape));
    case 12:
      return layerNorm(x, leaf(draw, [shape[last]]), leaf(draw, [shape[last]]));
    default: {
      if (shape.length < 2) return cast(cast(x, "f16"), "f32");
      const turned = draw.chance(0.5);
      const n = extent(draw);
      const other = turned ? [n, shape[last]] : [shape[last], n];
      return tanh(matmul(x, leaf(draw, other), { transposeB: turned }));
    }
  }
}

/** A random program, and whether to fuse it. */
function program(n: number): { readonly y: Tensor; readonly fuse: boolean } {
  const draw = new Draw(SEED * 1_000_003 + n * 7919);
  let y = leaf(draw, Array.from({ length: 1 + draw.below(3) }, () => extent(draw)));
  for (let steps = 1 + draw.below(6); steps > 0 && y.size < 20_000; steps--) y = step(draw, y);
  return { y, fuse: draw.chance(0.7) };
}

Deno.test("random programs on the CPU device equal their definitions, whole and in pieces", async () => {
  const device = await gpu({ backend: "cpu", threads: 2 });
  let inPieces = 0;
  for (let n = 0; n < ALL; n++) {
    const { y, fuse } = program(n);
    const [expected] = interpret([y]);
    const check = async (on: Device) => {
      const result = evaluate(on, y, { fuse });
      assertEquals(result.spec, y.spec);
      const e = relativeError(await on.read(result) as Float32Array, expected);
      on.free(result);
      assert(e < 2e-3, `program ${n} of [${y.shape}] (${y.node.op.name}) differs by ${e}`);
    };
    await check(device);
    const { dispatches } = blueprint([y], [], { profile: device.profile, fuse });
    const largest = Math.max(
      0,
      ...dispatches.flatMap((d) => d.buffers.map((b) => bytesOf(b.memory))),
    );
    if (largest <= 256) continue;
    inPieces++;
    const maxBinding = 256 * Math.ceil(largest / 512);
    await check(new Device(device.gpu, { ...device.profile, maxBinding }, device.facts));
  }
  assert(inPieces > ALL / 4, `${inPieces}`);
  device.destroy();
});
