// Transcendental functions of the CPU device: within 2 units in the last place of float64, over all exponents.
// `MOONGATE_MATH` is how many mantissas of each exponent are tried, 8388608 for every number there is.
import { assert, assertEquals } from "@std/assert";
import { cpuDevice, declared, each, runKernel } from "./support/cpu.ts";

/** Mantissas of each exponent. */
const PER = Number(Deno.env.get("MOONGATE_MATH") ?? 257);
/** Numbers that go through a kernel at once. */
const BATCH = 1 << 20;

const SPECIAL = [
  0,
  -0,
  Infinity,
  -Infinity,
  NaN,
  1,
  -1,
  0.5,
  2,
  88.72283,
  88.72284,
  -103.97208,
  // Next to whole numbers of quarter turns: nothing of an f32 comes nearer than the first.
  16367173 * 2 ** 72,
  11605069 * 2 ** -19,
  Math.fround(Math.PI / 2),
  Math.fround(Math.PI),
  Math.fround(100 * Math.PI),
  2 ** 20,
  2 ** 20 - 0.0625,
  3.4028234663852886e38,
];

/** Numbers of every exponent and both signs, each with the same mantissas, and what is special: in batches. */
function* numbers(per = PER): Generator<Float32Array<ArrayBuffer>> {
  const floats = new Float32Array(BATCH);
  const bits = new Uint32Array(floats.buffer);
  floats.set(SPECIAL);
  let n = SPECIAL.length;
  for (let exponent = 0; exponent < 255; exponent++) {
    for (let m = 0; m < per; m++) {
      const mantissa = per >= 2 ** 23
        ? m
        : m === per - 1
        ? 0x7fffff
        : Math.floor(m * 0x800000 / per * 1.0007) & 0x7fffff;
      for (const sign of [0, 1]) bits[n++] = sign << 31 | exponent << 23 | mantissa;
      if (n >= BATCH - 1) {
        yield floats.slice(0, n & ~3);
        n = 0;
      }
    }
  }
  yield floats.slice(0, n + 3 & ~3);
}

/** Distance in units in the last place of the exact value; 0 for equal infinities and NaN. */
function ulps(actual: number, exact: number): number {
  if (Number.isNaN(exact)) return Number.isNaN(actual) ? 0 : Infinity;
  const rounded = Math.fround(exact);
  if (!Number.isFinite(rounded)) {
    // What rounds to infinity may be the largest number, and the other way round.
    return actual === rounded || Math.abs(actual) === 3.4028234663852886e38 ? 0 : Infinity;
  }
  if (!Number.isFinite(actual)) return Math.abs(exact) > 3.40282e38 ? 1 : Infinity;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(rounded) || 2 ** -149)));
  return Math.abs(actual - exact) / 2 ** (exponent - 23);
}

const FUNCTIONS: Readonly<Record<string, (x: number) => number>> = {
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  log: Math.log,
  log2: Math.log2,
  tanh: Math.tanh,
  sqrt: Math.sqrt,
  inverseSqrt: (x) => 1 / Math.sqrt(x),
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
};

for (const [name, exact] of Object.entries(FUNCTIONS)) {
  Deno.test(`${name} on the CPU device is within 2 ulp over all exponents, and a lane has the bits of a scalar`, async () => {
    const device = await cpuDevice();
    let worst = 0;
    let at = [0, 0];
    for (const x of numbers()) {
      const n = x.length;
      const four = each(n / 4, declared(["vec4<f32>"], "vec4<f32>"), `y[i] = ${name}(x0[i]);`);
      const one = each(n, declared(["f32"], "f32"), `y[i] = ${name}(x0[i]);`);
      const [, y] = await runKernel(device, four, [x, new Float32Array(n)], [Math.ceil(n / 256)]);
      const [, z] = await runKernel(device, one, [x, new Float32Array(n)], [Math.ceil(n / 64)]);
      for (let i = 0; i < n; i++) {
        const e = ulps(y[i], exact(x[i]));
        if (!(e <= worst)) [worst, at] = [e, [x[i], y[i]]];
      }
      assertEquals(new Uint32Array(z.buffer), new Uint32Array(y.buffer));
    }
    assert(worst <= 2, `${name}(${at[0]}) is ${at[1]}, not ${exact(at[0])}: ${worst} ulp`);
    if (PER > 257) console.log(`${name}: at most ${worst.toFixed(3)} ulp, at ${at[0]}`);
  });
}

Deno.test("odd functions keep the sign of zero on the CPU device", async () => {
  const odd = ["sin", "tan", "asin", "atan", "sinh", "asinh", "atanh", "tanh"];
  const x = Float32Array.of(0, -0, 2 ** -149, -(2 ** -149));
  for (const name of odd) {
    const code = each(1, declared(["vec4<f32>"], "vec4<f32>"), `y[i] = ${name}(x0[i]);`);
    const [, y] = await runKernel(await cpuDevice(), code, [x, new Float32Array(4)]);
    assertEquals(y, x, name);
  }
});

/** A function of two numbers for each pair of them. */
async function ofPairs(name: string, a: readonly number[], b: readonly number[]) {
  const pairs = a.flatMap((x) => b.map((y) => [Math.fround(x), Math.fround(y)] as const));
  while (pairs.length % 4) pairs.push([1, 1]);
  const [x, y] = [0, 1].map((i) => Float32Array.from(pairs, (p) => p[i]));
  const n = pairs.length;
  const device = await cpuDevice();
  const run = async (type: string, steps: number) => {
    const code = each(steps, declared([type, type], type), `y[i] = ${name}(x0[i], x1[i]);`);
    const groups = [Math.ceil(steps / 64)] as const;
    return (await runKernel(device, code, [x, y, new Float32Array(n)], groups))[2];
  };
  const values = await run("vec4<f32>", n / 4);
  assertEquals(new Uint32Array((await run("f32", n)).buffer), new Uint32Array(values.buffer));
  return pairs.map(([x, y], i) => ({ x, y, value: values[i] }));
}

/** IEEE 754's pow. JavaScript's differs where the base is 1 or −1. */
const ieee = (x: number, y: number): number =>
  x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;

const ENDS = [0, -0, Infinity, -Infinity, NaN, 1, -1, 2 ** -149, 2 ** 127, -(2 ** 127)];

Deno.test("pow on the CPU device is within 2 ulp, with IEEE's answers for 0, 1, ∞ and NaN", async () => {
  const bases = [...numbers(9)].flatMap((x) => [...x]);
  const powers = [0.5, 2, 3, -2.5, 17.25, 100, 1e-3, 1 / 3, -7, 16777217, 2 ** 23 + 1, 1e9];
  const near = [-3, -2, -1, 1, 2, 3].map((n) => 1 + n * 2 ** -23);
  for (
    const { x, y, value } of [
      ...await ofPairs("pow", [...bases, ...ENDS, ...near], [...powers, ...ENDS]),
      ...await ofPairs("pow", near, [1e7, -1e7, 7e8, -7e8]),
    ]
  ) {
    const exact = ieee(x, y);
    assert(ulps(value, exact) <= 2, `${x} ** ${y} is ${value}, not ${exact}`);
    if (exact === 0) assertEquals(value, exact, `${x} ** ${y}`);
  }
});

Deno.test("atan2 on the CPU device is within 2 ulp, in all quarters and at their ends", async () => {
  const sides = [...numbers(2)].flatMap((x) => [...x]).concat(ENDS, [0.4, -0.4, 3, -3, 1e-20]);
  for (const { x: y, y: x, value } of await ofPairs("atan2", sides, sides)) {
    const exact = Math.atan2(y, x);
    assert(ulps(value, exact) <= 2, `atan2(${y}, ${x}) is ${value}, not ${exact}`);
    if (exact === 0) assertEquals(value, exact, `atan2(${y}, ${x})`);
  }
});

Deno.test("f16 on the CPU device is rounded as Float16Array rounds, whatever the number", async () => {
  const device = await cpuDevice();
  for (const x of numbers(Math.max(PER, 1025))) {
    const code = "enable f16;\n" +
      each(x.length / 4, declared(["vec4<f32>"], "vec4<f16>"), "y[i] = vec4<f16>(x0[i]);");
    const groups = Math.ceil(x.length / 256);
    const [, y] = await runKernel(device, code, [x, new Uint16Array(x.length)], [groups]);
    const expected = new Uint16Array(new Float16Array(x).buffer);
    for (let i = 0; i < x.length; i++) {
      if (Number.isNaN(x[i])) assert((y[i] & 0x7fff) > 0x7c00, `${x[i]} became ${y[i]}`);
      else assertEquals(y[i], expected[i], `${x[i]}`);
    }
  }
  // Numbers in the middle between two f16.
  const ties = Float32Array.from({ length: 1 << 16 }, (_, i) => {
    const [low] = new Float16Array(Uint16Array.of(i & 0x7bff).buffer);
    const [high] = new Float16Array(Uint16Array.of((i & 0x7bff) + 1).buffer);
    return (i & 0x8000 ? -1 : 1) * (Number.isFinite(high) ? (low + high) / 2 : 65520);
  });
  const code = "enable f16;\n" +
    each(ties.length, declared(["f32"], "f16"), "y[i] = f16(x0[i]);");
  const [, y] = await runKernel(device, code, [ties, new Uint16Array(ties.length)], [1024]);
  assertEquals(y, new Uint16Array(new Float16Array(ties).buffer));
});

Deno.test("every f16 is read as what it is, alone, four at a time, in all lanes and from words", async () => {
  const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const exact = new Float32Array(new Float16Array(halves.buffer));
  const device = await cpuDevice();
  for (
    const [steps, from, to, value] of [
      [16384, "vec4<f16>", "vec4<f32>", "vec4<f32>(x0[i])"],
      [32768, "vec2<f16>", "vec2<f32>", "vec2<f32>(x0[i])"],
      [65536, "f16", "f32", "f32(x0[i])"],
      [65536, "f16", "f32", "vec4<f32>(f32(x0[i])).z"],
      [32768, "u32", "vec2<f32>", "unpack2x16float(x0[i])"],
    ] as const
  ) {
    const code = "enable f16;\n" + each(steps, declared([from], to), `y[i] = ${value};`);
    const [, z] = await runKernel(device, code, [halves, new Float32Array(65536)], [steps / 64]);
    for (let i = 0; i < 65536; i++) assertEquals(z[i], exact[i], `half ${i} as ${from}`);
  }
});
