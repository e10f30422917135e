// What a tensor looks like to people: in a console, in text, and where somebody takes it for a number or a list.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { compile, evaluate } from "../compile/compile.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { literal, scalar, tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { testDevice } from "./support/check.ts";

Deno.test("a constant prints its element type, shape and values: console, nested, text, template", () => {
  const t = tensor([[1.1, -2, 0.1], [3, NaN, -0]]);
  const text = "f32[2,3] [[1.1, -2, 0.1], [3, NaN, -0]]";
  assertEquals(Deno.inspect(t), text);
  assertEquals(Deno.inspect({ w: t }), `{ w: ${text} }`);
  assertEquals(
    Deno.inspect([t, t]),
    `[ ${text}, ${text} ]`.replaceAll(", f32", ",\n  f32").replace("[ f32", "[\n  f32").replace(
      / \]$/,
      "\n]",
    ),
  );
  assertEquals(String(t), text);
  assertEquals(`${t}`, text);
  const node =
    (t as unknown as Record<symbol, () => string>)[Symbol.for("nodejs.util.inspect.custom")];
  assertEquals(node.call(t), text);
});

Deno.test("every element type prints the shortest number that reads back as the same element", () => {
  const shown = (t: Tensor) => String(t);
  assertEquals(shown(scalar(3)), "f32[] 3");
  assertEquals(shown(literal(0.5)), "f32[] 0.5");
  assertEquals(shown(tensor(Float16Array.of(0.1, 65504))), "f16[2] [0.1, 65504]");
  assertEquals(shown(tensor(Int32Array.of(-(2 ** 31)))), "i32[1] [-2147483648]");
  assertEquals(shown(tensor(Uint32Array.of(2 ** 32 - 1))), "u32[1] [4294967295]");
  assertEquals(
    shown(tensor([1e-45, 3.4028234e38, -Infinity])),
    "f32[3] [1e-45, 3.4028235e+38, -Infinity]",
  );
  assertEquals(shown(tensor(new Float32Array(0), [3, 0])), "f32[3,0] (no values)");
  for (const x of [Math.PI, 1 / 3, 123456.789, 1e-10, 16777217]) {
    const text = String(tensor([x], [])).replace("f32[] ", "");
    assertEquals(Math.fround(Number(text)), Math.fround(x), text);
  }
});

Deno.test("a large tensor prints its corners, in one line of bounded length", () => {
  const line = String(tensor(Float32Array.from({ length: 1000 }, (_, i) => i)));
  assertEquals(line, "f32[1000] [0, 1, 2, …, 997, 998, 999]");
  for (const shape of [[4000], [50, 80], [10, 20, 20], [2, 2, 10, 10, 10], [1, 1, 1, 1, 4000]]) {
    const text = String(tensor(new Float32Array(4000), shape));
    assert(text.length < 700 && text.includes("…") && !text.includes("\n"), text);
  }
});

Deno.test("what has no values on the host says where they are", async () => {
  const device = await testDevice();
  const x = tensor([1, 2]);
  assertEquals(String(add(x, 1)), "f32[2] (result of add, not computed yet)");
  const lying = evaluate(device, x);
  assertEquals(String(lying), "f32[2] (on the device: await device.read(t))");
  let inside = "";
  const step = compile(device, (state: { x: Tensor }) => {
    inside = String(state.x);
    return add(state.x, 1);
  }, { donate: [0] });
  step({ x: lying });
  assertEquals(inside, "f32[2] (argument 0.x of a function that is being traced)");
  assertMatch(String(lying), /^f32\[2\] \(gone: its memory was donated .*\)$/);
  const plain = compile(device, (t: Tensor) => add(t, 1));
  const first = plain(x);
  plain(x);
  assertMatch(String(first), /^f32\[2\] \(gone: the compiled function that made it ran again/);
  const freed = evaluate(device, x);
  device.free(freed);
  assertMatch(String(freed), /^f32\[2\] \(gone: its memory was freed/);
});

Deno.test("a tensor taken for a number, a list or JSON throws, and says device.read", () => {
  // deno-lint-ignore no-explicit-any
  const t = tensor([1]) as any;
  const uses: Record<string, () => unknown> = {
    "+t": () => +t,
    "t + 1": () => t + 1,
    "t * 2": () => t * 2,
    "t > 0": () => t > 0,
    "t == 1": () => t == 1,
    Number: () => Number(t),
    BigInt: () => BigInt(t),
    isNaN: () => isNaN(t),
    "Math.max": () => Math.max(t),
    valueOf: () => t.valueOf(),
    "text +": () => "loss: " + t,
    "JSON.stringify": () => JSON.stringify({ loss: t }),
    "[...t]": () => [...t],
    "Float32Array": () => new Float32Array(t),
    "Array.from": () => Array.from(t),
    "for of": () => {
      for (const _ of t) break;
    },
  };
  for (const [name, use] of Object.entries(uses)) {
    assertThrows(use, TypeError, "await device.read(t)", name);
  }
});
