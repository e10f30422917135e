/**
 * What suits what is taught: an object, a style, a face. Numbers are those of the authors' runs (`docs/training.md` says
 * which) for Stable Diffusion at batches of 8; each may be spread into the options of `trainConcepts`.
 */
import { TRAINING, type TrainingDefaults } from "../defaults.ts";
import type { Trains } from "./methods.ts";

/** What is taught. */
export type Preset = "object" | "style" | "face";

/** What a preset sets. */
export interface PresetChoices {
  /** Caption around the concept's words; undefined: the model's own. */
  readonly template?: string;
  /** What regularization pictures are of, around the class; undefined: the same as `template`. */
  readonly classTemplate?: string;
  /** What trains beside the new words. */
  readonly trains: Trains;
  /** Draw sizes and places. */
  readonly augment: boolean;
  /** Mirror half of the pictures. */
  readonly flip: boolean;
  /** AdamW's rate as applied. */
  readonly rate: number;
  /** Optimizer steps for each concept. */
  readonly steps: number;
}

/** All presets. */
export const PRESETS: Readonly<Record<Preset, PresetChoices>> = {
  object: {
    ...{ trains: "kv", augment: true, flip: true },
    ...{ rate: TRAINING.rate, steps: TRAINING.steps },
  },
  style: {
    ...{ template: "painting in the style of {}", classTemplate: "{}" },
    ...{ trains: "kv", augment: true, flip: true },
    ...{ rate: TRAINING.rate, steps: TRAINING.steps },
  },
  // Sizes that are drawn, and mirror images, are of other faces.
  face: {
    ...{ trains: "attention", augment: false, flip: false },
    ...{ rate: 4e-5, steps: 750 },
  },
};

/** Their names. */
export const PRESET_NAMES = Object.keys(PRESETS) as readonly Preset[];

/** A model's numbers with a preset's in the same proportion to them as for Stable Diffusion. */
export function presetDefaults(
  { rate, steps, template }: PresetChoices,
  training: TrainingDefaults,
): TrainingDefaults {
  return {
    ...training,
    rate: training.rate * (rate / TRAINING.rate),
    steps: Math.max(1, Math.round(training.steps * steps / TRAINING.steps)),
    ...(template !== undefined && { template }),
  };
}
