/**
 * What a full measurement writes down: `measured.json`, by section, each as far as it came. It is read by people of other
 * machines than the one that it speaks of, so that units stand in the names.
 */
import type { ModelName } from "../../../bench/cases/miniature.ts";
import type { ProgramBytes } from "../../../compile/estimate.ts";
import type { AdapterFacts as DeviceFacts } from "../../../device/device.ts";
import type { AdapterProfile } from "../../../tensor/kernel.ts";
import type { AdapterFacts } from "../adapter.ts";

/** How a section ended. */
export interface Ended {
  /** "skipped": it was not begun, or given up, since time or memory was too short. */
  readonly state: "measured" | "skipped" | "failed";
  /** Why it was not measured, or not to its end. */
  readonly why?: string;
  /** How long it took. */
  readonly seconds: number;
}

/** A section: what was measured of it, and how it ended. */
export type Outcome<T> = Partial<T> & Ended;

/** Most that the device does, by kernels that do nothing else. */
export interface Ceilings {
  /** Multiply-adds in registers, 2 operations each. */
  readonly f32FlopPerSecond: number;
  /** The same in f16; left out where shaders have none. */
  readonly f16FlopPerSecond?: number;
  /** Bytes read and written by a copy of `copiedBytes`. */
  readonly bytesPerSecond: number;
  readonly copiedBytes: number;
  /**
   * Nanoseconds by the wall clock for one of the GPU's timestamps, which are nanoseconds by the standard and the driver's
   * ticks in some runtimes; 1 where they are within a fifth of it. Left out where there are none.
   */
  readonly nanosecondsPerTimestamp?: number;
}

/** Dispatches of one kind. */
export interface Kind {
  readonly kind: string;
  readonly dispatches: number;
  readonly milliseconds: number;
  readonly flop: number;
  /** Of what is read and written, each value once. */
  readonly bytes: number;
}

/** A kernel at one shape. */
export interface HotKernel {
  /** Its label, and shapes of what it reads and writes. */
  readonly kernel: string;
  readonly shapes: string;
  /** How often the step runs it. */
  readonly dispatches: number;
  /** Of one dispatch. */
  readonly milliseconds: number;
  /** Of the whole step's time. */
  readonly share: number;
  readonly flop: number;
  readonly bytes: number;
  /** Parts of the ceilings. */
  readonly ofFlops?: number;
  readonly ofBytes?: number;
  /** Its answer beside the reference's; left out where that would take too long. */
  readonly answer?: Answer;
}

/** A kernel's answer on the values that the step gives it. */
export interface Answer {
  /** "float64": the op's definition; "CPU": this library's other kernels, in f32 on the processor. */
  readonly reference: "float64" | "CPU";
  /** The largest error, relative to the largest value; null where the answer is not finite. */
  readonly error: number | null;
  readonly right: boolean;
}

/** The hot kernels of a training step of one picture. */
export interface Kernels {
  readonly clock: "timestamps" | "wall";
  readonly batch: number;
  /** Sum over all dispatches of the step. */
  readonly milliseconds: number;
  /** Those that make up most of that, the slowest first. */
  readonly hot: readonly HotKernel[];
  readonly checked: number;
  readonly wrong: number;
}

/** Memory of a program and what it works on, in bytes. */
export interface Memory {
  readonly weights: number;
  readonly trained: number;
  readonly program: ProgramBytes;
  readonly planned: number;
  /** What was allocated when it ran; left out where it did not. */
  readonly allocated?: number;
}

/** Making a program ready. */
export interface Start {
  /** Tracing and planning. */
  readonly planSeconds: number;
  /** Compiling what no program before had. */
  readonly compileSeconds: number;
  /** Distinct kernels, and how many of them were new. */
  readonly kernels: number;
  readonly compiled: number;
  /** The first run, in which some drivers compile. */
  readonly firstSeconds: number;
}

/** A training step. */
export interface Training {
  readonly batch: number;
  readonly memory: Memory;
  readonly start: Start;
  readonly dispatches: number;
  readonly flop: number;
  /** The fastest and the median of `steps`, reading the loss included. */
  readonly secondsPerStep: number;
  readonly medianSeconds: number;
  readonly steps: number;
  readonly flopPerSecond: number;
  readonly ofFlops?: number;
  /** Losses of the first run; a second one from the same state gives the same, and the same parameters, to the last bit. */
  readonly losses: readonly number[];
  readonly sameBits: boolean;
  readonly kinds: readonly Kind[];
}

/** A picture from noise, with guidance. */
export interface Sampling {
  readonly wantedSteps: number;
  /** Steps of the walks that were taken: fewer where time was short. */
  readonly steps: number;
  readonly memory: Memory;
  readonly start: Start;
  readonly secondsPerStep: number;
  readonly decodeSeconds: number;
  /** Of `wantedSteps` and decoding. */
  readonly secondsPerPicture: number;
  readonly flopPerStep: number;
  readonly ofFlops?: number;
  readonly sameBits: boolean;
  readonly kinds: readonly Kind[];
}

/** The same training step in PyTorch. */
export interface Peer {
  readonly library: string;
  readonly steps: readonly {
    readonly batch: number;
    readonly secondsPerStep: number;
    /** With operands of products rounded to 19 bits, as NVIDIA's GPUs can. */
    readonly tf32SecondsPerStep?: number;
    /** Its time over ours, in f32: above 1, ours is faster. */
    readonly ratio: number;
  }[];
}

/** Everything. */
export interface MeasuredRecord {
  /** Of this file. */
  readonly format: 1;
  readonly day: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly processor?: string;
  readonly request: { readonly model: ModelName; readonly minutes: number };
  readonly device: DeviceFacts;
  readonly adapter?: AdapterFacts;
  readonly profile: AdapterProfile;
  readonly ceilings?: Outcome<Ceilings>;
  readonly kernels?: Outcome<Kernels>;
  /** By batch size. */
  readonly training: Readonly<Record<string, Outcome<Training>>>;
  readonly sampling?: Outcome<Sampling>;
  readonly pytorch?: Outcome<Peer>;
  /** Seconds of all. */
  readonly seconds: number;
  /** Set when nothing is left to be done. */
  readonly complete: boolean;
}
