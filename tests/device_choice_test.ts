// Which device computes: by what answers, by an option, by a variable, and by which of them where they contradict each other.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { gpu, type GpuOptions } from "../device/adapter.ts";
import { isSoftware } from "../device/choice.ts";
import { CpuDevice } from "../device/cpu/device.ts";
import { AdapterError } from "../device/errors.ts";
import { adapter, type Offer, withMachine } from "./support/machines.ts";

const CARD = adapter({ description: "A Card 9000", vendor: "a maker" });
const LLVMPIPE = adapter({ description: "llvmpipe (LLVM 19.1.7, 256 bits)" });

/** What is opened on such a machine: its backend, its name, and why. */
const opened = (offer: Offer, options: GpuOptions = {}, variables: Record<string, string> = {}) =>
  withMachine(offer, variables, async () => {
    using device = await gpu(options);
    return device.facts;
  });

/** What is said on such a machine in place of a device. */
const refused = (offer: Offer, options: GpuOptions = {}, variables: Record<string, string> = {}) =>
  withMachine(offer, variables, async () => {
    const error = await assertRejects(() => gpu(options), AdapterError);
    return error.message;
  });

Deno.test("a GPU computes where one answers, else the CPU, which says why", async () => {
  const card = await opened(CARD);
  assertEquals([card.backend, card.description, card.software], ["webgpu", "A Card 9000", false]);
  assertEquals([card.why, card.cpu], ["a GPU answers", undefined]);
  const machines: [Offer, RegExp][] = [
    [LLVMPIPE, /^no GPU answers, only software \(llvmpipe \(LLVM 19.1.7, 256 bits\)\)$/],
    [null, /^no adapter of WebGPU answers$/],
    [undefined, /^this runtime has no WebGPU/],
    [new Error("the driver fell over"), /^the driver fell over$/],
  ];
  for (const [offer, why] of machines) {
    const facts = await opened(offer);
    assertEquals([facts.backend, facts.software], ["cpu", false]);
    assertMatch(facts.description, /^CPU \(/);
    assertMatch(facts.why, why);
  }
});

Deno.test("every kind of software adapter is told apart from a GPU, by whatever word it gives itself away", () => {
  const software: Partial<GPUAdapterInfo>[] = [
    { description: "llvmpipe (LLVM 15.0.6, 256 bits)" },
    { description: "SwiftShader Device (Subzero)" },
    { description: "Microsoft Basic Render Driver" },
    { description: "WARP" },
    { vendor: "google", architecture: "swiftshader" },
    { description: "softpipe" },
    { isFallbackAdapter: true },
  ];
  const hardware: Partial<GPUAdapterInfo>[] = [
    { description: "NVIDIA GeForce RTX 4090" },
    { vendor: "apple", architecture: "metal-3" },
    { description: "AMD Radeon Graphics (RADV RENOIR)" },
    { description: "Intel(R) Arc(tm) A770 Graphics (DG2)", device: "warped" },
    {},
  ];
  const judged = (infos: Partial<GPUAdapterInfo>[]) =>
    infos.map((i) => isSoftware(adapter(i).info));
  assertEquals(judged(software), software.map(() => true));
  assertEquals(judged(hardware), hardware.map(() => false));
});

Deno.test("WebGPU, asked for, takes a software adapter; where none answers, what to install and that the CPU is there", async () => {
  for (const ask of [{ backend: "webgpu" } as const, {}]) {
    const variables: Record<string, string> = ask.backend ? {} : { MOONGATE_DEVICE: "webgpu" };
    const facts = await opened(LLVMPIPE, ask, variables);
    assertEquals([facts.backend, facts.software], ["webgpu", true]);
    assertEquals(facts.why, ask.backend ? "asked for" : "MOONGATE_DEVICE=webgpu");
    for (const none of [null, undefined]) {
      const said = await refused(none, ask, variables);
      assertMatch(said, none === null ? /no adapter of WebGPU answers/ : /has no WebGPU/);
      assertMatch(said, /apt-get install mesa-vulkan-drivers.*--device cpu/);
    }
  }
});

Deno.test("hardware, asked for, takes no program in its place and not the CPU", async () => {
  assertEquals((await opened(CARD, { hardware: true })).backend, "webgpu");
  assertMatch(await refused(LLVMPIPE, { hardware: true }), /only adapter is software \(llvmpipe/);
  assertMatch(await refused(null, { hardware: true }), /no adapter of WebGPU answers/);
  const variables = { MOONGATE_DEVICE: "cpu" };
  assertMatch(await refused(CARD, { hardware: true }, variables), /the CPU was chosen/);
});

Deno.test("the variable chooses where no option does, and an option comes before it", async () => {
  const cpu = await opened(CARD, {}, { MOONGATE_DEVICE: "cpu" });
  assertEquals([cpu.backend, cpu.why], ["cpu", "MOONGATE_DEVICE=cpu"]);
  assertEquals((await opened(CARD, {}, { MOONGATE_DEVICE: "" })).backend, "webgpu");
  const option = await opened(CARD, { backend: "webgpu" }, { MOONGATE_DEVICE: "cpu" });
  assertEquals([option.backend, option.why], ["webgpu", "asked for"]);
  const other = await opened(CARD, { backend: "cpu" }, { MOONGATE_DEVICE: "webgpu" });
  assertEquals([other.backend, other.why], ["cpu", "asked for"]);
  assertEquals(
    await refused(CARD, {}, { MOONGATE_DEVICE: "gpu" }),
    'MOONGATE_DEVICE is "gpu", and there is no such device: it is "cpu" or "webgpu"',
  );
  assertEquals((await opened(CARD, { backend: "cpu" }, { MOONGATE_DEVICE: "gpu" })).backend, "cpu");
});

Deno.test("a GPU that does not open is an error that names it and the CPU, and nothing else in its place", async () => {
  const broken = adapter({ description: "A Card 9000" }, () => Promise.reject(new Error("lost")));
  assertMatch(await refused(broken), /^A Card 9000 does not open: lost\. Update.*--device cpu/);
});

Deno.test("threads: by option, by variable, one for each core; and why there are fewer than cores", async () => {
  const cores = navigator.hardwareConcurrency;
  const cpu = async (options: GpuOptions, variables: Record<string, string> = {}) =>
    (await opened(null, options, variables)).cpu!;
  const all = await cpu({});
  assertEquals([all.threads, all.cores, all.fewer], [cores, cores, undefined]);
  assert(all.sharedMemory && typeof all.relaxedSimd === "boolean" && all.memory64);
  assertEquals((await cpu({}, { MOONGATE_THREADS: "3" })).threads, 3);
  const option = await cpu({ threads: 1 }, { MOONGATE_THREADS: "3" });
  assertEquals([option.threads, option.fewer], [1, cores > 1 ? "asked for" : undefined]);
  const variable = await cpu({}, { MOONGATE_THREADS: "1" });
  assertEquals([variable.threads, variable.fewer], [1, cores > 1 ? "MOONGATE_THREADS" : undefined]);
  for (const wrong of ["0", "-1", "1.5", "many", "NaN", "257", "1e9"]) {
    const said = await refused(null, {}, { MOONGATE_THREADS: wrong });
    assertEquals(
      said,
      `MOONGATE_THREADS is "${wrong}": a whole number of threads from 1 to 256 is expected`,
    );
  }
  for (const threads of [0, 1.5, NaN, 257]) {
    await withMachine(
      null,
      {},
      () => assertRejects(() => gpu({ threads }), RangeError, "1 to 256"),
    );
  }
});

/** A card that lists 4 GiB and makes no buffer of more than so many bytes; what it was asked for, and what of that is left. */
function smallBar(most: number) {
  const asked: number[] = [];
  let alive = 0;
  const card = adapter({ description: "A Card 8GB" }, async () => {
    const gpu = await CpuDevice.open({ threads: 1 });
    const make = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (d) => {
      asked.push(d.size);
      const buffer = make(d.size > most ? { ...d, size: NaN } : d);
      const destroy = buffer.destroy.bind(buffer);
      alive++;
      buffer.destroy = () => {
        alive--;
        destroy();
      };
      return buffer;
    };
    return gpu;
  });
  Object.assign(card.limits, { maxBufferSize: 2 ** 32, maxStorageBufferBindingSize: 2 ** 31 });
  return { card, asked, alive: () => alive };
}

const MiB = 2 ** 20;

Deno.test("the largest buffer that a GPU really makes is found at the start, in a few tries of which nothing is left", async () => {
  for (const most of [248 * MiB, 256 * MiB - 1, 37_000_000, 255 * MiB, 128 * MiB, 24 * MiB]) {
    const { card, asked, alive } = smallBar(most);
    const { largestBuffer } = await opened(card);
    assert(largestBuffer <= most && largestBuffer > most * 0.93, `${largestBuffer} of ${most}`);
    assertEquals(largestBuffer % 16, 0);
    assertEquals(alive(), 0);
    assert(asked.length <= 15, `${asked.length} tries`);
  }
  const all = smallBar(Infinity);
  // One try where all that is listed is made; of that the CPU, which stands for the card here, takes nothing.
  assertEquals((await opened(all.card)).largestBuffer, 2 ** 32);
  assertEquals([all.asked, all.alive()], [[2 ** 32], 0]);
  assertMatch(
    await refused(smallBar(MiB).card),
    /^the GPU makes no buffer of 16777216 bytes, and lists 4294967296: its memory is full/,
  );
});

Deno.test("the largest buffer is what is asked for, by option before variable, and never more than is listed", async () => {
  const variable = { MOONGATE_LARGEST_BUFFER: "240MiB" };
  const card = smallBar(248 * MiB);
  assertEquals((await opened(card.card, {}, variable)).largestBuffer, 240 * MiB);
  assertEquals(card.asked, []);
  const option = { largestBuffer: 100 * MiB + 1 };
  assertEquals((await opened(card.card, option, variable)).largestBuffer, 100 * MiB);
  assertEquals((await opened(card.card, { largestBuffer: "9GiB" })).largestBuffer, 2 ** 32);
  const profiles = await withMachine(null, variable, async () => {
    using device = await gpu({ threads: 1 });
    return [device.facts.largestBuffer, device.profile.maxBuffer, device.profile.maxBinding];
  });
  assertEquals(profiles, [240 * MiB, 240 * MiB, 240 * MiB]);
  assertMatch(
    await refused(null, {}, { MOONGATE_LARGEST_BUFFER: "some" }),
    /^MOONGATE_LARGEST_BUFFER: "some" is no size of memory/,
  );
  for (const largestBuffer of ["some", 0, NaN, -5]) {
    await withMachine(
      null,
      {},
      () => assertRejects(() => gpu({ largestBuffer }), RangeError, "no size of memory"),
    );
  }
});
