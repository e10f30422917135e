/** What a section of a measurement works with: device and model, time, and how thorough it is to be. */
import { bytesNeeded } from "../../../numerics/quantities.ts";
import { type Budget, Skipped } from "./budget.ts";
import type { Lab } from "./lab.ts";
import type { Ceilings } from "./record.ts";

/** How much is measured, where there is time. */
export interface Extent {
  /** Batches of the training step, the first of which the kernels are looked at in. */
  readonly batches: readonly number[];
  /** Seconds that a ceiling is measured for. */
  readonly figureSeconds: number;
  /** Training steps that are timed. */
  readonly timedSteps: number;
  /** Times that a dispatch is measured. */
  readonly repeats: number;
  /** Kernels that are looked at. */
  readonly hotKernels: number;
  /** Steps of a picture. */
  readonly samplingSteps: number;
}

/** All of it. */
export const FULL: Extent = {
  batches: [1, 4, 8],
  figureSeconds: 1,
  timedSteps: 10,
  repeats: 3,
  hotKernels: 40,
  samplingSteps: 50,
};

/** The same of a program that stands in for a GPU, whose time is the processor's: no less is looked at, and less often. */
export const BRIEF: Extent = { ...FULL, figureSeconds: 0.5, timedSteps: 6, repeats: 1 };

/** What a section works with. */
export interface Stage {
  readonly lab: Lab;
  readonly extent: Extent;
  readonly ceilings?: Partial<Ceilings>;
  /** By what was measured; else it is guessed. */
  readonly secondsPerFlop?: number;
  /** The time of the run, without which nothing is begun. */
  readonly whole: Budget;
  /** The part of it that this section may fill. */
  readonly room: Budget;
}

/** Takes what a section finds, as it finds it. */
export type Put<T> = (part: Partial<T>) => void;

/** Parts of the ceiling that programs reach, as a guess. */
const REACHED = { hardware: 0.25, software: 0.05 };

/** Seconds that so many operations will take. */
export function secondsOf({ lab, ceilings, secondsPerFlop }: Stage, flop: number): number {
  if (secondsPerFlop !== undefined) return flop * secondsPerFlop;
  const reached = lab.device.facts.software ? REACHED.software : REACHED.hardware;
  return ceilings?.f32FlopPerSecond ? flop / (reached * ceilings.f32FlopPerSecond) : 0;
}

/**
 * Refuses what the machine's memory is too little for, where it is the processor's and Deno may say how much there is: a GPU
 * refuses by itself.
 *
 * @throws Skipped saying how much it is
 */
export function needMemory({ lab: { device } }: Stage, bytes: number): void {
  if (device.facts.backend === "webgpu" && !device.facts.software) return;
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" });
  if (state !== "granted") return;
  const { available } = Deno.systemMemoryInfo();
  if (bytes <= available) return;
  throw new Skipped(
    `it takes ${bytesNeeded(bytes)} of memory, and ${bytesNeeded(available)} are free`,
  );
}
