/**
 * Running a compiled program's dispatches one by one, for measuring and for debugging: with the caller's arguments, but
 * on copies of those that the program would take, so that nothing of the caller's is consumed.
 */
import { what } from "../../tensor/what.ts";
import { byteSize } from "../../tensor/shape.ts";
import { DeviceStorage } from "../../device/buffers.ts";
import type { Compiled } from "../compile.ts";
import type { Program } from "../program.ts";
import type { LoweredDispatch } from "../lower.ts";

/** One dispatch, ready to be encoded. */
export interface Recorded {
  readonly dispatch: LoweredDispatch;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
}

/** Binds the arguments, hands the dispatches to `use`, and gives back the copies. Earlier results become stale. */
export async function rehearse<A extends unknown[], T>(
  op: string,
  compiled: Compiled<A, unknown>,
  args: A,
  use: (program: Program, dispatches: readonly Recorded[]) => Promise<T>,
): Promise<T> {
  if (typeof compiled?.bound !== "function") {
    throw new TypeError(`${op}: ${what(compiled)} is no function that compile(device, fn) made`);
  }
  if (!Array.isArray(args)) {
    throw new TypeError(
      `${op}: argument 2 (args) is ${what(args)}, not the list of a call's arguments`,
    );
  }
  const { program, args: given } = compiled.bound(...args);
  const { buffers, work } = program.device;
  await program.device.settled();
  const copies: DeviceStorage[] = [];
  const own = given.map((argument, p) => {
    if (!program.donated.has(p)) return argument;
    const copy = buffers.allocate(byteSize(program.inputs[p].spec), "copy of a donated argument");
    copies.push(copy);
    if (argument instanceof DeviceStorage) {
      argument.check(() => `argument ${p}`);
      const bytes = Math.ceil(copy.bytes / 4) * 4;
      work.copy(argument.buffer, argument.offset, copy.buffer, 0, bytes);
    } else buffers.write(copy, argument);
    return copy;
  });
  try {
    program.begin(own);
    const dispatches = program.recorded();
    await program.device.settled();
    return await use(program, dispatches);
  } finally {
    copies.forEach((c) => buffers.free(c));
  }
}

/** Encodes one dispatch into a pass of its own. */
export function encodeAlone(
  encoder: GPUCommandEncoder,
  r: Recorded,
  timestamps?: GPUComputePassTimestampWrites,
): void {
  const pass = encoder.beginComputePass(timestamps ? { timestampWrites: timestamps } : {});
  pass.setPipeline(r.pipeline);
  pass.setBindGroup(0, r.group);
  pass.dispatchWorkgroups(...r.dispatch.grid);
  pass.end();
}
