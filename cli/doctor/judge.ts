/** What will run on the device that was chosen, by what is known of it. */
import type { AdapterFacts as DeviceFacts } from "../../device/device.ts";
import { binaryBytes, bytes } from "../../numerics/quantities.ts";
import type { AdapterFacts } from "./adapter.ts";

/** Whether one kind of work will run. */
export interface Verdict {
  /** The work. */
  what: string;
  /** Whether it will. */
  runs: "yes" | "slowly" | "no";
  /** Why, or what it needs. */
  why: string;
}

/** Bytes of the largest single tensors of Stable Diffusion 1.x in f32: conv 2560→1280 3×3, and the token embedding. */
const largest = { conv: 2560 * 1280 * 9 * 4, embedding: 49408 * 768 * 4 };
/** Bytes of its weights in either type. */
const WEIGHTS = { f16: 2.13e9, f32: 4.27e9 };

const DEMO = "demo (miniature model)", SD = "Stable Diffusion 1.x";
const MERGE: Verdict = { what: "merge solver", runs: "yes", why: "float64 on the CPU, no GPU" };

/**
 * Judges. WebGPU does not tell how much memory there is.
 *
 * @param device what computes; undefined where nothing does
 * @param adapter that of WebGPU, whether it is what computes or not
 */
export function judge(
  device: Pick<DeviceFacts, "backend" | "description" | "cpu"> | undefined,
  adapter: AdapterFacts | undefined,
): Verdict[] {
  const both = (runs: Verdict["runs"], why: string): Verdict[] => [
    { what: DEMO, runs, why },
    { what: SD, runs, why },
    MERGE,
  ];
  if (!device) return both("no", "no device computes");
  if (device.backend === "cpu") return [...onCpu(device.cpu!), MERGE];
  if (!adapter) return both("no", "no adapter answers any more");
  if (adapter.wrong) return both("no", "the adapter computes wrong numbers");
  return [...onAdapter(adapter), MERGE];
}

const weights = `${bytes(WEIGHTS.f16)} of weights in f16, ${bytes(WEIGHTS.f32)} in f32`;

function onCpu({ memory64 }: NonNullable<DeviceFacts["cpu"]>): Verdict[] {
  const demo: Verdict = { what: DEMO, runs: "yes", why: "the CPU computes: minutes" };
  return memory64
    ? [demo, { what: SD, runs: "slowly", why: `the CPU computes: ${weights}` }]
    : [demo, {
      what: SD,
      runs: "no",
      why: `${weights}, and this engine's WebAssembly holds 4 GiB at most`,
    }];
}

function onAdapter({ limits, software, features }: AdapterFacts): Verdict[] {
  const binding = limits.maxStorageBufferBindingSize ?? 0;
  const pace = software ? "slowly" : "yes";
  const cpu = "a software adapter, which is slower than --device cpu";
  const demo: Verdict = { what: DEMO, runs: pace, why: software ? cpu : "fits everywhere" };
  if (binding < largest.conv) {
    const why = `its largest weight is ${binaryBytes(largest.conv)}, and the adapter binds ` +
      `${binaryBytes(binding)} at most`;
    return [demo, { what: SD, runs: "no", why }];
  }
  const f16 = features.includes("shader-f16")
    ? ""
    : " (its shaders have no f16: activations are f32)";
  const split = binding < largest.embedding ? "; the token embedding is bound in parts" : "";
  return [demo, {
    what: SD,
    runs: pace,
    why: `${weights}${f16}${split}${software ? `; ${cpu}` : ""}`,
  }];
}
