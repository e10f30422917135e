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

/** Bytes of the largest weight of Stable Diffusion 1.x, the token embedding, in either type. */
const largest = { f16: 49408 * 768 * 2, f32: 49408 * 768 * 4 };
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
  device: Pick<DeviceFacts, "backend" | "description" | "cpu" | "largestBuffer"> | undefined,
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
  return [...onAdapter(adapter, device.largestBuffer), MERGE];
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

function onAdapter({ limits, software, features }: AdapterFacts, buffer: number): Verdict[] {
  const binding = Math.min(buffer, limits.maxStorageBufferBindingSize ?? 0);
  const pace = software ? "slowly" : "yes";
  const cpu = "a software adapter, which is slower than --device cpu";
  const demo: Verdict = { what: DEMO, runs: pace, why: software ? cpu : "fits everywhere" };
  if (buffer < largest.f16) {
    const why = `its largest weight takes ${binaryBytes(largest.f16)} in f16, and the adapter ` +
      `makes buffers of ${binaryBytes(buffer)} at most`;
    return [demo, { what: SD, runs: "no", why }];
  }
  const f16 = features.includes("shader-f16")
    ? ""
    : " (its shaders have no f16: activations are f32)";
  const split = binding < largest.f32 ? "; what is not bound at once is bound in pieces" : "";
  const held = buffer < largest.f32 ? `${bytes(WEIGHTS.f16)} of weights, in f16 alone` : weights;
  return [demo, {
    what: SD,
    runs: pace,
    why: `${held}${f16}${split}${software ? `; ${cpu}` : ""}`,
  }];
}
