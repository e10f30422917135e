// The WGSL that the CPU device takes, and what it says of the rest: the line, the reason, and the kernel's name.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checked } from "../device/cpu/wgsl/check.ts";
import { WgslError } from "../device/cpu/wgsl/error.ts";
import { BufferUsage } from "../device/usage.ts";
import { cpuDevice, declared, each, refusal, runKernel } from "./support/cpu.ts";

const MAIN = "@compute @workgroup_size(1)\nfn main() {\n";
const inside = (body: string) => `${MAIN}${body}\n}`;

const REFUSED: readonly (readonly [text: string, line: number, reason: string])[] = [
  [inside("workgroupBarrier();"), 3, "barriers (workgroupBarrier) are not supported"],
  [inside("storageBarrier();"), 3, "barriers"],
  ["var<workgroup> tile: array<f32, 4>;", 1, "workgroup memory (tile) is not supported"],
  ["var<private> p: f32;", 1, "var<private> (p) is not supported"],
  ["\n@group(0) @binding(0) var<uniform> p: array<f32>;", 2, "var<uniform>"],
  ["@group(1) @binding(0) var<storage> p: array<f32>;", 1, "bind group 0 only"],
  ["@group(0) @binding(0) var<storage, read_write> a: array<atomic<u32>>;", 1, "atomics"],
  ["struct S { x: f32 }", 1, "structures are not supported"],
  ["override n: u32 = 1u;", 1, "override constants are not supported"],
  ["alias A = f32;", 1, "type aliases"],
  ["enable subgroups;", 1, "the extension subgroups is not supported"],
  [inside("let x = subgroupAdd(1.0);"), 3, "subgroup operations (subgroupAdd)"],
  [
    "@compute @workgroup_size(1) fn main(@builtin(subgroup_size) n: u32) {}",
    1,
    "the builtin subgroup_size is not supported",
  ],
  [inside("switch 1u { default: {} }"), 3, "switch"],
  [inside("var a: array<f32, 4>;"), 3, "arrays inside functions"],
  [inside("let p = &x;"), 3, "pointers"],
  [inside("var m = mat2x2f();"), 3, "matrices (mat2x2f)"],
  [inside("let x = 1.0 +;"), 3, 'expected an expression, found ";"'],
  [inside("let x = y;"), 3, 'there is no variable "y"'],
  [inside("let x = f(1);"), 3, 'there is no function "f"'],
  [inside("let x = 1u + 1i;"), 3, "expected u32, found i32"],
  [inside("let x = 1.5 + 1u;"), 3, "expected u32, found abstract float"],
  [inside("let x: u32 = -1;"), 3, "-1 is no u32"],
  [inside("let x = 4294967296u;"), 3, "4294967296 is no u32"],
  [inside("let x = 1e39f;"), 3, "is no f32"],
  [inside("let x = 1.0 / 0.0;"), 3, "is no"],
  [inside("let x = 1; x = 2;"), 3, '"x" cannot be assigned to'],
  [inside("let x = vec2<f32>(1.0, 2.0).z;"), 3, 'vec2<f32> has no component "z"'],
  [inside("let x = vec2<f32>(1.0)[2];"), 3, "vec2<f32> has no component 2"],
  [inside("let x = vec3<f32>(1.0, 2.0);"), 3, "vec3<f32> is not made of 2 such values"],
  [inside("if 1u { }"), 3, "a condition is a bool, not u32"],
  [inside("break;"), 3, "break stands in no loop"],
  [inside("let a = 1u < 2u & 3u < 4u;"), 3, '"<" beside "&" needs parentheses'],
  [inside("let a = true && false || true;"), 3, '"&&" beside "||" needs parentheses'],
  [inside("let a = 1u << 33u;"), 3, "a shift by more than 31 bits"],
  [inside("let a = exp(1u);"), 3, "exp is not defined for u32"],
  [inside("let a = min(1.0);"), 3, "min takes 2 arguments, not 1"],
  [inside("let a = f16(1.0);"), 3, "f16 is used without `enable f16;`"],
  [inside("let a = 1; let a = 2;"), 3, '"a" is declared twice'],
  [inside("return 1;"), 3, "main returns nothing"],
  ["fn f() -> f32 { if true { return 1.0; } }", 1, "may end without returning a value"],
  ["fn f() { g(); }\nfn g() { f(); }", 1, "f calls itself"],
  ["fn main() {", 1, 'expected "}", found the end of the text'],
  ["/* one /* two */", 1, "a comment does not end"],
  ["fn f() { let € = 1; }", 1, "is no word of WGSL"],
  ["@compute fn main() {}", 1, "@workgroup_size is missing"],
  [`${"(".repeat(300)}`, 1, "expected a declaration"],
  [inside(`let x = ${"(".repeat(300)}1${")".repeat(300)};`), 3, "nested deeper than"],
  [inside(`let x = 1u${" + 1u".repeat(2000)};`), 3, "operators in a row"],
  [declared(["f32"], "f32") + inside("x0[0] = 1.0;"), 4, "the buffer x0 is read only"],
];

Deno.test("what the CPU device has not, or what is no WGSL, is refused by line and reason", () => {
  for (const [text, line, reason] of REFUSED) {
    const error = assertThrows(() => checked(text), WgslError, reason, text.slice(0, 80));
    assertEquals(error.line, line, text.slice(0, 80));
  }
});

Deno.test("a refusal names the kernel, and whatever uses the kernel is refused too", async () => {
  const device = await cpuDevice();
  const code = inside("let x = nothing;");
  const message = await refusal(
    device,
    () => device.createShaderModule({ label: "sum of rows", code }),
  );
  assertEquals(
    message,
    'kernel "sum of rows", line 3: there is no variable "nothing", in: let x = nothing;',
  );
  await assertRejects(() => runKernel(device, code, []), Error, 'kernel "test"');
});

Deno.test("a module without the entry point, and workgroups that are too large, are refused", async () => {
  const device = await cpuDevice();
  const pipeline = (code: string, entryPoint?: string) =>
    refusal(device, () => {
      const module = device.createShaderModule({ code });
      device.createComputePipeline({ label: "k", layout: "auto", compute: { module, entryPoint } });
    });
  assertEquals(
    await pipeline(inside(""), "start"),
    'kernel "k": the module has no entry point "start"; there is main',
  );
  assertEquals(await pipeline("fn main() {}"), 'kernel "k": the module has no entry point "main"');
  assertEquals(await pipeline(inside("")), undefined);
  const large = await pipeline("@compute @workgroup_size(64, 64) fn main() {}");
  assert(large?.includes("64 × 64 × 1 invocations is too large"), large);
});

const COPY = each(8, declared(["f32"], "f32"), "y[i] = x0[i];");

Deno.test("what a dispatch lacks, and what is too much for it, is refused with the kernel's name", async () => {
  const device = await cpuDevice();
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC;
  const buffers = [0, 1].map((i) => device.createBuffer({ label: `b${i}`, size: 256, usage }));
  const module = device.createShaderModule({ code: COPY });
  const pipeline = device.createComputePipeline({
    label: "copier",
    layout: "auto",
    compute: { module },
  });
  const group = (used = buffers) =>
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: used.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  const dispatch = (grid: [number, number, number], bound: boolean, wanted = pipeline) =>
    refusal(device, () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(wanted);
      if (bound) pass.setBindGroup(0, group());
      pass.dispatchWorkgroups(...grid);
      pass.end();
      device.queue.submit([encoder.finish()]);
    });
  assertEquals(await dispatch([1, 1, 1], true), undefined);
  assertEquals(await dispatch([0, 1, 1], true), undefined, "nothing is done, as on WebGPU");
  for (const grid of [[65_536, 1, 1], [1, -1, 1], [1, 1, NaN]] as [number, number, number][]) {
    assertEquals(
      await dispatch(grid, true),
      `kernel "copier": a grid of ${grid} workgroups`,
    );
  }
  assertEquals(await dispatch([1, 1, 1], false), 'kernel "copier": no valid bind group is set');
  const refused = { ...pipeline, kernel: undefined };
  assertEquals(
    await dispatch([1, 1, 1], true, refused),
    'kernel "copier" was refused when it was compiled',
  );
});

Deno.test("bindings of another kind than the kernel's, or too many, are refused with its name", async () => {
  const device = await cpuDevice();
  const create = (code: string, kinds: readonly string[]) =>
    refusal(device, () => {
      const entries = kinds.map((type, binding) => ({ binding, buffer: { type } }));
      const layout = device.createPipelineLayout({
        bindGroupLayouts: [device.createBindGroupLayout({ entries })],
      });
      const module = device.createShaderModule({ label: "k", code });
      device.createComputePipeline({ label: "k", layout, compute: { module } });
    });
  const [read, write] = ["read-only-storage", "storage"];
  assertEquals(await create(COPY, [read, write]), undefined);
  assertEquals(
    await create(COPY, [read, read]),
    'kernel "k": binding 1 is storage, and read-only-storage in the layout',
  );
  assertEquals(
    await create(COPY, [read]),
    'kernel "k": binding 1 is storage, and missing in the layout',
  );
  assertEquals(
    await create(COPY, ["uniform", write]),
    "binding 0: the CPU device binds storage buffers only",
  );
  const many = declared(Array(16).fill("f32"), "f32") +
    inside(`y[0] = ${Array.from({ length: 16 }, (_, i) => `x${i}[0]`).join(" + ")};`);
  const message = await create(many, [...Array(16).fill(read), write]);
  assertEquals(message, "17 buffers, at most 16 can be bound");
});

Deno.test("a buffer over the limit is refused by name and size, and so is one of no size", async () => {
  const device = await cpuDevice();
  const create = (size: number) =>
    refusal(device, () => device.createBuffer({ label: "weights", size, usage: 128 }));
  for (const size of [device.limits.maxBufferSize + 4, -4, NaN, Infinity]) {
    const message = await create(size);
    const most = device.limits.maxBufferSize;
    assertEquals(
      message,
      `the buffer "weights" cannot have ${size} bytes: it may have 0 to ${most}`,
    );
  }
});
