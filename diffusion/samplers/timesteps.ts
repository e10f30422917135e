/** The timesteps that a short walk visits, laid out as diffusers does: to the last rounding. */
import type { NoiseSchedule } from "./schedule.ts";
import type { Spacing } from "./config.ts";

/** @throws RangeError unless a walk may have so many steps */
export function checkSteps({ trainSteps }: NoiseSchedule, steps: number): void {
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > trainSteps) {
    throw new RangeError(
      `a walk of ${steps} steps: it must be a whole number from 1 to ${trainSteps}`,
    );
  }
}

/**
 * The timesteps of a walk of `steps` steps, from the noisiest on.
 *
 * @param spacing where the schedule does not say
 * @param exact keep the fractions of a "linspace" walk instead of rounding
 * @throws RangeError if the schedule has fewer timesteps than that
 */
export function timesteps(
  schedule: NoiseSchedule,
  steps: number,
  spacing: Spacing = "leading",
  exact = false,
): number[] {
  checkSteps(schedule, steps);
  return spread(schedule, steps, schedule.sampling.spacing ?? spacing, exact);
}

/** As {@linkcode timesteps}, for any count. */
export function spread(
  { trainSteps: n, sampling: { stepsOffset } }: NoiseSchedule,
  count: number,
  spacing: Spacing,
  exact = false,
): number[] {
  const list = Array.from({ length: count }, (_, i) => {
    if (spacing === "leading") return (count - 1 - i) * Math.floor(n / count) + stepsOffset;
    if (spacing === "linspace") {
      const t = (count - 1 - i) * ((n - 1) / Math.max(1, count - 1));
      return exact ? t : roundEven(t);
    }
    // the stride as numpy's arange sees it, so that ties fall the same way
    const stride = n - (n - n / count);
    return roundEven(n - i * stride) - 1;
  });
  if (list[0] >= n) {
    throw new RangeError(
      `a walk of ${count} steps with steps_offset ${stepsOffset} starts at timestep ${
        list[0]
      } of ${n}: take fewer steps`,
    );
  }
  return list;
}

/** Rounds to the nearest whole number, ties to even, as numpy does. */
export function roundEven(x: number): number {
  const down = Math.floor(x), rest = x - down;
  if (rest !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
