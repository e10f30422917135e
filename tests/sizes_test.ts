// Numbers of kernels that move with shapes: literals for some devices, data for others, and the same answers.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { compile } from "../compile/compile.ts";
import { matmul } from "../ops/matmul.ts";
import { groupNorm } from "../ops/norm/norm.ts";
import { MOST_SIZES, realSize, size, withData, withLiterals } from "../tensor/sizes.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkOp, deviceAs } from "./support/check.ts";

Deno.test("a marked number is a literal or a field, and a name stands for one number", () => {
  const text = `${size(320, "m")} + ${size(4)} * ${size(320, "m")} + ${size(-1)} / ${
    realSize(0.1)
  }`;
  assertEquals(withLiterals(text), "320u + 4u * 320u + 4294967295u / 0.10000000149011612");
  const { text: read, structure, words } = withData(text);
  assertEquals(read, "sizes.n0 + sizes.n1 * sizes.n0 + sizes.n2 / sizes.n3");
  assertEquals(structure, "struct Sizes { n0: u32, n1: u32, n2: u32, n3: f32 }");
  assertEquals([...words], [320, 4, 4294967295, new Uint32Array(Float32Array.of(0.1).buffer)[0]]);
  assertThrows(
    () => withData(size(1, "m") + size(2, "m")),
    Error,
    "the number m of a kernel is 1 and 2",
  );
});

Deno.test("a text without numbers has no structure; of too many the last are literals", () => {
  assertEquals(withData("x"), { text: "x", structure: "", words: new Uint32Array(0) });
  const many = Array.from({ length: MOST_SIZES + 2 }, (_, i) => size(i, `k${i}`));
  const { text, words } = withData([...many, ...many].join());
  assertEquals(words.length, MOST_SIZES);
  const parts = text.split(",");
  assertEquals(parts.slice(MOST_SIZES - 1, MOST_SIZES + 2), ["sizes.n63", "64u", "65u"]);
  assertEquals(parts.slice(0, many.length), parts.slice(many.length));
});

Deno.test("products and norms of several shapes are one kernel on a GPU, and each is right", async () => {
  const device = await deviceAs(false);
  const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });
  const products: [Shape, Shape][] = [[[160, 32], [32, 64]], [[192, 48], [48, 96]], [[224, 32], [
    32,
    64,
  ]]];
  const kernels: number[] = [];
  const product = compile(device, (a: Tensor, b: Tensor) => matmul(a, b));
  for (const [a, b] of products) {
    product.program(
      device.upload(new Float32Array(a[0] * a[1]), a),
      device.upload(new Float32Array(b[0] * b[1]), b),
    );
    kernels.push(device.pipelines.count);
    await checkOp([f32(...a), f32(...b)], matmul, { device, forwardOnly: true });
  }
  assertEquals(new Set(kernels).size, 1, `${kernels}`);
  product.free();
  for (const [c, pixels] of [[64, 100], [128, 60], [64, 700]]) {
    await checkOp(
      [f32(1, 1, pixels, c), f32(c), f32(c)],
      (x, g, b) => groupNorm(x, g, b, { groups: 32 }),
      {
        device,
        forwardOnly: true,
      },
    );
  }
  assert(device.pipelines.count > kernels[0]);
});
