/**
 * What a program would take, from shapes alone: it is traced and planned for an adapter's limits, and nothing is
 * allocated, so that a model of any size can be planned before it is loaded.
 */
import { bufferSize } from "../device/memory.ts";
import type { HostArray } from "../tensor/dtype.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { byteSize } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Tree } from "../tensor/tree.ts";
import { flatten } from "../tensor/tree.ts";
import { type CompileOptions, traceCall } from "./compile.ts";
import { sizesBytes } from "./kernels.ts";
import { turnsOf } from "./loops/turns.ts";
import { bytesOf } from "./pieces.ts";
import type { Blueprint } from "./trace.ts";

/** Bytes that a program holds beside its arguments. */
export interface ProgramBytes {
  /** Intermediate results alive at the busiest dispatch. */
  readonly activations: number;
  /** Scratch memory of the kernels at that dispatch. */
  readonly scratch: number;
  /** What the slabs hold beyond both: gaps that no value fits into. */
  readonly gaps: number;
  /** Data uploaded at each call, constants, and the kernels' numbers. */
  readonly data: number;
  /** All of it: what is allocated. */
  readonly total: number;
}

/** Options of {@linkcode draft}. */
export interface DraftOptions extends CompileOptions {
  /** Positions of arguments that come from the host at each call; the others lie on the device already. */
  readonly hosted?: readonly number[];
}

/** A program, planned: what it holds, and the multiplications and additions of its products. */
export interface Draft {
  /** @internal What would run. */
  readonly blueprint: Blueprint;
  /** What it holds beside its arguments. */
  readonly bytes: ProgramBytes;
  /** Multiplications and additions of its products. */
  readonly flops: number;
  /** Whether it computes values that are larger than a binding or a buffer, and so lie in pieces: that costs time. */
  readonly pieces: boolean;
}

/**
 * Plans the program of a function.
 *
 * @param args as for the compiled function; what they hold is never looked at, so symbolic tensors will do
 * @throws ShapeError, BindingError as compiling would
 */
export function draft<A extends unknown[], R>(
  profile: AdapterProfile,
  fn: (...args: A) => R,
  args: A,
  options: DraftOptions = {},
): Draft {
  const { blueprint } = traceCall(
    profile,
    fn as unknown as (...args: Tree<Tensor>[]) => Tree<Tensor>,
    args as Tree<Tensor>[],
    { ...options, hosted: options.hosted ?? [] },
  );
  const hosted = (options.hosted ?? []).flatMap((k) => flatten<Tensor>(args[k] as Tree<Tensor>));
  const uploads = hosted.map(([, t]) => byteSize(t.spec));
  const bytes = programBytes(blueprint, profile, uploads);
  return {
    blueprint,
    bytes,
    flops: blueprint.dispatches.reduce((n, d) => n + d.flops * turnsOf(d), 0),
    pieces: [...blueprint.memory.places.values()].some((pieces) => pieces.length > 1),
  };
}

/** What a planned program holds, given the bytes of each argument that is uploaded at every call. */
export function programBytes(
  blueprint: Blueprint,
  profile: AdapterProfile,
  uploads: readonly number[],
): ProgramBytes {
  const { memory } = blueprint;
  const aligned = (bytes: number) => Math.ceil(bytes / 256) * 256;
  const constants = blueprint.constants.map((n) =>
    bufferSize((n.attrs as { data: HostArray }).data.byteLength)
  );
  const sum = (each: readonly number[]) => each.reduce((a, b) => a + b, 0);
  const data = sum(uploads.map(aligned)) + sum(constants) + sizesBytes(blueprint, profile);
  const slabs = sum(memory.slabs);
  const { activations, scratch } = busiest(blueprint);
  return {
    activations,
    scratch,
    gaps: slabs - activations - scratch,
    data,
    total: slabs + data,
  };
}

/** Bytes of values and of scratch at the dispatch at which most is alive. */
function busiest({ dispatches, memory }: Blueprint) {
  const changes = new Array(dispatches.length + 2).fill(0).map(() => ({ values: 0, scratch: 0 }));
  for (const [m, { first, last }] of memory.lifetimes) {
    const kind = m instanceof Tensor ? "values" : "scratch";
    changes[first][kind] += bytesOf(m);
    changes[last + 1][kind] -= bytesOf(m);
  }
  const now = { values: 0, scratch: 0 };
  let most = { activations: 0, scratch: 0 };
  for (const { values, scratch } of changes) {
    now.values += values;
    now.scratch += scratch;
    if (now.values + now.scratch > most.activations + most.scratch) {
      most = { activations: now.values, scratch: now.scratch };
    }
  }
  return most;
}
