/** Where the time of a program goes: its dispatches by kind, and by kernel and shape. */
import { opsOf } from "../../../compile/inspect/explain.ts";
import type { Profile } from "../../../compile/inspect/profile.ts";
import type { LoweredDispatch } from "../../../compile/lower.ts";
import { readsOf, type Step } from "../../../compile/fuse.ts";
import { show } from "../../../tensor/shape.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { Ceilings, HotKernel, Kind } from "./record.ts";

/** What a step is called among others: the op that has a kernel of its own, or "elementwise". */
export const kindOf = (step: Step): string =>
  step.kind === "map" ? "elementwise" : step.node.op.name;

/** Dispatches of a program that are measured: those that only the first run needs are not. */
export const measured = (dispatches: readonly LoweredDispatch[]): LoweredDispatch[] =>
  dispatches.filter((d) => !d.once);

/** A profile by kind of kernel, what takes longest first. */
export function kinds(profile: Profile, dispatches: readonly LoweredDispatch[]): Kind[] {
  const rows = measured(dispatches);
  const groups = Map.groupBy(profile.dispatches, (_, i) => kindOf(rows[i].step));
  const sum = (of: readonly number[]) => of.reduce((a, b) => a + b, 0);
  return [...groups].map(([kind, group]) => ({
    kind,
    dispatches: group.length,
    milliseconds: sum(group.map((d) => d.milliseconds)),
    flop: sum(group.map((d) => d.flops)),
    bytes: sum(group.map((d) => d.bytes)),
  })).sort((a, b) => b.milliseconds - a.milliseconds);
}

/** A kernel at one shape, and the step that runs it first. */
export interface Hot extends HotKernel {
  readonly step: Step;
}

/** How much of the time is looked at. */
const MOST_OF = 0.95;

/** The kernels that make up most of a program's time, at each of their shapes, the slowest first, and at most so many. */
export function hotKernels(
  profile: Profile,
  dispatches: readonly LoweredDispatch[],
  most: number,
  ceilings: Partial<Ceilings> = {},
): Hot[] {
  const rows = measured(dispatches).map((d, i) => ({ d, p: profile.dispatches[i] }));
  // What is the same text in the same grid is the same kernel, whatever it binds.
  const alike = [...Map.groupBy(rows, ({ d }) => `${d.grid} ${d.body}`).values()]
    .map((group) => ({ group, all: group.reduce((n, { p }) => n + p.milliseconds, 0) }))
    .sort((a, b) => b.all - a.all);
  const hot: Hot[] = [];
  let seen = 0;
  for (const { group, all } of alike) {
    if (hot.length === most || seen >= MOST_OF * profile.milliseconds) break;
    seen += all;
    const [{ d, p }] = group;
    const milliseconds = all / group.length;
    hot.push({
      kernel: d.label,
      shapes: shapesOf(d.step),
      dispatches: group.length,
      milliseconds,
      share: all / profile.milliseconds,
      flop: p.flops,
      bytes: p.bytes,
      ...part("ofFlops", p.flops, milliseconds, ceilings.f32FlopPerSecond),
      ...part("ofBytes", p.bytes, milliseconds, ceilings.bytesPerSecond),
      step: d.step,
    });
  }
  return hot;
}

const part = (name: string, much: number, milliseconds: number, ceiling: number | undefined) =>
  ceiling && milliseconds ? { [name]: 1000 * much / milliseconds / ceiling } : {};

/** What a step reads and writes, each shape once. */
function shapesOf(step: Step): string {
  const list = (tensors: readonly Tensor[]) => {
    const shown = tensors.map((t) => show(t.spec));
    return [...new Set(shown)].slice(0, 6).join(" ");
  };
  const reads = step.kind === "map" || step.kind === "reduce" ? readsOf(step) : step.inputs;
  const fused = step.kind === "map" ? ` (${opsOf(step).length} operations)` : "";
  return `${list(reads)} → ${list(step.outputs)}${fused}`;
}
