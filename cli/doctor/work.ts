/** The work of `moongate doctor`: everything is asked for and measured, then said. */
import settings from "../../deno.json" with { type: "json" };
import { gpu } from "../../device/adapter.ts";
import { ON_CPU } from "../../device/choice.ts";
import type { AdapterFacts as DeviceFacts } from "../../device/device.ts";
import { isKnown } from "../../terminal/errors.ts";
import { granted } from "../../terminal/platform.ts";
import { gatherAdapter } from "./adapter.ts";
import { describe, type Facts } from "./describe.ts";
import { judge } from "./judge.ts";
import { measure, type Measured } from "./measure.ts";
import type { Diagnosis, DoctorRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";

export { claimDoctor as claim } from "./claim.ts";

/** Looks the machine over; with a request to measure, and somebody to tell, all of it. */
export async function run(request: DoctorRequest, ui?: Ui): Promise<Diagnosis> {
  const versions = {
    moongate: settings.version,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    platform: `${Deno.build.os} ${Deno.build.arch}`,
  };
  const [processor, backend] = [await processorName(), granted("DENO_WEBGPU_BACKEND")];
  const adapter = await gatherAdapter();
  if (request.measure && ui) {
    const { measureFully } = await import("./measured.ts");
    return await measureFully(request, request.measure, { versions, processor, adapter }, ui);
  }
  const { problem, ...opened } = await tryDevice(request);
  const { device } = opened;
  const verdicts = judge(device, adapter);
  const facts: Facts = { versions, processor, backend, ...opened, adapter, verdicts };
  return {
    facts: { ...facts },
    lines: describe(facts),
    problem: problem ??
      (device?.backend === "webgpu" && adapter?.wrong
        ? `the adapter does not compute right (${adapter.wrong}): update its driver, or ${ON_CPU}`
        : undefined),
  };
}

/** The processor and its cores, where Deno may say so: a name of the machine is asked for with a permission only. */
async function processorName(): Promise<string | undefined> {
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "cpus" });
  if (state !== "granted") return undefined;
  const { cpus } = await import("node:os");
  const all = cpus();
  return all.length ? `${all[0].model.trim()}, ${all.length} cores` : undefined;
}

/** What a device is and how fast, or why it is none. */
interface Opened {
  device?: DeviceFacts;
  measured?: Measured | { failure: string };
  problem?: string;
}

/** Opens what the other verbs compute on, and measures it. */
async function tryDevice({ device: backend, threads }: DoctorRequest): Promise<Opened> {
  try {
    using device = await gpu({ backend, threads });
    const { facts } = device;
    try {
      return { device: facts, measured: await measure(device) };
    } catch (error) {
      if (!isKnown(error)) throw error;
      return { device: facts, measured: { failure: (error as Error).message } };
    }
  } catch (error) {
    if (!isKnown(error)) throw error;
    return { problem: (error as Error).message };
  }
}
