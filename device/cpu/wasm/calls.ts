/** Calls of built-in functions. */
import type { Expr } from "../wgsl/tree.ts";
import { isHere } from "./math.ts";
import { FLOAT_CALLS, floats } from "./scalars.ts";
import type { Writer } from "./writer.ts";

type Call = Extract<Expr, { kind: "call" }>;
type Emit = (e: Expr) => void;

/** Pushes the result of a call. `splat` pushes a scalar in all lanes. */
export function emitCall(w: Writer, e: Call, emit: Emit, splat: Emit): void {
  if (e.name === "select") return select(w, e, emit, splat);
  if (e.name === "dot") return dot(w, e, emit);
  if (e.name === "all" || e.name === "any") return everyOrSome(w, e, emit);
  if (e.name === "pack2x16float" || e.name === "unpack2x16float") return pack(w, e, emit);
  if (!floats(e.type.scalar)) return whole(w, e, emit, splat);
  real(w, e, emit, splat);
}

function select(w: Writer, { args: [no, yes, test], type }: Call, emit: Emit, splat: Emit): void {
  emit(yes);
  emit(no);
  if (test.type.width > 1) {
    emit(test);
    return w.code.op("v128.bitselect");
  }
  if (type.width > 1 && test.kind === "const") {
    splat(test);
    return w.code.op("v128.bitselect");
  }
  emit(test);
  w.code.op("select");
}

function dot(w: Writer, { args: [a, b], type }: Call, emit: Emit): void {
  const { code } = w;
  const f = floats(type.scalar);
  emit(a);
  emit(b);
  code.op(f ? "f32x4.mul" : "i32x4.mul");
  code.scratch("v128", (v) => {
    code.set(v);
    for (let lane = 0; lane < a.type.width; lane++) {
      code.get(v);
      code.lane(f ? "f32x4.extract_lane" : "i32x4.extract_lane", lane);
      if (lane) code.op(f ? "f32.add" : "i32.add");
    }
  });
}

function everyOrSome(w: Writer, { name, args: [a] }: Call, emit: Emit): void {
  const { code } = w;
  const { width } = a.type;
  emit(a);
  if (width === 1) return;
  // Lanes past the width are made not to matter.
  const used = [0, 1, 2, 3].map((i) => i < width ? -1 : 0);
  if (name === "any") {
    code.i32x4(used);
    code.op("v128.and");
    return code.op("v128.any_true");
  }
  code.i32x4(used.map((u) => ~u));
  code.op("v128.or");
  code.op("i32x4.all_true");
}

function pack(w: Writer, { name, args: [a] }: Call, emit: Emit): void {
  const { code } = w;
  emit(a);
  if (name === "unpack2x16float") {
    // Each half comes to the upper end of its lane.
    code.scratch("i32", (word) => {
      code.tee(word);
      code.i32(16);
      code.op("i32.shl");
      code.op("i32x4.splat");
      code.get(word);
      code.lane("i32x4.replace_lane", 1);
    });
    return w.math("fromHighHalf");
  }
  w.math("toHalf");
  code.scratch("v128", (v) => {
    code.tee(v);
    code.lane("i32x4.extract_lane", 0);
    code.get(v);
    code.lane("i32x4.extract_lane", 1);
    code.i32(16);
    code.op("i32.shl");
    code.op("i32.or");
  });
}

/** Functions of f32. Scalars that have no instruction of their own take a lane of a vector, for the same bits. */
function real(w: Writer, e: Call, emit: Emit, splat: Emit): void {
  const { code, target } = w;
  const { name, args, type } = e;
  const vector = type.width > 1;
  const f = vector ? "f32x4" : "f32";
  if (Object.hasOwn(FLOAT_CALLS, name)) {
    emit(args[0]);
    return code.op(`${f}.${FLOAT_CALLS[name]}`);
  }
  if (name === "fma") {
    const fused = vector && target.features.fused;
    args.forEach(emit);
    if (fused) return code.op("f32x4.relaxed_madd");
    return code.scratch(vector ? "v128" : "f32", (c) => {
      code.set(c);
      code.op(`${f}.mul`);
      code.get(c);
      code.op(`${f}.add`);
    });
  }
  const lanes = (a: Expr) => vector ? emit(a) : splat(a);
  args.forEach(lanes);
  if (isHere(name)) w.math(name, type.width);
  else composed(w, name);
  if (!vector) code.lane("f32x4.extract_lane", 0);
}

/** Functions of vectors made of a few instructions; their arguments are on the stack. */
function composed(w: Writer, name: string): void {
  const { code } = w;
  const ones = () => code.f32x4([1, 1, 1, 1]);
  switch (name) {
    // WebAssembly's pmin(a, b) is b < a ? b : a, so a NaN in the first place stays.
    case "min":
      return code.op("f32x4.pmin");
    case "max":
      return code.op("f32x4.pmax");
    case "clamp":
      return code.scratch("v128", (high) => {
        code.set(high);
        code.op("f32x4.pmax");
        code.get(high);
        code.op("f32x4.pmin");
      });
    case "saturate":
      code.f32x4([]);
      code.op("f32x4.pmax");
      ones();
      return code.op("f32x4.pmin");
    case "inverseSqrt":
      return code.scratch("v128", (x) => {
        code.set(x);
        ones();
        code.get(x);
        code.op("f32x4.sqrt");
        code.op("f32x4.div");
      });
    case "fract":
      return code.scratch("v128", (x) => {
        code.tee(x);
        code.get(x);
        code.op("f32x4.floor");
        code.op("f32x4.sub");
      });
    case "sign":
      // ±1 with the sign's bit; 0 and NaN as they are.
      return code.scratch("v128", (x) => {
        code.set(x);
        ones();
        code.get(x);
        code.i32x4(Array(4).fill(0x7fffffff));
        code.op("v128.bitselect");
        code.get(x);
        code.get(x);
        code.op("f32x4.abs");
        code.f32x4([]);
        code.op("f32x4.gt");
        code.op("v128.bitselect");
      });
    case "step":
      code.op("f32x4.le");
      ones();
      return code.op("v128.and");
    case "mix":
      return code.scratch("v128", (t) =>
        code.scratch("v128", (b) =>
          code.scratch("v128", (a) => {
            code.set(t);
            code.set(b);
            code.set(a);
            code.get(a);
            ones();
            code.get(t);
            code.op("f32x4.sub");
            code.op("f32x4.mul");
            code.get(b);
            code.get(t);
            code.op("f32x4.mul");
            code.op("f32x4.add");
          })));
    default:
      throw new Error(`${name} has no instructions`);
  }
}

/** Functions of i32 and u32. */
function whole(w: Writer, { name, args, type }: Call, emit: Emit, splat: Emit): void {
  const { code } = w;
  const vector = type.width > 1;
  const bits: Readonly<Record<string, string>> = {
    countOneBits: "i32.popcnt",
    countLeadingZeros: "i32.clz",
    countTrailingZeros: "i32.ctz",
  };
  if (Object.hasOwn(bits, name)) {
    emit(args[0]);
    if (!vector) return code.op(bits[name]);
    return code.scratch("v128", (v) => {
      code.tee(v);
      for (let lane = 0; lane < type.width; lane++) {
        code.get(v);
        code.lane("i32x4.extract_lane", lane);
        code.op(bits[name]);
        code.lane("i32x4.replace_lane", lane);
      }
    });
  }
  const sign = type.scalar === "i32" ? "s" : "u";
  if (name === "abs" && type.scalar === "u32") return emit(args[0]);
  args.forEach((a) => vector ? emit(a) : splat(a));
  if (name === "abs") code.op("i32x4.abs");
  else if (name === "min" || name === "max") code.op(`i32x4.${name}_${sign}`);
  else if (name === "clamp") {
    code.scratch("v128", (high) => {
      code.set(high);
      code.op(`i32x4.max_${sign}`);
      code.get(high);
      code.op(`i32x4.min_${sign}`);
    });
  } else if (name === "sign") {
    code.i32x4(Array(4).fill(1));
    code.op("i32x4.min_s");
    code.i32x4(Array(4).fill(-1));
    code.op("i32x4.max_s");
  } else throw new Error(`${name} has no instructions`);
  if (!vector) code.lane("i32x4.extract_lane", 0);
}
