// A program that the GPU refuses costs itself and nothing else: it is reported once, its results are no values, the rest lives.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { compile, evaluate } from "../compile/compile.ts";
import { DeviceError } from "../device/errors.ts";
import { apply, type Tensor } from "../tensor/tensor.ts";
import { alike } from "../tensor/batch.ts";
import { defineOp } from "../tensor/op.ts";
import { add, exp, mul } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { ownDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

/** An op whose kernel no compiler takes. */
const brokenOp = defineOp<undefined>({
  name: "brokenForTests",
  shape: ([x]) => [x],
  vjp: () => [undefined],
  batch: alike,
  reference: ([x]) => [x],
  lowering: { kind: "map", takes: ["f32"], expression: ([x]) => `no_such_function(${x})` },
});
const broken = (x: Tensor): Tensor => apply(brokenOp, [x], undefined)[0];
const x = () => tensor([1, 2, 3]);

test("after a refused program the device computes as before", async () => {
  using device = await ownDevice();
  const before = evaluate(device, add(x(), 1));
  const refused = evaluate(device, broken(x()));
  const after = evaluate(device, add(x(), 2));
  await assertRejects(() => device.read(refused), DeviceError, "no_such_function");
  assertEquals(Array.from(await device.read(before)), [2, 3, 4]);
  assertEquals(Array.from(await device.read(after)), [3, 4, 5]);
  assertEquals(Array.from(await device.read(evaluate(device, exp(tensor([0]))))), [1]);
});

test("what a refused program was to compute is never taken for a value", async () => {
  using device = await ownDevice();
  const refused = evaluate(device, broken(x()));
  const used = evaluate(device, mul(refused, 2));
  const again = evaluate(device, mul(used, 2));
  await assertRejects(() => device.settled(), DeviceError, "no_such_function");
  await device.settled();
  for (const t of [refused, used, again]) {
    await assertRejects(() => device.read(t), DeviceError, "no value");
    assertThrows(() => evaluate(device, add(t, 1)), DeviceError, "no value");
  }
});

test("a refused program throws whenever it is called, and other programs train on", async () => {
  using device = await ownDevice();
  const good = compile(device, (s: Tensor) => add(s, 1), { donate: [0] });
  const bad = compile(device, (s: Tensor) => broken(s));
  let state = good(evaluate(device, x()));
  bad(state);
  await assertRejects(() => device.settled(), DeviceError, "no_such_function");
  state = good(state);
  for (let i = 0; i < 2; i++) assertThrows(() => bad(state), DeviceError, "no_such_function");
  assertEquals(Array.from(await device.read(good(state))), [4, 5, 6]);
});

test("results in donated memory of a refused program are no values either", async () => {
  using device = await ownDevice();
  const bad = compile(device, (s: Tensor) => broken(s), { donate: [0] });
  const state = bad(evaluate(device, x()));
  await assertRejects(() => device.settled(), DeviceError);
  await assertRejects(() => device.read(state), DeviceError, "no value");
});

test("an allocation that the GPU refuses costs only what lies in it", async () => {
  using device = await ownDevice();
  const kept = evaluate(device, x());
  // The adapter's limit stands in the profile; a device that lies about it is what drivers out of memory are like.
  const size = device.gpu.limits.maxBufferSize * 4;
  Object.defineProperty(device.profile, "maxBuffer", { value: size });
  const storage = device.buffers.allocate(size - 16, "far too much");
  await assertRejects(() => device.settled(), DeviceError, "far too much");
  assertThrows(() => storage.check(() => "it"), DeviceError, "it has no value");
  assertEquals(Array.from(await device.read(kept)), [1, 2, 3]);
});

test("a lost device says so at every call", async () => {
  const device = await ownDevice();
  const kept = evaluate(device, x());
  device.gpu.destroy();
  let threw = false;
  try {
    await device.read(kept);
  } catch {
    threw = true;
  }
  assert(threw);
  await device.gpu.lost;
  for (let i = 0; i < 2; i++) {
    await assertRejects(() => device.read(kept), DeviceError, "the device was destroyed");
  }
});
