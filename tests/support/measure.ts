/** A full measurement as tests want it: as small as one may be. */
import type { Extent } from "../../cli/doctor/full/stage.ts";

/** As little as there may be of everything. */
export const LEAST: Extent = {
  batches: [1],
  figureSeconds: 0.05,
  timedSteps: 1,
  repeats: 1,
  hotKernels: 12,
  samplingSteps: 2,
};
/** What is known before anything is measured. */
export const ABOUT = {
  format: 1,
  day: "2026-01-31",
  versions: { moongate: "1.2.3", deno: "2.9.6", platform: "linux x86_64" },
  request: { model: "miniature", minutes: 30 },
} as const;
