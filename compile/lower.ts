/** Fused steps → dispatches with WGSL, ready to be planned: every buffer is a tensor or a piece of scratch. */
import type { Tensor } from "../tensor/tensor.ts";
import { inMemory } from "../tensor/shape.ts";
import type { AdapterProfile, BufferUse, Dispatch, Keeps } from "../tensor/kernel.ts";
import { epilogueOf, mapKernel, type TensorUse } from "./elementwise.ts";
import { reduceKernel } from "./reduce.ts";
import { operationsOf } from "./expr.ts";
import type { Step } from "./fuse.ts";
import type { Turns } from "./loops/turns.ts";

/** Scratch memory that one step's dispatches share. */
export interface Scratch {
  readonly bytes: number;
  /** It lasts from run to run. */
  readonly kept?: boolean;
}

/** A range of bytes of a value. */
export interface Window {
  readonly offset: number;
  readonly bytes: number;
}

/** A buffer of a lowered dispatch. */
export interface LoweredUse {
  readonly name: string;
  readonly memory: Tensor | Scratch;
  readonly access: "read" | "write";
  readonly type: string;
  /** What is bound of it, where that is not all: one of its pieces. */
  readonly window?: Window;
}

/** One dispatch of the program. */
export interface LoweredDispatch {
  readonly label: string;
  readonly step: Step;
  readonly buffers: readonly LoweredUse[];
  readonly body: string;
  readonly grid: readonly [number, number, number];
  readonly flops: number;
  /** Runs need it only where its input is not that of the run before: what it writes is kept. */
  readonly once?: boolean;
  /** The loops that it lies in, outermost first. */
  readonly loops?: readonly Turns[];
  /** The outermost loop that it is part of, be it as what comes before the turns. */
  readonly within?: Step;
}

/** Lowers one step for an adapter. */
export function lower(
  step: Step,
  profile: AdapterProfile,
  keeps: Keeps = () => false,
): LoweredDispatch[] {
  const dispatches = lowerStep(step, profile, keeps);
  for (const d of dispatches) {
    const bad = d.grid.findIndex((g) => g < 1 || g > 65535 || !Number.isInteger(g));
    if (bad >= 0) {
      throw new Error(`${d.label}: a grid of ${d.grid} workgroups cannot be dispatched`);
    }
    if (new Set(d.buffers.map((b) => b.memory)).size > profile.maxStorageBuffers) {
      throw new Error(
        `${d.label}: ${d.buffers.length} buffers, the adapter binds ${profile.maxStorageBuffers}`,
      );
    }
  }
  return dispatches;
}

function lowerStep(step: Step, profile: AdapterProfile, keeps: Keeps): LoweredDispatch[] {
  if (step.kind === "map") {
    const k = mapKernel(step.shape, step.outputs, step.exprs, profile);
    return [{
      label: labelOf(step),
      step,
      buffers: k.buffers.map(fromUse),
      body: k.body,
      grid: k.grid,
      flops: 0,
    }];
  }
  if (step.kind === "reduce") {
    const { node } = step;
    const { lowering } = node.op;
    if (lowering.kind !== "reduce") throw new Error(`${node.op.name} folds nothing`);
    const k = reduceKernel(
      lowering.join,
      node.inputs[0].shape,
      node.attrs.axes,
      step.expr,
      step.outputs[0],
      profile,
    );
    const scratch: Scratch = { bytes: k.scratch };
    return k.stages.map((s, i) => ({
      label: labelOf(step) + (i ? " (join)" : ""),
      step,
      buffers: s.buffers.map((b) => "tensor" in b ? fromUse(b) : { ...b, memory: scratch }),
      body: s.body,
      grid: s.grid,
      flops: 0,
    }));
  }
  if (step.kind === "loop") throw new Error("a loop is lowered with the program it is part of");
  const { node } = step;
  const { lowering } = node.op;
  if (lowering.kind !== "kernel") throw new Error(`${node.op.name} has no kernel`);
  const width = node.outputs[0].shape.at(-1)! % 4 === 0 ? 4 : 1;
  const epilogue = epilogueOf(node.outputs[0], step.epilogue, width);
  const plan = lowering.build({
    inputs: node.inputs.map((t) => inMemory(t.spec)),
    outputs: node.outputs.map((t) => inMemory(t.spec)),
    attrs: node.attrs,
    profile,
    epilogue,
    keeps,
  });
  const written = (i: number, { once, buffers }: Dispatch) =>
    once &&
    buffers.some(({ ref, access }) => access === "write" && "scratch" in ref && ref.scratch === i);
  const scratch = (plan.scratch ?? []).map((bytes, i): Scratch => ({
    bytes,
    kept: plan.dispatches.some((d) => written(i, d)),
  }));
  const memory = ({ ref }: BufferUse): Tensor | Scratch => {
    if ("scratch" in ref) return scratch[ref.scratch];
    if ("output" in ref) return step.outputs[ref.output];
    // Epilogue operands are numbered from −1 downwards.
    return ref.input < 0 ? epilogue.reads[-1 - ref.input] : step.inputs[ref.input];
  };
  return plan.dispatches.map((d) => ({
    label: d.label + (step.epilogue ? "+epilogue" : ""),
    step,
    buffers: d.buffers.map((b) => ({
      name: b.name,
      memory: memory(b),
      access: b.access,
      type: b.type,
    })),
    body: d.body,
    grid: d.grid,
    flops: d.flops ?? 0,
    once: d.once,
  }));
}

const fromUse = (u: TensorUse): LoweredUse => ({
  name: u.name,
  memory: u.tensor,
  access: u.access,
  type: u.type,
});

/** Names of the ops in a step, as `explain()` and error messages print them. */
export function labelOf(step: Step): string {
  if (step.kind !== "map") return step.node.op.name;
  const names = operationsOf(step.exprs).map((e) => e.node.op.name);
  return names.length ? names.join("·") : "copy";
}
