/**
 * Single steps of a program: what each really reads and writes while the program runs, and the step alone as a function, so
 * that something else can compute the same of the same. `debugRun` does so for every step in float64, which programs of
 * large models are too large for.
 */
import { append, type Node, type Tensor } from "../../tensor/tensor.ts";
import type { Compiled } from "../compile.ts";
import { readsOf, type Step } from "../fuse.ts";
import { neededBehind } from "../interpret.ts";
import { valuesOf } from "./debug.ts";
import { encodeAlone, rehearse } from "./one_by_one.ts";

/** What a step read and wrote. */
export interface Seen {
  readonly step: Step;
  /** Values of what it reads, before it ran. */
  readonly reads: ReadonlyMap<Tensor, Float64Array>;
  /** Values of its outputs, when it had. */
  readonly outputs: ReadonlyMap<Tensor, Float64Array>;
}

/**
 * Runs a program once, dispatch by dispatch, and shows what some of its steps do.
 *
 * The arguments are those of a call; donated ones are copied first, so nothing is consumed. Results of earlier calls
 * become stale, as by a call.
 *
 * @param wanted steps of the program, not within loops
 * @param use waited for before the program goes on; what it returns false for ends the run
 * @throws DeviceError when the GPU refuses something
 */
export async function watchSteps<A extends unknown[]>(
  compiled: Compiled<A, unknown>,
  args: A,
  wanted: ReadonlySet<Step>,
  use: (seen: Seen) => Promise<boolean>,
): Promise<void> {
  await rehearse("watchSteps", compiled, args, async (program, recorded) => {
    const { device } = program;
    const last = new Map(recorded.map(({ dispatch: { step } }, i) => [step, i]));
    const read = async (tensors: readonly Tensor[]) => {
      const values = new Map<Tensor, Float64Array>();
      for (const t of tensors) values.set(t, await valuesOf(program, t));
      return values;
    };
    let reads: ReadonlyMap<Tensor, Float64Array> | undefined;
    for (const [i, r] of recorded.entries()) {
      const { step } = r.dispatch;
      if (wanted.has(step)) reads ??= await read(readsOf(step));
      const encoder = device.gpu.createCommandEncoder();
      encodeAlone(encoder, r);
      device.work.submit([encoder.finish()]);
      if (!reads || last.get(step) !== i) continue;
      const seen = { step, reads, outputs: await read(step.outputs) };
      reads = undefined;
      await device.settled();
      if (!await use(seen)) return;
    }
  });
}

/** A step as a function of what it reads, in the order of {@linkcode readsOf}; gives its outputs. */
export const stepAlone = (step: Step) => (...reads: Tensor[]): Tensor[] => {
  const now = new Map(readsOf(step).map((t, i) => [t, reads[i]]));
  const fresh = new Map<Node, readonly Tensor[]>();
  const of = (t: Tensor): Tensor => now.get(t) ?? fresh.get(t.node)![t.index];
  for (const node of neededBehind(step.outputs, now)) {
    const specs = node.outputs.map((o) => o.spec);
    fresh.set(node, append(node.op, node.inputs.map(of), node.attrs, specs));
  }
  return step.outputs.map(of);
};
