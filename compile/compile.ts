/**
 * `compile`: a pure function of tensors becomes a program that replays. The function is traced once per
 * combination of argument shapes; everything that changes from call to call must be an argument.
 */
import type { AdapterProfile } from "../tensor/kernel.ts";
import { expectTensor, tapeOf, Tensor } from "../tensor/tensor.ts";
import { expectFunction, expectList, expectOptions } from "../tensor/arguments.ts";
import { wholeNumber } from "../tensor/element.ts";
import { sameShape, show, type Spec } from "../tensor/shape.ts";
import { flatten, leavesLike, mapTree, refill, type Tree } from "../tensor/tree.ts";
import { constantValues, input, storageOf, withoutMemory } from "../ops/leaf.ts";
import { type Device, expectDevice } from "../device/device.ts";
import { DeviceStorage } from "../device/buffers.ts";
import { DeviceError } from "../device/errors.ts";
import { type Argument, Program } from "./program.ts";
import { type Blueprint, blueprint } from "./trace.ts";
import { refuseLeaked } from "./eager/tape.ts";

export { evaluate } from "./eager/evaluate.ts";

/** What may be passed for a leaf: a tensor (on the device, or a constant that is uploaded), or a number (f32 scalar). */
export type Leaf = Tensor | number;

/** Options of {@linkcode compile}. */
export interface CompileOptions {
  /** Positions of arguments whose memory the program may take for its results (their old handles become invalid). */
  readonly donate?: readonly number[];
  /** Fuse kernels (default) or run every op on its own. */
  readonly fuse?: boolean;
}

/** A compiled function. Calling it traces at most and never waits for the GPU. */
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
  /** The arguments, as they were traced. */
  readonly form: Tree<Tensor>[];
  readonly captured: DeviceStorage[];
  readonly hosted: Set<number>;
  readonly donated: Set<number>;
  readonly shape: Tree<Tensor>;
  program?: Program;
}

/**
 * Compiles a pure function of trees of tensors. Nothing is traced before the first call with arguments of new shapes.
 *
 * Results in donated memory belong to the caller; the others are overwritten by the next call with the same shapes, and
 * throw when they are used after that: `evaluate(device, result)` makes a copy that stays.
 *
 * A call throws ShapeError when shapes do not fit, TypeError when an argument or a result is no tensor (numbers are taken
 * for arguments) or a result is made of another function's traced arguments, and DeviceError when an argument is not computed
 * yet, or its memory was freed, donated or overwritten; RangeError when it lacks an argument that `donate` names.
 *
 * @throws TypeError when the device, the function or an option is none
 */
export function compile<A extends unknown[], R>(
  device: Device,
  fn: (...args: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  expectDevice("compile", device);
  expectFunction("compile", 1, "fn", fn);
  expectOptions("compile", 2, options, { donate: "any", fuse: "true or false" });
  if (options.donate !== undefined) {
    expectList("compile", 2, "options.donate", options.donate, "[0]");
    options.donate.forEach((p) => wholeNumber("compile", "a place in options.donate", p));
  }
  const known = new Map<string, Traced>();
  let last: Traced | undefined;
  const trace = (call: A): [Traced, readonly Leaf[]] => {
    const args = call as Tree<Leaf>[];
    // Mostly a call is like the one before it, which is seen without writing a key.
    const again = last && leavesOf(last, args);
    if (again) return [last!, again];
    const key = keyOf(args);
    let t = known.get(key);
    if (!t) {
      const traced = fn as unknown as (...args: Tree<Tensor>[]) => Tree<Tensor>;
      t = device.pipelines.preparing(() => traceCall(device.profile, traced, args, options));
      known.set(key, t);
    }
    last = t;
    return [t, flatten<Leaf>(args).map(([, leaf]) => leaf)];
  };
  const program = (call: A): [Traced, Program, readonly Leaf[]] => {
    const [t, leaves] = trace(call);
    if (!t.program) refuseLeaked(t.blueprint.tape, new Set(t.inputs.map(({ node }) => node)));
    t.program ??= device.pipelines.preparing(
      () => new Program(device, t.blueprint, t.inputs, t.hosted, t.donated),
    );
    return [t, t.program, leaves];
  };
  const call = (...args: A): R => {
    const [t, p, leaves] = program(args);
    return refill(t.shape, p.run(argumentsOf(t, leaves))) as R;
  };
  return Object.assign(call, {
    plan: (...args: A) => trace(args)[0].blueprint,
    program: (...args: A) => program(args)[1],
    bound: (...args: A) => {
      const [t, p, leaves] = program(args);
      return { program: p, args: argumentsOf(t, leaves) };
    },
    free: () => {
      for (const t of known.values()) t.program?.free();
      known.clear();
      last = undefined;
    },
  });
}

/**
 * @internal Traces and plans one call: nothing is allocated, and of the device only its profile is asked. Which arguments
 * the host has is said, or seen.
 */
export function traceCall(
  profile: AdapterProfile,
  fn: (...args: Tree<Tensor>[]) => Tree<Tensor>,
  args: readonly Tree<Leaf>[],
  options: CompileOptions & { readonly hosted?: readonly number[] },
): Traced {
  const beyond = options.donate?.find((k) => k >= args.length);
  if (beyond !== undefined) {
    throw new RangeError(
      `compile: options.donate names argument ${beyond}; the call has ${args.length}, counted from 0`,
    );
  }
  const inputs: Tensor[] = [];
  const hosted = new Set<number>();
  const donated = new Set<number>();
  const traced = args.map((arg, k) =>
    refill<Tensor>(
      arg,
      flatten<Leaf>(arg).map(([path, leaf]) => {
        const position = inputs.length;
        const place = placeOf(k, path);
        const t = input(specOf(leaf, place), position, place);
        if (options.hosted?.includes(k) ?? !isOnDevice(leaf)) hosted.add(position);
        if (options.donate?.includes(k)) donated.add(position);
        inputs.push(t);
        return t;
      }),
    )
  );
  const shape = fn(...traced);
  const results = resultsOf(shape);
  const tape = tapeOf(results);
  // Device memory that the function closed over is an argument that never changes; each run checks that it is there.
  const closed = tape.filter((n) => n.op.name === "array").map((n) => n.outputs[0]);
  const captured = closed.map((t) => storageOf(t) as DeviceStorage);
  const all = [...inputs, ...closed];
  const drawn = blueprint(results, [...donated].map((p) => inputs[p]), {
    profile,
    fuse: options.fuse,
    given: [...hosted, ...donated].map((p) => inputs[p]),
  });
  return { blueprint: drawn, inputs: all, form: traced, captured, hosted, donated, shape };
}

function resultsOf(tree: unknown): Tensor[] {
  const who = "a compiled function";
  if (tree === undefined) throw new TypeError(`${who} returned undefined: is its return missing?`);
  if (tree instanceof Promise) {
    throw new TypeError(`${who} returned a promise: it is traced and not run, so it cannot wait`);
  }
  return flatten<unknown>(tree as Tree<unknown>).map(([path, t]) => {
    expectTensor(who, path ? `its result "${path}"` : "its result", t);
    return t;
  });
}

const isOnDevice = (leaf: Leaf): boolean => leaf instanceof Tensor && storageOf(leaf) !== undefined;

/** An argument's name: its position, and its path in the tree that was passed there. */
const placeOf = (k: number, path: string): string => path ? `${k}.${path}` : `${k}`;

function specOf(leaf: Leaf, place: string): Spec {
  if (typeof leaf === "number") return { shape: [], dtype: "f32" };
  expectTensor("a compiled function", `argument ${place}`, leaf, " or a number");
  return leaf.spec;
}

/** The leaves of a call's arguments, where these have the form, the specs and the places of those that were traced. */
const leavesOf = ({ form, hosted }: Traced, args: readonly Tree<Leaf>[]): Leaf[] | undefined =>
  leavesLike<Tensor, Leaf>(form, args, ({ spec }, leaf, i) => {
    if (!(leaf instanceof Tensor)) {
      return typeof leaf === "number" && spec.dtype === "f32" && !spec.shape.length &&
        hosted.has(i);
    }
    const { spec: found } = leaf;
    const fits = found === spec ||
      (found.dtype === spec.dtype && sameShape(found.shape, spec.shape));
    return fits && isOnDevice(leaf) !== hosted.has(i);
  });

/** What a call passes to its program: its leaves, and what the function closed over. */
const argumentsOf = ({ inputs, captured }: Traced, leaves: readonly Leaf[]): Argument[] => [
  ...leaves.map((leaf, i) => argumentOf(leaf, inputs[i])),
  ...captured,
];

/** @param input what stands for it in the trace */
function argumentOf(leaf: Leaf, input: Tensor): Argument {
  if (typeof leaf === "number") return Float32Array.of(leaf);
  const storage = storageOf(leaf);
  if (storage instanceof DeviceStorage) return storage;
  const values = constantValues(leaf);
  if (values) return values;
  const place = (input.node.attrs as { name: string }).name;
  const nested = tapeOf([leaf]).some((n) => n.op.name === "input");
  throw new DeviceError(
    `a compiled function's argument ${place} is ${withoutMemory(leaf)}` +
      (nested ? ". Inside of a function that is compiled, call the plain one" : ""),
  );
}

/** Argument structure, specs and places: what a trace depends on. */
function keyOf(args: readonly Tree<Leaf>[]): string {
  return args.map((a, k) =>
    JSON.stringify(
      mapTree<Leaf, string>(
        a,
        (l, p) => `${show(specOf(l, placeOf(k, p)))}${isOnDevice(l) ? "d" : "h"}`,
      ),
      (_name, x) => x ?? null, // What is undefined is not what is left out.
    )
  ).join("|");
}
