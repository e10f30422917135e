/**
 * From noise to a latent: one compiled step, replayed, for every sampler. Everything that differs between steps
 * (timestep, factors, keys) is data, the sample and what is remembered of earlier steps stay in donated memory, and
 * nothing waits for the GPU.
 */
import { compile, type Compiled } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { turn } from "../device/turn.ts";
import { add, mul, sub } from "../ops/elementwise/arithmetic.ts";
import { tensor } from "../ops/leaf.ts";
import { expand } from "../ops/broadcast.ts";
import { concat } from "../ops/concat.ts";
import { slice } from "../ops/movement.ts";
import { greaterEqual, where } from "../ops/elementwise/compare.ts";
import { foldIn, keyFromSeed, randomNormal } from "../ops/random.ts";
import {
  type AddedConditions,
  type Prompt,
  promptKeys,
  unet,
  type UNetConfig,
} from "../models/unet/unet.ts";
import type { AttentionHook } from "../models/unet/attention_hook.ts";
import type { ParameterTree } from "../models/params.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { AttentionControl, HookMaker } from "./attention_control.ts";
import type { NoiseSchedule } from "./samplers/schedule.ts";
import { trajectory, type TrajectoryOptions } from "./samplers/samplers.ts";
import type { SamplingStep, Trajectory } from "./samplers/trajectory.ts";

/** What a walk starts from and how it goes. */
export interface Walk extends TrajectoryOptions {
  /** A latent's height, width and channels. */
  readonly shape: readonly [h: number, w: number, c: number];
  /** One per picture, whole numbers from 0 to 2⁵³ − 1: a picture depends on its seed, not on its place in the batch. */
  readonly seeds: readonly number[];
  /** w in ε(∅) + w·(ε(prompt) − ε(∅)); with 1 the model is asked once a step, for the prompt alone. */
  readonly guidance: number;
  /** What the model is told besides the prompts, with as many rows as those have. */
  readonly added?: AddedConditions;
  /** Noise `[B, h, w, c]` of unit variance to start from instead of the seeds' own. */
  readonly noise?: Tensor;
  /** A clean latent `[1 or B, h, w, c]` to start from, with `strength`: noise is put on it. */
  readonly picture?: Tensor;
  /** Fresh noise of each step, `[B, h, w, c]` of unit variance, instead of the seeds' own. */
  readonly freshNoise?: readonly Tensor[];
  /**
   * Called when a step has been handed to the GPU. The sample `[B, h, w, c]` may be read until what is returned is
   * fulfilled.
   */
  readonly onStep?: (done: number, steps: number, sample: Tensor) => void | Promise<void>;
  readonly signal?: AbortSignal;
  /** Sees and changes what the model attends to. */
  readonly attention?: AttentionControl;
}

/** The sample, and slots for what samplers remember. */
export interface SamplingState {
  readonly x: Tensor;
  readonly slots: readonly Tensor[];
  /** What an {@linkcode AttentionControl} records, summed over the steps so far; one tensor or none. */
  readonly recorded: readonly Tensor[];
}

/** Where a walk ended. The caller owns its tensors. */
export interface WalkEnd {
  /** Latents as the UNet sees them, `[B, h, w, c]`. */
  readonly latents: Tensor;
  /** What was recorded of attention, summed over the steps. */
  readonly recorded?: Tensor;
  /** How often the model was asked. */
  readonly steps: number;
}

/** A step that is not compiled. */
export type SamplingFunction = (
  params: ParameterTree,
  state: SamplingState,
  context: Prompt,
  noise: readonly Tensor[],
  numbers: Tensor,
  added: Readonly<Record<string, Tensor>>,
  hooked: Readonly<Record<string, Tensor>>,
) => SamplingState;

/** A model that is asked what is in a noisy sample: `(config, params, x, timesteps [B], context, options)`. */
export type Denoising = (
  config: UNetConfig,
  params: ParameterTree,
  x: Tensor,
  timesteps: Tensor,
  context: Prompt,
  options: { readonly added?: AddedConditions; readonly attention?: AttentionHook },
) => Tensor;

/** A model that denoises. */
export interface DenoisingModel {
  readonly ask: Denoising;
  /** What it makes of a prompt's features once for all steps; left out, it gets them as they are. */
  readonly read?: (config: UNetConfig, params: ParameterTree, context: Tensor) => Prompt;
}

/** {@linkcode unet}: a prompt's keys and values are the same at every step. */
export const UNET: DenoisingModel = { ask: unet, read: promptKeys };

type SamplingProgram = Compiled<Parameters<SamplingFunction>, SamplingState>;

/** Samples latents of one UNet. Programs are compiled once for each batch size and shape. */
export class Denoiser {
  readonly #programs = new Map<HookMaker | undefined, Map<boolean, SamplingProgram>>();
  readonly #start: Compiled<[Start], Tensor>;
  readonly #read: Compiled<[ParameterTree, Tensor], Prompt> | undefined;

  /** @param model what is asked for an answer; {@linkcode UNET} but in tests */
  constructor(
    readonly device: Device,
    readonly config: UNetConfig,
    readonly model: DenoisingModel = UNET,
  ) {
    this.#start = compile(device, startOf);
    const { read } = model;
    this.#read = read && compile(device, (params, context) => read(config, params, context));
  }

  /**
   * @param params the UNet's
   * @param context features of the prompts `[B, T, d]`; with guidance those of the negative prompts come first:
   * `[2B, T, d]`
   * @returns latents as the UNet sees them, `[B, h, w, c]`; the caller owns them
   * @throws RangeError for seeds, steps, a sampler, eta or strength that make no sense
   */
  async run(
    params: ParameterTree,
    context: Tensor,
    schedule: NoiseSchedule,
    walk: Walk,
  ): Promise<Tensor> {
    const { latents, recorded } = await this.walk(params, context, schedule, walk);
    if (recorded) this.device.free(recorded);
    return latents;
  }

  /** Like {@linkcode Denoiser.run}, for walks that record what the model attends to. */
  async walk(
    params: ParameterTree,
    context: Tensor,
    schedule: NoiseSchedule,
    walk: Walk,
  ): Promise<WalkEnd> {
    const { path, state: begun, argumentsOf } = this.#begin(params, context, schedule, walk);
    let state = begun;
    let owned: readonly Tensor[] = [...state.slots, ...state.recorded];
    try {
      for (let i = 0; i < path.steps.length; i++) {
        walk.signal?.throwIfAborted();
        const { program, args } = argumentsOf(i, state);
        state = program(...args);
        owned = [state.x, ...state.slots, ...state.recorded];
        await walk.onStep?.(i + 1, path.steps.length, state.x);
        // Lets signals and timers through; the GPU works on meanwhile.
        await turn();
      }
    } catch (error) {
      this.device.free(...owned);
      throw error;
    }
    this.device.free(...state.slots);
    return { latents: state.x, recorded: state.recorded.at(0), steps: path.steps.length };
  }

  /** Compiles what such a walk's first step takes, and walks nowhere. */
  prepare(params: ParameterTree, context: Tensor, schedule: NoiseSchedule, walk: Walk): void {
    const { state, argumentsOf } = this.#begin(params, context, schedule, walk);
    const { program, args } = argumentsOf(0, state);
    program.program(...args);
    this.device.free(...state.slots, ...state.recorded);
  }

  /** Where a walk begins, and what each of its steps takes; to be asked for in order. */
  #begin(params: ParameterTree, context: Tensor, schedule: NoiseSchedule, walk: Walk) {
    const roots = walk.seeds.map(keyFromSeed);
    if ((walk.picture === undefined) !== (walk.strength === undefined)) {
      throw new RangeError("a walk from a picture takes both picture and strength");
    }
    const path = trajectory(schedule, walk);
    // Draw 0 of a seed is where its walk starts, draw i + 1 the fresh noise of step i.
    const keys = (draw: number) => roots.map((key) => tensor(Uint32Array.from(foldIn(key, draw))));
    const memory = new Memory(path.steps);
    const noisy = path.steps.some(({ noise }) => noise > 0);
    const fresh = (i: number) => !noisy ? [] : walk.freshNoise ? [walk.freshNoise[i]] : keys(i + 1);
    const size = [roots.length, ...walk.shape];
    const zeros = (shape: Shape) =>
      this.device.upload(new Float32Array(sizeOf(shape)), shape, "f32");
    const { attention } = walk;
    const prompt = this.#read?.(params, context) ?? context;
    const state: SamplingState = {
      x: this.#start(startWith(path, walk, keys(0))),
      slots: Array.from({ length: memory.depth }, () => zeros(size)),
      recorded: attention?.recorded ? [zeros(attention.recorded)] : [],
    };
    const argumentsOf = (i: number, state: SamplingState) => {
      const plan = path.steps[i];
      const numbers = tensor(Float32Array.of(
        ...[plan.timestep, walk.guidance, plan.input, plan.x, plan.model, plan.noise],
        ...memory.next(plan),
      ));
      const hooked = attention?.at(i, path.steps.length);
      const program = this.#program(walk.guidance !== 1, hooked && attention?.hook);
      const added = { ...walk.added };
      const args: Parameters<SamplingFunction> = [
        ...[params, state, prompt, fresh(i), numbers, added, { ...hooked }] as const,
      ];
      return { program, args };
    };
    return { path, state, argumentsOf };
  }

  /** Gives back the memory of all programs. */
  free(): void {
    this.#start.free();
    this.#read?.free();
    for (const programs of this.#programs.values()) {
      for (const program of programs.values()) program.free();
    }
    this.#programs.clear();
  }

  #program(guided: boolean, hook: HookMaker | undefined): SamplingProgram {
    let programs = this.#programs.get(hook);
    if (!programs) this.#programs.set(hook, programs = new Map());
    let program = programs.get(guided);
    if (!program) {
      program = compile(this.device, samplingStep(this.config, this.model.ask, guided, hook), {
        donate: [1],
      });
      programs.set(guided, program);
    }
    return program;
  }
}

/** One step of a walk, with guidance or without: what {@linkcode Denoiser} compiles. */
export function samplingStep(
  config: UNetConfig,
  model: Denoising,
  guided: boolean,
  hook?: HookMaker,
): SamplingFunction {
  return (params, { x, slots, recorded }, context, noise, numbers, { pooled, sizes }, hooked) => {
    const n = (i: number) => slice(numbers, 0, i, i + 1);
    const [timestep, guidance, input, ofX, ofModel, ofNoise, keptX, keptModel] = COLUMNS.map(n);
    const shown = mul(x, input);
    const added = pooled && sizes ? { pooled, sizes } : undefined;
    const seen: Tensor[] = [];
    const attention = hook?.({
      given: hooked,
      pictures: x.shape[0],
      latent: [x.shape[1], x.shape[2]],
      record: (value) => void seen.push(value),
    });
    const ask = (x: Tensor) =>
      model(config, params, x, expand(timestep, [x.shape[0]]), context, { added, attention });
    const answer = guided ? guidedAnswer(ask, shown, guidance) : ask(shown);
    let next = add(mul(x, ofX), mul(answer, ofModel));
    if (noise.length) next = add(next, mul(draws(noise, x.shape.slice(1)), ofNoise));
    const remembered = add(mul(x, keptX), mul(answer, keptModel));
    const factor = (k: number) => n(COLUMNS.length + k);
    const write = (k: number) => n(COLUMNS.length + slots.length + k);
    slots.forEach((slot, k) => next = add(next, mul(slot, factor(k))));
    return {
      x: next,
      slots: slots.map((slot, k) => where(greaterEqual(write(k), 1), remembered, slot)),
      recorded: seen.length
        ? recorded.map((sum) => add(sum, mul(seen.reduce((a, b) => add(a, b)), 1 / seen.length)))
        : recorded,
    };
  };
}

/** How many numbers a step takes with so many slots. */
export const numbersFor = (slots: number): number => COLUMNS.length + 2 * slots;

/** What the numbers of a step begin with; behind them comes, for each slot, its factor, then whether it is written. */
const COLUMNS = [0, 1, 2, 3, 4, 5, 6, 7];

/** Which slot holds what: the oldest is written next, so that nothing is ever moved. */
class Memory {
  /** How many slots there are. */
  readonly depth: number;
  /** Slots, the last written first. */
  readonly #order: number[] = [];

  constructor(steps: readonly SamplingStep[]) {
    this.depth = Math.max(...steps.map((step) => step.history.length));
  }

  /** A step's numbers from the seventh on. */
  next({ history, remember }: SamplingStep): number[] {
    const factors = new Array<number>(this.depth).fill(0);
    const writes = new Array<number>(this.depth).fill(0);
    history.forEach((factor, age) => factors[this.#order[age]] = factor);
    if (!remember || !this.depth) return [0, 0, ...factors, ...writes];
    const slot = this.#order.length < this.depth ? this.#order.length : this.#order.pop()!;
    this.#order.unshift(slot);
    writes[slot] = 1;
    return [remember.x, remember.model, ...factors, ...writes];
  }
}

/** What a walk starts from: noise as drawn or as given, times its factor, and perhaps a picture times its own. */
interface Start {
  readonly [size: string]: {
    readonly noise: readonly Tensor[];
    readonly picture: readonly Tensor[];
    readonly factors: Tensor;
  };
}

function startWith(path: Trajectory, walk: Walk, keys: readonly Tensor[]): Start {
  const { noise, picture } = walk;
  const factors = picture ? [path.picture.noise, path.picture.signal] : [path.noise];
  return {
    [walk.shape.join("x")]: {
      noise: noise ? [noise] : keys,
      picture: picture ? [picture] : [],
      factors: tensor(Float32Array.from(factors)),
    },
  };
}

function startOf(start: Start): Tensor {
  const [[size, { noise, picture, factors }]] = Object.entries(start);
  const x = mul(draws(noise, size.split("x").map(Number)), slice(factors, 0, 0, 1));
  return picture.length ? add(x, mul(picture[0], slice(factors, 0, 1, 2))) : x;
}

/** Normal numbers `[B, …shape]`, each picture's from its own key; or those that are given instead of keys. */
function draws(keys: readonly Tensor[], shape: readonly number[]): Tensor {
  if (keys[0].dtype === "f32") return keys[0];
  return concat(keys.map((key) => randomNormal(key, [1, ...shape])), 0);
}

/** Ho & Salimans 2022, eq. 6 (with w counted from 1): both answers in one batch. */
function guidedAnswer(ask: (x: Tensor) => Tensor, x: Tensor, guidance: Tensor): Tensor {
  const b = x.shape[0];
  const both = ask(concat([x, x], 0));
  const without = slice(both, 0, 0, b);
  return add(without, mul(sub(slice(both, 0, b, 2 * b), without), guidance));
}
