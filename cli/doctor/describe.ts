/** What `doctor` found, in lines for people. */
import type { AdapterFacts as DeviceFacts, CpuFacts } from "../../device/device.ts";
import { binaryBytes, duration, scale } from "../../numerics/quantities.ts";
import type { AdapterFacts } from "./adapter.ts";
import type { Verdict } from "./judge.ts";
import type { Measured } from "./measure.ts";

/** Everything that was found. */
export interface Facts {
  /** Version of this program, of Deno, and the platform. */
  versions: { moongate: string; deno: string; v8: string; platform: string };
  /** The processor and its cores; undefined where that may not be known. */
  processor?: string;
  /** `DENO_WEBGPU_BACKEND`, or undefined where the runtime chooses. */
  backend?: string;
  /** What the other verbs compute on; undefined where nothing can. */
  device?: DeviceFacts;
  /** How fast that is, or why it could not be measured. */
  measured?: Measured | { failure: string };
  /** The adapter of WebGPU, whether it computes or not; undefined where none answers. */
  adapter?: AdapterFacts;
  /** What will run. */
  verdicts: readonly Verdict[];
}

/** The lines. */
export function describe(facts: Facts): string[] {
  const { versions, processor, backend, device, adapter, measured, verdicts } = facts;
  const { moongate, deno, v8, platform } = versions;
  return [
    `moongate ${moongate}, Deno ${deno} (V8 ${v8}), ${platform}`,
    ...row("processor", processor),
    ...row("backend", backend),
    ...row("device", device?.description ?? "none"),
    ...row("why", device?.why),
    ...device?.cpu ? cpuLines(device.cpu) : [],
    ...adapter
      ? adapterLines(adapter, device?.backend === "webgpu" ? device : undefined)
      : row("adapter", "none answers"),
    ...measured ? measuredLines(measured) : [],
    "what will run",
    ...verdicts.map(({ what, runs, why }) => `  ${what.padEnd(24)} ${runs.padEnd(6)} ${why}`),
  ];
}

const row = (name: string, value: string | undefined): string[] =>
  value === undefined ? [] : [`${name.padEnd(10)}${value}`];
const item = (name: string, value: string): string => `  ${name.padEnd(24)} ${value}`;

function cpuLines(
  { threads, cores, fewer, relaxedSimd, sharedMemory, memory64 }: CpuFacts,
): string[] {
  const yes = (has: boolean) => has ? "yes" : "no";
  const how = fewer !== undefined
    ? `of ${cores} cores (${fewer})`
    : threads === cores
    ? "one for each core"
    : `more than the ${cores} cores`;
  return [
    ...row("threads", `${threads}, ${how}`),
    ...row(
      "engine",
      `relaxed SIMD ${yes(relaxedSimd)}, shared memory ${yes(sharedMemory)}, ` +
        `memory over 4 GiB ${yes(memory64)}`,
    ),
  ];
}

/** @param device what computes, where that is this adapter */
function adapterLines(adapter: AdapterFacts, device: DeviceFacts | undefined): string[] {
  const { description, software, limits, wrong, roundTrip, loopLimit, features } = adapter;
  return [
    ...row(
      "adapter",
      `${description}${software ? " (software)" : ""}${device ? "" : ", not used"}`,
    ),
    ...row(
      "computes",
      wrong === undefined
        ? `right, ${duration((roundTrip ?? NaN) / 1000)} there and back`
        : `WRONG: ${wrong}`,
    ),
    ...loopLimit === undefined ? [] : row(
      "",
      `stops loops after ${loopLimit} iterations without a word`,
    ),
    ...row("features", features.join(", ") || "none"),
    "limits",
    item("largest buffer", largestBuffer(limits.maxBufferSize, device?.largestBuffer)),
    item("largest binding", binaryBytes(limits.maxStorageBufferBindingSize)),
    item("storage buffers a stage", String(limits.maxStorageBuffersPerShaderStage)),
    item("workgroup memory", binaryBytes(limits.maxComputeWorkgroupStorageSize)),
    item("invocations a workgroup", String(limits.maxComputeInvocationsPerWorkgroup)),
  ];
}

/** What it lists, and what of that it makes. */
const largestBuffer = (listed: number, made = listed): string =>
  made < listed
    ? `${binaryBytes(made)}, of ${binaryBytes(listed)} that it lists`
    : binaryBytes(listed);

function measuredLines(measured: Measured | { failure: string }): string[] {
  if ("failure" in measured) return ["measured", item("nothing", measured.failure)];
  const { product, copy, dispatch, thereAndBack, wake } = measured;
  return [
    "measured",
    item(`product of ${product.size} × ${product.size}`, scale(product.perSecond, "FLOP/s")),
    item(`copy of ${binaryBytes(copy.bytes)}`, `${scale(copy.perSecond, "B/s")}, read and written`),
    item("one more dispatch", duration(dispatch)),
    item("there and back", duration(thereAndBack)),
    ...wake === undefined ? [] : [item("waking the threads", duration(wake))],
  ];
}
