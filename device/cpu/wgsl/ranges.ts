/**
 * What every index of a kernel can be, for a grid: most kernels stay inside their buffers for reasons that can be read
 * off their text (a guard, a `min`, the bounds of a loop), and their loads and stores then need no test at run time.
 * Loops whose length is known need no counter either.
 */
import {
  type Access,
  type Expr,
  type Func,
  type Loop,
  partsOf,
  type Stmt,
  type Store,
  type Variable,
} from "./tree.ts";
import {
  anything,
  extreme,
  type Interval,
  interval,
  join,
  only,
  operate,
  within,
} from "./intervals.ts";
import { assignedIn } from "./flow.ts";

/** What was found out. */
export interface Findings {
  /** The places that every load and store can go to. */
  readonly indices: ReadonlyMap<Access | Store, Interval>;
  /** Loops that may run for very long, or for ever. */
  readonly endless: ReadonlySet<Loop>;
  /** Divisions of what has not wrapped around on the way: they may be done term by term. */
  readonly even: ReadonlySet<Expr>;
  /** Tests that never hold: of an invocation that is beyond what there is to do, where the grid is exact. */
  readonly idle: ReadonlySet<Branch>;
  /** What a whole number that is made of such and reads no memory can be, wherever it is computed. */
  between(e: Expr): Interval;
}

/** Turns of loops in each other, beyond which an invocation counts them. */
const LONG = 2 ** 24;

/** Statements that are looked at, each as often as its function is called. */
const MOST_STEPS = 2 ** 20;

type Branch = Extract<Stmt, { kind: "if" }>;
type Env = Map<Variable, Interval>;

/** Looks at an entry point under a grid. */
export function findings(entry: Func, grid: readonly number[]): Findings {
  const looker = new Looker();
  looker.enter(entry, grid);
  return looker;
}

const wholeScalar = (e: Expr): boolean =>
  e.type.width === 1 && (e.type.scalar === "u32" || e.type.scalar === "i32");

class Looker implements Findings {
  readonly indices = new Map<Access | Store, Interval>();
  readonly endless = new Set<Loop>();
  readonly even = new Set<Expr>();
  readonly #uneven = new Set<Expr>();
  readonly idle = new Set<Branch>();
  readonly #taken = new Set<Branch>();
  /** Vectors of numbers that the invocation is told. */
  readonly #told = new Map<Variable, readonly Interval[]>();
  /** What each variable can be that never changes, in all of its scope. */
  readonly #ever: Env = new Map();
  /** What stands in the kernel is looked at; afterwards one only asks. */
  #looking = true;
  #turns = 1;
  #steps = 0;

  enter(f: Func, grid: readonly number[]): void {
    const env: Env = new Map();
    const { size, inputs } = f.entry!;
    const up = (n: number) => interval(0, n - 1, 1);
    inputs.forEach((name, i) => {
      const p = f.parameters[i];
      if (name === "local_invocation_index") {
        env.set(p, up(size[0] * size[1] * size[2]));
        this.#declared(p, env.get(p)!);
      } else if (name === "workgroup_id") this.#told.set(p, grid.map(up));
      else if (name === "num_workgroups") this.#told.set(p, grid.map(only));
      else if (name === "local_invocation_id") this.#told.set(p, size.map(up));
      else this.#told.set(p, size.map((s, d) => up(s * grid[d])));
    });
    this.#statements(f.body, env);
  }

  between(e: Expr): Interval {
    if (!wholeScalar(e)) return anything(false);
    this.#looking = false;
    return this.#quiet(e, this.#ever);
  }

  #declared(v: Variable, found: Interval): void {
    const before = this.#ever.get(v);
    this.#ever.set(v, before ? join(before, found) : found);
  }

  #note(at: Access | Store, found: Interval): void {
    const before = this.indices.get(at);
    this.indices.set(at, before ? join(before, found) : found);
  }

  /** The interval of a whole number; of all else, only what lies below is looked at. */
  #eval(e: Expr, env: Env): Interval {
    const signed = e.type.scalar === "i32";
    switch (e.kind) {
      case "const":
        return wholeScalar(e) ? only(e.values[0]) : anything(signed);
      case "variable":
        return env.get(e.variable) ?? anything(signed);
      case "swizzle": {
        const told = e.of.kind === "variable" ? this.#told.get(e.of.variable) : undefined;
        this.#eval(e.of, env);
        return told && e.lanes.length === 1 ? told[e.lanes[0]] : anything(signed);
      }
      case "load":
        this.#note(e, this.#eval(e.index, env));
        return anything(signed);
      case "binary": {
        if (e.op === "&&" || e.op === "||") {
          this.#eval(e.left, env);
          this.#eval(e.right, this.#given(e.left, e.op === "&&", env));
          return anything(false);
        }
        const a = this.#eval(e.left, env);
        const b = this.#eval(e.right, env);
        if (e.op === ">>" || e.op === "/" || e.op === "%") this.#divided(e, a);
        return wholeScalar(e) ? operate(e.op, a, b, signed) : anything(signed);
      }
      case "call":
        return this.#call(e, env);
      case "convert": {
        const of = this.#eval(e.of, env);
        const whole = e.of.type.scalar === "u32" || e.of.type.scalar === "i32";
        if (wholeScalar(e) && whole && of.lo >= 0 && of.hi < 2 ** 31) return of;
        return e.of.type.scalar === "bool" && wholeScalar(e) ? interval(0, 1, 1) : anything(signed);
      }
      case "invoke": {
        const inner: Env = new Map();
        e.args.forEach((a, i) => {
          const given = this.#eval(a, env);
          inner.set(e.target.parameters[i], given);
          if (wholeScalar(a)) this.#declared(e.target.parameters[i], given);
        });
        this.#statements(e.target.body, inner);
        return anything(signed);
      }
      default:
        for (const part of partsOf(e)) this.#eval(part, env);
        return anything(signed);
    }
  }

  #divided(e: Expr, of: Interval): void {
    if (!this.#looking) return;
    if (of.wrapped) this.#uneven.add(e);
    if (this.#uneven.has(e)) this.even.delete(e);
    else this.even.add(e);
  }

  #call(e: Extract<Expr, { kind: "call" }>, env: Env): Interval {
    const signed = e.type.scalar === "i32";
    if (e.name === "select" && e.args[2].type.width === 1) {
      const [no, yes, test] = e.args;
      this.#eval(test, env);
      return join(
        this.#eval(no, this.#given(test, false, env)),
        this.#eval(yes, this.#given(test, true, env)),
      );
    }
    const args = e.args.map((a) => this.#eval(a, env));
    if (!wholeScalar(e)) return anything(signed);
    if (e.name === "min" || e.name === "max") return extreme(e.name, args[0], args[1]);
    if (e.name === "clamp") return extreme("min", extreme("max", args[0], args[1]), args[2]);
    return anything(signed);
  }

  /** The environment where a condition holds, or does not. */
  #given(test: Expr, truth: boolean, env: Env): Env {
    const found = new Map(env);
    this.#narrow(test, truth, found);
    return found;
  }

  #narrow(test: Expr, truth: boolean, env: Env): void {
    if (test.kind === "unary" && test.op === "!") return this.#narrow(test.of, !truth, env);
    if (test.kind === "variable") {
      const { value } = test.variable;
      if (value && steady(value)) this.#narrow(value, truth, env);
      return;
    }
    if (test.kind !== "binary") return;
    const both = test.op === "&&" || (test.op === "&" && test.type.scalar === "bool");
    const either = test.op === "||" || (test.op === "|" && test.type.scalar === "bool");
    if (both || either) {
      if (both !== truth) return;
      this.#narrow(test.left, truth, env);
      this.#narrow(test.right, truth, env);
      return;
    }
    if (!wholeScalar(test.left)) return;
    const op = truth
      ? test.op
      : { "<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "==" }[test.op];
    const a = this.#quiet(test.left, env);
    const b = this.#quiet(test.right, env);
    const below = (e: Expr, hi: number) => this.#limit(e, -Infinity, hi, env);
    const above = (e: Expr, lo: number) => this.#limit(e, lo, Infinity, env);
    const { left, right } = test;
    if (op === "<" || op === "<=") {
      below(left, b.hi - (op === "<" ? 1 : 0));
      above(right, a.lo + (op === "<" ? 1 : 0));
    } else if (op === ">" || op === ">=") {
      above(left, b.lo + (op === ">" ? 1 : 0));
      below(right, a.hi - (op === ">" ? 1 : 0));
    } else if (op === "==") {
      this.#limit(left, b.lo, b.hi, env);
      this.#limit(right, a.lo, a.hi, env);
    }
  }

  /** Whether a comparison holds for none of the numbers that its sides can be. */
  #fails(test: Expr, env: Env): boolean {
    if (test.kind !== "binary" || !touchesNothing(test) || !wholeScalar(test.left)) return false;
    const [a, b] = [this.#eval(test.left, env), this.#eval(test.right, env)];
    switch (test.op) {
      case "<":
        return a.lo >= b.hi;
      case "<=":
        return a.lo > b.hi;
      case ">":
        return a.hi <= b.lo;
      case ">=":
        return a.hi < b.lo;
      default:
        return false;
    }
  }

  /** An interval without notes: what stands in a condition has been looked at already. */
  #quiet(e: Expr, env: Env): Interval {
    return touchesNothing(e) ? this.#eval(e, env) : anything(e.type.scalar === "i32");
  }

  #limit(e: Expr, lo: number, hi: number, env: Env): void {
    if (e.kind === "variable") {
      const known = env.get(e.variable) ?? anything(e.type.scalar === "i32");
      env.set(e.variable, within(known, lo, hi));
    } else if (e.kind === "binary" && e.op === "+" && e.right.kind === "const") {
      const c = e.right.values[0];
      const known = this.#quiet(e.left, env);
      if (known.hi + c < 2 ** 31) this.#limit(e.left, lo - c, hi - c, env);
    }
  }

  /** Whether the statements may be left at their end. */
  #statements(body: readonly Stmt[], env: Env): boolean {
    for (const s of body) if (!this.#statement(s, env)) return false;
    return true;
  }

  #statement(s: Stmt, env: Env): boolean {
    if (++this.#steps > MOST_STEPS) throw new Error("its functions call each other too often");
    switch (s.kind) {
      case "declare":
      case "assign":
        if (wholeScalar(s.value)) {
          const found = this.#eval(s.value, env);
          env.set(s.variable, found);
          if (s.variable.value) this.#declared(s.variable, found);
        } else this.#eval(s.value, env);
        return true;
      case "setLane":
        this.#eval(s.lane, env);
        this.#eval(s.value, env);
        return true;
      case "store":
        this.#note(s, this.#eval(s.index, env));
        if (s.lane) this.#eval(s.lane, env);
        this.#eval(s.value, env);
        return true;
      case "evaluate":
        this.#eval(s.value, env);
        return true;
      case "block":
        return this.#statements(s.body, env);
      case "if":
        return this.#branch(s, env);
      case "loop":
        return this.#loop(s, env);
      case "return":
        if (s.value) this.#eval(s.value, env);
        return false;
      default:
        return false;
    }
  }

  #branch(s: Branch, env: Env): boolean {
    this.#eval(s.test, env);
    if (this.#fails(s.test, env) && !this.#taken.has(s)) this.idle.add(s);
    else {
      // A function is looked at as often as it is called.
      this.#taken.add(s);
      this.idle.delete(s);
    }
    const yes = this.#given(s.test, true, env);
    const no = this.#given(s.test, false, env);
    const afterYes = this.#statements(s.then, yes);
    const afterNo = this.#statements(s.otherwise, no);
    env.clear();
    const [kept, other] = afterYes ? [yes, no] : [no, yes];
    for (const [v, a] of kept) {
      const b = other.get(v);
      if (!(afterYes && afterNo)) env.set(v, a);
      else if (b) env.set(v, join(a, b));
    }
    return afterYes || afterNo;
  }

  #loop(s: Loop, env: Env): boolean {
    const changed = assignedIn([...s.body, ...s.update]);
    const counter = this.#counter(s, changed, env);
    for (const v of changed) env.delete(v);
    if (counter) env.set(counter.variable, counter.values);
    if (s.test) this.#eval(s.test, env);
    const inside = s.test ? this.#given(s.test, true, env) : new Map(env);
    const outer = this.#turns;
    this.#turns *= counter?.turns ?? Infinity;
    if (!(this.#turns <= LONG)) {
      this.endless.add(s);
      this.#turns = outer;
    }
    // `continue` comes to the update from anywhere: of what the body found out, nothing holds there.
    const after = new Map(inside);
    this.#statements(s.body, inside);
    this.#statements(s.update, after);
    if (s.leave) this.#eval(s.leave, after);
    this.#turns = outer;
    for (const v of changed) env.delete(v);
    return true;
  }

  /** A variable that a loop counts up to a limit and changes nowhere else. */
  #counter(s: Loop, changed: ReadonlySet<Variable>, env: Env) {
    const [step] = s.update;
    const { test } = s;
    if (s.update.length !== 1 || step.kind !== "assign" || test?.kind !== "binary") {
      return undefined;
    }
    const { variable, value } = step;
    const isCounter = (e: Expr) => e.kind === "variable" && e.variable === variable;
    if (test.op !== "<" && test.op !== "<=" || !isCounter(test.left)) return undefined;
    if (value.kind !== "binary" || value.op !== "+" || !isCounter(value.left)) return undefined;
    const by = value.right.kind === "const" ? value.right.values[0] : 0;
    if (!(by > 0) || assignedIn(s.body).has(variable) || !wholeScalar(value)) return undefined;
    const from = env.get(variable) ?? anything(value.type.scalar === "i32");
    const bound = new Map(env);
    for (const v of changed) bound.delete(v);
    const end = this.#quiet(test.right, bound).hi - (test.op === "<" ? 1 : 0);
    const most = anything(value.type.scalar === "i32").hi;
    if (end + by > most) return undefined;
    const first = join(from, only(from.lo + by));
    return {
      variable,
      values: interval(from.lo, Math.max(from.lo, end + by), first.step),
      turns: Math.max(0, Math.ceil((end + 1 - from.lo) / by)),
    };
  }
}

/** Whether an expression reads no memory and calls no function. */
const touchesNothing = (e: Expr): boolean =>
  e.kind !== "load" && e.kind !== "invoke" && partsOf(e).every(touchesNothing);

/** Whether an expression gives the same whenever it is computed: no memory, no variable that changes. */
export function steady(e: Expr): boolean {
  if (e.kind === "load" || e.kind === "invoke") return false;
  if (e.kind === "variable") return !e.variable.assigned || e.variable.value !== undefined;
  return partsOf(e).every(steady);
}
