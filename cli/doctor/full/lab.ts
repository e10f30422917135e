/**
 * What sections measure on: a device and a model on it, whose weights are random but for the miniature's. A device that was
 * lost is opened anew, so that one section's end is not that of all.
 */
import { customDiffusion } from "../../../bench/memory.ts";
import { MINIATURE, type ModelName } from "../../../bench/cases/miniature.ts";
import { evaluate } from "../../../compile/compile.ts";
import type { Device } from "../../../device/device.ts";
import { weightBytes } from "../../../diffusion/memory.ts";
import {
  loadPipeline,
  type PipelineConfig,
  pipelineConfig,
  type PipelineParams,
  sketchParams,
} from "../../../diffusion/pipeline.ts";
import { type NoiseSchedule, noiseSchedule } from "../../../diffusion/samplers/schedule.ts";
import { openModelFolder } from "../../../files/models/folder.ts";
import { engineShape, type ParameterSpec, type ParameterTree } from "../../../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../../../models/specs.ts";
import { add, mul, sub } from "../../../ops/elementwise/arithmetic.ts";
import { tensor } from "../../../ops/leaf.ts";
import { randomUniform } from "../../../ops/random.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { flatten, unflatten } from "../../../tensor/tree.ts";

/** A model, before anything of it is on a device. */
export interface Subject {
  readonly name: ModelName;
  readonly config: PipelineConfig;
  readonly schedule: NoiseSchedule;
  /** Makes its parameters. */
  load(device: Device): Promise<PipelineParams>;
}

/** A model by name. @throws FileError where the miniature is not there */
export async function subjectOf(name: ModelName): Promise<Subject> {
  if (name === "sd15") {
    const { config, schedule } = customDiffusion(1, 512);
    return { name, config, schedule, load: (device) => randomParams(device, config) };
  }
  const folder = await openModelFolder(MINIATURE);
  return {
    name,
    config: pipelineConfig(folder),
    schedule: noiseSchedule(folder.config("scheduler"), `${MINIATURE}/scheduler`),
    load: async (device) => (await loadPipeline(device, folder)).params,
  };
}

/** Device and model. */
export class Lab {
  #params: PipelineParams | undefined;

  constructor(
    public device: Device,
    readonly subject: Subject,
    readonly open: () => Promise<Device>,
  ) {}

  /** The model with parameters that hold nothing, to plan with. */
  get sketch() {
    const { device, subject: { config, schedule } } = this;
    return { device, config, schedule, params: sketchParams(config, "f32") };
  }

  /** Bytes of the weights. */
  get weights(): number {
    return weightBytes({ ...this.sketch.params });
  }

  /** Whether the parameters are on the device. */
  get loaded(): boolean {
    return this.#params !== undefined;
  }

  /** The model with its parameters on the device, which are made when first asked for. */
  async model() {
    const { device, subject: { config, schedule } } = this;
    this.#params ??= await this.subject.load(device);
    return { device, config, schedule, params: this.#params };
  }

  /** Gives the parameters back. */
  free(): void {
    if (this.#params) this.device.free(...flatten<Tensor>({ ...this.#params }).map(([, t]) => t));
    this.#params = undefined;
  }

  /**
   * After a failure: forgets what else the device has to report of it, and opens another in place of one that was lost. Says
   * whether there was need for that.
   */
  async renew(): Promise<boolean> {
    await this.device.settled().catch(() => {});
    try {
      this.device.check();
      return false;
    } catch {
      this.#params = undefined;
      this.device = await this.open();
      return true;
    }
  }
}

/**
 * Random parameters, made on the device: matrices and kernels of variance 1 / (inputs of an output), scales of norms around
 * 1, biases of a tenth, so that activations stay of the size that they have in a trained model.
 */
export async function randomParams(
  device: Device,
  config: PipelineConfig,
): Promise<PipelineParams> {
  const { unet, text_encoder, vae } = config;
  const parts: [string, ParameterTree][] = [];
  for (const [i, part] of Object.entries({ text_encoder, vae, unet }).entries()) {
    const [name, of] = part;
    parts.push([name, randomPart(device, of, i + 1)]);
    await device.settled();
  }
  return Object.fromEntries(parts) as unknown as PipelineParams;
}

function randomPart(device: Device, config: ModelConfig, seed: number): ParameterTree {
  return unflatten([...parameterSpecs(config)].map(([name, spec], i) => {
    const { range, from } = spread(name, spec), key = tensor(Uint32Array.of(seed, i), [2]);
    const uniform = sub(randomUniform(key, engineShape(spec)), 0.5);
    return [name, evaluate(device, add(mul(uniform, range), from))];
  }));
}

function spread(name: string, { shape }: ParameterSpec): { range: number; from: number } {
  if (shape.length === 1) return { range: 0.2, from: /norm[^.]*\.weight$/.test(name) ? 1 : 0 };
  return { range: 2 * Math.sqrt(3 * shape[0] / sizeOf(shape)), from: 0 };
}
