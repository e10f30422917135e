// What doctor says: which device, why, how many threads, how fast; and what will run on it.
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { AdapterFacts } from "../cli/doctor/adapter.ts";
import { describe, type Facts } from "../cli/doctor/describe.ts";
import { judge } from "../cli/doctor/judge.ts";
import { measure } from "../cli/doctor/measure.ts";
import type { CpuFacts } from "../device/device.ts";
import { gpu } from "../device/adapter.ts";
import { wakeThreads } from "../device/cpu.ts";
import { NO_DRIVER, webgpuAnswers } from "./support/adapters.ts";

const ADAPTER: AdapterFacts = {
  description: "a card",
  vendor: "",
  software: false,
  features: ["shader-f16"],
  limits: {
    maxBufferSize: 2 ** 31,
    maxStorageBufferBindingSize: 2 ** 31,
    maxStorageBuffersPerShaderStage: 16,
    maxComputeWorkgroupStorageSize: 2 ** 15,
    maxComputeInvocationsPerWorkgroup: 256,
  },
};
const CPU: CpuFacts = {
  threads: 8,
  cores: 8,
  relaxedSimd: true,
  sharedMemory: true,
  memory64: true,
};
const named = { vendor: "", features: [], software: false, largestBuffer: 2 ** 31 };
const ON_CARD = {
  ...named,
  backend: "webgpu",
  description: "a card",
  why: "a GPU answers",
} as const;
const ON_CPU = {
  ...{ ...named, backend: "cpu", description: "CPU (WebAssembly, 8 threads)" } as const,
  ...{ why: "no adapter of WebGPU answers", cpu: CPU },
};
const FACTS: Facts = {
  versions: { moongate: "1.2.3", deno: "2.9.6", v8: "15.0", platform: "linux x86_64" },
  device: ON_CPU,
  verdicts: [],
};
const MEASURED = {
  product: { size: 1024, perSecond: 4.16e10 },
  copy: { bytes: 2 ** 26, perSecond: 1.25e10 },
  ...{ dispatch: 5.6e-7, thereAndBack: 7e-6, wake: 9.5e-5 },
};

Deno.test("doctor judges by the limits of what computes, and never promises on an adapter that computes wrong", () => {
  const runs = (adapter?: AdapterFacts, device: Parameters<typeof judge>[0] = ON_CARD) =>
    judge(device, adapter).map(({ runs }) => runs).join(" ");
  assertEquals(runs(ADAPTER), "yes yes yes");
  assertEquals(runs({ ...ADAPTER, software: true }), "slowly slowly yes");
  const narrow = { ...ADAPTER, limits: { maxStorageBufferBindingSize: 2 ** 26 } };
  assertEquals(runs(narrow), "yes yes yes");
  const why = (largestBuffer: number, adapter = ADAPTER) =>
    judge({ ...ON_CARD, largestBuffer }, adapter)[1].why;
  const both = "2.13 GB of weights in f16, 4.27 GB in f32";
  assertEquals(why(2 ** 31), both);
  assertEquals(why(2 ** 31, narrow), `${both}; what is not bound at once is bound in pieces`);
  assertEquals(why(240 * 2 ** 20), both);
  assertEquals(
    why(128 * 2 ** 20),
    "2.13 GB of weights, in f16 alone; what is not bound at once is bound in pieces",
  );
  assertEquals(runs(ADAPTER, { ...ON_CARD, largestBuffer: 2 ** 26 }), "yes no yes");
  assertEquals(
    why(2 ** 26),
    "its largest weight takes 72.4 MiB in f16, and the adapter makes buffers of 64.0 MiB at most",
  );
  assertEquals(runs({ ...ADAPTER, wrong: "element 3 is 0" }), "no no yes");
  assertEquals(runs(undefined), "no no yes");
  // What the adapter does is nothing to the CPU.
  for (const adapter of [undefined, narrow, { ...ADAPTER, wrong: "element 3 is 0" }]) {
    assertEquals(runs(adapter, ON_CPU), "yes slowly yes");
    assertEquals(runs(adapter, { ...ON_CPU, cpu: { ...CPU, memory64: false } }), "yes no yes");
  }
  assertEquals(judge(undefined, ADAPTER).map(({ runs }) => runs).join(" "), "no no yes");
});

Deno.test("doctor's lines: which device, why, threads and why fewer, what the engine has, what was measured", () => {
  const lines = (facts: Partial<Facts>) => describe({ ...FACTS, ...facts });
  assertEquals(lines({ measured: MEASURED }), [
    "moongate 1.2.3, Deno 2.9.6 (V8 15.0), linux x86_64",
    "device    CPU (WebAssembly, 8 threads)",
    "why       no adapter of WebGPU answers",
    "threads   8, one for each core",
    "engine    relaxed SIMD yes, shared memory yes, memory over 4 GiB yes",
    "adapter   none answers",
    "measured",
    "  product of 1024 × 1024   41.6 GFLOP/s",
    "  copy of 64.0 MiB         12.5 GB/s, read and written",
    "  one more dispatch        560 ns",
    "  there and back           7.00 µs",
    "  waking the threads       95.0 µs",
    "what will run",
  ]);
  const of = (name: string, facts: Partial<Facts>) =>
    lines(facts).find((line) => line.startsWith(name))?.slice(10);
  const cpu = (changes: Partial<CpuFacts>) => ({
    device: { ...ON_CPU, cpu: { ...CPU, ...changes } },
  });
  const few = cpu({ threads: 2, fewer: "MOONGATE_THREADS" });
  assertEquals(of("threads", few), "2, of 8 cores (MOONGATE_THREADS)");
  assertEquals(of("threads", cpu({ threads: 9 })), "9, more than the 8 cores");
  assertEquals(
    of("engine", cpu({ relaxedSimd: false, sharedMemory: false, memory64: false })),
    "relaxed SIMD no, shared memory no, memory over 4 GiB no",
  );
  assertEquals(of("processor", { processor: "A Chip, 8 cores" }), "A Chip, 8 cores");
  const unused = { ...ADAPTER, description: "llvmpipe", software: true };
  assertEquals(of("adapter", { adapter: unused }), "llvmpipe (software), not used");
  assertEquals(of("adapter", { adapter: ADAPTER, device: ON_CARD }), "a card");
  assertEquals(of("threads", { adapter: ADAPTER, device: ON_CARD }), undefined);
  const small = { ...ON_CARD, largestBuffer: 240 * 2 ** 20 };
  const largest = "  largest buffer";
  assertEquals(
    of(largest, { adapter: ADAPTER, device: ON_CARD })?.trim(),
    "buffer           2.00 GiB",
  );
  assertEquals(
    of(largest, { adapter: ADAPTER, device: small })?.trim(),
    "buffer           240 MiB, of 2.00 GiB that it lists",
  );
  assertEquals(of("computes", { adapter: { ...ADAPTER, wrong: "2 is 3" } }), "WRONG: 2 is 3");
  assertEquals(of("device", { device: undefined }), "none");
  assert(
    lines({ measured: { failure: "no memory" } }).includes(`  ${"nothing".padEnd(24)} no memory`),
  );
});

Deno.test("what is measured is possible, is freed again, and counts no waking where there is one thread", async () => {
  for (const threads of [1, 2]) {
    using device = await gpu({ backend: "cpu", threads });
    const before = device.buffers.allocated;
    const { product, copy, dispatch, thereAndBack, wake } = await measure(device);
    assertEquals(device.buffers.allocated, before);
    // Bounds that no machine misses by being slow or busy: from a clock that stands still, or the wrong unit, they are missed.
    assert(product.perSecond > 1e7 && product.perSecond < 1e13, `${product.perSecond} FLOP/s`);
    assert(copy.perSecond > 1e7 && copy.perSecond < 1e13, `${copy.perSecond} B/s`);
    for (const seconds of [dispatch, thereAndBack, wake ?? 1e-3]) {
      assert(seconds >= 0 && seconds < 1, `${seconds} s`);
    }
    assert(thereAndBack > 0);
    assertEquals(wake !== undefined, threads > 1);
  }
});

Deno.test("waking the threads leaves them ready for work", async () => {
  using device = await gpu({ backend: "cpu", threads: 3 });
  const { matmul } = await import("../ops/matmul.ts");
  const { evaluate } = await import("../compile/compile.ts");
  const ones = device.upload(new Float32Array(256 * 256).fill(1), [256, 256]);
  for (let i = 0; i < 20; i++) {
    assert((await wakeThreads(device))! > 0);
    const product = evaluate(device, matmul(ones, ones));
    assertEquals(new Set(await device.read(product)), new Set([256]));
    device.free(product);
  }
});

/** `moongate doctor --json`, in a process of its own. */
async function doctor(flags: readonly string[], env: Record<string, string> = {}, allow = "-A") {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", allow, "cli.ts", "doctor", "--json", ...flags],
    env: { MOONGATE_DEVICE: "", MOONGATE_THREADS: "", NO_COLOR: "1", ...env },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, err, found: out ? JSON.parse(out) : undefined };
}

Deno.test({
  name:
    "without a driver the CPU computes, and doctor ends well; WebGPU, asked for, is an error that says what to install",
  ignore: Deno.build.os !== "linux", // Elsewhere the driver is the system's.
  async fn() {
    const { code, found } = await doctor([], NO_DRIVER);
    assertEquals([code, found.adapter, found.device.backend], [0, undefined, "cpu"]);
    assertEquals(found.device.why, "no adapter of WebGPU answers");
    assertEquals(found.device.cpu.threads, found.device.cpu.cores);
    assert(found.measured.product.perSecond > 0);
    assertEquals(found.verdicts.length, 3);
    for (
      const { flags, env } of [
        { flags: ["--device", "webgpu"], env: { MOONGATE_DEVICE: "cpu" } },
        { flags: [], env: { MOONGATE_DEVICE: "webgpu" } },
      ]
    ) {
      const asked = await doctor(flags, { ...NO_DRIVER, ...env });
      assertEquals([asked.code, asked.found.device], [1, undefined]);
      assertMatch(
        asked.err,
        /^moongate: no adapter of WebGPU answers.*mesa-vulkan-drivers.*--device cpu/,
      );
      assertEquals(asked.err.trim().split("\n").length, 1);
    }
  },
});

Deno.test("doctor, run for real: the device that was asked for, in silence", async () => {
  const { code, found, err } = await doctor(["--device", "cpu", "--threads", "2"]);
  assertEquals([code, err], [0, ""]);
  assertEquals(found.device.description, "CPU (WebAssembly, 2 threads)");
  assertEquals(found.device.why, "asked for");
  const one = await doctor([], { MOONGATE_DEVICE: "cpu", MOONGATE_THREADS: "1" });
  assertEquals(one.found.device.description, "CPU (WebAssembly, 1 thread)");
  assertEquals([one.found.device.why, one.found.measured.wake], ["MOONGATE_DEVICE=cpu", undefined]);
  const wrong = await doctor([], { MOONGATE_DEVICE: "gpu" });
  assertEquals(wrong.code, 1);
  assertMatch(wrong.err, /MOONGATE_DEVICE is "gpu".*"cpu" or "webgpu"/);
});

Deno.test({
  name: "doctor on real WebGPU finds its adapter, which computes right, and measures it",
  ignore: !await webgpuAnswers(),
  async fn() {
    const { code, found, err } = await doctor(["--device", "webgpu"]);
    assertEquals([code, err], [0, ""]);
    assertEquals([found.device.backend, found.device.cpu], ["webgpu", undefined]);
    assertEquals(found.device.description, found.adapter.description);
    assertEquals(found.adapter.wrong, undefined);
    assert(found.adapter.limits.maxStorageBufferBindingSize >= 128 * 2 ** 20);
    assert(found.measured.product.perSecond > 1e7);
    assertEquals(found.measured.wake, undefined);
  },
});
