/** Expressions → instructions that leave one value on the stack. */
import type { Expr, Type } from "../wgsl/tree.ts";
import { emitCall } from "./calls.ts";
import { emitLane, emitLoad, emitSplatLoad } from "./memory_access.ts";
import { binaryOp, floats, valueType } from "./scalars.ts";
import type { Writer } from "./writer.ts";

/** Writes expressions of one function. */
export class Expressions {
  constructor(readonly writer: () => Writer) {}

  /** Pushes a value. */
  emit = (e: Expr): void => {
    const w = this.writer();
    const { code } = w;
    const early = w.early.get(e);
    if (early !== undefined) return code.get(early);
    switch (e.kind) {
      case "const":
        return this.#constant(e);
      case "variable":
        return this.#variable(e);
      case "load":
        return emitLoad(w, e, this.emit);
      case "unary":
        return this.#unary(e);
      case "binary":
        return this.#binary(e);
      case "splat":
        return this.splat(e.of);
      case "make":
        return this.#make(e);
      case "swizzle":
        return this.#swizzle(e);
      case "lane": {
        this.emit(e.of);
        emitLane(w, e.index, e.of.type.width, this.emit);
        code.i32(0x04040404);
        code.op("i32.mul");
        code.i32(0x03020100);
        code.op("i32.add");
        code.op("i32x4.splat");
        code.op("i8x16.swizzle");
        return this.#extract(e.type, 0);
      }
      case "convert":
        return this.#convert(e.of, e.type);
      case "bitcast": {
        this.emit(e.of);
        const [to, from] = [floats(e.type.scalar), floats(e.of.type.scalar)];
        if (e.type.width > 1 || to === from) return;
        return code.op(to ? "f32.reinterpret_i32" : "i32.reinterpret_f32");
      }
      case "call":
        return emitCall(w, e, this.emit, (e) => this.splat(e));
      case "invoke":
        code.get(0);
        e.args.forEach(this.emit);
        return code.call(w.target.indexOf(e.target));
    }
  };

  /** Pushes a scalar in all lanes. */
  splat(e: Expr): void {
    const w = this.writer();
    const { code } = w;
    if (e.kind === "load" && emitSplatLoad(w, e, this.emit)) return;
    if (e.kind === "swizzle" && !this.#told(e)) {
      this.emit(e.of);
      return code.scratch("v128", (v) => {
        code.tee(v);
        code.get(v);
        code.shuffle(Array(4).fill(e.lanes[0]));
      });
    }
    this.emit(e);
    if (e.type.scalar === "bool") {
      // A mask has all bits set where it is true.
      code.op("i32x4.splat");
      return code.op("i32x4.neg");
    }
    code.op(floats(e.type.scalar) ? "f32x4.splat" : "i32x4.splat");
  }

  #constant({ type, values }: Extract<Expr, { kind: "const" }>): void {
    const { code } = this.writer();
    const number = floats(type.scalar);
    if (type.width === 1) return number ? code.f32(values[0]) : code.i32(values[0]);
    if (number) return code.f32x4(values);
    code.i32x4(type.scalar === "bool" ? values.map((v) => -v) : values);
  }

  #told(e: Expr): readonly number[] | undefined {
    const of = e.kind === "swizzle" ? e.of : e;
    return of.kind === "variable" ? this.writer().toldOf(of.variable) : undefined;
  }

  #variable(e: Extract<Expr, { kind: "variable" }>): void {
    const w = this.writer();
    const { code } = w;
    const told = w.toldOf(e.variable);
    if (!told) {
      code.get(w.localOf(e.variable));
      if (w.ahead?.of !== e.variable) return;
      code.i32(w.ahead.by);
      return code.op("i32.add");
    }
    code.get(told[0]);
    code.op("i32x4.splat");
    for (const lane of [1, 2]) {
      code.get(told[lane]);
      code.lane("i32x4.replace_lane", lane);
    }
  }

  #unary({ op, of, type }: Extract<Expr, { kind: "unary" }>): void {
    const { code } = this.writer();
    const vector = type.width > 1;
    if (op === "-" && !vector && !floats(type.scalar)) {
      code.i32(0);
      this.emit(of);
      return code.op("i32.sub");
    }
    this.emit(of);
    if (op === "-") {
      return code.op(floats(type.scalar) ? vector ? "f32x4.neg" : "f32.neg" : "i32x4.neg");
    }
    if (vector) return code.op("v128.not");
    if (op === "!") return code.op("i32.eqz");
    code.i32(-1);
    code.op("i32.xor");
  }

  #binary(e: Extract<Expr, { kind: "binary" }>): void {
    const { op, left, right } = e;
    const { type } = left;
    const w = this.writer();
    if (this.#fused(e)) return;
    if ((op === "&&" || op === "||") && callsFunctions(right)) return this.#shortCircuit(e);
    const name = binaryOp(op, type);
    if (name) {
      this.emit(left);
      this.emit(right);
      return w.code.op(name);
    }
    if (op === "<<" || op === ">>") return this.#shift(e);
    if (floats(type.scalar)) return this.#remainder(left, right, type);
    if (type.width === 1) {
      this.emit(left);
      this.emit(right);
      return this.#divide(op, type.scalar === "i32", right);
    }
    this.#eachLane(left, right, type, () => this.#divide(op, type.scalar === "i32", right));
  }

  /** a·b + c and c − a·b of vectors in one instruction, where the engine has it: on every thread alike. */
  #fused(e: Extract<Expr, { kind: "binary" }>): boolean {
    const { code, target } = this.writer();
    const { op, left, right, type } = e;
    if (!target.features.fused || type.scalar !== "f32" || type.width === 1) return false;
    const isProduct = (e: Expr) => e.kind === "binary" && e.op === "*";
    const [product, rest] = op === "+" && isProduct(left) ? [left, right] : [right, left];
    if ((op !== "+" && op !== "-") || product.kind !== "binary" || !isProduct(product)) {
      return false;
    }
    this.emit(product.left);
    this.emit(product.right);
    this.emit(rest);
    code.op(op === "+" ? "f32x4.relaxed_madd" : "f32x4.relaxed_nmadd");
    return true;
  }

  #shortCircuit(e: Extract<Expr, { kind: "binary" }>): void {
    const { code } = this.writer();
    this.emit(e.left);
    code.open("if", "i32");
    if (e.op === "&&") this.emit(e.right);
    else code.i32(1);
    code.otherwise();
    if (e.op === "&&") code.i32(0);
    else this.emit(e.right);
    code.close();
  }

  #shift({ op, left, right, type }: Extract<Expr, { kind: "binary" }>): void {
    const { code } = this.writer();
    const name = op === "<<" ? "shl" : type.scalar === "i32" ? "shr_s" : "shr_u";
    if (type.width === 1) {
      this.emit(left);
      this.emit(right);
      return code.op(`i32.${name}`);
    }
    const even = right.kind === "splat"
      ? right.of
      : right.kind === "const" && right.values.every((v) => v === right.values[0])
      ? { ...right, type: { scalar: "u32" as const, width: 1 }, values: [right.values[0]] }
      : undefined;
    if (!even) return this.#eachLane(left, right, type, () => code.op(`i32.${name}`));
    this.emit(left);
    this.emit(even);
    code.op(`i32x4.${name}`);
  }

  /** a − b·trunc(a / b). */
  #remainder(left: Expr, right: Expr, { width }: Type): void {
    const { code } = this.writer();
    const f = width > 1 ? "f32x4" : "f32";
    const t = width > 1 ? "v128" : "f32";
    code.scratch(t, (a) =>
      code.scratch(t, (b) => {
        this.emit(left);
        code.set(a);
        this.emit(right);
        code.set(b);
        for (const l of [a, b, a, b]) code.get(l);
        code.op(`${f}.div`);
        code.op(`${f}.trunc`);
        code.op(`${f}.mul`);
        code.op(`${f}.sub`);
      }));
  }

  /** Division of the two words on the stack; by 0 it gives the number itself, and nothing traps. */
  #divide(op: string, signed: boolean, right: Expr): void {
    const { code } = this.writer();
    const name = `i32.${op === "/" ? "div" : "rem"}_${signed ? "s" : "u"}`;
    const safe = right.kind === "const" && right.values.every((v) => v !== 0 && v !== -1);
    if (safe) return code.op(name);
    code.scratch("i32", (a) =>
      code.scratch("i32", (b) => {
        code.set(b);
        code.tee(a);
        code.i32(1);
        code.get(b);
        code.get(b);
        code.op("i32.eqz");
        if (signed) {
          code.get(b);
          code.i32(-1);
          code.op("i32.eq");
          code.get(a);
          code.i32(-(2 ** 31));
          code.op("i32.eq");
          code.op("i32.and");
          code.op("i32.or");
        }
        code.op("select");
        code.op(name);
      }));
  }

  /** An operation on whole numbers lane by lane. */
  #eachLane(left: Expr, right: Expr, type: Type, op: () => void): void {
    const { code } = this.writer();
    code.scratch("v128", (a) =>
      code.scratch("v128", (b) => {
        this.emit(left);
        code.set(a);
        this.emit(right);
        code.set(b);
        code.get(a);
        for (let lane = 0; lane < type.width; lane++) {
          for (const v of [a, b]) {
            code.get(v);
            code.lane("i32x4.extract_lane", lane);
          }
          op();
          code.lane("i32x4.replace_lane", lane);
        }
      }));
  }

  #extract(type: Type, lane: number): void {
    const { code } = this.writer();
    if (floats(type.scalar)) return code.lane("f32x4.extract_lane", lane);
    code.lane("i32x4.extract_lane", lane);
    if (type.scalar !== "bool") return;
    code.i32(1);
    code.op("i32.and");
  }

  #swizzle(e: Extract<Expr, { kind: "swizzle" }>): void {
    const { code } = this.writer();
    const told = this.#told(e);
    if (told && e.lanes.length === 1) return code.get(told[e.lanes[0]]);
    this.emit(e.of);
    if (e.lanes.length === 1) return this.#extract(e.type, e.lanes[0]);
    if (e.lanes.every((l, i) => l === i)) return;
    code.scratch("v128", (v) => {
      code.tee(v);
      code.get(v);
      code.shuffle([0, 1, 2, 3].map((i) => e.lanes[i] ?? 0));
    });
  }

  #make({ parts, type }: Extract<Expr, { kind: "make" }>): void {
    const { code } = this.writer();
    if (parts.length === 2 && parts[0].type.width > 1) {
      const n = parts[0].type.width;
      this.emit(parts[0]);
      this.#inFirst(parts[1]);
      return code.shuffle([0, 1, 2, 3].map((i) => i < n ? i : 4 + i - n));
    }
    const shape = floats(type.scalar) ? "f32x4" : "i32x4";
    const scalars = parts.every((p) => p.type.width === 1);
    if (scalars) {
      this.splat(parts[0]);
      return parts.slice(1).forEach((p, i) => {
        this.emit(p);
        if (type.scalar === "bool") this.#mask();
        code.lane(`${shape}.replace_lane`, i + 1);
      });
    }
    code.f32x4([]);
    let at = 0;
    for (const p of parts) {
      if (p.type.width === 1) {
        this.emit(p);
        if (type.scalar === "bool") this.#mask();
        code.lane(`${shape}.replace_lane`, at++);
      } else {
        this.emit(p);
        const n = p.type.width;
        const from = at;
        code.shuffle([0, 1, 2, 3].map((i) => i >= from && i < from + n ? 4 + i - from : i));
        at += n;
      }
    }
  }

  /** A scalar or vector whose lanes begin at 0. */
  #inFirst(e: Expr): void {
    if (e.type.width === 1) this.splat(e);
    else this.emit(e);
  }

  #mask(): void {
    const { code } = this.writer();
    code.scratch("i32", (b) => {
      code.set(b);
      code.i32(0);
      code.get(b);
      code.op("i32.sub");
    });
  }

  #convert(of: Expr, to: Type): void {
    const { code } = this.writer();
    const from = of.type;
    this.emit(of);
    const vector = to.width > 1;
    const shape = vector ? "x4" : "";
    if (from.scalar === "bool") {
      if (vector) {
        code.i32x4([1, 1, 1, 1]);
        code.op("v128.and");
      }
      if (floats(to.scalar)) code.op(vector ? "f32x4.convert_i32x4_u" : "f32.convert_i32_u");
      return;
    }
    if (to.scalar === "bool") {
      if (vector) code.f32x4([]);
      else if (floats(from.scalar)) code.f32(0);
      else code.i32(0);
      return code.op(`${floats(from.scalar) ? "f32" : "i32"}${shape}.ne`);
    }
    if (floats(to.scalar) && !floats(from.scalar)) {
      const sign = from.scalar === "i32" ? "s" : "u";
      code.op(vector ? `f32x4.convert_i32x4_${sign}` : `f32.convert_i32_${sign}`);
    } else if (!floats(to.scalar) && floats(from.scalar)) {
      const sign = to.scalar === "i32" ? "s" : "u";
      code.op(vector ? `i32x4.trunc_sat_f32x4_${sign}` : `i32.trunc_sat_f32_${sign}`);
    }
    if (to.scalar !== "f16") return;
    // Rounded to what an f16 holds, and kept as an f32.
    if (!vector) code.op("f32x4.splat");
    this.writer().math("toHalf");
    this.writer().math("fromHalf");
    if (!vector) code.lane("f32x4.extract_lane", 0);
  }
}

function callsFunctions(e: Expr): boolean {
  if (e.kind === "invoke") return true;
  const parts = "left" in e ? [e.left, e.right] : "args" in e ? e.args : "of" in e ? [e.of] : [];
  return parts.some(callsFunctions);
}

/** The type of value behind an expression, or undefined where it has none. */
export const resultOf = (t: Type | undefined) => t && t.width ? [valueType(t)] : [];
