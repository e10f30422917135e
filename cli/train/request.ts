/** What `moongate train` asks for. */
import type { Method, Trains } from "../../concepts/training/methods.ts";
import type { Preset } from "../../concepts/training/presets.ts";
import type { RateSchedule } from "../../concepts/training/rates.ts";
import type { DeviceRequest } from "../shared/device.ts";

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
export interface TrainRequest extends DeviceRequest {
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
