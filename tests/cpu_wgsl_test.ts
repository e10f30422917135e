// What the CPU device computes: WGSL's statements and operators, and indices past the end of a buffer.
import { assertEquals } from "@std/assert";
import { cpuDevice, declared, each, runKernel } from "./support/cpu.ts";

const inside = (body: string) => `@compute @workgroup_size(1)\nfn main() {\n${body}\n}`;

/** Kernels on small buffers: the statement, what `y` is before, and after. */
const RESULTS: readonly (readonly [type: string, body: string, after: readonly number[]])[] = [
  // Loops, jumps and functions.
  ["u32", "for (var k = 0u; k < 8u; k++) { if (k == 3u) { continue; } y[k] = k; }", [
    0,
    1,
    2,
    0,
    4,
    5,
    6,
    7,
  ]],
  ["u32", "var k = 0u; while k < 3u { y[k] = 1u; k += 1u; }", [1, 1, 1, 0, 0, 0, 0, 0]],
  ["u32", "var k = 0u; loop { if k > 2u { break; } y[k] = 2u; continuing { k++; } }", [
    2,
    2,
    2,
    0,
    0,
    0,
    0,
    0,
  ]],
  ["u32", "var k = 0u; loop { y[k] = 3u; continuing { k++; break if k == 2u; } }", [
    3,
    3,
    0,
    0,
    0,
    0,
    0,
    0,
  ]],
  [
    "u32",
    "for (var a = 0u; a < 2u; a++) { var b = 0u; for (; b < 2u; b++) { y[a * 2u + b] = a + b; } }",
    [
      0,
      1,
      1,
      2,
      0,
      0,
      0,
      0,
    ],
  ],
  ["u32", "let t = 1u; { let t = 2u; y[0] = t; } y[1] = t;", [2, 1, 0, 0, 0, 0, 0, 0]],
  ["u32", "y[0] = twice(3u); y[1] = first(5u);", [6, 5, 0, 0, 0, 0, 0, 0]],
  // An index that is counted in vectors is divided term by term, but not where it wrapped around before.
  ["u32", "for (var k = 0u; k < 3u; k++) { let e = (k + 1u) * 4u; y[(e + 8u) >> 2u] = k + 1u; }", [
    0,
    0,
    0,
    1,
    2,
    3,
    0,
    0,
  ]],
  ["u32", "for (var k = 0u; k < 4u; k++) { let e = k * 6u; y[e / 4u] += k + 1u; }", [
    1,
    2,
    0,
    3,
    4,
    0,
    0,
    0,
  ]],
  ["u32", "y[7] = 5u; let z = y[7]; y[(z * 0x40000000u) >> 29u] = 9u;", [0, 0, 9, 0, 0, 0, 0, 5]],
  // A `let` keeps the value that it was given.
  ["u32", "var k = 0u; let t = k + 1u; for (; k < 4u; k++) { y[t] = k; }", [
    0,
    3,
    0,
    0,
    0,
    0,
    0,
    0,
  ]],
  ["u32", "var k = 1u; let t = k; k = 5u; y[t] = k;", [0, 5, 0, 0, 0, 0, 0, 0]],
  // Whole numbers.
  [
    "u32",
    "let z = y[7]; y[0] = 7u / z; y[1] = 7u % z; y[2] = 7u / (z + 2u); y[3] = 7u % (z + 4u);",
    [
      7,
      0,
      3,
      3,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "i32",
    "let m = -2147483647 - 1; let z = y[7]; y[0] = (m + z) / (z - 1); y[1] = (m + z) % (z - 1); y[2] = -7 / (z + 2); y[3] = -7 % (z + 4);",
    [
      -2147483648,
      0,
      -3,
      -3,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "u32",
    "y[0] = 4294967295u + y[7] + 2u; y[1] = 1u << (y[7] + 33u); y[2] = 3000000000u * (y[7] + 2u);",
    [
      1,
      2,
      1705032704,
      0,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "i32",
    "let v = vec4<i32>(7, -7, 7, -7) / vec4<i32>(2, 2, y[7], -2); y[0] = v.x; y[1] = v.y; y[2] = v.z; y[3] = v.w;",
    [
      3,
      -3,
      7,
      3,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "u32",
    "let v = vec4<u32>(1u, 2u, 3u, 4u) << vec4<u32>(y[7] + 1u, 2u, 3u, 4u); y[0] = v.x; y[1] = v[1]; y[2] = v[y[7] + 2u];",
    [
      2,
      8,
      24,
      0,
      0,
      0,
      0,
      0,
    ],
  ],
  // Floats to whole numbers: saturated, NaN becomes 0.
  [
    "i32",
    "let z = f32(y[7]); y[0] = i32(3e9 + z); y[1] = i32(-3e9 + z); y[2] = i32(z / z); y[3] = i32(-1.9 + z);",
    [
      2147483647,
      -2147483648,
      0,
      -1,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "u32",
    "let z = f32(y[7]); y[0] = u32(-1.0 + z); y[1] = u32(1e20 + z); y[2] = u32(2.9 + z); y[3] = u32(z == 0.0); y[4] = u32(bool(y[7]));",
    [
      0,
      4294967295,
      2,
      1,
      0,
      0,
      0,
      0,
    ],
  ],
  // Vectors.
  [
    "f32",
    "var v = vec3<f32>(1.0, 2.0, 3.0); v.y = 5.0; v[y32()] = 7.0; y[0] = v.x; y[1] = v.y; y[2] = v.z; y[3] = dot(v, v.zyx);",
    [
      1,
      5,
      7,
      39,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "f32",
    "let v = vec4<f32>(vec2<f32>(1.0, 2.0), vec2<f32>(3.0, 4.0)).wzyx; let w = vec4(v.x, v.yz, 9.0); y[0] = v.x; y[1] = v.w; y[2] = w.z; y[3] = w.w;",
    [
      4,
      1,
      2,
      9,
      0,
      0,
      0,
      0,
    ],
  ],
  [
    "f32",
    "let m = vec2<f32>(1.0, 3.0) < vec2<f32>(2.0); let s = select(vec2<f32>(5.0), vec2<f32>(6.0), m); y[0] = s.x; y[1] = s.y; y[2] = f32(all(m)); y[3] = f32(any(m)); y[4] = select(1.0, 2.0, m.y);",
    [
      6,
      5,
      0,
      1,
      1,
      0,
      0,
      0,
    ],
  ],
  [
    "f32",
    "y[0] = round(2.5 + y[7]); y[1] = round(-3.5 + y[7]); y[2] = sign(-4.0 + y[7]); y[3] = fract(-0.25 + y[7]); y[4] = clamp(9.0 + y[7], 0.0, 4.0); y[5] = trunc(-1.5 + y[7]); y[6] = -7.5 % (y[7] + 2.0);",
    [
      2,
      -4,
      -1,
      0.75,
      4,
      -1,
      -1.5,
      0,
    ],
  ],
  [
    "f32",
    "y[0] = mix(2.0, 4.0, 0.25 + y[7]); y[1] = step(1.0, y[7]); y[2] = saturate(3.0 + y[7]); y[3] = fma(2.0, 3.0, 1.0 + y[7]); y[4] = unpack2x16float(pack2x16float(vec2<f32>(1.5, -2.0))).y;",
    [
      2.5,
      0,
      1,
      7,
      -2,
      0,
      0,
      0,
    ],
  ],
];

const HELPERS = `fn twice(x: u32) -> u32 { return x * 2u; }
fn first(x: u32) -> u32 { for (var k = 0u;; k++) { if k == x { return k; } } }
fn y32() -> u32 { return 2u; }`;

Deno.test("statements and operators give what WGSL says", async () => {
  const device = await cpuDevice();
  for (const [type, body, after] of RESULTS) {
    const array = { u32: Uint32Array, i32: Int32Array, f32: Float32Array }[type]!;
    const code = `${declared([], type)}\n${HELPERS}\n${inside(body)}`;
    const [y] = await runKernel(device, code, [new array(8)]);
    assertEquals(Array.from(y), after.map((v) => v === 0 ? 0 : v), body);
  }
});

Deno.test("invocations know where they are", async () => {
  const code = `${declared([], "u32")}
@compute @workgroup_size(2, 3, 1)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>,
  @builtin(global_invocation_id) g: vec3<u32>, @builtin(num_workgroups) n: vec3u,
  @builtin(local_invocation_index) i: u32) {
  let at = ((w.z * n.y + w.y) * n.x + w.x) * 6u + i;
  y[at] = g.x + 100u * g.y + 10000u * l.y + 100000u * g.z;
}`;
  const [y] = await runKernel(await cpuDevice(), code, [new Uint32Array(6 * 12)], [2, 3, 2]);
  let at = 0;
  for (let z = 0; z < 2; z++) {
    for (let wy = 0; wy < 3; wy++) {
      for (let wx = 0; wx < 2; wx++) {
        for (let ly = 0; ly < 3; ly++) {
          for (let lx = 0; lx < 2; lx++) {
            assertEquals(y[at++], wx * 2 + lx + 100 * (wy * 3 + ly) + 10000 * ly + 100000 * z);
          }
        }
      }
    }
  }
});

Deno.test("reads past the end of a buffer give 0 and writes vanish, whatever the index is made of", async () => {
  const device = await cpuDevice();
  const indices = [
    "4u",
    "x1[0]",
    "x1[1]",
    "u32(bitcast<f32>(x1[2])) + 4294967295u",
    "u32(1e30 + f32(x1[0]))",
    "(x1[3] - 1u)",
    "4294967295u",
  ];
  for (const type of ["f32", "vec2<f32>", "vec4<f32>", "u32", "vec3<f32>"]) {
    const lanes = Number(/\\d/.exec(type)?.[0] ?? /vec(\d)/.exec(type)?.[1] ?? 1);
    const stride = lanes === 3 ? 4 : lanes;
    for (const index of indices) {
      const scalar = type.includes("u32") ? "u32" : "f32";
      const code = `${declared([type, "u32"], type)}
${
        inside(
          `y[1] = x0[${index}]; y[${index}] = ${type}(${scalar}(7)); y[0] = ${type}(${scalar}(1));
for (var k = 2u; k < 9u; k++) { y[k] = x0[k + 1u]; }`,
        )
      }`;
      const x0 = type === "u32" ? new Uint32Array(4).fill(9) : new Float32Array(4 * stride).fill(9);
      const x1 = Uint32Array.of(5, 0xffffffff, 0x7fc00000, 0);
      const y = type === "u32" ? new Uint32Array(4).fill(5) : new Float32Array(4 * stride).fill(5);
      const after = (await runKernel(device, code, [x0, x1, y]))[2];
      const row = (k: number) => Array.from(after.subarray(k * stride, k * stride + lanes));
      const expected = [1, 0, 9, 0].map((v) => Array(lanes).fill(v));
      assertEquals([0, 1, 2, 3].map(row), expected, `${type} at ${index}`);
    }
  }
});

Deno.test("f16, components and indices below 0 keep the rule: reads give 0, writes vanish", async () => {
  const device = await cpuDevice();
  for (
    const [type, make] of [["f16", "f16"], ["vec2<f16>", "vec2<f16>"], ["vec4<f16>", "vec4<f16>"]]
  ) {
    const lanes = Number(/vec(\d)/.exec(type)?.[1] ?? 1);
    const code = "enable f16;\n" + declared([type, "i32"], type) + inside(
      `y[1] = x0[x1[0]]; y[x1[0]] = ${make}(f16(7)); y[x1[1]] = ${make}(f16(7)); y[0] = x0[x1[2]]; y[2] = x0[x1[1]];`,
    );
    const ones = new Uint16Array(4 * lanes).fill(0x3c00);
    const index = Int32Array.of(-1, 4, 3);
    const y = (await runKernel(device, code, [ones, index, new Uint16Array(ones)]))[2];
    const rows = [0, 1, 2, 3].map((k) => [...y.subarray(k * lanes, (k + 1) * lanes)]);
    assertEquals(rows, [0x3c00, 0, 0, 0x3c00].map((v) => Array(lanes).fill(v)), type);
  }
  const code = declared(["i32"], "vec4<f32>") +
    inside("y[x0[0]].y = 7.0; y[x0[1]][x0[2]] = 7.0; y[1].z = 5.0; y[1][x0[3]] = 4.0;");
  const [, y] = await runKernel(device, code, [Int32Array.of(2, -5, 1, 0), new Float32Array(8)]);
  assertEquals([...y], [0, 0, 0, 0, 4, 0, 5, 0]);
});

Deno.test("an index that is NaN as a number reads the first element", async () => {
  const code = declared(["f32"], "f32") + each(1, "", "y[0] = x0[u32(x0[1])];");
  const [, y] = await runKernel(await cpuDevice(), code, [
    Float32Array.of(3, NaN),
    new Float32Array(1),
  ]);
  assertEquals(y[0], 3);
});

Deno.test("a test that never holds is left out, one that holds for some invocation or some call is not", async () => {
  const device = await cpuDevice();
  // Of 64, 65 and 128 things to do; and a function that is called with a number for which its test holds, and with one for which not.
  for (const n of [64, 65, 128]) {
    const [y] = await runKernel(device, declared([], "u32") + each(n, "", "y[i] = i + 1u;"), [
      new Uint32Array(128),
    ], [Math.ceil(n / 64)]);
    assertEquals([...y], Array.from({ length: 128 }, (_, i) => i < n ? i + 1 : 0));
  }
  for (const calls of ["f(3u) * 10u + f(9u)", "f(9u) * 10u + f(3u)", "f(3u) * 10u + f(4u)"]) {
    const code = declared([], "u32") +
      each(
        1,
        "fn f(v: u32) -> u32 { if (v > 5u) { return 2u; } else { return 1u; } }",
        `y[0] = ${calls};`,
      );
    const of = (v: string) => Number(v) > 5 ? 2 : 1;
    const [, a, b] = calls.match(/f\((\d)u\).*f\((\d)u\)/)!;
    assertEquals([...(await runKernel(device, code, [new Uint32Array(1)]))[0]], [
      of(a) * 10 + of(b),
    ]);
  }
  // What wraps around is not taken for small.
  const wrapped = declared(["u32"], "u32") +
    each(1, "", "if (x0[0] + 4294967295u < 7u) { y[0] = 5u; }");
  assertEquals(
    [...(await runKernel(device, wrapped, [Uint32Array.of(3), new Uint32Array(1)]))[1]],
    [5],
  );
});
