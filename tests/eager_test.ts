// Ops one at a time: nothing is compiled twice, a call costs little, values are right and are each in memory of their own, and
// memory comes back.
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { evaluate, type Tensor, tensor } from "../mod.ts";
import type { Backend } from "../device/adapter.ts";
import { overhead, SMALL } from "../bench/eager/overhead.ts";
import { ownDevice, testDevice } from "./support/check.ts";
import { test } from "./support/devices.ts";

const values = async (t: Tensor) => Array.from(await (await testDevice()).read(t), Number);

test("the second call of an op of the same shape compiles nothing, whatever its numbers are", async (device) => {
  let prepared = 0;
  device.onCompile = ({ ready }) => prepared += ready ? 1 : 0;
  try {
    const x = device.upload([[1, 2], [3, 4]]);
    const call = (k: number) =>
      evaluate(device, {
        scaled: m.add(m.mul(x, k), tensor([k, -k])),
        product: m.matmul(x, tensor([[k, 0], [0, 1]])),
        sum: m.sum(m.where(m.greater(x, k), x, -k)),
      });
    const first = call(1);
    const { count } = device.pipelines;
    assertEquals(prepared, 1);
    for (let k = 2; k < 40; k++) {
      const { scaled, product, sum } = call(k);
      assertEquals(await values(scaled), [2 * k, k, 4 * k, 3 * k]);
      assertEquals(await values(product), [k, 2, 3 * k, 4]);
      const above = [1, 2, 3, 4].filter((v) => v > k).reduce((a, b) => a + b, 0);
      assertEquals(await values(sum), [above - k * [1, 2, 3, 4].filter((v) => v <= k).length]);
    }
    assertEquals(await values(first.scaled), [2, 1, 4, 3], "earlier results stay");
    assertEquals([device.pipelines.count, prepared], [count, 1]);
    // Another shape, another element type, another attribute and another order of operands are other programs.
    const others = [
      m.add(m.mul(device.upload([[1, 2, 3]]), 2), 1),
      m.add(m.mul(device.upload([[1, 2]], undefined, "i32"), 2), 1),
      m.sum(x, [0]),
      m.sum(x, [1]),
      m.sub(1, x),
      m.sub(x, 1),
    ].map((t) => evaluate(device, t));
    assertEquals(prepared, 7);
    assertEquals(await Promise.all(others.map(values)), [
      [3, 5, 7],
      [3, 5],
      [4, 6],
      [3, 7],
      [0, -1, -2, -3],
      [0, 1, 2, 3],
    ]);
  } finally {
    device.onCompile = undefined;
  }
});

test("results lie in memory of their own, whatever they share in what computes them", async (device) => {
  const x = device.upload([1, 2, 3, 4]);
  const y = m.add(x, 1);
  const tree = {
    argument: x,
    number: m.scalar(7),
    constant: tensor([5, 6]),
    once: y,
    twice: [y, m.reshape(y, [2, 2])],
    turned: m.transpose(m.reshape(x, [2, 2])),
    several: m.split(m.mul(x, 2), 2),
    nothing: m.slice(x, 0, 0, 0),
    ofNothing: m.sum(m.slice(x, 0, 0, 0)),
    product: m.matmul(m.reshape(x, [2, 2]), m.reshape(x, [2, 2])),
  };
  const expected = {
    argument: [1, 2, 3, 4],
    number: [7],
    constant: [5, 6],
    once: [2, 3, 4, 5],
    twice: [[2, 3, 4, 5], [2, 3, 4, 5]],
    turned: [1, 3, 2, 4],
    several: [[2, 4], [6, 8]],
    nothing: [],
    ofNothing: [0],
    product: [7, 10, 15, 22],
  };
  const before = device.buffers.allocated;
  // The first run compiles, the second does not.
  for (let run = 0; run < 2; run++) {
    const computed = evaluate(device, tree);
    assertEquals(Object.keys(computed), Object.keys(tree));
    const leaves = m.flatten<Tensor>(computed);
    for (const [path, t] of leaves) {
      const at = path.split(".").reduce<unknown>((o, k) => (o as Record<string, unknown>)[k], {
        ...expected,
      });
      assertEquals(await values(t), at, path);
      device.free(t);
    }
    assertEquals(device.buffers.allocated, before);
  }
});

test("reading computes: typed, nested and single values, of what was computed and of what was not", async (device) => {
  const before = device.buffers.allocated;
  const x = tensor([[1, 2, 3], [4, 5, 6]]);
  assertEquals(await device.read(m.add(x, 1)), Float32Array.of(2, 3, 4, 5, 6, 7));
  assertEquals(await device.toArray(m.add(x, 1)), [[2, 3, 4], [5, 6, 7]]);
  const large = [[false, false, false], [true, true, true]];
  assertEquals(await device.toArray(m.greater(x, 3)), large);
  assertEquals(await device.toArray(m.cast(x, "f16")), [[1, 2, 3], [4, 5, 6]]);
  assertEquals(await device.toArray(m.zeros([2, 0, 3])), [[], []]);
  assertEquals(await device.toArray(m.scalar(4)), 4);
  assertEquals(await device.toArray(tensor([[[1]]], undefined, "i32")), [[[1]]]);
  assertEquals(await device.item(m.sum(x)), 21);
  await assertRejects(
    () => device.item(x),
    m.DeviceError,
    "reads one element, the tensor is f32[2,3]",
  );
  await assertRejects(
    () => device.toArray([] as unknown as Tensor),
    TypeError,
    "device.toArray: its",
  );
  assertEquals(device.buffers.allocated, before, "what was computed to be read is given back");
});

test("a scope gives back what was made in it, but for what it returns", async (device) => {
  const { buffers } = device;
  const x = device.upload([1, 2]);
  const before = buffers.allocated;
  const spare = device.upload([1, 2]);
  const one = buffers.allocated - before;
  device.free(spare);
  let lost: Tensor | undefined;
  const kept = device.scope(() => {
    lost = evaluate(device, m.add(device.upload([3, 4]), x));
    const inner = device.scope(() => ({
      a: evaluate(device, m.mul(lost!, 2)),
      b: [evaluate(device, m.mul(lost!, 3))],
      c: 5,
      x,
    }));
    return [inner.a, inner.x];
  });
  assertEquals(await values(kept[0]), [8, 12]);
  assertEquals(await values(x), [1, 2], "what was there before stays");
  await assertRejects(() => device.read(lost!), m.DeviceError, "its memory was freed (a scope");
  assertEquals(buffers.allocated, before + one);
  device.free(kept[0]);
  assertEquals(buffers.allocated, before);
  assertEquals(device.scope(() => "a text"), "a text");
  assertThrows(
    () =>
      device.scope(() => {
        evaluate(device, m.add(x, 1));
        throw new Error("of the caller's");
      }),
    Error,
    "of the caller's",
  );
  assertThrows(
    () => device.scope(() => Promise.resolve(evaluate(device, m.add(x, 1)))),
    TypeError,
    "device.scope: its function returned a promise",
  );
  assertThrows(
    () => device.scope(5 as unknown as () => void),
    TypeError,
    "device.scope: argument 1",
  );
  assertEquals(buffers.allocated, before, "an error gives everything back");
});

test("a scope leaves programs that are compiled in it whole, and follows donated memory", async (device) => {
  const x = device.upload([1, 2]);
  const table = tensor(Float32Array.from({ length: 5000 }, (_, i) => i));
  const f = m.compile(device, (a: Tensor) => m.add(a, m.slice(table, 0, 7, 9)));
  const step = m.compile(device, (a: Tensor) => m.mul(a, 2), { donate: [0] });
  const first = device.scope(() => evaluate(device, f(x)));
  assertEquals(await values(f(x)), [8, 10]);
  assertEquals(await values(first), [8, 10]);
  const outside = evaluate(device, x);
  let state = outside;
  device.scope(() => {
    state = step(state);
  });
  assertEquals(await values(state), [2, 4], "what came from outside stays");
  let inside: Tensor | undefined;
  device.scope(() => {
    inside = step(evaluate(device, x));
  });
  await assertRejects(() => device.read(inside!), m.DeviceError, "its memory was freed (a scope");
  f.free();
  step.free();
});

test("work that is collected comes before what is written, read and freed behind it", async (device) => {
  const x = device.upload([1, 2]);
  const sums: Tensor[] = [];
  let t = x;
  for (let i = 0; i < 100; i++) {
    // Freed and uploaded memory goes from hand to hand while ops that read it are still collected.
    const y = device.upload([i, -i]);
    const next = evaluate(device, m.add(t, y));
    device.free(y);
    if (t !== x) sums.push(t);
    t = next;
  }
  assertEquals(await values(t), [1 + 4950, 2 - 4950]);
  for (const [i, s] of sums.entries()) {
    assertEquals(await values(s), [1 + i * (i + 1) / 2, 2 - i * (i + 1) / 2]);
  }
  const big = device.upload(new Float32Array(3000));
  const changed = [1, 2, 3].map((k) =>
    evaluate(device, m.sum(m.add(big, tensor(new Float32Array(3000).fill(k)))))
  );
  assertEquals(await Promise.all(changed.map(values)), [[3000], [6000], [9000]]);
});

test("a program that the device drops is compiled again, and computes the same", async (device) => {
  const x = device.upload([1, 2, 3, 4]);
  const f = (k: number) => evaluate(device, m.sum(m.reshape(m.add(x, 1), [k, 4 / k]), [0]));
  assertEquals(await values(f(2)), [6, 8]);
  // More kernels than are kept.
  for (let i = 0; i < (device.profile.cpu ? 150 : 3); i++) {
    const parts = Array.from({ length: 32 }, (_, k) => m.sum(device.profile.cpu ? m.mul(x, k) : x));
    evaluate(device, [...parts, m.full([i + 1], 1)], { fuse: false });
  }
  assertEquals(await values(f(2)), [6, 8]);
});

test("a call of what was computed before costs under 100 µs of CPU beyond its kernel", async (device) => {
  for (const [name, f] of Object.entries(SMALL)) {
    const { eager, bare } = await overhead(device, f, 1000, 4);
    const beyond = eager.cpu - bare.cpu;
    assert(beyond < 100, `${name}: ${beyond} µs beyond ${bare.cpu}`);
  }
});

const backends: Backend[] = ["cpu", "webgpu"];

/** What a loop of steps says of its memory. */
async function loop(backend: Backend, how: string) {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      new URL("support/eager_loop.ts", import.meta.url).pathname,
      backend,
      how,
    ],
    env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp", NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Bytes that may be waiting for the collector at once: what it is told of, and what is made until it has looked. */
const WAITING = 64 << 20;

for (const how of ["dropped", "scopes", "programs"]) {
  test(`memory stays within 5 % over a long loop: ${how}`, async (device) => {
    const backend = backends[device.profile.cpu ? 0 : 1];
    const { start, end, most, one } = await loop(backend, how);
    assertAlmostEquals(one, 1, 1e-4);
    assert(end < 1.05 * start, `${start} bytes, then ${end}`);
    assert(most < (how === "scopes" ? 1 << 20 : WAITING), `${most} bytes on the device`);
  });
}

test("values of the host that are too large for one buffer lie in several", async () => {
  using device = await ownDevice({ largestBuffer: "64KiB" });
  const [a, b] = [1, 2].map((v) => tensor(new Float32Array(12_000).fill(v)));
  const made = evaluate(device, { a, b, one: m.scalar(1), both: m.sum(m.add(a, b)) });
  assertEquals((await device.read(made.b))[11_999], 2);
  assertEquals(await device.item(made.one), 1);
  assertEquals(await device.item(made.both), 36_000);
});
