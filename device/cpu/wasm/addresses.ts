/**
 * Addresses of elements. An index is taken apart into a sum (`sums.ts`); what of it stays the same in a loop is added up
 * before the loop, into a pointer. Where nothing is known of an index, it is compared with the buffer's length.
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
import type { Interval } from "../wgsl/intervals.ts";
import { assignedIn, expressionsIn, statementsIn } from "../wgsl/flow.ts";
import { type Known, settled, type Sum, sumOf, type Term, whole } from "./sums.ts";

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
  /** Pushes a term, without what a variable that is one is ahead. */
  emit(e: Expr): void;
  get(local: number): void;
  set(local: number): void;
  /** Multiplies the index on the stack by a constant, as part of an address. */
  scale(by: number): void;
  /** Adds the two addresses on the stack. */
  add(): void;
  /** Adds so many bytes, or takes them off, to the address on the stack. */
  addBytes(bytes: number): void;
  /** Whether what a division divides never wraps around on the way. */
  even(e: Expr): boolean;
  /** What a whole number can be, wherever it is computed. */
  between(e: Expr): Interval;
  /** A variable that counts as so much more than its local holds. */
  ahead(): { readonly of: Variable; readonly by: number } | undefined;
}

/** Statements that are run again and again, as far as addresses go. */
export interface Turns {
  /** What changes from turn to turn, or begins in one. */
  readonly changed: ReadonlySet<Variable>;
  /** What of it changes at the end of a turn only. */
  readonly late: ReadonlySet<Variable>;
  readonly accesses: Iterable<Access | Store>;
}

/** The turns of a loop. */
export function turnsOf(loop: Loop): Turns {
  const inBody = assignedIn(loop.body);
  return {
    changed: assignedIn([...loop.body, ...loop.update]),
    late: new Set([...assignedIn(loop.update)].filter((v) => !inBody.has(v))),
    accesses: accessesOf([loop]),
  };
}

/** Constants up to this many bytes are put into the instruction itself; all buffers lie above. */
export const FOLDED = 65_535;

/** What of a constant goes into a pointer, where no instruction takes all of it: neighbours share it. */
const farOf = (bytes: number): number =>
  bytes >= 0 && bytes <= FOLDED ? 0 : Math.floor(bytes / 32_768) * 32_768;

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
  readonly #known: Known;

  constructor(readonly writer: AddressWriter) {
    this.#known = {
      even: (e) => writer.even(e),
      between: (e) => writer.between(e),
      opens: (v) => this.#opens(v),
      quotients: new Map(),
    };
  }

  /** A whole number as a sum. */
  sum(e: Expr): Sum {
    return sumOf(e, this.#known);
  }

  /** Where an access lies, by the pointers there are. `apart`: whether its index may be taken apart. */
  place(buffer: Buffer, index: Expr, apart: boolean): Place {
    const key = this.#key(buffer, index);
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const found = this.#open[i].get(key);
      if (found) return found;
    }
    const sum = apart ? this.sum(index) : whole(index);
    return { pointer: this.writer.baseOf(buffer), ...sum };
  }

  /** Opens a loop: adds up what stays the same in it. `sure` are the accesses that need no comparison. */
  enter({ changed, late, accesses }: Turns, sure: (a: Access | Store) => boolean): void {
    this.#counters.push({ late, all: changed });
    this.#known.quotients.clear();
    const places = new Map<string, Place>();
    const pointers = new Map<string, number>();
    for (const a of accesses) {
      if (!sure(a)) continue;
      const key = this.#key(a.buffer, a.index);
      if (places.has(key)) continue;
      const before = this.place(a.buffer, a.index, true);
      const stride = strideOf(a.buffer.element);
      const fixed = before.terms.filter((t) => settled(t.of, changed));
      const far = farOf(before.constant * stride) / stride;
      if (!fixed.length && !far) continue;
      const rest = before.terms.filter((t) => !settled(t.of, changed));
      const name = `${before.pointer}+${far}+${
        fixed.map((t) => `${t.factor}*${this.#text(t.of)}`).join()
      }`;
      let pointer = pointers.get(name);
      if (pointer === undefined) {
        pointer = this.writer.pointer();
        pointers.set(name, pointer);
        this.#write(before.pointer, fixed, stride);
        if (far) this.writer.addBytes(far * stride);
        this.writer.set(pointer);
      }
      places.set(key, { pointer, terms: rest, constant: before.constant - far });
    }
    this.#open.push(places);
  }

  leave(): void {
    this.#open.pop();
    this.#counters.pop();
    this.#known.quotients.clear();
  }

  /** Pushes the address of a place; what is left of the constant goes into the instruction. */
  push({ pointer, terms, constant: least }: Place, stride: number): number {
    this.#write(pointer, terms, stride);
    const constant = terms.reduce((n, t) => n + t.factor * this.#added(t.of), least);
    const bytes = constant * stride;
    if (bytes >= 0 && bytes <= FOLDED) return bytes;
    this.writer.addBytes(bytes);
    return 0;
  }

  /** What a term is more than what is written for it. */
  #added(e: Expr): number {
    const ahead = this.writer.ahead();
    return e.kind === "variable" && e.variable === ahead?.of ? ahead.by : 0;
  }

  #write(pointer: number, terms: readonly Term[], stride: number): void {
    this.writer.get(pointer);
    for (const { factor, of } of terms) {
      this.writer.emit(of);
      this.writer.scale(factor * stride);
      this.writer.add();
    }
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
    const right = e.right.kind === "const", left = e.left.kind === "const";
    const one = e.op === "+" || (e.op === "*" && (left || right)) ||
      (["<<", ">>", "/", "%"].includes(e.op) && right);
    return one && plain(e);
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

/** Loads and stores in statements. */
export function* accessesOf(body: readonly Stmt[]): Generator<Access | Store> {
  for (const s of statementsIn(body)) {
    for (const e of expressionsIn(s)) yield* loadsIn(e);
    if (s.kind === "store") yield s;
  }
}

function* loadsIn(e: Expr): Generator<Access> {
  for (const p of partsOf(e)) yield* loadsIn(p);
  if (e.kind === "load") yield e;
}
