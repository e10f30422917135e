/** What the parts of the code generator share while one function is written. */
import {
  type Access,
  type Buffer,
  type Expr,
  type Func,
  type Store,
  strideOf,
  type Variable,
} from "../wgsl/tree.ts";
import { Addresses } from "./addresses.ts";
import { Code, type ValueType } from "./code.ts";
import type { Features } from "./features.ts";
import { isLong, mathOf } from "./math.ts";
import type { MemoryKind } from "./module.ts";
import type { Findings } from "../wgsl/ranges.ts";
import { valueType } from "./scalars.ts";

/** The module that functions go into. */
export interface Target {
  readonly memory: MemoryKind;
  readonly features: Features;
  readonly findings: Findings;
  /** Whether an access may go past the end of its buffer. */
  unsure(a: Access | Store): boolean;
  /** Index of a function of this module. */
  indexOf(f: Func): number;
  /** Index of a vector function of `math.ts`; `narrow` says that two lanes count. */
  mathIndex(name: string, narrow: boolean): number;
}

/** Where the table of buffers lies in the arguments, and how long an entry is: address (8 bytes), elements (4). */
export const TABLE = { at: 16, entry: 16, length: 8 } as const;

/** Functions that are written out in place; more would make a kernel long, and its compilation slow. */
const INLINED = 8;

/** One function, half written. Its first parameter is the address of the arguments. */
export class Writer {
  readonly code: Code;
  readonly addresses: Addresses;
  /** Type of an address. */
  readonly address: "i32" | "i64";
  /** Functions of `math.ts` that were written out here. */
  #written = 0;
  readonly #locals = new Map<Variable, number>();
  /** The three numbers of a vector that the invocation is told. */
  readonly #told = new Map<Variable, readonly number[]>();
  readonly #bases = new Map<Buffer, number>();
  readonly #lengths = new Map<Buffer, number>();
  /** Locals of what was computed beforehand. */
  readonly early = new Map<Expr, number>();
  /** Variables whose value was computed beforehand. */
  readonly done = new Set<Variable>();
  /** A variable that counts as so much more than its local holds. */
  ahead: { readonly of: Variable; readonly by: number } | undefined;

  constructor(
    readonly target: Target,
    parameters: readonly ValueType[],
    results: readonly ValueType[],
    emit: (e: Expr) => void,
  ) {
    this.address = target.memory.wide ? "i64" : "i32";
    this.code = new Code([this.address, ...parameters], results, target.features.fused);
    const { code } = this;
    this.addresses = new Addresses({
      baseOf: (b) => this.#bases.get(b)!,
      pointer: () => code.local(this.address),
      emit: (e) => {
        const plain = e.kind === "variable" && e.variable === this.ahead?.of;
        if (plain) code.get(this.localOf(e.variable));
        else emit(e);
      },
      ahead: () => this.ahead,
      get: (l) => code.get(l),
      set: (l) => code.set(l),
      scale: (by) => this.scale(by),
      add: () => code.op(`${this.address}.add`),
      addBytes: (bytes) => {
        code[this.address](this.address === "i32" ? bytes | 0 : bytes);
        code.op(`${this.address}.add`);
      },
      even: (e) => target.findings.even.has(e),
      between: (e) => target.findings.between(e),
    });
  }

  /**
   * Applies a function of `math.ts` to what is on the stack: short ones are written out the first few times, then called.
   *
   * @param width lanes that count
   */
  math(name: string, width = 4): void {
    const { code, target } = this;
    const call = (name: string) => code.call(target.mathIndex(name, false));
    if (isLong(name)) return code.call(target.mathIndex(name, width <= 2));
    if (this.#written >= INLINED) return call(name);
    const x = code.local("v128");
    code.set(x);
    mathOf(name, code, [x], (inner) => {
      if (this.#written++ >= INLINED) return call(inner);
      const y = code.local("v128");
      code.set(y);
      mathOf(inner, code, [y], call);
    });
    this.#written++;
  }

  /** Loads the addresses and lengths of buffers: to be done before anything else. */
  bind(buffers: Iterable<Buffer>, checked: ReadonlySet<Buffer>): void {
    const { code } = this;
    for (const b of buffers) {
      const at = TABLE.at + TABLE.entry * b.slot;
      const base = code.local(this.address);
      code.get(0);
      code.memory(`${this.address}.load`, at);
      code.set(base);
      this.#bases.set(b, base);
      if (!checked.has(b)) continue;
      const length = code.local("i32");
      code.get(0);
      code.memory("i32.load", at + TABLE.length);
      code.set(length);
      this.#lengths.set(b, length);
    }
  }

  baseOf(b: Buffer): number {
    return this.#bases.get(b)!;
  }
  lengthOf(b: Buffer): number {
    return this.#lengths.get(b)!;
  }

  /** The local of a variable. */
  localOf(v: Variable): number {
    let local = this.#locals.get(v);
    if (local === undefined) this.#locals.set(v, local = this.code.local(valueType(v.type)));
    return local;
  }
  /** Says that a variable is a parameter. */
  name(v: Variable, local: number): void {
    this.#locals.set(v, local);
  }
  /** Says that a vector is these three numbers. */
  tell(v: Variable, locals: readonly number[]): void {
    this.#told.set(v, locals);
  }
  toldOf(v: Variable): readonly number[] | undefined {
    return this.#told.get(v);
  }

  /** Index on the stack → part of an address. */
  scale(by: number): void {
    const { code, address } = this;
    if (address === "i64") {
      code.op("i64.extend_i32_u");
      if (by === 1) return;
      code.i64(by);
      code.op("i64.mul");
      return;
    }
    if (by === 1) return;
    const power = Math.log2(by);
    code.i32(Number.isInteger(power) ? power : by);
    code.op(Number.isInteger(power) ? "i32.shl" : "i32.mul");
  }

  /** Whether the parts of an access's index may be added up in any order: with 64 bits only where none wraps around. */
  apart(a: Access | Store): boolean {
    if (this.target.unsure(a)) return false;
    return !this.target.memory.wide || !this.target.findings.indices.get(a)?.wrapped;
  }

  /** Pushes the address of a sure access; returns the offset that its instruction takes. */
  at(a: Access | Store): number {
    const stride = strideOf(a.buffer.element);
    return this.addresses.push(this.addresses.place(a.buffer, a.index, this.apart(a)), stride);
  }
}
