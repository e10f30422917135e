/** What sections have in common that run a compiled program: making it ready, its memory, the bits of what it gives. */
import type { Compiled } from "../../../compile/compile.ts";
import { type ProgramBytes, programBytes } from "../../../compile/estimate.ts";
import { kernelsOf } from "../../../compile/kernels.ts";
import { turnsOf } from "../../../compile/loops/turns.ts";
import type { Blueprint } from "../../../compile/trace.ts";
import type { Device } from "../../../device/device.ts";
import { sha256 } from "../../../files/sha256.ts";
import { byteSize } from "../../../tensor/shape.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { flatten, type Tree } from "../../../tensor/tree.ts";
import type { Profile } from "../../../compile/inspect/profile.ts";
import type { Ceilings, Start } from "./record.ts";

/** A program, planned. */
export interface Planned {
  readonly blueprint: Blueprint;
  readonly bytes: ProgramBytes;
  /** Operations of its products. */
  readonly flop: number;
  readonly planSeconds: number;
  /** Distinct kernels. */
  readonly kernels: number;
}

/**
 * Traces and plans a program, and allocates nothing.
 *
 * @param hosted arguments whose values come from the host at each call
 */
export function plan<A extends unknown[]>(
  device: Device,
  compiled: Compiled<A, unknown>,
  args: A,
  hosted: readonly unknown[],
): Planned {
  const began = performance.now();
  const blueprint = compiled.plan(...args);
  const planSeconds = (performance.now() - began) / 1000;
  const uploads = hosted.flatMap((arg) => flatten<Tensor>(arg as Tree<Tensor>))
    .map(([, t]) => byteSize(t.spec));
  return {
    ...{ blueprint, planSeconds },
    bytes: programBytes(blueprint, device.profile, uploads),
    flop: blueprint.dispatches.reduce((n, d) => n + d.flops * turnsOf(d), 0),
    kernels: new Set(kernelsOf(blueprint, device.profile).map(({ code }) => code)).size,
  };
}

/** Compiles a planned program. @throws DeviceError where the device refuses a kernel, or has no memory for it */
export async function start<A extends unknown[]>(
  device: Device,
  compiled: Compiled<A, unknown>,
  args: A,
  { planSeconds, kernels }: Planned,
): Promise<Omit<Start, "firstSeconds">> {
  const before = device.pipelines.count, began = performance.now();
  compiled.program(...args);
  await device.settled();
  return {
    ...{ planSeconds, kernels, compiled: device.pipelines.count - before },
    compileSeconds: (performance.now() - began) / 1000,
  };
}

/** A hash of the values of tensors. */
export async function bitsOf(device: Device, tensors: readonly Tensor[]): Promise<string> {
  const hashes: string[] = [];
  for (const t of tensors) {
    const { buffer, byteOffset, byteLength } = await device.read(t);
    hashes.push(await sha256(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)));
  }
  return hashes.join();
}

/** Seconds of what is waited for. */
export async function seconds(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await run();
  return (performance.now() - began) / 1000;
}

/**
 * Does some work, and gives back what it held. Where the work failed, memory may be gone already, or the device: the failure is
 * what is to be heard of.
 */
export async function holding(work: () => Promise<void>, release: () => void): Promise<void> {
  try {
    await work();
  } catch (error) {
    try {
      release();
    } catch {
      // What failed says more.
    }
    throw error;
  }
  release();
}

/** The middle of some values. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

/** A profile by the clock that was found to be right. */
export function inNanoseconds(of: Profile, ceilings: Partial<Ceilings> | undefined): Profile {
  const factor = of.clock === "timestamps" ? ceilings?.nanosecondsPerTimestamp ?? 1 : 1;
  return {
    ...of,
    milliseconds: of.milliseconds * factor,
    dispatches: of.dispatches.map((d) => ({ ...d, milliseconds: d.milliseconds * factor })),
  };
}
