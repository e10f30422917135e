/**
 * What the verbs ask of the library, and what they hand it to talk to the user with.
 *
 * Why its own file: the verbs turn flags into these, `work.ts` turns these into work, and neither knows the other.
 */
import type { SamplerName } from "../diffusion/samplers/names.ts";
import type { CompressTarget } from "../concepts/deltas/compress.ts";
import type { DeltaFormatName } from "../concepts/deltas/formats/format.ts";
import type { Method, Trains } from "../concepts/training/methods.ts";
import type { Preset } from "../concepts/training/presets.ts";
import type { RateSchedule } from "../concepts/training/rates.ts";
import type { Interrupt } from "../terminal/interrupt.ts";
import type { Progress } from "../terminal/progress.ts";

/** One concept to teach. */
export interface ConceptRequest {
  /** As used in prompts: "<new1> dog". */
  words: string;
  /** The new words among them: ["<new1>"]. Empty when only the class word is re-taught. */
  tokens: string[];
  /** The words that the model knows, by which its regularization pictures go: "dog". */
  category: string;
  /** Its pictures: a folder or another collection, with or without captions. */
  photos: string;
  /** A file with a caption for each picture; undefined: what the collection says, or one of those below. */
  captions?: string;
  /** Caption of all pictures that have no own one; undefined: the template around the words. */
  caption?: string;
  /** What is asked of the model for the class, and its pictures' caption; undefined: the template around the class. */
  classPrompt?: string;
}

/** Regularization pictures from the user's own collection. */
export interface PriorRequest {
  /** The collection. */
  from: string;
  /** At most so many for a class. */
  count: number;
  /** How similar captions must be to the class prompt: the cosine of CLIP's features. */
  similarity: number;
  /** The folder of the CLIP; undefined: the model's own. */
  scorer?: string;
}

/** `moongate train` */
export interface TrainRequest {
  /** The model's folder. */
  model: string;
  /** One concept or more, taught together. */
  concepts: ConceptRequest[];
  /** The folder that the delta, the checkpoints and the metrics go to. */
  out: string;
  /** Regularization folders by class word. */
  regularization: { name: string; path: string }[];
  /** Where pictures of classes without a folder are chosen from; undefined: the model makes them. */
  prior?: PriorRequest;
  /** Which of the paper's methods; its numbers are the defaults of those below. */
  method: Method;
  /** What is taught; its choices and numbers come before the method's. */
  preset?: Preset;
  /** A delta to train on top of: a file or folder, of any format. */
  from?: string;
  /** What trains beside the new words; undefined: the method's. */
  trains?: Trains;
  /** New words keep the rows that they start from; undefined: the method's. */
  freezeTokens?: boolean;
  /**
   * How many regularization pictures are generated for a class without a folder; 0: none, all of a batch are targets.
   * Undefined: the method's.
   */
  priorImages?: number;
  /** Caption template, `{}` stands for the concept's words; undefined: the model's default, as of all numbers below. */
  caption?: string;
  /** Vocabulary entries that the new words start from, in order; undefined: the method's. */
  initializers?: string[];
  /** Optimizer steps; by default so many for each concept. */
  steps?: number;
  /** Target pictures of a batch; as many regularization pictures come with them. */
  batch?: number;
  /** For each example: the optimizer gets this times all that a step sees, unless `scaleRate` is off. */
  learningRate?: number;
  /** Multiply the rate by batch and accumulation; undefined: yes. */
  scaleRate?: boolean;
  /** How the rate runs over the steps. */
  schedule?: RateSchedule;
  /** Steps in which the rate rises from 0. */
  warmUp?: number;
  /** Batches that make up one step. */
  accumulate?: number;
  /** The most that the norm of all gradients may be. */
  clip?: number;
  /** Decoupled weight decay on the trained parameters. */
  weightDecay?: number;
  /** Side of the training pictures in pixels; undefined: the model's own. */
  size?: number;
  /** Mirror every other picture; undefined: the preset's. */
  flip?: boolean;
  /** Draw sizes and places; undefined: the preset's. */
  augment?: boolean;
  /** What the frozen weights are kept in. */
  precision?: "f32" | "f16";
  /** Element type of activations; f32 where left out. */
  activations?: "f32" | "f16";
  /** Bytes of GPU memory to stay within, weights included; undefined: no limit. */
  memory?: number;
  /** Steps between checkpoints. */
  saveEvery: number;
  /** The most checkpoints that are kept: the newest. */
  keep: number;
  /** Steps between sample pictures; undefined: none are made. */
  sampleEvery?: number;
  /** What they show; undefined: each concept in the template. */
  samplePrompts?: string[];
  /** Steps between two readings of the loss. */
  logEvery: number;
  /** Random seed. */
  seed: number;
  /** Go on from the newest checkpoint in `out`. */
  resume: boolean;
  /** Replace what is there already. */
  overwrite?: boolean;
  /** The list that the concepts came from. */
  conceptsList?: string;
}

/** A delta to sample with. */
export interface DeltaRequest {
  /** File or folder, of any format. */
  path: string;
  /** Multiple of its changes; 1 is what was trained. */
  strength: number;
}

/** `moongate generate` */
export interface GenerateRequest {
  /** The model's folder. */
  model: string;
  /** Deltas, in any order. */
  deltas: DeltaRequest[];
  /** At least one. */
  prompts: string[];
  /** What should not be in the picture. */
  negative: string;
  /** Pictures for each prompt. */
  count: number;
  /** Sampling steps; undefined: the model's default. */
  steps?: number;
  /** Classifier-free guidance scale; undefined: the model's default. */
  guidance?: number;
  /** The sampler; undefined: the model's default. */
  sampler?: SamplerName;
  /** How much of DDIM's noise is fresh: 1 makes it DDPM; undefined: the model's default. */
  eta?: number;
  /** Width and height in pixels where those are not given; undefined: the model's own. */
  size?: number;
  /** In pixels. */
  width?: number;
  /** In pixels. */
  height?: number;
  /** A picture to start from instead of noise. */
  image?: string;
  /** How far to go from it. */
  imageStrength?: number;
  /** Pictures sampled at once. */
  batch: number;
  /** Element type of the weights; undefined: f32, or f16 where `memory` asks for it. */
  precision?: "f32" | "f16";
  /** Element type of activations; f32 where left out. */
  activations?: "f32" | "f16";
  /** Bytes of GPU memory to stay within, weights included; undefined: no limit. */
  memory?: number;
  /** Random seed. */
  seed: number;
  /** The folder that the pictures go to. */
  out: string;
  /** Replace what is there already. */
  overwrite?: boolean;
  /** The file that prompts came from. */
  promptsFrom?: string;
  /** Take prompts without a taught word, too. */
  plain: boolean;
}

/** What all verbs that sample are asked for. */
export type SampledRequest = Omit<
  GenerateRequest,
  "prompts" | "image" | "imageStrength" | "plain"
>;

/** `moongate edit` */
export interface EditRequest extends SampledRequest {
  /** The prompt of the picture that is edited. */
  from: string;
  /** The prompt that it is edited to. */
  to: string;
  /** Factors on the attention to words of `to`. */
  weights: Record<string, number>;
  /** Share of the steps in which attention to the prompt is taken over. */
  crossSteps: number;
  /** Share of the steps in which attention of pixels to one another is. */
  selfSteps: number;
  /** How the prompts are aligned; undefined: as suits them. */
  alignment?: "replace" | "refine";
}

/** `moongate attention` */
export interface AttentionRequest extends SampledRequest {
  /** At least one. */
  prompts: string[];
}

/** `moongate merge` */
export interface MergeRequest {
  /** The model's folder: the weights before any concept, and the text encoder. */
  model: string;
  /** Two deltas or more, files or folders. */
  deltas: string[];
  /** Where the merged delta goes. */
  out: string;
  /** Replace what is there already. */
  overwrite?: boolean;
  /** A text file with a caption a line; undefined: the model folder's own `captions.txt`. */
  captions?: string;
  /** At most this many captions. */
  captionCount: number;
  /** See `mergeConcepts`. */
  ridge?: number;
}

/** `moongate convert` */
export interface ConvertRequest {
  /** A delta file or folder, of any format. */
  from: string;
  /** The format to write. */
  to: DeltaFormatName;
  /** A file, or a folder for the names that the ecosystem has. */
  out: string;
  /** Rank of the factors that changes are cut to; undefined: as they are, or the format's default. */
  rank?: number;
  /** The folder of the model that it was trained on. */
  model?: string;
  /** Names of the new tokens, for files that do not have them, in order. */
  tokens?: string[];
  /** Replace what is there already. */
  overwrite?: boolean;
}

/** `moongate analyse` */
export interface AnalyseRequest {
  /** The model that was fine-tuned. */
  before: string;
  /** A delta, or a whole model. */
  after: string;
  /** A file for the plot. */
  plot?: string;
  /** Replace what is there already. */
  overwrite?: boolean;
}

/** `moongate compress` */
export interface CompressRequest {
  /** A delta file or folder, of any format. */
  from: string;
  /** The folder of the model that it was trained on. */
  model?: string;
  /** How much is kept. */
  target: CompressTarget;
  /** A file for the plot of the singular values. */
  plot?: string;
  /** A file, or a folder. */
  out: string;
  /** Replace what is there already. */
  overwrite?: boolean;
}

/** `moongate inspect` of a path */
export interface InspectRequest {
  /** A file or folder. */
  path: string;
  /** The folder of the model that a delta was trained on. */
  model?: string;
}

/** `moongate inspect` of an architecture */
export interface ArchitectureRequest {
  /** Its name: "sd15". */
  architecture: string;
  /** Which part of it: "unet". */
  component: string;
}

/** What `inspect` found: as data, and as lines for people. */
export interface Inspected {
  /** For `--json`. */
  facts: Record<string, unknown>;
  /** For the terminal. */
  lines: string[];
}

/** `moongate evaluate` */
export interface EvaluateRequest {
  /** Pictures that are there already; undefined: they are generated. */
  generated?: string;
  /** What to generate; `out` is filled in. Undefined where `generated` is given. */
  generate?: Omit<GenerateRequest, "out">;
  /** A model folder whose own `clip/` scores, unless `scorer` is given. */
  model?: string;
  /** A CLIP folder. */
  scorer?: string;
  /** A DINO folder, to measure image alignment with, too. */
  dino?: string;
  /** One prompt for all pictures of `generated`; undefined: what their files say. */
  prompt?: string;
  /** Folders of the concept's pictures. */
  targets: string[];
  /** A folder of real pictures. */
  real?: string;
  /** Draws for intervals. */
  resamples: number;
  /** Random seed of the draws. */
  bootstrapSeed: number;
  /** The folder that the report, and generated pictures, go to. */
  out: string;
  /** A file for the numbers. */
  json?: string;
  /** Replace what is there already. */
  overwrite?: boolean;
}

/** `moongate tokens` */
export interface TokensRequest {
  /** The model's folder. */
  model: string;
  /** A text file with a caption a line, or a collection of captioned pictures. */
  captions: string;
  /** Fewest occurrences. */
  low: number;
  /** Most occurrences. */
  high: number;
  /** How many lines to show. */
  count: number;
}

/** `moongate verify` */
export interface VerifyRequest {
  /** The model's folder. */
  model: string;
  /** What PyTorch computed with it. */
  gold: string;
}

/** What `verify` found: as data, as lines for people, and the tensors that are too far off. */
export interface Findings extends Inspected {
  /** Their names. */
  wrong: string[];
}

/** `moongate demo` */
export interface DemoRequest {
  /** Two concepts to teach, by their folder names among those that ship; undefined: the demo's own. */
  concepts?: string[];
  /** Optimizer steps for each; undefined: the model's own. */
  steps?: number;
  /** Random seed. */
  seed: number;
  /** The folder that the picture and the report go to. */
  out: string;
  /** Replace what is there already, whoever made it. */
  overwrite?: boolean;
}

/** How work talks to the user. */
export interface Ui {
  /** Bars or lines, or nothing with `--quiet`. */
  progress: Progress;
  /** Ctrl-C. */
  interrupt: Interrupt;
  /** What must not be missed: a line on stderr, with `--quiet` too. */
  warn(line: string): void;
  /** A result: one line on stdout, with `--quiet` too. */
  say(line: string): void;
  /** The command as it was typed, to be typed again. */
  typed: string;
}
