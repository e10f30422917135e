/** Statements → instructions. */
import type { Expr, Loop, Stmt } from "../wgsl/tree.ts";
import { turnsOf } from "./addresses.ts";
import { isShort } from "./inline.ts";
import { resultOf } from "./expression.ts";
import type { Expressions } from "./expression.ts";
import { emitLane } from "./memory_access.ts";
import { emitStore } from "./memory_access.ts";
import { floats } from "./scalars.ts";
import type { Writer } from "./writer.ts";

/** Writes the statements of one function. */
export class Statements {
  #end: number | undefined;
  readonly #loops: { readonly leave: number; readonly next: number }[] = [];

  /**
   * @param fuel a local that counts the turns of loops that might never end
   * @param end the block that `return` leaves, where it does not return
   */
  constructor(
    readonly writer: Writer,
    readonly expressions: Expressions,
    readonly fuel: number | undefined,
    end: number | undefined,
  ) {
    this.#end = end;
  }

  /** Writes them in order. */
  all(body: readonly Stmt[]): void {
    for (const s of body) this.#one(s);
  }

  #one(s: Stmt): void {
    const { code } = this.writer;
    const { emit } = this.expressions;
    switch (s.kind) {
      case "declare":
        if (this.writer.done.has(s.variable)) return;
        emit(s.value);
        return code.set(this.writer.localOf(s.variable));
      case "assign":
        emit(s.value);
        return code.set(this.writer.localOf(s.variable));
      case "setLane":
        return this.#setLane(s);
      case "store":
        return emitStore(this.writer, s, emit);
      case "evaluate":
        if (s.value.kind === "invoke" && isShort(s.value.target)) return this.#writeOut(s.value);
        emit(s.value);
        if (resultOf(s.value.type).length) code.op("drop");
        return;
      case "block":
        return this.all(s.body);
      case "if":
        if (this.writer.target.findings.idle.has(s)) return this.all(s.otherwise);
        emit(s.test);
        code.open("if");
        this.all(s.then);
        if (s.otherwise.length) {
          code.otherwise();
          this.all(s.otherwise);
        }
        return code.close();
      case "loop":
        return this.#loop(s);
      case "break":
        return code.branch(this.#loops.at(-1)!.leave);
      case "continue":
        return code.branch(this.#loops.at(-1)!.next);
      case "return":
        if (s.value) emit(s.value);
        if (this.#end === undefined) return code.op("return");
        return code.branch(this.#end);
    }
  }

  /** The statements of a short function in place of its call. */
  #writeOut({ target, args }: Extract<Expr, { kind: "invoke" }>): void {
    const { code } = this.writer;
    args.forEach(this.expressions.emit);
    for (const p of target.parameters.toReversed()) code.set(this.writer.localOf(p));
    const outer = this.#end;
    this.#end = code.open("block");
    this.all(target.body);
    code.close();
    this.#end = outer;
  }

  #setLane({ variable, lane, value }: Extract<Stmt, { kind: "setLane" }>): void {
    const { code } = this.writer;
    const { emit } = this.expressions;
    const local = this.writer.localOf(variable);
    const { scalar, width } = variable.type;
    if (lane.kind === "const" && scalar !== "bool") {
      code.get(local);
      emit(value);
      code.lane(`${floats(scalar) ? "f32x4" : "i32x4"}.replace_lane`, lane.values[0]);
      return code.set(local);
    }
    this.expressions.splat(value);
    code.get(local);
    code.i32x4([0, 1, 2, 3]);
    emitLane(this.writer, lane, width, emit);
    code.op("i32x4.splat");
    code.op("i32x4.eq");
    code.op("v128.bitselect");
    code.set(local);
  }

  #loop(s: Loop): void {
    const { code, addresses, target } = this.writer;
    const { emit } = this.expressions;
    const test = (e: Expr, leave: number) => {
      emit(e);
      code.op("i32.eqz");
      code.branch(leave, true);
    };
    addresses.enter(turnsOf(s), (a) => this.writer.apart(a));
    const leave = code.open("block");
    const again = code.open("loop");
    if (target.findings.endless.has(s) && this.fuel !== undefined) this.#burn(this.fuel);
    if (s.test) test(s.test, leave);
    const next = code.open("block");
    this.#loops.push({ leave, next });
    this.all(s.body);
    this.#loops.pop();
    code.close();
    this.all(s.update);
    if (s.leave) {
      emit(s.leave);
      code.branch(leave, true);
    }
    code.branch(again);
    code.close();
    code.close();
    addresses.leave();
  }

  #burn(fuel: number): void {
    const { code } = this.writer;
    code.get(fuel);
    code.i32(1);
    code.op("i32.sub");
    code.tee(fuel);
    code.op("i32.eqz");
    code.open("if");
    code.op("unreachable");
    code.close();
  }
}
