/**
 * From noise to a latent: one compiled step, replayed. Everything that differs between steps (timestep, coefficients,
 * keys) is data, the sample stays in donated memory, and nothing waits for the GPU.
 */
import { compile, type Compiled } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { add, mul, sub } from "../ops/arithmetic.ts";
import { scalar, tensor } from "../ops/leaf.ts";
import { concat, expand, reshape, slice } from "../ops/movement.ts";
import { foldIn, keyFromSeed, randomNormal } from "../ops/random.ts";
import { unet, type UNetConfig } from "../models/unet.ts";
import type { ParameterTree } from "../models/params.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { NoiseSchedule } from "./schedule.ts";
import { samplingSteps } from "./schedule_steps.ts";

/** What a walk starts from and how it goes. */
export interface Walk {
  /** A latent's height, width and channels. */
  readonly shape: readonly [h: number, w: number, c: number];
  /** One per picture, whole numbers from 0 to 2⁵³ − 1: a picture depends on its seed, not on its place in the batch. */
  readonly seeds: readonly number[];
  readonly steps: number;
  /** 0 for DDIM, 1 for DDPM, or between. */
  readonly eta: number;
  /** w in ε(∅) + w·(ε(prompt) − ε(∅)); with 1 the model is asked once a step, for the prompt alone. */
  readonly guidance: number;
  /** Noise `[B, h, w, c]` to start from instead of the seeds' own. */
  readonly noise?: Tensor;
  /** Called when a step has been handed to the GPU. */
  readonly onStep?: (done: number, steps: number) => void;
  readonly signal?: AbortSignal;
}

type Numbers = { readonly [name in "timestep" | "x" | "model" | "noise" | "guidance"]: Tensor };
type Step = (
  params: ParameterTree,
  x: Tensor,
  context: Tensor,
  keys: Tensor[],
  n: Numbers,
) => Tensor;

/** Samples latents of one UNet. Programs are compiled once for each batch size and shape. */
export class Denoiser {
  readonly #programs = new Map<string, Compiled<Parameters<Step>, Tensor>>();
  readonly #start: Compiled<[{ readonly [size: string]: Tensor[] }], Tensor>;

  constructor(readonly device: Device, readonly config: UNetConfig) {
    this.#start = compile(device, (keys) => {
      const [[shape, list]] = Object.entries(keys);
      return draws(list, shape.split("x").map(Number));
    });
  }

  /**
   * @param params the UNet's
   * @param context features of the prompts `[B, T, d]`; with guidance those of the negative prompts come first:
   * `[2B, T, d]`
   * @returns latents as the UNet sees them, `[B, h, w, c]`; the caller owns them
   * @throws RangeError for seeds, steps or eta that make no sense
   */
  async run(
    params: ParameterTree,
    context: Tensor,
    schedule: NoiseSchedule,
    walk: Walk,
  ): Promise<Tensor> {
    const roots = walk.seeds.map(keyFromSeed);
    const list = samplingSteps(schedule, walk);
    const guided = walk.guidance !== 1;
    const step = this.#program(guided, walk.eta > 0);
    // Draw 0 of a seed is where its walk starts, draw i + 1 the fresh noise of step i.
    const keys = (draw: number) => roots.map((key) => tensor(Uint32Array.from(foldIn(key, draw))));
    let x = walk.noise ?? this.#start({ [walk.shape.join("x")]: keys(0) });
    let owned = false;
    try {
      for (const [i, { timestep, x: keep, model, noise }] of list.entries()) {
        walk.signal?.throwIfAborted();
        const numbers = { timestep, x: keep, model, noise, guidance: walk.guidance };
        const data = Object.fromEntries(
          Object.entries(numbers).map(([name, v]) => [name, scalar(v)]),
        ) as Numbers;
        x = step(params, x, context, keys(i + 1), data);
        owned = true;
        walk.onStep?.(i + 1, list.length);
        // Lets signals and timers through; the GPU works on meanwhile.
        await new Promise((resolve) => setTimeout(resolve));
      }
      return x;
    } catch (error) {
      if (owned) this.device.free(x);
      throw error;
    }
  }

  /** Gives back the memory of all programs. */
  free(): void {
    this.#start.free();
    for (const program of this.#programs.values()) program.free();
    this.#programs.clear();
  }

  #program(guided: boolean, noisy: boolean): Compiled<Parameters<Step>, Tensor> {
    const key = `${guided} ${noisy}`;
    let program = this.#programs.get(key);
    if (!program) {
      const fn: Step = (params, x, context, keys, n) => {
        const answer = guided
          ? guidedAnswer(this.config, params, x, context, n)
          : ask(this.config, params, x, context, n.timestep);
        const next = add(mul(x, n.x), mul(answer, n.model));
        return noisy ? add(next, mul(draws(keys, x.shape.slice(1)), n.noise)) : next;
      };
      program = compile(this.device, fn, { donate: [1] });
      this.#programs.set(key, program);
    }
    return program;
  }
}

/** Normal numbers `[B, …shape]`, each picture's from its own key. */
function draws(keys: readonly Tensor[], shape: readonly number[]): Tensor {
  return concat(keys.map((key) => randomNormal(key, [1, ...shape])), 0);
}

function ask(
  config: UNetConfig,
  params: ParameterTree,
  x: Tensor,
  context: Tensor,
  timestep: Tensor,
): Tensor {
  return unet(config, params, x, expand(reshape(timestep, [1]), [x.shape[0]]), context);
}

/** Ho & Salimans 2022, eq. 6 (with w counted from 1): both answers in one batch. */
function guidedAnswer(
  config: UNetConfig,
  params: ParameterTree,
  x: Tensor,
  context: Tensor,
  n: Numbers,
): Tensor {
  const b = x.shape[0];
  const both = ask(config, params, concat([x, x], 0), context, n.timestep);
  const without = slice(both, 0, 0, b);
  return add(without, mul(sub(slice(both, 0, b, 2 * b), without), n.guidance));
}
