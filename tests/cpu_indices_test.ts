// Indices on the CPU device: what is taken apart, divided term by term, computed before a workgroup's invocations or written
// out for four of them at once is what the kernel's text says.
import { assert, assertEquals } from "@std/assert";
import { blueprint } from "../compile/trace.ts";
import { gpu } from "../device/adapter.ts";
import { CpuDevice } from "../device/cpu/device.ts";
import { checked } from "../device/cpu/wgsl/check.ts";
import { findings } from "../device/cpu/wgsl/ranges.ts";
import type { Expr, Stmt, Variable } from "../device/cpu/wgsl/tree.ts";
import { type Known, sumOf } from "../device/cpu/wasm/sums.ts";
import { BufferUsage } from "../device/usage.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { input } from "../ops/leaf.ts";
import { cpuDevice, declared, runKernel } from "./support/cpu.ts";
import { Draw } from "./support/mutate.ts";

const entry = (workgroup: number, body: string) =>
  `@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
${body}
}`;

/** A sum as text: factors, what they multiply, and the constant. */
function shown(e: Expr): string {
  switch (e.kind) {
    case "const":
      return `${e.values}`;
    case "variable":
      return e.variable.name;
    case "swizzle":
      return `${shown(e.of)}.${"xyz"[e.lanes[0]]}`;
    case "binary":
      return `(${shown(e.left)}${e.op}${shown(e.right)})`;
    case "load":
      return `${e.buffer.name}[${shown(e.index)}]`;
    default:
      return e.kind;
  }
}

/** The index of the one store in a kernel of a grid, as a sum. */
function indexOf(workgroup: number, grid: readonly number[], body: string): string {
  const code = declared(["u32"], "u32") + entry(workgroup, body);
  const [main] = checked(code).functions;
  const found = findings(main, grid);
  const known: Known = {
    even: (e) => found.even.has(e),
    between: (e) => found.between(e),
    opens: (v: Variable) => v.value !== undefined && v.value.kind !== "load",
    quotients: new Map(),
  };
  const store = main.body.find((s): s is Extract<Stmt, { kind: "store" }> => s.kind === "store")!;
  const { terms, constant } = sumOf(store.index, known);
  return [...terms.map((t) => `${t.factor}·${shown(t.of)}`), constant].join(" + ");
}

/** Workgroup, grid, body, the sum of its store's index. */
const SUMS: readonly (readonly [number, number[], string, string])[] = [
  // A row of 80 vectors is a workgroup: the column is the invocation's, the row is the workgroup's.
  [
    80,
    [9, 4, 1],
    "let e = ((wid.y * 9u + wid.x) * 80u + lid) * 4u; y[e % 320u] = 1u;",
    "4·lid + 0",
  ],
  [
    80,
    [9, 4, 1],
    "let e = ((wid.y * 9u + wid.x) * 80u + lid) * 4u; let r = e / 320u; y[r] = 1u;",
    "9·wid.y + 1·wid.x + 0",
  ],
  // Half a row is not enough for the row, and does for the column's part of an invocation.
  [
    40,
    [9, 1, 1],
    "let e = (wid.x * 40u + lid) * 4u; y[e / 320u] = 1u;",
    "1·(e/320) + 0",
  ],
  // Two rows are one workgroup: its part goes, the invocation's division stays.
  [
    160,
    [9, 1, 1],
    "let e = (wid.x * 160u + lid) * 4u; y[e / 320u] = 1u;",
    "2·wid.x + 1·((lid*4)/320) + 0",
  ],
  [16, [9, 1, 1], "y[(wid.x * 64u + lid * 4u + 9u) >> 2u] = 1u;", "16·wid.x + 1·lid + 2"],
  [16, [9, 1, 1], "y[(wid.x * 64u + lid + 9u) % 64u] = 1u;", "1·lid + 9"],
  // What is computed is a multiple of four, as far as is known of it.
  [
    16,
    [9, 1, 1],
    "let c = lid * 4u % 32u; y[(wid.x * 64u + c) >> 2u] = 1u;",
    "16·wid.x + 1·(c/4) + 0",
  ],
  // Past the end of the divisor, past 2³², and of what nobody knows.
  [16, [9, 1, 1], "y[(lid + 1u) % 16u] = 1u;", "1·((lid+1)%16) + 0"],
  [16, [9, 1, 1], "y[(lid + 4294967290u) / 2u] = 1u;", "1·((lid+4294967290)/2) + 0"],
  [16, [9, 1, 1], "y[(x0[lid] * 4u + lid) / 4u] = 1u;", "1·(((x0[lid]*4)+lid)/4) + 0"],
];

Deno.test("an index is a sum of the workgroup's part and the invocation's, where a division allows it", () => {
  for (const [workgroup, grid, body, sum] of SUMS) {
    assertEquals(indexOf(workgroup, grid, body), sum, body);
  }
});

Deno.test("on the CPU a workgroup of an elementwise kernel is a row, or an equal part of one", async () => {
  const { profile } = await gpu({ backend: "cpu", threads: 1 });
  const sizeOf = (cpu: boolean, ...shape: number[]) => {
    const y = add(
      input({ shape, dtype: "f32" }, 0),
      input({ shape: [shape.at(-1)!], dtype: "f32" }, 1),
    );
    const { dispatches: [{ body }] } = blueprint([y], [], { profile: { ...profile, cpu } });
    return Number(body.match(/@workgroup_size\((\d+)\)/)![1]);
  };
  for (
    const [row, group] of [[320, 80], [64, 16], [60, 64], [4096, 256], [2056, 64], [1284, 107]]
  ) {
    assertEquals([row, sizeOf(true, 6, row)], [row, group]);
    assertEquals(sizeOf(false, 6, row), 64);
  }
});

const WORDS = 2 ** 32;
type Numbers = Readonly<Record<string, number>>;

/** A random name with its value: sums, products and digits of what is known, some of which wrap around. */
function drawn(draw: Draw, names: readonly string[]): [text: string, of: (n: Numbers) => number] {
  const a = draw.of(names), b = draw.of(names);
  const k = draw.of([1, 2, 3, 4, 5, 8, 16, 60, 64, 80, 320, 1000]);
  const far = draw.of([7, 12, 4096, WORDS - 4, WORDS - 64, 2 ** 31]);
  const all: [string, (n: Numbers) => number][] = [
    [`${a} + ${b}`, (n) => n[a] + n[b]],
    [`${a} * ${k}u + ${b}`, (n) => Math.imul(n[a], k) + n[b]],
    [`${k}u * (${a} + ${b} * 4u)`, (n) => Math.imul(k, n[a] + Math.imul(n[b], 4))],
    [`${a} + ${far}u`, (n) => n[a] + far],
    [`${a} - ${k}u`, (n) => n[a] - k],
    [`${a} << ${k % 7}u`, (n) => n[a] << (k % 7)],
    [`${a} / ${k}u`, (n) => Math.floor(n[a] / k)],
    [`${a} % ${k}u`, (n) => n[a] % k],
    [`(${a} * 4u + ${b}) / ${k}u`, (n) => Math.floor(((Math.imul(n[a], 4) + n[b]) >>> 0) / k)],
    [`(${a} * ${k}u + ${b}) % ${4 * k}u`, (n) => ((Math.imul(n[a], k) + n[b]) >>> 0) % (4 * k)],
    [`(${a} * 16u + ${far}u) >> 2u`, (n) => ((Math.imul(n[a], 16) + far) >>> 0) >>> 2],
    [`select(${a}, ${b}, ${a} < ${k}u)`, (n) => n[a] < k ? n[b] : n[a]],
  ];
  return draw.of(all);
}

/** A random kernel on `read` numbers, and what it writes. */
function kernelOf(draw: Draw, read: Uint32Array) {
  const group = draw.of([1, 4, 16, 20, 64, 80]), gx = 1 + draw.below(7), gy = 1 + draw.below(3);
  const names = ["lid", "wx", "wy", "i"];
  const lines = [
    "let wx = wid.x;",
    "let wy = wid.y;",
    `let i = (wy * ${gx}u + wx) * ${group}u + lid;`,
  ];
  const steps: ((n: Record<string, number>) => void)[] = [];
  for (let s = 0; s < 8; s++) {
    const name = `v${s}`, [text, of] = drawn(draw, names);
    lines.push(`let ${name} = ${text};`);
    steps.push((n) => n[name] = of(n) >>> 0);
    names.push(name);
  }
  const last = names.at(-1)!, [at, above] = [draw.of(names), draw.of(names)];
  const [size, off] = [read.length, draw.below(5)];
  const [guard, text] = [draw.of(names), draw.of(names)];
  lines.push(
    `var sum = ${last} ^ x0[${at} % ${size}u];`,
    // Sure, unsure, guarded, and in a loop.
    `sum = sum * 31u + x0[${at} % ${size - off}u + ${off}u];`,
    `sum = sum * 31u + x0[${above}];`,
    `if ((${guard} >= 8u) & (${guard} < 40u)) { sum = sum * 31u + x0[${guard} * 2u + ${
      WORDS - 16
    }u]; }`,
    draw.chance(0.5)
      ? `for (var k = 0u; k < 3u; k++) { sum = sum * 31u + x0[(${text} % 64u * 4u + k * 16u) >> 2u]; }`
      : "",
    "y[i] = y[i] ^ sum;",
  );
  const loops = lines.at(-2) !== "";
  const right = Uint32Array.from({ length: group * gx * gy }, (_, i) => {
    const group_ = Math.floor(i / group);
    const n: Record<string, number> = {
      i,
      lid: i % group,
      wx: group_ % gx,
      wy: Math.floor(group_ / gx),
    };
    for (const step of steps) step(n);
    let sum = n[last] ^ read[n[at] % size];
    const join = (v: number) => sum = (Math.imul(sum, 31) + v) >>> 0;
    join(read[n[at] % (size - off) + off]);
    join(read[n[above]] ?? 0);
    if (n[guard] >= 8 && n[guard] < 40) join(read[n[guard] * 2 - 16]);
    if (loops) { for (let k = 0; k < 3; k++) join(read[(n[text] % 64 * 4 + k * 16) >>> 2]); }
    return (i ^ sum) >>> 0;
  });
  const code = declared(["u32"], "u32") + entry(group, lines.join("\n"));
  return { code, grid: [gx, gy] as const, right };
}

const TRIES = Number(Deno.env.get("MOONGATE_FUZZ") ?? 200);
const SEED = Number(Deno.env.get("MOONGATE_FUZZ_SEED") ?? 1);

Deno.test("random indices are what their text says, with addresses of 32 bits and of 64", async () => {
  const wide = await CpuDevice.open({ threads: 1, narrow: 100 });
  wide.createBuffer({ size: 20 << 20, usage: BufferUsage.STORAGE });
  assert(wide.memory.kind.wide);
  const read = Uint32Array.from({ length: 512 }, (_, i) => Math.imul(i + 1, 2654435761));
  for (let t = 0; t < TRIES; t++) {
    const { code, grid, right } = kernelOf(new Draw(SEED * 1000 + t), read);
    for (const device of [await cpuDevice(), wide]) {
      const [, y] = await runKernel(device, code, [read, right.map((_, i) => i)], grid);
      assertEquals(y, right, `try ${t} of seed ${SEED}\n${code}`);
    }
  }
  wide.destroy();
});
