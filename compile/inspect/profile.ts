/**
 * Where a program's time goes: each dispatch measured by the GPU's own clock (timestamp queries, a pass per dispatch),
 * or, on adapters without one, by the wall clock around a dispatch that is waited for.
 */
import { expectKinds, having } from "../../tensor/kinds.ts";
import { expectOptions } from "../../tensor/arguments.ts";
import { wholeNumber } from "../../tensor/element.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Device } from "../../device/device.ts";
import { BufferUsage } from "../../device/usage.ts";
import { arrayTensor } from "../../ops/leaf.ts";
import { byteSize } from "../../tensor/shape.ts";
import type { Compiled } from "../compile.ts";
import { loadsOf, operationsOf } from "../expr.ts";
import { alignColumns, clip, LABEL_WIDTH, opsOf } from "./explain.ts";
import { turnsOf } from "../loops/turns.ts";
import type { LoweredDispatch } from "../lower.ts";
import { bytesOf } from "../pieces.ts";
import { encodeAlone, type Recorded, rehearse } from "./one_by_one.ts";
import { bytes, duration, scale, share } from "../../numerics/quantities.ts";

/** One dispatch, measured. */
export interface DispatchProfile {
  /** What the dispatch is called. */
  readonly label: string;
  /** The ops it came from. */
  readonly ops: readonly string[];
  /** The shortest of the repeats. */
  readonly milliseconds: number;
  /** Arithmetic operations by the definition of what is computed, 2 for a multiply-add. */
  readonly flops: number;
  /** Bytes of the values it reads and writes, each counted once. */
  readonly bytes: number;
}

/** A program, measured. */
export interface Profile {
  /** In order of execution. */
  readonly dispatches: readonly DispatchProfile[];
  /** Sum over the dispatches. */
  readonly milliseconds: number;
  /** Which clock measured. */
  readonly clock: "timestamps" | "wall";
}

/** Options of {@linkcode profile}. */
export interface ProfileOptions {
  /** Measured runs, after one that is not measured because drivers compile in it. Default 3. */
  readonly repeats?: number;
  /** Use the wall clock although the adapter has timestamps. Default false. */
  readonly wall?: boolean;
}

/** Timestamps of one query set: WebGPU allows 4096, two a dispatch. */
const PER_SET = 2048;

/**
 * Measures every dispatch of a compiled function, one turn of those in a loop standing for all, but those that lay out weights, which only a first run needs.
 *
 * The arguments are those of a call; donated ones are copied first, so nothing is consumed. Results of earlier calls
 * become stale, as by a call.
 *
 * @param compiled a function made by `compile`
 * @param args its arguments
 */
export async function profile<A extends unknown[]>(
  compiled: Compiled<A, unknown>,
  args: A,
  options: ProfileOptions = {},
): Promise<Profile> {
  expectOptions("profile", 2, options, { repeats: "number", wall: "true or false" });
  const repeats = wholeNumber("profile", "options.repeats", options.repeats ?? 3, 1);
  return await rehearse("profile", compiled, args, async ({ device }, all) => {
    const dispatches = all.filter(({ dispatch }) => !dispatch.once);
    const stamps = !options.wall && device.facts.features.includes("timestamp-query");
    const measure = stamps ? byTimestamps : byWallClock;
    const best = new Array<number>(dispatches.length).fill(Infinity);
    for (let run = 0; run <= repeats; run++) {
      const times = await measure(device, run ? dispatches : all);
      if (run) times.forEach((t, i) => best[i] = Math.min(best[i], t));
    }
    const rows = dispatches.map(({ dispatch: d }, i): DispatchProfile => ({
      label: d.label,
      ops: opsOf(d.step),
      milliseconds: best[i] * turnsOf(d),
      flops: flopsOf(d) * turnsOf(d),
      bytes: trafficOf(d) * turnsOf(d),
    }));
    return {
      dispatches: rows,
      milliseconds: rows.reduce((sum, r) => sum + r.milliseconds, 0),
      clock: stamps ? "timestamps" : "wall",
    };
  });
}

async function byTimestamps(device: Device, dispatches: readonly Recorded[]): Promise<number[]> {
  const { gpu } = device;
  const times: number[] = [];
  for (let from = 0; from < dispatches.length; from += PER_SET) {
    const part = dispatches.slice(from, from + PER_SET);
    const count = 2 * part.length;
    const querySet = gpu.createQuerySet({ type: "timestamp", count });
    const usage = BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC;
    const resolved = gpu.createBuffer({ size: count * 8, usage });
    const spec = { shape: [count * 2], dtype: "u32" as const };
    const storage = device.buffers.allocate(byteSize(spec), "timestamps");
    const encoder = gpu.createCommandEncoder();
    part.forEach((r, i) =>
      encodeAlone(encoder, r, {
        querySet,
        beginningOfPassWriteIndex: 2 * i,
        endOfPassWriteIndex: 2 * i + 1,
      })
    );
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, storage.buffer, 0, count * 8);
    device.work.submit([encoder.finish()]);
    const words = await device.read(arrayTensor(storage, spec));
    const nanoseconds = new BigUint64Array(words.buffer, 0, count);
    part.forEach((_, i) => times.push(Number(nanoseconds[2 * i + 1] - nanoseconds[2 * i]) / 1e6));
    device.buffers.free(storage);
    resolved.destroy();
    querySet.destroy();
  }
  return times;
}

async function byWallClock(device: Device, dispatches: readonly Recorded[]): Promise<number[]> {
  // Reading four bytes waits for the queue, and takes less than the runtime's own way of waiting.
  const probe = device.upload(new Uint32Array(1), [1], "u32");
  const times: number[] = [];
  for (const r of dispatches) {
    await device.read(probe);
    const start = performance.now();
    const encoder = device.gpu.createCommandEncoder();
    encodeAlone(encoder, r);
    device.work.submit([encoder.finish()]);
    await device.read(probe);
    times.push(performance.now() - start);
  }
  device.free(probe);
  return times;
}

/** What the kernel says, or one operation per element and op for fused elementwise work and reductions. */
function flopsOf({ step, flops }: LoweredDispatch): number {
  if (step.kind === "kernel" || step.kind === "loop") return flops;
  if (step.kind === "map") {
    return operationsOf(step.exprs).length * sizeOf(step.shape);
  }
  return (operationsOf([step.expr]).length + 1) * step.node.inputs[0].size;
}

/** Bytes of the values bound, but of an elementwise operand no more than is read of it. */
function trafficOf({ step, buffers }: LoweredDispatch): number {
  const read = new Map<Tensor, number>();
  const exprs = step.kind === "map" ? step.exprs : step.kind === "reduce" ? [step.expr] : [];
  for (const { tensor, view } of loadsOf(exprs)) {
    const distinct = view.shape.reduce((n, d, i) => view.strides[i] === 0 ? n : n * d, 1);
    read.set(tensor, (read.get(tensor) ?? 0) + distinct * BYTES[tensor.dtype]);
  }
  return buffers.reduce((sum, { memory, access, window }) => {
    // Of a value in pieces, all is counted at the first.
    if (window?.offset) return sum;
    const most = memory instanceof Tensor && access === "read" ? read.get(memory) : undefined;
    return sum + Math.min(bytesOf(memory), most ?? Infinity);
  }, 0);
}

/**
 * A profile as an aligned table, the slowest dispatches first.
 *
 * @param top rows to print; the rest is summed in one line. Default 40
 */
export function profileTable(p: Profile, top = 40): string {
  expectKinds("profileTable", { p: [p, having("what profile gives", "dispatches")] });
  const order = p.dispatches.map((d, i) => ({ ...d, i })).sort((a, b) =>
    b.milliseconds - a.milliseconds
  );
  const part = (ms: number) => share(ms / (p.milliseconds || 1));
  const rows = order.slice(0, top).map((d) => [
    `#${d.i}`,
    clip(d.label, LABEL_WIDTH),
    duration(d.milliseconds / 1000),
    part(d.milliseconds),
    scale(d.flops, "FLOP"),
    bytes(d.bytes),
    pace(d.flops, d.milliseconds, "FLOP/s"),
    pace(d.bytes, d.milliseconds, "B/s"),
    d.ops.length > 1 ? clip(d.ops.join(" · "), 100) : "",
  ]);
  const rest = order.slice(top).reduce((sum, d) => sum + d.milliseconds, 0);
  const more = order.length > top
    ? [["", `${order.length - top} more`, duration(rest / 1000), part(rest)]]
    : [];
  const head = ["", "dispatch", "time", "share", "work", "bytes", "pace", "traffic", "fused from"];
  const flops = p.dispatches.reduce((n, d) => n + d.flops, 0);
  return [
    ...alignColumns([head, ...rows, ...more], [2, 3, 4, 5, 6, 7]),
    `${p.dispatches.length} dispatches, ${duration(p.milliseconds / 1000)} by ${
      p.clock === "wall" ? "the wall clock" : "timestamps"
    }, ${scale(flops, "FLOP")}, ${pace(flops, p.milliseconds, "FLOP/s")}`,
    "",
  ].join("\n");
}

const pace = (n: number, milliseconds: number, unit: string): string =>
  milliseconds > 0 ? scale(1000 * n / milliseconds, unit) : "–";
