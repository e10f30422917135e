/** Ways through a program: functions that return a value always do, none calls itself; and what changes on a way. */
import { WgslError } from "./error.ts";
import type { Expr, Func, Stmt, Variable } from "./tree.ts";

/** Whether every way through these statements returns. */
export function leaves(body: readonly Stmt[]): boolean {
  return body.some((s) =>
    s.kind === "return" ||
    (s.kind === "block" && leaves(s.body)) ||
    (s.kind === "if" && leaves(s.then) && leaves(s.otherwise)) ||
    (s.kind === "loop" && !s.test && !s.leave && !breaks(s.body))
  );
}

function breaks(body: readonly Stmt[]): boolean {
  return body.some((s) =>
    s.kind === "break" || (s.kind === "block" && breaks(s.body)) ||
    (s.kind === "if" && (breaks(s.then) || breaks(s.otherwise)))
  );
}

/** Throws where functions call each other in a circle. */
export function refuseRecursion(functions: readonly Func[]): void {
  const done = new Set<Func>();
  const open = new Set<Func>();
  const visit = (f: Func) => {
    if (done.has(f)) return;
    if (open.has(f)) throw new WgslError(f.line, `${f.name} calls itself`);
    open.add(f);
    f.calls.forEach(visit);
    open.delete(f);
    done.add(f);
  };
  functions.forEach(visit);
}

/** The variables that statements assign to. */
export function assignedIn(body: readonly Stmt[], found = new Set<Variable>()): Set<Variable> {
  for (const s of body) {
    if (s.kind === "assign" || s.kind === "setLane" || s.kind === "declare") found.add(s.variable);
    else if (s.kind === "block") assignedIn(s.body, found);
    else if (s.kind === "if") {
      assignedIn(s.then, found);
      assignedIn(s.otherwise, found);
    } else if (s.kind === "loop") {
      assignedIn(s.body, found);
      assignedIn(s.update, found);
    }
  }
  return found;
}

/** Statements and those inside of them, in order; not what is done where a test of `idle` holds. */
export function* statementsIn(
  body: readonly Stmt[],
  idle: ReadonlySet<Stmt> = new Set(),
): Generator<Stmt> {
  for (const s of body) {
    const skipped = idle.has(s);
    if (!skipped) yield s;
    if (s.kind === "if") {
      if (!skipped) yield* statementsIn(s.then, idle);
      yield* statementsIn(s.otherwise, idle);
    } else if (s.kind === "loop") {
      yield* statementsIn(s.body, idle);
      yield* statementsIn(s.update, idle);
    } else if (s.kind === "block") yield* statementsIn(s.body, idle);
  }
}

/** The expressions that a statement itself is made of. */
export function expressionsIn(s: Stmt): Expr[] {
  const parts = s.kind === "loop"
    ? [s.test, s.leave]
    : s.kind === "if"
    ? [s.test]
    : s.kind === "store"
    ? [s.index, s.lane, s.value]
    : s.kind === "setLane"
    ? [s.lane, s.value]
    : "value" in s
    ? [s.value]
    : [];
  return parts.filter((e) => e !== undefined);
}
