/**
 * How much of the paper is done: everything, a night on two processor cores, or a part that they finish in half an hour.
 * Both are the same experiments; only counts differ.
 */
import type { TrainingDefaults } from "../concepts/defaults.ts";
import { type Method, METHODS } from "../concepts/training/methods.ts";

/** Counts. */
export interface Settings {
  /** What the report calls it. */
  readonly name: string;
  /** Concepts of `world/concepts/`, the first ones first: pictures in the report are of those. */
  readonly concepts: readonly string[];
  /** Pairs that are taught together; of different classes. */
  readonly pairs: readonly (readonly [string, string])[];
  /** Every training and every sampling is repeated with each. */
  readonly seeds: readonly number[];
  /** Numbers of our method that go before the model's own; those of the others follow. */
  readonly training: Partial<Pick<TrainingDefaults, "steps" | "rate">>;
  /** Pictures a training step. */
  readonly batch: number;
  /**
   * How many times fewer steps a method takes than in proportion to the paper. Its rate grows as much, so that weights
   * can go as far; but for textual inversion, whose rate is as high as it can be.
   */
  readonly shorter: Readonly<Record<Method, number>>;
  /** Regularization pictures of a class. */
  readonly regularization: number;
  /** Prompts of a single concept, at most 20. */
  readonly prompts: number;
  /** Pictures a prompt, in the tables. */
  readonly samples: number;
  /** Pictures a prompt, in the figures, which have many points. */
  readonly figureSamples: number;
  /** Prompts of a pair, at most 8. */
  readonly pairPrompts: number;
  /** Pictures a prompt of a pair. */
  readonly pairSamples: number;
  /** Pictures of "photo of a <class>", for KID and the share in which the class is seen. */
  readonly ofClass: number;
  /** Real pictures of the class that they are compared with. */
  readonly real: number;
  /** How many concepts, from the first, the figures of guidance and of steps are measured on. */
  readonly detailed: number;
  /** Guidances beside the model's own (Figure 8). */
  readonly guidances: readonly number[];
  /** Shares of the steps after which alignment is measured, too (Figure 17). */
  readonly shares: readonly number[];
}

/** The miniature's own are 800, which give better form; with them a night would be two. */
const SHORT = { steps: 500 };

/** All then take as many steps as ours, Textual Inversion twice as many. In the paper's proportion baselines would be four fifths of the time. */
const SHORTER = { "custom": 1, "custom-all": 2, "dreambooth": 10, "textual-inversion": 10 };

/**
 * Every concept and pair, three times (the paper had one run). Fewer pictures a prompt than there (50): a run differs from
 * another one by more than what many pictures of it tell.
 */
export const FULL: Settings = {
  name: "full",
  concepts: [
    ...["moongate", "trex", "zebra", "castle", "rocket"],
    ...["flamingo", "locomotive", "jackolantern", "robot", "snowman"],
  ],
  // As the paper's: two animals, an animal and a building, two machines, a thing and an animal, a toy and a thing.
  pairs: [
    ["trex", "castle"],
    ["zebra", "flamingo"],
    ["rocket", "locomotive"],
    ["moongate", "zebra"],
    ["robot", "jackolantern"],
  ],
  seeds: [0, 1, 2],
  training: SHORT,
  batch: 8,
  shorter: SHORTER,
  regularization: METHODS.custom.priorImages,
  ...{ prompts: 20, samples: 2, figureSamples: 1, pairPrompts: 8, pairSamples: 5 },
  ...{ ofClass: 32, real: 300 },
  ...{ detailed: 3, guidances: [2, 6, 8], shares: [0.1, 0.25, 0.5] },
};

/** For a machine without a GPU. */
export const QUICK: Settings = {
  name: "quick",
  concepts: ["moongate", "trex", "zebra"],
  pairs: [["trex", "castle"]],
  seeds: [0],
  training: SHORT,
  batch: 4,
  shorter: SHORTER,
  regularization: 64,
  ...{ prompts: 20, samples: 2, figureSamples: 1, pairPrompts: 8, pairSamples: 5 },
  ...{ ofClass: 24, real: 200 },
  ...{ detailed: 1, guidances: [2, 7], shares: [0.2, 0.5] },
};
