/**
 * Does this machine compute this model right? Everything that a golden file of PyTorch holds is computed again, by the
 * library's own encoders, samplers, loss, mask and optimizer, and compared: ‖a − b‖ / ‖b‖, the file's values being b.
 */
import { PATH } from "../../files/given.ts";
import { MODEL } from "../../diffusion/given.ts";
import { expectKinds } from "../../tensor/kinds.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { type Check, FORWARD_CHECKS } from "./forward.ts";
import { Gold } from "./gold.ts";
import { keysAndValues } from "./parameters.ts";
import { prepareTraining, type TrainingChecks } from "./training.ts";

/** One tensor that was computed again. */
export interface Verified {
  /** Its name in the file. */
  readonly name: string;
  /** ‖a − b‖ / ‖b‖. */
  readonly error: number;
  /** The largest error that passes: 1e-4 for forward values, 1e-3 for gradients, trained values and trajectories. */
  readonly limit: number;
  /** Whether it does. */
  readonly passed: boolean;
}

/** What {@linkcode verifyModel} found. */
export interface Verification {
  /** Whether every tensor passed. */
  readonly passed: boolean;
  /** In the order in which they were computed. */
  readonly tensors: readonly Verified[];
  /** Results that a complete file has and this one has not. */
  readonly skipped: readonly string[];
  /** Tensors of the file that nothing is computed from or compared with. */
  readonly unknown: readonly string[];
  /**
   * Whether the file's gradients of keys and values leave position 0 out, as the method's do (appendix B); undefined
   * where it holds none. Where its metadata does not say, that which fits better was taken.
   */
  readonly startToken?: "cut" | "kept";
}

/** Options of {@linkcode verifyModel}. */
export interface VerifyOptions {
  /** Called after each result or group of results. */
  readonly onProgress?: (done: number, total: number, name: string) => void;
  /** Stops between two results. */
  readonly signal?: AbortSignal;
}

/**
 * Computes everything that a golden file holds again, and compares.
 *
 * @param model in f32
 * @param path a safetensors file, as `tests/golden/verify_gold.py` writes it
 * @throws FileError naming the tensor when the file holds nothing to compare, a result without its inputs, or shapes and
 *   numbers that are not of this model
 */
export async function verifyModel(
  model: Pipeline,
  path: string,
  options: VerifyOptions = {},
): Promise<Verification> {
  expectKinds("verifyModel", { model: [model, MODEL], path: [path, PATH] });
  using gold = await Gold.open(path);
  const checks = FORWARD_CHECKS.filter(({ name }) => gold.has(name));
  for (const { name, inputs } of checks) gold.demand(name, inputs);
  const training = await prepareTraining(model, gold);
  if (!checks.length && !training) {
    throw gold.fault("holds nothing that could be compared", "See docs/verify.md for the names");
  }
  const ready = [];
  for (const check of checks) ready.push({ check, run: await check.prepare(model, gold) });

  const tensors: Verified[] = [];
  const total = ready.length + (training ? 1 : 0);
  options.onProgress?.(0, total, ready[0]?.check.name ?? "training");
  for (const [i, { check, run }] of ready.entries()) {
    options.signal?.throwIfAborted();
    const result = await run();
    const actual = await model.device.read(result) as Float32Array;
    model.device.free(result);
    tensors.push(await compared(gold, check.name, check.limit, actual, check));
    options.onProgress?.(i + 1, total, check.name);
  }
  options.signal?.throwIfAborted();
  const derived = training && await compareTraining(gold, training);
  if (derived) {
    tensors.push(...derived.tensors);
    options.onProgress?.(total, total, "training");
  }
  return {
    passed: tensors.every((t) => t.passed),
    tensors,
    ...about(model, gold),
    startToken: derived?.startToken,
  };
}

/** Loss, gradients and trained values: with the start token cut off or not, whichever the file has. */
async function compareTraining(
  gold: Gold,
  training: TrainingChecks,
): Promise<{ tensors: Verified[]; startToken?: "cut" | "kept" }> {
  const said = gold.training().cutStartToken;
  let best: { tensors: Verified[]; startToken?: "cut" | "kept"; worst: number } | undefined;
  for (const cut of said === undefined ? [true, false] : [said]) {
    const found = await training.run(cut);
    const tensors: Verified[] = [];
    for (const [name, limit] of training.limits) {
      tensors.push(await compared(gold, name, limit, found.get(name)!));
    }
    const worst = Math.max(...tensors.map((t) => Number.isNaN(t.error) ? Infinity : t.error));
    const startToken = training.limits.size > 1 || !training.limits.has("loss")
      ? cut ? "cut" as const : "kept" as const
      : undefined;
    if (!best || worst < best.worst) best = { tensors, startToken, worst };
    if (tensors.every((t) => t.passed)) break;
  }
  return best!;
}

async function compared(
  gold: Gold,
  name: string,
  limit: number,
  actual: Float32Array,
  { meant }: Pick<Check, "meant"> = {},
): Promise<Verified> {
  const held = await gold.real(name);
  const expected = meant ? meant(held, gold.shape(name)) : held;
  if (actual.length !== expected.length) throw gold.misshapen(name, `${actual.length} numbers`);
  const error = relativeError(actual, expected);
  return { name, error, limit, passed: error <= limit };
}

/** ‖a − b‖ / ‖b‖; 0 for two that are nothing but zeros. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let off = 0, size = 0;
  for (let i = 0; i < b.length; i++) {
    off += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return off === 0 && size === 0 ? 0 : Math.sqrt(off / size);
}

/** What the file lacks, and what it holds in vain. */
function about(model: Pipeline, gold: Gold): { skipped: string[]; unknown: string[] } {
  const names = [...keysAndValues(model), "row"];
  const forward = FORWARD_CHECKS.map(({ name }) => name);
  const parts = ["grad", "after"].map((prefix) => {
    const lacking = names.filter((n) => !gold.has(`${prefix}.${n}`)).map((n) => `${prefix}.${n}`);
    // All of them are one thing to say.
    return lacking.length < names.length ? lacking : [`${prefix}.*`];
  });
  const inputs = new Set(["x0", "noise", "unet_t", "mask", "ids", "row"]);
  for (const check of FORWARD_CHECKS) for (const name of check.inputs) inputs.add(name);
  const results = new Set([...forward, "loss"]);
  return {
    skipped: [...[...results].filter((n) => !gold.has(n)), ...parts.flat()],
    unknown: gold.names("").filter((n) =>
      !inputs.has(n) && !results.has(n) && !/^(grad|after)\./.test(n)
    ),
  };
}
