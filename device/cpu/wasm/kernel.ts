/**
 * A checked kernel → a WebAssembly module. Its function "main" takes the address of the arguments and a range of
 * workgroups, and runs them one after the other; invocations of a workgroup are turns of a loop.
 */
import {
  type Access,
  type Buffer,
  type Expr,
  type Func,
  partsOf,
  type Program,
  type Stmt,
  type Store,
} from "../wgsl/tree.ts";
import type { Code } from "./code.ts";
import { emitEntry } from "./entry.ts";
import { Expressions, resultOf } from "./expression.ts";
import type { Features } from "./features.ts";
import { Code as NewCode } from "./code.ts";
import { isShort } from "./inline.ts";
import { mathOf, takes } from "./math.ts";
import { type MemoryKind, moduleBytes } from "./module.ts";
import type { Findings } from "../wgsl/ranges.ts";
import { valueType } from "./scalars.ts";
import { Statements } from "./statement.ts";
import { type Target, Writer } from "./writer.ts";

/** Turns that the endless-looking loops of one invocation may take before it is taken to hang. */
const FUEL = 2 ** 28;

/** What a module is made for. */
export interface Build {
  readonly program: Program;
  readonly entry: Func;
  readonly findings: Findings;
  /** The accesses that may go past the end of their buffer. */
  readonly unsure: ReadonlySet<Access | Store>;
  readonly memory: MemoryKind;
  readonly features: Features;
}

/** Bytes of the module. */
export function kernelBytes(build: Build): Uint8Array<ArrayBuffer> {
  const functions = reached(build.entry);
  const math: { readonly name: string; readonly narrow: boolean }[] = [];
  const mathIndex = (name: string, narrow: boolean): number => {
    let i = math.findIndex((m) => m.name === name && m.narrow === narrow);
    if (i < 0) i = math.push({ name, narrow }) - 1;
    return functions.length + i;
  };
  const target: Target = {
    memory: build.memory,
    features: build.features,
    findings: build.findings,
    unsure: (a) => build.unsure.has(a),
    indexOf: (f) => functions.indexOf(f),
    mathIndex,
  };
  const codes = functions.map((f) => f.entry ? entryCode(f, target) : functionCode(f, target));
  // Those that they call in turn are added meanwhile.
  for (const { name, narrow } of math) {
    const given = Array.from({ length: takes(name) }, (_, place) => place);
    const code = new NewCode(given.map(() => "v128"), ["v128"], build.features.fused, narrow);
    mathOf(name, code, given, (name) => code.call(mathIndex(name, narrow)));
    codes.push(code);
  }
  return moduleBytes(codes, functions.indexOf(build.entry), build.memory);
}

/** The entry point and what it calls, directly or not. */
function reached(f: Func, found: Func[] = []): Func[] {
  if (!found.includes(f)) {
    found.push(f);
    for (const g of f.calls) reached(g, found);
  }
  return found;
}

function begin(f: Func, target: Target, parameters: Parameters<typeof parametersOf>[0]) {
  const expressions = new Expressions(() => writer);
  const writer: Writer = new Writer(
    target,
    parametersOf(parameters),
    resultOf(f.result),
    (e) => expressions.emit(e),
  );
  const used = new Set<Buffer>();
  const checked = new Set<Buffer>();
  buffersIn(f.body, (a) => {
    used.add(a.buffer);
    if (target.unsure(a)) checked.add(a.buffer);
  });
  writer.bind(used, checked);
  return { writer, expressions };
}

const parametersOf = (parameters: readonly ("i32" | { type: Expr["type"] })[]) =>
  parameters.map((p) => p === "i32" ? p : valueType(p.type));

/** Whether statements have a loop whose turns must be counted. */
function counts(body: readonly Stmt[], target: Target): boolean {
  return body.some((s) =>
    s.kind === "loop"
      ? target.findings.endless.has(s) || counts(s.body, target)
      : s.kind === "if"
      ? counts(s.then, target) || counts(s.otherwise, target)
      : s.kind === "block" && counts(s.body, target)
  );
}

function functionCode(f: Func, target: Target): Code {
  const { writer, expressions } = begin(f, target, f.parameters);
  const { code } = writer;
  f.parameters.forEach((p, i) => writer.name(p, 1 + i));
  const fuel = counts(f.body, target) ? code.local("i32") : undefined;
  if (fuel !== undefined) {
    code.i32(FUEL);
    code.set(fuel);
  }
  new Statements(writer, expressions, fuel, undefined).all(f.body);
  if (f.result) code.op("unreachable");
  return code;
}

function entryCode(f: Func, target: Target): Code {
  const { writer, expressions } = begin(f, target, ["i32", "i32"]);
  emitEntry(f, writer, expressions, counts(f.body, target) ? FUEL : undefined);
  return writer.code;
}

function buffersIn(body: readonly Stmt[], found: (a: Access | Store) => void): void {
  const inside = (e: Expr | undefined): void => {
    if (!e) return;
    if (e.kind === "load") found(e);
    partsOf(e).forEach(inside);
  };
  for (const s of body) {
    if (s.kind === "store") {
      found(s);
      [s.index, s.lane, s.value].forEach(inside);
    } else if (s.kind === "if") {
      inside(s.test);
      buffersIn(s.then, found);
      buffersIn(s.otherwise, found);
    } else if (s.kind === "loop") {
      [s.test, s.leave].forEach(inside);
      buffersIn(s.body, found);
      buffersIn(s.update, found);
    } else if (s.kind === "block") buffersIn(s.body, found);
    else if (s.kind === "setLane") [s.lane, s.value].forEach(inside);
    else if (s.kind === "evaluate" && s.value.kind === "invoke" && isShort(s.value.target)) {
      s.value.args.forEach(inside);
      buffersIn(s.value.target.body, found);
    } else if ("value" in s) inside(s.value);
  }
}
