// Transcendental functions of the CPU device: within 2 units in the last place of float64, over all exponents.
import { assert, assertEquals } from "@std/assert";
import { cpuDevice, declared, each, runKernel } from "./support/cpu.ts";

/** Numbers of every exponent and both signs: each with the same `per` mantissas, and what is special. */
function numbers(per: number): Float32Array<ArrayBuffer> {
  const bits: number[] = [];
  for (let exponent = 0; exponent < 255; exponent++) {
    for (let m = 0; m < per; m++) {
      const mantissa = m === per - 1
        ? 0x7fffff
        : Math.floor(m * 0x800000 / per * 1.0007) & 0x7fffff;
      for (const sign of [0, 1]) bits.push((sign << 31 | exponent << 23 | mantissa) >>> 0);
    }
  }
  const special = [0, -0, Infinity, -Infinity, NaN, 1, -1, 0.5, 2, 88.72283, 88.72284, -103.97208];
  const plain = new Float32Array(Uint32Array.from(bits).buffer);
  const all = new Float32Array(Math.ceil((plain.length + special.length) / 4) * 4);
  all.set(plain);
  all.set(special, plain.length);
  return all;
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
  log: (x) => x < 0 ? NaN : Math.log(x),
  log2: (x) => x < 0 ? NaN : Math.log2(x),
  tanh: Math.tanh,
  sqrt: Math.sqrt,
  inverseSqrt: (x) => 1 / Math.sqrt(x),
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
};

for (const [name, exact] of Object.entries(FUNCTIONS)) {
  Deno.test(`${name} on the CPU device is within 2 ulp over all exponents, and a lane has the bits of a scalar`, async () => {
    const x = numbers(257);
    const n = x.length;
    const device = await cpuDevice();
    const four = each(n / 4, declared(["vec4<f32>"], "vec4<f32>"), `y[i] = ${name}(x0[i]);`);
    const one = each(n, declared(["f32"], "f32"), `y[i] = ${name}(x0[i]);`);
    const [, y] = await runKernel(device, four, [x, new Float32Array(n)], [Math.ceil(n / 256)]);
    const [, z] = await runKernel(device, one, [x, new Float32Array(n)], [Math.ceil(n / 64)]);
    let worst = 0;
    let at = 0;
    for (let i = 0; i < n; i++) {
      const e = ulps(y[i], exact(x[i]));
      if (e > worst) [worst, at] = [e, i];
    }
    assert(worst <= 2, `${name}(${x[at]}) is ${y[at]}, not ${exact(x[at])}: ${worst} ulp`);
    assertEquals(new Uint32Array(z.buffer), new Uint32Array(y.buffer));
  });
}

Deno.test("pow on the CPU device is within 2 ulp", async () => {
  const powers = [0, 1, -1, 0.5, 2, 3, -2.5, 17.25, 100, 1e-3];
  const base = numbers(9).filter((x) => !(x < 0) && !Object.is(x, -0) && !Number.isNaN(x));
  const x = new Float32Array(base.length * powers.length);
  const e = new Float32Array(x.length);
  base.forEach((b, i) =>
    powers.forEach((p, j) => {
      x[i * powers.length + j] = b;
      e[i * powers.length + j] = p;
    })
  );
  const code = each(x.length, declared(["f32", "f32"], "f32"), "y[i] = pow(x0[i], x1[i]);");
  const y = (await runKernel(
    await cpuDevice(),
    code,
    [x, e, new Float32Array(x.length)],
    [Math.ceil(x.length / 64)],
  ))[2];
  for (let i = 0; i < x.length; i++) {
    const exact = x[i] ** e[i];
    assert(ulps(y[i], exact) <= 2, `${x[i]} ** ${e[i]} is ${y[i]}, not ${exact}`);
  }
});

Deno.test("f16 on the CPU device is rounded as Float16Array rounds, whatever the number", async () => {
  const x = numbers(1025);
  const code = "enable f16;\n" +
    each(x.length / 4, declared(["vec4<f32>"], "vec4<f16>"), "y[i] = vec4<f16>(x0[i]);");
  const groups = Math.ceil(x.length / 256);
  const device = await cpuDevice();
  const [, y] = await runKernel(device, code, [x, new Uint16Array(x.length)], [groups]);
  const expected = new Uint16Array(new Float16Array(x).buffer);
  for (let i = 0; i < x.length; i++) {
    if (Number.isNaN(x[i])) assert((y[i] & 0x7fff) > 0x7c00, `${x[i]} became ${y[i]}`);
    else assertEquals(y[i], expected[i], `${x[i]}`);
  }
  const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const back = "enable f16;\n" +
    each(65536 / 4, declared(["vec4<f16>"], "vec4<f32>"), "y[i] = vec4<f32>(x0[i]);");
  const [, z] = await runKernel(device, back, [halves, new Float32Array(65536)], [256]);
  const exact = new Float16Array(halves.buffer);
  for (let i = 0; i < 65536; i++) assertEquals(z[i], exact[i], `half ${i}`);
});
