/**
 * Addresses of elements. An index is taken apart into a sum; what of it stays the same in a loop is added up before the
 * loop, into a pointer. Where nothing is known of an index, it is compared with the buffer's length.
 */
import {
  type Access,
  type Buffer,
  type Expr,
  type Loop,
  type Stmt,
  type Store,
  strideOf,
  type Variable,
} from "../wgsl/tree.ts";
import { partsOf } from "../wgsl/tree.ts";
import { assignedIn } from "./ranges.ts";

/** A multiple of something computed. */
interface Term {
  readonly factor: number;
  readonly of: Expr;
}

/** An index as a sum. */
interface Sum {
  readonly terms: readonly Term[];
  readonly constant: number;
}

/** Where an access is found: a pointer, what is to be added to it at the spot, and a constant number of elements. */
export interface Place {
  /** Local of the pointer, in bytes. */
  readonly pointer: number;
  readonly terms: readonly Term[];
  readonly constant: number;
}

/** What this needs of the function that is being written. */
export interface AddressWriter {
  /** Local of a buffer's address. */
  baseOf(buffer: Buffer): number;
  /** A new local that holds an address. */
  pointer(): number;
  /** Pushes an index. */
  emit(e: Expr): void;
  get(local: number): void;
  set(local: number): void;
  /** Multiplies the index on the stack by a constant, as part of an address. */
  scale(by: number): void;
  /** Adds the two addresses on the stack. */
  add(): void;
  /** Whether a division may be done term by term, where none leaves a rest. */
  even(e: Expr): boolean;
}

/** Constants up to this many bytes are put into the instruction itself; all buffers lie above. */
export const FOLDED = 65_535;

/** The pointers of one function, as its loops open and close. */
export class Addresses {
  /** Places by buffer and index, in the loops that are open. */
  readonly #open: Map<string, Place>[] = [];
  /** Of each open loop: the variables that change at the end of a turn only, and all that change or begin in it. */
  readonly #counters: {
    readonly late: ReadonlySet<Variable>;
    readonly all: ReadonlySet<Variable>;
  }[] = [];
  readonly #ids = new Map<Variable, number>();

  constructor(readonly writer: AddressWriter) {}

  /** Where an access lies, by the pointers there are. `apart`: whether its index may be taken apart. */
  place(buffer: Buffer, index: Expr, apart: boolean): Place {
    const key = this.#key(buffer, index);
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const found = this.#open[i].get(key);
      if (found) return found;
    }
    const sum = apart ? this.#sum(index) : whole(index);
    return { pointer: this.writer.baseOf(buffer), ...sum };
  }

  /** Opens a loop: adds up what stays the same in it. `sure` are the accesses that need no comparison. */
  enter(loop: Loop, sure: (a: Access | Store) => boolean): void {
    const changed = assignedIn([...loop.body, ...loop.update]);
    const inBody = assignedIn(loop.body);
    const late = new Set([...assignedIn(loop.update)].filter((v) => !inBody.has(v)));
    this.#counters.push({ late, all: changed });
    const places = new Map<string, Place>();
    const pointers = new Map<string, number>();
    for (const a of accessesIn(loop)) {
      if (!sure(a)) continue;
      const key = this.#key(a.buffer, a.index);
      if (places.has(key)) continue;
      const before = this.place(a.buffer, a.index, true);
      const fixed = before.terms.filter((t) => settled(t.of, changed));
      if (!fixed.length) continue;
      const rest = before.terms.filter((t) => !settled(t.of, changed));
      const name = `${before.pointer}+${
        fixed.map((t) => `${t.factor}*${this.#text(t.of)}`).join()
      }`;
      let pointer = pointers.get(name);
      if (pointer === undefined) {
        pointer = this.writer.pointer();
        pointers.set(name, pointer);
        this.#write(before.pointer, fixed, strideOf(a.buffer.element));
        this.writer.set(pointer);
      }
      places.set(key, { pointer, terms: rest, constant: before.constant });
    }
    this.#open.push(places);
  }

  leave(): void {
    this.#open.pop();
    this.#counters.pop();
  }

  /** Pushes the address of a place; what is left of the constant goes into the instruction. */
  push({ pointer, terms, constant }: Place, stride: number): number {
    this.#write(pointer, terms, stride);
    const bytes = constant * stride;
    if (bytes >= 0 && bytes <= FOLDED) return bytes;
    this.writer.emit({
      kind: "const",
      type: { scalar: "u32", width: 1 },
      values: [constant >>> 0],
    });
    this.writer.scale(stride);
    this.writer.add();
    return 0;
  }

  #write(pointer: number, terms: readonly Term[], stride: number): void {
    this.writer.get(pointer);
    for (const { factor, of } of terms) {
      this.writer.emit(of);
      this.writer.scale(factor * stride);
      this.writer.add();
    }
  }

  #sum(e: Expr): Sum {
    const terms: Term[] = [];
    let constant = 0;
    const visit = (e: Expr, factor: number): void => {
      if (e.kind === "const") {
        constant += factor * e.values[0];
        return;
      }
      if (e.kind === "variable" && this.#opens(e.variable)) {
        return visit(e.variable.value!, factor);
      }
      if (e.kind === "binary") {
        const { left, right, op } = e;
        if (op === "+") {
          visit(left, factor);
          visit(right, factor);
          return;
        }
        if (op === "*" && right.kind === "const") return visit(left, factor * right.values[0]);
        if (op === "*" && left.kind === "const") return visit(right, factor * left.values[0]);
        if (op === "<<" && right.kind === "const") {
          return visit(left, factor * 2 ** right.values[0]);
        }
        const parts = this.#quotient(e);
        if (parts) {
          constant += factor * parts.constant;
          terms.push(...parts.terms.map((t) => ({ factor: factor * t.factor, of: t.of })));
          return;
        }
      }
      terms.push({ factor, of: e });
    };
    visit(e, 1);
    // A constant such as 2³² − 1 stands for −1; factors must stay small enough to be exact.
    if (constant >= 2 ** 31) constant -= 2 ** 32;
    const exact = Number.isSafeInteger(constant) && Math.abs(constant) < 2 ** 31 &&
      terms.every((t) => t.factor < 2 ** 31);
    return exact ? { terms, constant } : whole(e);
  }

  /** A division by a constant as a sum, where every term is a multiple of that: elements counted in vectors. */
  #quotient(e: Expr): Sum | undefined {
    if (e.kind !== "binary" || e.right.kind !== "const" || e.type.scalar !== "u32") {
      return undefined;
    }
    if ((e.op !== ">>" && e.op !== "/") || !this.writer.even(e)) return undefined;
    const by = e.op === "/" ? e.right.values[0] : 2 ** (e.right.values[0] & 31);
    const { terms, constant } = this.#sum(e.left);
    const factors = terms.map((t) => t.factor / by);
    if (![...factors, constant / by].every(Number.isInteger)) return undefined;
    return {
      terms: terms.map(({ of }, i) => ({ factor: factors[i], of })),
      constant: constant / by,
    };
  }

  /** Whether a `let` may be written out where it is used: a sum of what has not changed since. */
  #opens(name: Variable): boolean {
    const fixed = (v: Variable) =>
      !v.assigned || this.#counters.some((c) => c.late.has(v) && c.all.has(name));
    const plain = (e: Expr): boolean =>
      e.kind === "const" || (e.kind === "variable" && fixed(e.variable)) ||
      (e.kind === "swizzle" && e.of.kind === "variable" && !e.of.variable.assigned) ||
      (e.kind === "binary" && plain(e.left) && plain(e.right));
    const e = name.value;
    if (e?.kind !== "binary") return e !== undefined && plain(e);
    const constant = e.right.kind === "const" || e.left.kind === "const";
    return (e.op === "+" || ((e.op === "*" || e.op === "<<") && constant)) && plain(e);
  }

  #key(buffer: Buffer, index: Expr): string {
    return `${buffer.binding}:${this.#text(index)}`;
  }

  #text(e: Expr): string {
    switch (e.kind) {
      case "const":
        return `${e.values}`;
      case "variable": {
        let id = this.#ids.get(e.variable);
        if (id === undefined) this.#ids.set(e.variable, id = this.#ids.size);
        return `v${id}`;
      }
      case "binary":
        return `(${this.#text(e.left)}${e.op}${this.#text(e.right)})`;
      case "swizzle":
        return `${this.#text(e.of)}.${e.lanes}`;
      case "call":
        return `${e.name}(${e.args.map((a) => this.#text(a)).join()})`;
      case "load":
        return `${e.buffer.binding}[${this.#text(e.index)}]`;
      case "unary":
        return `${e.op}(${this.#text(e.of)})`;
      default:
        return `${e.kind}<${e.type.scalar}>(${partsOf(e).map((p) => this.#text(p)).join()})`;
    }
  }
}

const whole = (e: Expr): Sum => ({ terms: [{ factor: 1, of: e }], constant: 0 });

/** Whether an expression is the same throughout a loop, and cheap enough to be computed before it. */
function settled(e: Expr, changed: ReadonlySet<Variable>): boolean {
  if (e.kind === "load" || e.kind === "invoke") return false;
  if (e.kind === "variable") return !changed.has(e.variable);
  return partsOf(e).every((p) => settled(p, changed));
}

function* accessesIn(loop: Loop): Generator<Access | Store> {
  if (loop.test) yield* loadsIn(loop.test);
  yield* accesses(loop.body);
  yield* accesses(loop.update);
  if (loop.leave) yield* loadsIn(loop.leave);
}

function* accesses(body: readonly Stmt[]): Generator<Access | Store> {
  for (const s of body) {
    switch (s.kind) {
      case "store":
        yield* loadsIn(s.index);
        if (s.lane) yield* loadsIn(s.lane);
        yield* loadsIn(s.value);
        yield s;
        break;
      case "if":
        yield* loadsIn(s.test);
        yield* accesses(s.then);
        yield* accesses(s.otherwise);
        break;
      case "loop":
        yield* accessesIn(s);
        break;
      case "block":
        yield* accesses(s.body);
        break;
      case "break":
      case "continue":
        break;
      default:
        if (s.value) yield* loadsIn(s.value);
    }
  }
}

function* loadsIn(e: Expr): Generator<Access> {
  for (const p of partsOf(e)) yield* loadsIn(p);
  if (e.kind === "load") yield e;
}
