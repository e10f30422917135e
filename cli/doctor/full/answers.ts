/**
 * Whether kernels are right on the values that the step itself gives them: by the definition of their op in float64 where
 * that is soon done, and else by this library's CPU device, whose kernels and compiler are others.
 */
import { compile } from "../../../compile/compile.ts";
import { readsOf, type Step } from "../../../compile/fuse.ts";
import { type Seen, stepAlone } from "../../../compile/inspect/apart.ts";
import { judge } from "../../../compile/inspect/debug.ts";
import { interpret } from "../../../compile/interpret.ts";
import { gpu } from "../../../device/adapter.ts";
import type { Device } from "../../../device/device.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { Answer } from "./record.ts";

/** Operations, and values written, up to which a definition in float64 takes about a second. */
const SOON = { flop: 3e7, values: 2 ** 22 };
/** Bytes of what a step reads and writes up to which it is looked at. */
const HELD = 2 ** 29;

/** Whether the values of a step are few enough to be read. */
export const isSmall = (step: Step): boolean =>
  4 * [...readsOf(step), ...step.outputs].reduce((n, t) => n + t.size, 0) <= HELD;

/** Looks at answers of one device. */
export class Examiner {
  #cpu: Device | undefined;

  constructor(readonly device: Device) {}

  /** A step's answer beside the reference's; undefined where there is none, or it would take too long. */
  async examine({ step, reads, outputs }: Seen, flop: number): Promise<Answer | undefined> {
    const given = readsOf(step).map((t) => reads.get(t)!);
    const values = step.outputs.reduce((n, t) => n + sizeOf(t.shape), 0);
    const soon = flop <= SOON.flop && values <= SOON.values;
    if (!soon && this.device.facts.backend === "cpu") return undefined;
    const expected = soon ? inDouble(step, given) : await this.#onCpu(step, given);
    const found = step.outputs.map((t, i) => judge(t, outputs.get(t)!, expected[i]));
    const error = Math.max(...found.map((f) => f.error));
    return {
      reference: soon ? "float64" : "CPU",
      error: Number.isFinite(error) ? error : null,
      right: found.every(({ kind }) => kind === undefined),
    };
  }

  async #onCpu(step: Step, given: readonly Float64Array[]): Promise<Float64Array[]> {
    const cpu = this.#cpu ??= await gpu({ backend: "cpu" });
    const held = readsOf(step).map((t, i) => cpu.upload(given[i], t.shape, t.dtype));
    const program = compile(cpu, stepAlone(step));
    try {
      const results: Float64Array[] = [];
      for (const t of program(...held)) {
        results.push(Float64Array.from(await cpu.read(t) as Float32Array));
      }
      return results;
    } finally {
      program.free();
      cpu.free(...held);
    }
  }

  /** Closes the CPU. */
  [Symbol.dispose](): void {
    this.#cpu?.destroy();
  }
}

function inDouble(step: Step, given: readonly Float64Array[]): Float64Array[] {
  const feeds = new Map<Tensor, Float64Array>(readsOf(step).map((t, i) => [t, given[i]]));
  return interpret(step.outputs, feeds);
}
