/**
 * How much of everything, by stage. The numbers are those of a GPU: what `world/pytorch/` did in the time that two cores
 * had, and the same again several times over.
 */

/** Settings of a stage. */
export interface StageSettings {
  /** Optimizer steps. */
  readonly steps: number;
  /** Pictures a step. */
  readonly batch: number;
  /** Peak of AdamW's rate. */
  readonly rate: number;
  /** Steps until the peak. */
  readonly warmUp: number;
}

/** Settings of the stage `unet`, half of whose pictures show made-up kinds. */
export interface UnetSettings extends StageSettings {
  /** Different kinds. */
  readonly kinds: number;
  /** Different pictures of them, beside those that all stages train on. */
  readonly kindPictures: number;
}

/** Stages that train, in order; the first stage, `tokenizer`, computes. */
export const TRAINED = ["vae", "clip", "classifier", "unet"] as const;
/** All stages in order. */
export const STAGES = ["tokenizer", ...TRAINED] as const;

/** A stage's name. */
export type Stage = typeof STAGES[number];

/** A whole training. */
export interface Settings {
  /** Of every random draw. */
  readonly seed: number;
  /** Different pictures to train on. */
  readonly pictures: number;
  readonly vae: StageSettings;
  readonly clip: StageSettings;
  readonly classifier: StageSettings;
  readonly unet: UnetSettings;
}

/** What `world/train.ts` does when nothing else is said. */
export const SETTINGS: Settings = {
  seed: 0,
  pictures: 48_000,
  vae: { steps: 10_000, batch: 32, rate: 1.5e-3, warmUp: 50 },
  clip: { steps: 4_000, batch: 128, rate: 1.2e-3, warmUp: 100 },
  classifier: { steps: 1_500, batch: 128, rate: 4e-4, warmUp: 100 },
  unet: {
    ...{ steps: 20_000, batch: 64, rate: 1e-3, warmUp: 150 },
    ...{ kinds: 4_000, kindPictures: 20_000 },
  },
};
