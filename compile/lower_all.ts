/** A program's steps → its dispatches: what loops replay, and what is laid out once and shared. */
import { Tensor } from "../tensor/tensor.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import type { Step } from "./fuse.ts";
import { lowerLoop } from "./loops/loop.ts";
import { lower, type LoweredDispatch, type Scratch } from "./lower.ts";

/** Bytes that a program may keep of weights in other layouts. */
const KEPT = 2 ** 28;

/**
 * Lowers the steps of a program for an adapter.
 *
 * @param given tensors that come anew with each run. Other leaves, weights above all, are mostly those of the run before
 */
export function lowerAll(
  steps: readonly Step[],
  profile: AdapterProfile,
  given: ReadonlySet<Tensor>,
): LoweredDispatch[] {
  let left = KEPT;
  const fixed = (t: Tensor) => t.node.op.lowering.kind === "leaf" && !given.has(t);
  /** @param outside what tensors of a loop's body stand for; what is not there has another value at each turn */
  const lowered = (step: Step, outside?: ReadonlyMap<Tensor, Tensor>): LoweredDispatch[] => {
    if (step.kind === "loop") {
      const within = (t: Tensor) => outside?.get(t) ?? t;
      const whole = { ...step, inputs: step.inputs.map(within) };
      return lowerLoop(whole, profile, (body, own) => {
        // The carries of a loop are values of the program: no leaf, so that nothing of them is kept.
        return body.flatMap((s) => lowered(s, own).map((d) => renamed(d, own)));
      });
    }
    return lower(step, profile, (input, bytes) => {
      if (step.kind !== "kernel" || bytes > left) return false;
      const t = step.inputs[input];
      const value = outside ? outside.get(t) : t;
      if (!value || !fixed(value)) return false;
      left -= bytes;
      return true;
    });
  };
  return sharing(steps.flatMap((step) => lowered(step)));
}

/** A dispatch of a loop's body, with what its tensors stand for outside. */
function renamed(d: LoweredDispatch, outside: ReadonlyMap<Tensor, Tensor>): LoweredDispatch {
  const memory = (m: Tensor | Scratch) => m instanceof Tensor ? outside.get(m) ?? m : m;
  return { ...d, buffers: d.buffers.map((b) => ({ ...b, memory: memory(b.memory) })) };
}

/** Of several dispatches that lay out one weight in the same way the first is left, and all use what it keeps. */
function sharing(dispatches: readonly LoweredDispatch[]): LoweredDispatch[] {
  const first = new Map<Tensor | Scratch, Map<string, Scratch>>();
  const instead = new Map<Tensor | Scratch, Scratch>();
  return dispatches.flatMap((d): LoweredDispatch[] => {
    if (d.once) {
      const [read, write] = ["read", "write"].map((a) => d.buffers.find((b) => b.access === a)!);
      const known = first.get(read.memory) ?? new Map<string, Scratch>();
      first.set(read.memory, known);
      const how = `${d.grid} ${read.type} ${d.body}`;
      const kept = known.get(how);
      if (kept) {
        instead.set(write.memory, kept);
        return [];
      }
      known.set(how, write.memory as Scratch);
      return [d];
    }
    const moved = d.buffers.some((b) => instead.has(b.memory));
    return [
      moved
        ? {
          ...d,
          buffers: d.buffers.map((b) => ({ ...b, memory: instead.get(b.memory) ?? b.memory })),
        }
        : d,
    ];
  });
}
