/**
 * Kernels of ops that users define. The author writes WGSL for one element, or for one of some items; what binds buffers,
 * lays out workgroups and stores is added here, and every line of the author's keeps its number for the compiler's messages.
 */
import { isExtent, sizeOf, type Spec } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import {
  type BufferRef,
  type BufferUse,
  type Dispatch,
  type KernelContext,
  type KernelPlan,
  perItem,
  storageType,
} from "../../tensor/kernel.ts";
import { expectName } from "./checks.ts";

/** What a kernel of an op of your own is written for: all that is known but the numbers. */
export interface OwnContext<A> {
  /** Shapes and element types of the inputs, u32 for bool. */
  readonly inputs: readonly Spec[];
  /** Shapes and element types of the outputs, u32 for bool. */
  readonly outputs: readonly Spec[];
  /** What the op was called with behind its inputs. */
  readonly attrs: A;
}

/** WGSL of one element of an output. */
export interface ElementCode {
  /** Statements that `return` element `i` (u32, row-major): an f32 for floats. Inputs are arrays by their names. */
  readonly code: string;
  /** Functions and constants that {@linkcode code} uses. */
  readonly declarations?: string;
}

/** One pass over some items, which run in any order. */
export interface OwnPass {
  /** How many items. */
  readonly count: number;
  /** WGSL statements for item `i` (u32). Inputs, outputs and scratch are arrays by their names, the latter two to be written. */
  readonly code: string;
  /** WGSL functions and constants that {@linkcode code} uses. */
  readonly declarations?: string;
}

/** Passes, each of which sees all that those before it have written. */
export interface PassesKernel {
  /** In the order in which they run. */
  readonly passes: readonly OwnPass[];
  /** Arrays between passes, by name. Like outputs, they hold anything at first. */
  readonly scratch?: Readonly<
    Record<string, { readonly type: "f32" | "i32" | "u32"; readonly length: number }>
  >;
}

/** Names of an op's arrays. */
export interface ArrayNames {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** The plan of a kernel of passes, as its author gave it. */
export function planOfPasses<A>(
  op: string,
  names: ArrayNames,
  kernel: unknown,
  { inputs, outputs }: KernelContext<A>,
): KernelPlan {
  const fail = failing(op);
  if (kernel === null || typeof kernel !== "object" || !("passes" in kernel)) {
    return fail(`is ${what(kernel)}, not { passes }`);
  }
  const { passes, scratch = {} } = kernel as PassesKernel;
  if (!Array.isArray(passes) || !passes.length) {
    return fail(`has ${what(passes)} for passes, not a list of { count, code }`);
  }
  const arrays = [
    ...names.inputs.map((name, i) => use(name, { input: i }, "read", inputs[i].dtype)),
    ...names.outputs.map((name, i) => use(name, { output: i }, "write", outputs[i].dtype)),
    ...Object.entries(scratch).map(([name, { type, length }], i) => {
      expectName(`the kernel of op "${op}"`, "scratch", name);
      if (!["f32", "i32", "u32"].includes(type) || !isExtent(length) || length < 1) {
        fail(
          `has scratch "${name}" of ${length} ${type}: a type f32, i32 or u32, and a length of at least 1`,
        );
      }
      return use(name, { scratch: i }, "write", type);
    }),
  ];
  const dispatches = passes.map((pass, k) =>
    ofItems(op, pass, arrays, passes.length > 1 ? k : -1, fail)
  );
  const seen = new Set(dispatches.flatMap((d) => d.buffers.map((b) => b.name)));
  const missing = names.outputs.find((name) => !seen.has(name));
  if (missing) fail(`never mentions its output ${missing}`);
  return { dispatches, scratch: Object.values(scratch).map(({ length }) => 4 * length) };
}

type Fail = (detail: string) => never;

const failing = (op: string): Fail => (detail) => {
  throw new TypeError(`the kernel of op "${op}" ${detail}`);
};

const use = (name: string, ref: BufferRef, access: "read" | "write", type: string): BufferUse => ({
  name,
  ref,
  access,
  type,
});

const mentions = (text: string, name: string): boolean => new RegExp(`\\b${name}\\b`).test(text);

function textOf(value: unknown, part: string, fail: Fail): string {
  if (typeof value !== "string") fail(`has ${what(value)} for ${part}, not WGSL`);
  return value as string;
}

/** The author's lines, each with its number. */
const numbered = (op: string, code: string, part = ""): string =>
  code.replace(/^\s*\n/, "").split("\n").map((line, i) =>
    line.trim() ? `${line} // ${op}${part}, line ${i + 1}` : line
  ).join("\n");

/** The plan of a kernel that computes its output element by element, and what follows it where it is stored. */
export function planOfElement<A>(
  op: string,
  names: ArrayNames,
  given: unknown,
  { inputs, outputs: [out], epilogue }: KernelContext<A>,
): KernelPlan {
  const fail = failing(op);
  const whole = typeof given === "string" ? { code: given } : given;
  if (whole === null || typeof whole !== "object" || !("code" in whole)) {
    return fail(`is ${what(given)}, not WGSL, or { code, declarations }`);
  }
  const { code: body, declarations = "" } = whole as ElementCode;
  const code = textOf(body, "code", fail);
  if (!mentions(code, "return")) fail("never returns an element");
  const type = out.dtype === "i32" || out.dtype === "u32" ? out.dtype : "f32";
  const { width } = epilogue;
  const values = Array.from({ length: width }, (_, k) => `element(t * ${width}u + ${k}u)`);
  const all = code + textOf(declarations, "declarations", fail);
  const work = epilogue.store(`t * ${width}u`, `${storageType(type, width)}(${values})`);
  const dispatch = {
    label: op,
    buffers: [
      ...names.inputs.flatMap((name, i) =>
        mentions(all, name) ? [use(name, { input: i }, "read", inputs[i].dtype)] : []
      ),
      ...epilogue.buffers,
    ],
    ...perItem({
      count: sizeOf(out.shape) / width,
      name: "t",
      declarations: `${numbered(op, declarations, " declarations")}
fn element(i: u32) -> ${type} {
${numbered(op, code)}
}
`,
    }, work),
  };
  return { dispatches: [dispatch] };
}

function ofItems(
  op: string,
  pass: OwnPass,
  arrays: readonly BufferUse[],
  number: number,
  fail: Fail,
): Dispatch {
  const which = number < 0 ? "" : ` pass ${number}`;
  if (pass === null || typeof pass !== "object") {
    fail(`has ${what(pass)} for${which || " its pass"}`);
  }
  const code = textOf(pass.code, `code${which && ` of${which}`}`, fail);
  const declarations = textOf(pass.declarations ?? "", "declarations", fail);
  if (!isExtent(pass.count) || pass.count < 1) {
    fail(`has a count of ${pass.count}: it is a whole number of at least 1`);
  }
  return {
    label: op + which,
    buffers: arrays.filter(({ name }) => mentions(code + declarations, name)),
    ...perItem({
      count: pass.count,
      name: "i",
      declarations: declarations && `${numbered(op, declarations, `${which} declarations`)}\n`,
    }, numbered(op, code, which)),
  };
}
