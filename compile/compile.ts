/**
 * `compile` and `evaluate`: a pure function of tensors becomes a program that replays. The function is traced once per
 * combination of argument shapes; everything that changes from call to call must be an argument.
 */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { type Node, tapeOf, Tensor } from "../tensor/tensor.ts";
import { BYTES, type HostArray } from "../tensor/dtype.ts";
import { show, sizeOf, type Spec } from "../tensor/shape.ts";
import { flatten, refill, type Tree } from "../tensor/tree.ts";
import { arrayTensor, input, storageOf } from "../ops/leaf.ts";
import { type Device, deviceStorage } from "../device/device.ts";
import { DeviceStorage } from "../device/buffers.ts";
import { DeviceError } from "../device/errors.ts";
import { type Argument, Program } from "./program.ts";
import { type Blueprint, blueprint } from "./trace.ts";

/** What may be passed for a leaf: a tensor (on the device, or a constant that is uploaded), or a number (f32 scalar). */
export type Leaf = Tensor | number;

/** Options of {@linkcode compile}. */
export interface CompileOptions {
  /** Positions of arguments whose memory the program may take for its results (their old handles become invalid). */
  readonly donate?: readonly number[];
  /** Fuse kernels (default) or run every op on its own. */
  readonly fuse?: boolean;
}

/** A compiled function. Calling it never waits for the GPU. */
export interface Compiled<A extends unknown[], R> {
  (...args: A): R;
  /** @internal The program for these arguments, traced and planned but neither allocated nor run. */
  plan(...args: A): Blueprint;
  /** @internal The program for these arguments, allocated: for `explain`, `profile` and debugging. */
  program(...args: A): Program;
  /** @internal Runs the program's own dispatches by other means: what a call would pass to {@linkcode Program.run}. */
  bound(...args: A): { readonly program: Program; readonly args: readonly Argument[] };
  /** Gives back the memory of every program compiled so far. */
  free(): void;
}

/** @internal A call's program before it has memory. */
export interface Traced {
  readonly blueprint: Blueprint;
  readonly inputs: Tensor[];
  readonly captured: DeviceStorage[];
  readonly hosted: Set<number>;
  readonly donated: Set<number>;
  readonly shape: Tree<Tensor>;
  program?: Program;
}

/**
 * Compiles a pure function of trees of tensors.
 *
 * Results in donated memory belong to the caller; the others are overwritten by the next call with the same shapes, and
 * throw when they are used after that.
 *
 * @throws ShapeError at the first call whose shapes do not fit
 */
export function compile<A extends unknown[], R>(
  device: Device,
  fn: (...args: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  const known = new Map<string, Traced>();
  const trace = (call: A): Traced => {
    const args = call as Tree<Leaf>[];
    const key = keyOf(args);
    let t = known.get(key);
    if (!t) {
      known.set(
        key,
        t = traceCall(
          device.profile,
          fn as unknown as (...args: Tree<Tensor>[]) => Tree<Tensor>,
          args,
          options,
        ),
      );
    }
    return t;
  };
  const program = (args: A): [Traced, Program] => {
    const t = trace(args);
    t.program ??= new Program(device, t.blueprint, t.inputs, t.hosted, t.donated);
    return [t, t.program];
  };
  const argumentsOf = (t: Traced, args: A): Argument[] => {
    const leaves = args.flatMap((a) =>
      flatten<Leaf>(a as Tree<Leaf>).map(([, l]) => argumentOf(l))
    );
    return [...leaves, ...t.captured];
  };
  const call = (...args: A): R => {
    const [t, p] = program(args);
    return refill(t.shape, p.run(argumentsOf(t, args))) as R;
  };
  return Object.assign(call, {
    plan: (...args: A) => trace(args).blueprint,
    program: (...args: A) => program(args)[1],
    bound: (...args: A) => {
      const [t, p] = program(args);
      return { program: p, args: argumentsOf(t, args) };
    },
    free: () => {
      for (const t of known.values()) t.program?.free();
      known.clear();
    },
  });
}

/** @internal Traces and plans one call: nothing is allocated, and of the device only its profile is asked. */
export function traceCall(
  profile: AdapterProfile,
  fn: (...args: Tree<Tensor>[]) => Tree<Tensor>,
  args: readonly Tree<Leaf>[],
  options: CompileOptions,
): Traced {
  const inputs: Tensor[] = [];
  const hosted = new Set<number>();
  const donated = new Set<number>();
  const traced = args.map((arg, k) =>
    refill<Tensor>(
      arg,
      flatten<Leaf>(arg).map(([path, leaf]) => {
        const position = inputs.length;
        const t = input(specOf(leaf), position, path ? `${k}.${path}` : `${k}`);
        if (!isOnDevice(leaf)) hosted.add(position);
        if (options.donate?.includes(k)) donated.add(position);
        inputs.push(t);
        return t;
      }),
    )
  );
  const shape = fn(...traced);
  const results = flatten<Tensor>(shape).map(([path, t]) => {
    if (!(t instanceof Tensor)) {
      throw new TypeError(`a compiled function returned ${typeof t} at "${path}", not a tensor`);
    }
    return t;
  });
  // Device memory that the function closed over is an argument that never changes.
  const closed = tapeOf(results).filter((n) => n.op.name === "array").map((n: Node) =>
    n.outputs[0]
  );
  const captured = closed.map(deviceStorage);
  const all = [...inputs, ...closed];
  const drawn = blueprint(results, [...donated].map((p) => inputs[p]), {
    profile,
    fuse: options.fuse,
  });
  return { blueprint: drawn, inputs: all, captured, hosted, donated, shape };
}

const isOnDevice = (leaf: Leaf): boolean => leaf instanceof Tensor && storageOf(leaf) !== undefined;

function specOf(leaf: Leaf): Spec {
  return leaf instanceof Tensor ? leaf.spec : { shape: [], dtype: "f32" };
}

function argumentOf(leaf: Leaf): Argument {
  if (typeof leaf === "number") return Float32Array.of(leaf);
  const storage = storageOf(leaf);
  if (storage instanceof DeviceStorage) return storage;
  if (leaf.node.op.name === "constant") return (leaf.node.attrs as { data: HostArray }).data;
  throw new DeviceError(
    `an argument ([${leaf.shape}]${leaf.dtype}) is the unevaluated result of ${leaf.node.op.name}; evaluate it first`,
  );
}

/** Argument structure, specs and places: what a trace depends on. */
function keyOf(args: readonly Tree<Leaf>[]): string {
  return args.map((a) =>
    flatten<Leaf>(a).map(([p, l]) => `${p}:${show(specOf(l))}${isOnDevice(l) ? "d" : "h"}`).join()
  ).join("|");
}

/** Computes traced tensors now, into memory of their own. The caller (or the enclosing scope) owns the results. */
export function evaluate<R>(device: Device, tree: R, options: { fuse?: boolean } = {}): R {
  const step = compile<[], Tree<Tensor>>(device, () => tree as Tree<Tensor>, options);
  try {
    const kept = flatten<Tensor>(step()).map(([, t]) => copy(device, t));
    return refill(tree as Tree<Tensor>, kept) as R;
  } finally {
    step.free();
  }
}

/** A copy of a tensor's value in memory of its own. */
export function copy(device: Device, t: Tensor): Tensor {
  const from = deviceStorage(t);
  const bytes = Math.ceil(sizeOf(t.shape) * BYTES[t.dtype] / 4) * 4;
  const to = device.buffers.allocate(bytes, "copy", from.healths);
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, 0, bytes);
  device.gpu.queue.submit([encoder.finish()]);
  return arrayTensor(to, t.spec);
}
