import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { embedding, replaceRows } from "../ops/embedding/embedding.ts";
import { add, mul, square } from "../ops/elementwise/arithmetic.ts";
import { sin } from "../ops/elementwise/trigonometry.ts";
import { sum } from "../ops/broadcast.ts";
import { input, tensor } from "../ops/leaf.ts";
import { compile, evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { simplify } from "../compile/simplify.ts";
import { Device } from "../device/device.ts";
import { vjp } from "../autograd/grad.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { ShapeError, type Spec } from "../tensor/shape.ts";
import { checkOp, relativeError, uniform } from "./support/check.ts";
import { test } from "./support/devices.ts";

const f32 = (...shape: number[]): Spec => ({ shape, dtype: "f32" });
const u32 = (...shape: number[]): Spec => ({ shape, dtype: "u32" });
const filled = (n: number, seed: number) => Float32Array.from({ length: n }, uniform(seed));

test("embedding gathers rows, and its gradient adds the positions of each id", async (device) => {
  const side = fc.integer({ min: 1, max: 9 });
  await fc.assert(
    fc.asyncProperty(side, side, side, side, async (v, d, b, t) => {
      const draw = uniform(v * 1000 + d);
      const ids = Float64Array.from({ length: b * t }, () => Math.floor((draw() + 1) / 2 * v));
      await checkOp([f32(v, d), u32(b, t)], embedding, { device, values: [undefined, ids] });
    }),
    { numRuns: 3 },
  );
});

test("embedding takes f16 tables, vectors, and work fused behind it", async (device) => {
  const ids = Float64Array.of(3, 3, 0, 1, 3);
  const options = { device, values: [undefined, ids] };
  await checkOp([{ shape: [4, 8], dtype: "f16" }, u32(5)], embedding, options);
  await checkOp([f32(4, 12), u32(5)], (e, i) => add(mul(embedding(e, i), 2), 1), options);
  await checkOp([f32(4, 3), u32(5)], (e, i) => sin(embedding(e, i)), options);
});

test("replaced rows are looked up without building the table, and get their own gradient", async (device) => {
  const ids = Float64Array.of(5, 1, 4, 5, 0, 1, 2, 5);
  const look = (e: Tensor, r: Tensor, i: Tensor) => embedding(replaceRows(e, r, [5, 1]), i);
  for (const d of [8, 5]) {
    const values = [undefined, undefined, ids];
    await checkOp([f32(6, d), f32(2, d), u32(2, 4)], look, { device, values });
  }
  const [e, r] = [input(f32(6, 8), 0), input(f32(2, 8), 1)];
  const y = look(e, r, input(u32(3), 2));
  const [g] = vjp([[sum(y), tensor([1], [])]], [r]);
  const ops = tapeOf(simplify([y, g!])).map((n) => n.op.name);
  assert(ops.includes("embeddingRows") && ops.includes("embeddingRowsGrad"));
  assert(!ops.includes("replaceRows") && !ops.includes("embeddingGrad"), `${ops}`);
  assertEquals(g!.shape, [2, 8]);
});

Deno.test("what is looked up in a replaced table is differentiated by the table, too, and by rows through several look-ups", () => {
  const e = tensor([1, 2, 3, 4, 5, 6], [3, 2]);
  const r = tensor([7, 8], [1, 2]);
  const table = replaceRows(e, r, [1]);
  const look = (...ids: number[]) => sum(square(embedding(table, tensor(ids, undefined, "u32"))));
  const loss = add(add(look(1, 1), look(0, 1)), sum(table));
  const one = tensor([1], []);
  const [byTable, byRows, byOld] = vjp([[loss, one]], [table, r, e]).map((
    t,
  ) => [...interpret([t!])[0]]);
  assertEquals(byTable, [3, 5, 43, 49, 1, 1]);
  assertEquals(byRows, [43, 49]);
  assertEquals(byOld, [3, 5, 0, 0, 1, 1]);
  // Two look-ups alone: the rows' gradient is built without any table.
  const [g] = vjp([[add(look(1, 1), look(0, 1)), one]], [r]);
  const ops = tapeOf(simplify([g!])).map((n) => n.op.name);
  assert(!ops.includes("replaceRows") && !ops.includes("embeddingGrad"), `${ops}`);
});

test("a replaced table that is used whole is built, and differentiates in both parts", async (device) => {
  for (const d of [4, 3]) {
    await checkOp([f32(6, d), f32(2, d)], (e, r) => mul(replaceRows(e, r, [4, 0]), 3), {
      device,
    });
  }
  const mixed: Spec[] = [{ shape: [6, 4], dtype: "f16" }, f32(1, 4)];
  await checkOp(mixed, (e, r) => replaceRows(e, r, [2]), { device });
});

test("second derivatives pass through every lookup", async (device) => {
  const ids = tensor(Uint32Array.of(1, 3, 1));
  const once = (f: (e: Tensor) => Tensor) => (e: Tensor, u: Tensor) => vjp([[f(e), u]], [e])[0]!;
  await checkOp([f32(4, 4), f32(3, 4)], once((e) => sin(embedding(e, ids))), { device });
  const base = tensor(filled(24, 2), [6, 4]);
  await checkOp(
    [f32(2, 4), f32(3, 4)],
    once((r) => sin(embedding(replaceRows(base, r, [1, 5]), ids))),
    { device },
  );
});

test("the gradient of a vocabulary of 49,408 rows adds 616 positions, the same bits every time", async (device) => {
  const [v, d, n] = [49408, 16, 616];
  const draw = uniform(9);
  // Few distinct ids, so that most positions share theirs.
  const ids = Uint32Array.from({ length: n }, () => Math.floor((draw() + 1) * 20) * 1200);
  const table = input(f32(v, d), 0);
  const at = tensor(ids);
  const g = tensor(filled(n * d, 4), [n, d]);
  const [gradient] = vjp([[embedding(table, at), g]], [table]);
  const [expected] = interpret([gradient!]);
  const runs: Float32Array[] = [];
  for (let k = 0; k < 2; k++) {
    const result = evaluate(device, gradient!);
    runs.push(await device.read(result) as Float32Array);
    device.free(result);
  }
  assert(relativeError(runs[0], expected) < 1e-6);
  assertEquals(runs[0], runs[1]);
});

test("ids beyond the table read its last row", async (device) => {
  const look = compile(device, (e: Tensor, i: Tensor) => embedding(e, i));
  const y = look(tensor([1, 2, 3, 4], [2, 2]), tensor(Uint32Array.of(0, 1, 2, 4294967295)));
  assertEquals([...await device.read(y) as Float32Array], [1, 2, 3, 4, 3, 4, 3, 4]);
  const e = tensor([1, 2, 3, 4], [2, 2]);
  const [g] = vjp([[embedding(e, tensor(Uint32Array.of(7, 1))), tensor([1, 2, 3, 4], [2, 2])]], [
    e,
  ]);
  assertEquals([...await device.read(evaluate(device, g!)) as Float32Array], [0, 0, 4, 6]);
});

Deno.test("wrong tables, ids and rows are refused by name", () => {
  const e = tensor(new Float32Array(12), [4, 3]);
  const r = tensor(new Float32Array(6), [2, 3]);
  assertThrows(() => embedding(e, tensor([1, 2])), ShapeError, "ids must be u32");
  assertThrows(() => embedding(tensor([1, 2]), tensor([1], [1], "u32")), ShapeError, "[V, d]");
  assertThrows(() => replaceRows(e, r, [0, 4]), ShapeError, "row 4 of a table of 4 rows");
  assertThrows(() => replaceRows(e, r, [1, 1]), ShapeError, "replaced twice");
  assertThrows(() => replaceRows(e, r, [1]), ShapeError, "1 rows of a table");
});

test("a table larger than the adapter binds is read in pieces", async ({ gpu, profile, facts }) => {
  const device = new Device(gpu, { ...profile, maxBinding: 800 }, facts);
  const ids = Float64Array.from({ length: 4 }, (_, i) => [0, 15, 16, 39][i]);
  const values = [undefined, ids];
  await checkOp([f32(40, 12), u32(4)], embedding, { device, values, forwardOnly: true });
  const half: Spec = { shape: [40, 16], dtype: "f16" };
  await checkOp([half, u32(4)], embedding, { device, values, forwardOnly: true });
  const look = (e: Tensor, r: Tensor, i: Tensor) => embedding(replaceRows(e, r, [39, 2]), i);
  const mixed = { device, values: [undefined, undefined, ids], wrt: [1], tolerance: 2e-5 };
  await checkOp([half, f32(2, 16), u32(4)], look, mixed);
  const specs = [f32(40, 12), f32(2, 12), u32(4)];
  await checkOp(specs, look, { device, values: [undefined, undefined, ids], wrt: [1] });
});
