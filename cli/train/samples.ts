/** Pictures that a run in training makes of the same prompts and seeds every so often, to see what it has learnt. */
import { withDelta } from "../../concepts/deltas/apply.ts";
import type { Delta } from "../../concepts/deltas/delta.ts";
import { MemoryError } from "../../device/memory.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { type SampleOptions, Sampler } from "../../diffusion/sample.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { encodePng } from "../../files/pictures/png.ts";
import { sampleFile, SAMPLES_FOLDER } from "./checkpoints.ts";
import type { Metrics } from "../../files/metrics/metrics.ts";

/** Makes the samples of a run. */
export class TrainingSamples {
  readonly #sampler: Sampler;

  /**
   * @param model what is trained, with its new words
   * @param options of sampling; with `memory`, programs are not kept between two times
   */
  constructor(
    readonly model: Pipeline,
    readonly out: string,
    readonly prompts: readonly string[],
    readonly options: SampleOptions & { readonly seed: number },
  ) {
    this.#sampler = new Sampler(model);
  }

  /** Compiles what they take, before training is timed; not where programs are not to be kept. */
  prepare(): void {
    if (this.options.memory === undefined) this.#sampler.prepare(this.prompts, this.options);
  }

  /** A picture of each prompt with a delta, in files `samples/50-1.png` and in the metrics; a remark where there is no room. */
  async make(step: number, delta: Delta, metrics: Metrics): Promise<string | undefined> {
    await Deno.mkdir(`${this.out}/${SAMPLES_FOLDER}`, { recursive: true });
    const { seed } = this.options, taught = withDelta(this.model, delta);
    try {
      const made = await this.#sampler.generate(this.prompts, this.options, taught.params);
      const shown: Record<string, { png: Uint8Array; width: number; height: number }> = {};
      for (const [i, picture] of made.entries()) {
        const prompt = this.prompts[i];
        const png = await encodePng(picture, {
          ...{ prompt, seed: String(seed + i), "training steps": String(step) },
        });
        await writeFileAtomic(`${this.out}/${SAMPLES_FOLDER}/${sampleFile(step, i)}`, png);
        shown[`samples/${i + 1}: ${prompt}`] = { png, ...picture };
      }
      await metrics.show(step, shown);
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      return `no samples at step ${step}: ${error.message}`;
    } finally {
      taught.free();
      if (this.options.memory !== undefined) this.free();
    }
  }

  /** Gives back the memory of the programs. */
  free(): void {
    this.#sampler.free();
  }
}
