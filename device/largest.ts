/**
 * The largest buffer that an adapter really makes. What it lists is no promise: where the CPU sees 256 MiB of a GPU's
 * memory at a time (no resizable BAR), some WebGPUs refuse every buffer that is larger than that, or than what is left of
 * it, however much memory there is. So it is tried, once, when the device is opened.
 */
import { ON_CPU } from "./choice.ts";
import { setting, VARIABLES } from "./environment.ts";
import { AdapterError } from "./errors.ts";
import { memorySize } from "./memory.ts";
import { TENSOR_USAGE } from "./usage.ts";

/** Smaller ones are not tried: no model would fit. */
const LEAST = 2 ** 24;

/** What is asked of buffers beside what an adapter says. */
export interface BufferOptions {
  /**
   * The largest buffer to plan with, in bytes or as `"240MiB"`; nothing is tried then. Default: what
   * `MOONGATE_LARGEST_BUFFER` says; without it a GPU is tried, and others take what they list.
   */
  readonly largestBuffer?: number | string;
}

/**
 * What was asked for, if anything was.
 *
 * @throws RangeError for an option that is no size
 * @throws AdapterError for a variable that is none
 */
export function wantedBuffer({ largestBuffer }: BufferOptions): number | undefined {
  if (largestBuffer !== undefined) return floored(memorySize(largestBuffer));
  const text = setting(VARIABLES.largestBuffer);
  if (text === undefined) return undefined;
  try {
    return floored(memorySize(text));
  } catch (cause) {
    throw new AdapterError(`${VARIABLES.largestBuffer}: ${(cause as Error).message}`, { cause });
  }
}

/** No more than so many bytes, of which a buffer is made. */
const floored = (bytes: number): number => Math.max(16, Math.floor(bytes / 16) * 16);

/**
 * Tries sizes until the largest that is made is known, to a sixteenth of it. Each buffer is gone before the next: mostly it
 * is one, of what is listed.
 *
 * @param listed bytes of the largest buffer that the adapter lists
 * @throws AdapterError where none is made
 */
export async function largestBuffer(gpu: GPUDevice, listed: number): Promise<number> {
  if (await isMade(gpu, floored(listed))) return floored(listed);
  let refused = floored(listed);
  let made = 2 ** Math.floor(Math.log2(refused - 1));
  while (!await isMade(gpu, made)) {
    refused = made;
    made /= 2;
    if (made < LEAST) {
      throw new AdapterError(
        `the GPU makes no buffer of ${refused} bytes, and lists ${listed}: its memory is full, or its driver fails. ` +
          `Close what uses it, or ${ON_CPU}`,
      );
    }
  }
  while (refused - made > Math.max(made / 16, 2 ** 20)) {
    const between = floored((made + refused) / 2);
    if (await isMade(gpu, between)) made = between;
    else refused = between;
  }
  return made;
}

/** Whether a buffer of that size is made. */
async function isMade(gpu: GPUDevice, size: number): Promise<boolean> {
  gpu.pushErrorScope("internal");
  gpu.pushErrorScope("out-of-memory");
  gpu.pushErrorScope("validation");
  let buffer: GPUBuffer | undefined;
  try {
    buffer = gpu.createBuffer({ label: "the largest buffer", size, usage: TENSOR_USAGE });
  } catch {
    // Some refuse at once.
  }
  const errors = await Promise.all([1, 2, 3].map(() => gpu.popErrorScope()));
  buffer?.destroy();
  return buffer !== undefined && errors.every((e) => e === null);
}
