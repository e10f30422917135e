/**
 * Noise levels σ = √((1−ᾱ)/ᾱ): the noise of a sample whose picture has its full variance, in which Euler and
 * DPM-Solver++ count.
 * Source: Karras et al. 2022, eq. 5 and table 1.
 */
import type { NoiseSchedule } from "./schedule.ts";

/** ᾱ of a timestep that is nothing but noise, so that σ is finite there, as diffusers has it. */
const LEAST = 2 ** -24;
const RHO = 7;

/** σ of each training timestep, `[trainSteps]`. */
export const sigmaTable = ({ alphaBars }: NoiseSchedule): Float64Array =>
  alphaBars.map((a) => Math.sqrt((1 - Math.max(a, LEAST)) / Math.max(a, LEAST)));

/** σ at a timestep between those of the table. */
export function sigmaAt(table: Float64Array, t: number): number {
  const low = Math.min(Math.floor(t), table.length - 1), high = Math.min(low + 1, table.length - 1);
  return table[low] + (t - low) * (table[high] - table[low]);
}

/** The timestep of a σ: log-linear between those of the table, and never outside. */
export function timestepAt(table: Float64Array, sigma: number): number {
  const next = table.findIndex((s) => s > sigma);
  const low = Math.max(0, Math.min(next < 0 ? table.length : next - 1, table.length - 2));
  const [a, b, at] = [table[low], table[low + 1], sigma].map(Math.log);
  return low + Math.min(1, Math.max(0, (a - at) / (a - b)));
}

/** `steps` noise levels from `highest` to `lowest`, dense where there is little noise. */
export function karrasSigmas(highest: number, lowest: number, steps: number): number[] {
  const [from, to] = [highest ** (1 / RHO), lowest ** (1 / RHO)];
  return Array.from(
    { length: steps },
    (_, i) => (from + (steps === 1 ? 0 : i / (steps - 1)) * (to - from)) ** RHO,
  );
}

/** The noise level that a walk ends on. */
export const finalSigma = ({ sampling }: NoiseSchedule, table: Float64Array): number =>
  sampling.finalSigma === "zero" ? 0 : table[0];
