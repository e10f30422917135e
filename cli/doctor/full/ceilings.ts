/**
 * What a device does at most, by kernels of our own that do nothing else: multiply-adds in registers, and a copy. What a
 * model's kernels reach is said in parts of these, and not of what a data sheet promises.
 */
import type { Device } from "../../../device/device.ts";
import { DeviceStorage } from "../../../device/buffers.ts";
import { BufferUsage } from "../../../device/usage.ts";
import { OutOfMemoryError } from "../../../device/errors.ts";
import { arrayTensor } from "../../../ops/leaf.ts";
import { perCall } from "../measure.ts";
import type { Ceilings } from "./record.ts";
import type { Put, Stage } from "./stage.ts";

/** Invocations of a workgroup; turns of the loop, and multiply-adds of four in each; chains that do not wait for one another. */
const GROUP = 256, TURNS = 64, UNROLLED = 32, CHAINS = 8;
/** Operations of an invocation. */
const WORK = TURNS * UNROLLED * 4 * 2;
/** What a ← a/2 + 1 comes to, whatever a was: from that it is told that the loop ran. */
const FIXED = 2;
/** Seconds that a dispatch takes at least, so that starting it does not count; workgroups that are tried, and bytes. */
const LONG = 2e-3, GROUPS = [64, 512, 4096, 32768], SIZES = [2 ** 28, 2 ** 26, 2 ** 24];

/** Multiply-adds of one element type. What is multiplied is read, so that no compiler reckons it out. */
function fmaKernel(type: "f32" | "f16"): string {
  const v = `vec4<${type}>`;
  const chains = Array.from({ length: CHAINS }, (_, i) => i);
  const turn = Array.from({ length: UNROLLED }, (_, i) => {
    const a = `a${i % CHAINS}`;
    return `${a} = fma(${a}, x, y);`;
  });
  return `${type === "f16" ? "enable f16;\n" : ""}
@group(0) @binding(0) var<storage, read> given: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(${GROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let x = ${v}(${type}(given[0]));
  let y = ${v}(${type}(given[1]));
${chains.map((i) => `  var a${i} = ${v}(${type}(given[2u + (id.x + ${i}u) % 2u]));`).join("\n")}
  for (var k = 0u; k < ${TURNS}u; k = k + 1u) {
    ${turn.join("\n    ")}
  }
  let sum = ${chains.map((i) => `a${i}`).join(" + ")};
  if (id.x < ${GROUP}u) { out[id.x] = f32(sum.x + sum.y + sum.z + sum.w); }
}
`;
}

/** Four numbers an invocation. */
const COPY = `
@group(0) @binding(0) var<storage, read> given: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@compute @workgroup_size(${GROUP})
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let i = id.x + id.y * groups.x * ${GROUP}u;
  out[i] = given[i];
}
`;

/** A kernel that reads one buffer and writes another, ready to be run. */
class Ready {
  readonly #group: GPUBindGroup;
  readonly #pipeline: GPUComputePipeline;

  constructor(
    readonly device: Device,
    label: string,
    code: string,
    grid: readonly [number, number, number],
    given: DeviceStorage,
    readonly out: DeviceStorage,
  ) {
    const sizes = [given.bytes, out.bytes];
    const kernel = { code, label, access: ["read", "write"], use: { grid, sizes } } as const;
    const [{ pipeline, layout }] = device.pipelines.all([kernel]);
    const entries = [given, out].map(({ buffer }, binding) => ({ binding, resource: { buffer } }));
    this.#pipeline = pipeline;
    this.#group = device.guarded(
      `binding ${label}`,
      () => device.gpu.createBindGroup({ layout, entries }),
    );
  }

  /** Hands one dispatch over. */
  issue(grid: readonly [number, number, number], timestampWrites?: GPUComputePassTimestampWrites) {
    const { gpu, work } = this.device;
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass({ ...(timestampWrites && { timestampWrites }) });
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#group);
    pass.dispatchWorkgroups(...grid);
    pass.end();
    work.submit([encoder.finish()]);
  }
}

/** Measures. @throws DeviceError where the device refuses a kernel, Error where it computes wrong */
export async function measureCeilings(
  { lab: { device }, extent, room }: Stage,
  put: Put<Ceilings>,
): Promise<void> {
  const each = Math.min(extent.figureSeconds, room.left / 6);
  const f32 = await multiplyAdds(device, "f32", each);
  put({ f32FlopPerSecond: f32.perSecond });
  if (f32.perTimestamp !== undefined) put({ nanosecondsPerTimestamp: f32.perTimestamp });
  put(await copying(device, each));
  // The CPU holds f16 and reckons in f32.
  if (!device.profile.f16 || device.profile.cpu) return;
  put({ f16FlopPerSecond: (await multiplyAdds(device, "f16", each)).perSecond });
}

/** Operations a second; and nanoseconds for a timestamp of the GPU, where it has such. */
async function multiplyAdds(device: Device, type: "f32" | "f16", each: number) {
  const { buffers } = device;
  const given = buffers.allocate(16, "what is multiplied");
  const out = buffers.allocate(4 * GROUP, "sums");
  try {
    buffers.write(given, Float32Array.of(0.5, FIXED / 2, 1, 3));
    const label = `multiply-add of ${type}`;
    const kernel = new Ready(device, label, fmaKernel(type), [1, 1, 1], given, out);
    kernel.issue([1, 1, 1]);
    await device.settled();
    const sums = await device.read(arrayTensor(out, { shape: [GROUP], dtype: "f32" }));
    const wrong = sums.findIndex((v) => v !== 4 * CHAINS * FIXED);
    if (wrong >= 0) {
      throw new Error(
        `${label}: invocation ${wrong} gives ${sums[wrong]}, not ${4 * CHAINS * FIXED}`,
      );
    }
    let groups = 0, seconds = 0;
    for (groups of GROUPS) {
      seconds = await perCall(device, () => kernel.issue([groups, 1, 1]), 0);
      if (seconds >= LONG) break;
    }
    seconds = await perCall(device, () => kernel.issue([groups, 1, 1]), each);
    // Of a program that stands in for a GPU the clocks are the processor's.
    const stamped = type === "f32" && !device.profile.cpu && !device.facts.software &&
      device.facts.features.includes("timestamp-query");
    return {
      perSecond: groups * GROUP * WORK / seconds,
      ...(stamped && { perTimestamp: await perTimestamp(kernel, groups, seconds) }),
    };
  } finally {
    buffers.free(given);
    buffers.free(out);
  }
}

/** How far timestamps are from the nanoseconds of the wall clock. */
async function perTimestamp(
  kernel: Ready,
  groups: number,
  seconds: number,
): Promise<number | undefined> {
  const { device } = kernel, { gpu, buffers } = device;
  const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 });
  const usage = BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC;
  const resolved = gpu.createBuffer({ size: 16, usage });
  const storage = buffers.allocate(16, "timestamps");
  try {
    const stamps = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    let least = Infinity;
    for (let i = 0; i < 5; i++) {
      kernel.issue([groups, 1, 1], stamps);
      const encoder = gpu.createCommandEncoder();
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, storage.buffer, 0, 16);
      device.work.submit([encoder.finish()]);
      const words = await device.read(arrayTensor(storage, { shape: [4], dtype: "u32" }));
      const [from, to] = new BigUint64Array(words.buffer, 0, 2);
      if (to > from) least = Math.min(least, Number(to - from));
    }
    const ratio = 1e9 * seconds / least;
    if (!ratio) return undefined;
    return ratio > 0.8 && ratio < 1.25 ? 1 : ratio;
  } finally {
    buffers.free(storage);
    resolved.destroy();
    querySet.destroy();
  }
}

/** Bytes a second of the largest copy that there is memory for. */
async function copying(device: Device, each: number) {
  const { profile, facts, buffers } = device;
  const slow = facts.software || profile.cpu;
  const most = Math.min(profile.maxBinding, profile.maxBuffer, slow ? 2 ** 26 : Infinity);
  const sizes = SIZES.filter((bytes) => bytes <= most);
  for (const bytes of sizes) {
    const held: DeviceStorage[] = [];
    try {
      for (let i = 0; i < 2; i++) held.push(buffers.allocate(bytes, "a copy"));
      await device.settled();
      return { copiedBytes: bytes, bytesPerSecond: await copied(device, bytes, held, each) };
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || bytes === sizes.at(-1)) throw error;
    } finally {
      held.forEach((storage) => buffers.free(storage));
    }
  }
  throw new OutOfMemoryError(`no buffer of ${SIZES.at(-1)} bytes can be bound`);
}

async function copied(device: Device, bytes: number, held: DeviceStorage[], each: number) {
  const [given, out] = held;
  // Memory that nothing was written to costs nothing to read.
  device.buffers.write(given, new Uint32Array(bytes / 4).fill(0x3f800001));
  const groups = bytes / 16 / GROUP, across = Math.min(groups, 2 ** 15);
  const grid = [across, groups / across, 1] as const;
  const kernel = new Ready(device, "copy", COPY, grid, given, out);
  const seconds = await perCall(device, () => kernel.issue(grid), each);
  const end = new DeviceStorage(out.buffer, bytes - 16, 16, false);
  const last = await device.read(arrayTensor(end, { shape: [4], dtype: "u32" })) as Uint32Array;
  if (last.some((word) => word !== 0x3f800001)) throw new Error("copy: the last bytes are others");
  return 2 * bytes / seconds;
}
