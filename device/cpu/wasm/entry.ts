/**
 * The loops of an entry point: over workgroups, and in each over its invocations. What is the same for all invocations of
 * a workgroup is computed before them, and several invocations are written out one after the other where each does
 * little: kernels that work element by element would else count places most of the time.
 */
import { assignedIn, expressionsIn, statementsIn } from "../wgsl/flow.ts";
import {
  type BuiltinInput,
  type Expr,
  type Func,
  partsOf,
  type Stmt,
  type Variable,
} from "../wgsl/tree.ts";
import { accessesOf } from "./addresses.ts";
import type { Code } from "./code.ts";
import type { Expressions } from "./expression.ts";
import { sizeOf } from "./inline.ts";
import { isHere } from "./math.ts";
import { valueType } from "./scalars.ts";
import { Statements } from "./statement.ts";
import { settled, written } from "./sums.ts";
import type { Writer } from "./writer.ts";

/** Offsets of the grid in the arguments. */
export const GRID = { x: 0, y: 4, z: 8 } as const;

/** Most values that are computed before the invocations, beside those that have a name. */
const MOST_EARLY = 40;

/** Invocations that are written out one after the other, and parts of the tree up to which they are. */
const SIDE_BY_SIDE = 4;
const SMALL = 160;

/** Inputs that are the same for all invocations of a workgroup. */
const SHARED: ReadonlySet<BuiltinInput> = new Set(["workgroup_id", "num_workgroups"]);

/** @param fuel turns that the endless-looking loops of an invocation may take, where there are such */
export function emitEntry(
  f: Func,
  writer: Writer,
  expressions: Expressions,
  fuel: number | undefined,
): void {
  const { code } = writer;
  const { size, inputs } = f.entry!;
  const count = size[0] * size[1] * size[2];
  const grid = Object.values(GRID).map((at) => {
    const local = code.local("i32");
    code.get(0);
    code.memory("i32.load", at);
    code.set(local);
    return local;
  });
  const [FROM, TO] = [1, 2];
  const index = code.local("i32");
  const left = fuel === undefined ? undefined : code.local("i32");
  const finished = code.open("block");
  code.get(FROM);
  code.get(TO);
  code.op("i32.ge_u");
  code.branch(finished, true);
  const workgroup = firstGroup(code, FROM, grid);
  const groups = code.open("loop");
  inputs.forEach((name, i) => {
    const p = f.parameters[i];
    if (name === "local_invocation_index") writer.name(p, index);
    else if (name === "workgroup_id") writer.tell(p, workgroup);
    else if (name === "num_workgroups") writer.tell(p, grid);
  });
  const own = new Set(f.parameters.filter((_, i) => !SHARED.has(inputs[i])));
  if (count > 1) computeEarly(f.body, own, writer, expressions);
  code.i32(0);
  code.set(index);
  const invocations = count > 1 ? code.open("loop") : 0;
  const turns = count % SIDE_BY_SIDE === 0 && isSmall(f, writer) ? SIDE_BY_SIDE : 1;
  for (let by = 0; by < turns; by++) {
    const i = inputs.indexOf("local_invocation_index");
    writer.ahead = by && i >= 0 ? { of: f.parameters[i], by } : undefined;
    if (left !== undefined) {
      code.i32(fuel!);
      code.set(left);
    }
    inputs.forEach((name, i) => {
      if (SHARED.has(name) || name === "local_invocation_index") return;
      const base = name === "global_invocation_id" ? workgroup : undefined;
      writer.tell(f.parameters[i], places(code, index, size, base));
    });
    const end = code.open("block");
    new Statements(writer, expressions, left, end).all(f.body);
    code.close();
  }
  writer.ahead = undefined;
  if (count > 1) writer.addresses.leave();
  if (invocations) {
    advance(code, index, turns);
    code.i32(count);
    code.op("i32.lt_u");
    code.branch(invocations, true);
    code.close();
  }
  nextGroup(code, workgroup, grid);
  advance(code, FROM, 1);
  code.get(TO);
  code.op("i32.lt_u");
  code.branch(groups, true);
  code.close();
  code.close();
}

/** Adds to a local, and pushes what it is then. */
function advance(code: Code, local: number, by: number): void {
  code.get(local);
  code.i32(by);
  code.op("i32.add");
  code.tee(local);
}

/** Locals of the three numbers of a workgroup, from its number among all. */
function firstGroup(code: Code, of: number, [x, y]: readonly number[]): number[] {
  const digit = (below: readonly number[], extent?: number) => {
    const local = code.local("i32");
    code.get(of);
    for (const b of below) {
      code.get(b);
      code.op("i32.div_u");
    }
    if (extent !== undefined) {
      code.get(extent);
      code.op("i32.rem_u");
    }
    code.set(local);
    return local;
  };
  return [digit([], x), digit([x], y), digit([x, y])];
}

/** Goes on to the next workgroup. */
function nextGroup(code: Code, [x, y, z]: readonly number[], grid: readonly number[]): void {
  const over = (local: number, extent: number, then: () => void) => {
    advance(code, local, 1);
    code.get(extent);
    code.op("i32.eq");
    code.open("if");
    code.i32(0);
    code.set(local);
    then();
    code.close();
  };
  over(x, grid[0], () =>
    over(y, grid[1], () => {
      advance(code, z, 1);
      code.op("drop");
    }));
}

/** The three coordinates of an invocation, in its workgroup or in the grid. */
function places(
  code: Code,
  index: number,
  size: readonly [number, number, number],
  workgroup: readonly number[] | undefined,
): number[] {
  let below = 1;
  return size.map((extent, d) => {
    const local = code.local("i32");
    code.get(index);
    code.i32(below);
    code.op("i32.div_u");
    code.i32(extent);
    code.op("i32.rem_u");
    if (workgroup) {
      code.get(workgroup[d]);
      code.i32(extent);
      code.op("i32.mul");
      code.op("i32.add");
    }
    code.set(local);
    below *= extent;
    return local;
  });
}

/** Whether invocations may be written out side by side: they do little, go straight on, and know themselves by a number. */
function isSmall({ body, entry }: Func, writer: Writer): boolean {
  const known = entry!.inputs.every((name) =>
    SHARED.has(name) || name === "local_invocation_index"
  );
  // Conversions and functions that are long would be called instead of written out.
  const halves = [...accessesOf(body)].some((a) => a.buffer.element.scalar === "f16");
  const all = [...statementsIn(body, writer.target.findings.idle)].flatMap(expressionsIn);
  return known && !halves && sizeOf(body) <= SMALL && !all.some(isLong);
}

const isLong = (e: Expr): boolean =>
  (e.kind === "call" && isHere(e.name)) || partsOf(e).some(isLong);

/**
 * Computes what is the same for all invocations of a workgroup: names whose value is, parts of other expressions, and the
 * addresses' part of every index. `own`: what an invocation is told of itself.
 */
function computeEarly(
  body: readonly Stmt[],
  own: ReadonlySet<Variable>,
  writer: Writer,
  expressions: Expressions,
): void {
  const { code, addresses } = writer;
  const changed = assignedIn(body, new Set(own));
  const name = ({ value, variable }: Extract<Stmt, { kind: "declare" }>): boolean => {
    if (!variable.value) return false;
    let early = settled(value, changed) ? value : undefined;
    if (!early && value.type.scalar === "u32" && value.type.width === 1) {
      const sum = addresses.sum(value);
      if (sum.terms.every((t) => settled(t.of, changed))) early = written(sum);
    }
    if (!early) return false;
    expressions.emit(early);
    code.set(writer.localOf(variable));
    changed.delete(variable);
    writer.done.add(variable);
    return true;
  };
  const part = (e: Expr): void => {
    if (e.kind === "const" || e.kind === "variable") return;
    if (e.kind === "swizzle" && e.of.kind === "variable" && writer.toldOf(e.of.variable)) return;
    if (settled(e, changed)) {
      if (writer.early.size >= MOST_EARLY) return;
      const local = code.local(valueType(e.type));
      expressions.emit(e);
      code.set(local);
      writer.early.set(e, local);
    } else if (e.kind !== "load" || writer.target.unsure(e)) partsOf(e).forEach(part);
  };
  for (const s of statementsIn(body, writer.target.findings.idle)) {
    if (s.kind === "declare" && name(s)) continue;
    const sure = s.kind === "store" && !writer.target.unsure(s);
    for (const e of expressionsIn(s)) if (!sure || e !== s.index) part(e);
  }
  addresses.enter(
    { changed, late: own, accesses: accessesOf(body) },
    (a) => writer.apart(a),
  );
}
