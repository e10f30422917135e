/**
 * The same plan, one dispatch at a time, each checked before the next: did the GPU refuse it, did it write NaN or
 * infinity, and does it agree with the float64 definition of the ops it came from, given the values that it really read?
 * Because every dispatch is judged by its own inputs, the first one named is the one to look at.
 */
import { expectOptions } from "../../tensor/arguments.ts";
import { arrayTensor } from "../../ops/leaf.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { MissingRule } from "../../tensor/op.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { show } from "../../tensor/shape.ts";
import type { Compiled } from "../compile.ts";
import { opsOf, TensorNames } from "./explain.ts";
import { readsOf, type Step } from "../fuse.ts";
import { replayed } from "../loops/turns.ts";
import { interpret } from "../interpret.ts";
import type { Program } from "../program.ts";
import { encodeAlone, type Recorded, rehearse } from "./one_by_one.ts";
import { figures } from "../../numerics/quantities.ts";

/** What is wrong with a dispatch. */
export interface Problem {
  /** The GPU refused it, it gave NaN or infinity, a bool that is neither 0 nor 1, or it differs from the reference. */
  readonly kind: "refused" | "not finite" | "no truth value" | "differs";
  /** Position of the dispatch in the program. */
  readonly dispatch: number;
  /** What the dispatch is called. */
  readonly label: string;
  /** The ops that the dispatch came from. */
  readonly ops: readonly string[];
  /** The tensor with the wrong value, as `explain` names it; absent when the GPU refused the dispatch. */
  readonly tensor?: string;
  /** Flat row-major index of the worst value. */
  readonly index?: number;
  /** The value that the device computed there. */
  readonly actual?: number;
  /** The value that float64 gives there. */
  readonly expected?: number;
  /** All of this as a sentence. */
  readonly message: string;
}

/** What {@linkcode debugRun} found. */
export interface DebugReport {
  /** Dispatches that were checked: all of them, or up to the first that failed. */
  readonly checked: number;
  /** The first thing that was wrong, if anything was. */
  readonly problem?: Problem;
  /** The largest error of a right value, relative to the largest magnitude of its tensor, and where it was. */
  readonly worst: { readonly error: number; readonly label: string };
}

/** Options of {@linkcode debugRun}. */
export interface DebugOptions {
  /** Largest error relative to the largest magnitude of the tensor; by default 1e-3, or 1e-2 for f16 storage. */
  readonly tolerance?: number;
  /** Compare with the float64 definitions (slow for large programs). Default true. */
  readonly reference?: boolean;
}

/**
 * Runs a compiled function dispatch by dispatch and stops at the first that is wrong.
 *
 * The arguments are those of a call; donated ones are copied first, so nothing is consumed. Results of earlier calls
 * become stale, as by a call.
 *
 * @param compiled a function made by `compile`
 * @param args its arguments
 * @throws DeviceError when a kernel does not even compile
 */
export async function debugRun<A extends unknown[]>(
  compiled: Compiled<A, unknown>,
  args: A,
  options: DebugOptions = {},
): Promise<DebugReport> {
  expectOptions("debugRun", 2, options, { tolerance: "number", reference: "true or false" });
  return await rehearse("debugRun", compiled, args, async (program, recorded) => {
    const dispatches = replayed(recorded, ({ dispatch }) => dispatch);
    const names = new TensorNames(program.blueprint.tape);
    const last = lastWrites(dispatches);
    let worst = { error: 0, label: "" };
    let step: Step | undefined;
    let expected = new Map<Tensor, Float64Array>();
    for (const [i, r] of dispatches.entries()) {
      const { dispatch } = r;
      const describe = (
        kind: Problem["kind"],
        what: string,
        more: Partial<Problem> = {},
      ): Problem => ({
        kind,
        dispatch: i,
        label: dispatch.label,
        ops: opsOf(dispatch.step),
        ...more,
        message: `dispatch #${i} ${dispatch.label} (from ${
          opsOf(dispatch.step).join(" · ") || "a copy"
        }): ${what}`,
      });
      // What a step reads may be overwritten from its last dispatch on, so it is read before its first.
      const of = dispatch.within ?? dispatch.step;
      if (of !== step) {
        step = of;
        expected = options.reference === false ? new Map() : await reference(program, step);
      }
      const refusal = await runAlone(program, r);
      if (refusal) return { checked: i + 1, problem: describe("refused", refusal), worst };
      for (const t of step.outputs.filter((t) => last.get(t) === i)) {
        const actual = await valuesOf(program, t);
        const found = judge(t, actual, expected.get(t), options.tolerance);
        if (found.kind) {
          const { kind, index, error } = found;
          const [a, e] = [actual[index], expected.get(t)?.[index]];
          const name = `${names.of(t)} ${show(t.spec)}`;
          const size = kind === "differs" ? ` (${figures(error)} of the largest magnitude)` : "";
          const what = `${name} is ${a} at index ${index}${
            e === undefined ? "" : `, ${e} expected`
          }${size}`;
          const problem = describe(kind, what, { tensor: name, index, actual: a, expected: e });
          return { checked: i + 1, problem, worst };
        }
        if (found.error > worst.error) worst = { error: found.error, label: dispatch.label };
      }
    }
    return { checked: dispatches.length, worst };
  });
}

/** The dispatch after which each written tensor is complete. */
function lastWrites(dispatches: readonly Recorded[]): Map<unknown, number> {
  const last = new Map<unknown, number>();
  dispatches.forEach(({ dispatch }, i) => {
    for (const b of dispatch.buffers) if (b.access === "write") last.set(b.memory, i);
  });
  return last;
}

/** What a tensor holds now, whichever pieces it lies in. */
export async function valuesOf(program: Program, t: Tensor): Promise<Float64Array> {
  const values = new Float64Array(t.size);
  let at = 0;
  for (const storage of program.memoryOf(t)) {
    const count = Math.min(t.size - at, storage.bytes / BYTES[t.dtype]);
    const part = arrayTensor(storage, { ...t.spec, shape: [count] });
    values.set(await program.device.read(part) as Float32Array, at);
    at += count;
  }
  return values;
}

/** What the step should write, in float64, from what is on the device now. */
async function reference(program: Program, step: Step): Promise<Map<Tensor, Float64Array>> {
  const feeds = new Map<Tensor, Float64Array>();
  for (const t of readsOf(step)) {
    feeds.set(t, await valuesOf(program, t));
  }
  let values: Float64Array[];
  try {
    values = interpret(step.outputs, feeds);
  } catch (error) {
    // An op of the user's own need not have a definition; that its kernel gives numbers is looked at all the same.
    if (error instanceof MissingRule) return new Map();
    throw error;
  }
  return new Map(step.outputs.map((t, i) => [t, values[i]]));
}

/** Runs one dispatch; the GPU's refusal, if it refused. */
async function runAlone(program: Program, r: Recorded): Promise<string | undefined> {
  const { gpu, work } = program.device;
  work.flush();
  gpu.pushErrorScope("internal");
  gpu.pushErrorScope("out-of-memory");
  gpu.pushErrorScope("validation");
  const encoder = gpu.createCommandEncoder();
  encodeAlone(encoder, r);
  work.submit([encoder.finish()]);
  const errors = [await gpu.popErrorScope(), await gpu.popErrorScope(), await gpu.popErrorScope()];
  return errors.find((e) => e !== null)?.message;
}

/**
 * The first value that is not finite, or of bool neither 0 nor 1, else the worst one and whether it is too far off: the error is
 * relative to the largest magnitude that is expected.
 */
export function judge(
  t: Pick<Tensor, "dtype">,
  actual: Float64Array,
  expected: Float64Array | undefined,
  tolerance = t.dtype === "f16" ? 1e-2 : 1e-3,
): { kind?: Exclude<Problem["kind"], "refused">; index: number; error: number } {
  const broken = actual.findIndex((x) => t.dtype === "bool" ? x > 1 : !Number.isFinite(x));
  if (broken >= 0) {
    const kind = t.dtype === "bool" ? "no truth value" : "not finite";
    return { kind, index: broken, error: Infinity };
  }
  if (!expected) return { index: 0, error: 0 };
  let size = 0;
  let index = 0;
  let most = 0;
  actual.forEach((x, i) => {
    size = Math.max(size, Math.abs(expected[i]));
    const d = Math.abs(x - expected[i]);
    if (d > most || Number.isNaN(d)) [most, index] = [Number.isNaN(d) ? Infinity : d, i];
  });
  const error = most / (size || 1);
  return error > tolerance ? { kind: "differs", index, error } : { index, error };
}
