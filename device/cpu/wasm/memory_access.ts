/** Loads and stores of buffers' elements. What lies past the end of a buffer reads as 0 and is not written. */
import { type Access, type Expr, type Store, strideOf, type Type, type } from "../wgsl/tree.ts";
import { floats, valueType } from "./scalars.ts";
import type { Writer } from "./writer.ts";

/** Address of sixteen bytes that are always 0. */
export const ZEROS = 0;

/** Pushes an element. */
export function emitLoad(w: Writer, a: Access, emit: (e: Expr) => void): void {
  if (!w.target.unsure(a)) return loadAt(w, a.type, w.at(a));
  checkedAddress(w, a, emit);
  loadAt(w, a.type, 0);
}

/** Pushes a number of a buffer in all lanes. Whether one instruction could load it so. */
export function emitSplatLoad(w: Writer, a: Access, emit: (e: Expr) => void): boolean {
  if (a.type.width > 1 || a.type.scalar === "bool") return false;
  let offset = 0;
  if (w.target.unsure(a)) checkedAddress(w, a, emit);
  else offset = w.at(a);
  const half = a.type.scalar === "f16";
  w.code.memory(half ? "v128.load16_splat" : "v128.load32_splat", offset);
  if (half) w.math("fromHighHalf");
  return true;
}

/** Address of an element, or of zeros. */
function checkedAddress(w: Writer, a: Access, emit: (e: Expr) => void): void {
  const { code } = w;
  code.scratch("i32", (index) => {
    emit(a.index);
    code.set(index);
    element(w, a, index);
    if (w.address === "i64") code.i64(ZEROS);
    else code.i32(ZEROS);
    inside(w, a, index);
    code.op("select");
  });
}

function element(w: Writer, a: Access | Store, index: number): void {
  w.code.get(w.baseOf(a.buffer));
  w.code.get(index);
  w.scale(strideOf(a.buffer.element));
  w.code.op(`${w.address}.add`);
}

function inside(w: Writer, a: Access | Store, index: number): void {
  w.code.get(index);
  w.code.get(w.lengthOf(a.buffer));
  w.code.op("i32.lt_u");
}

function loadAt(w: Writer, t: Type, offset: number): void {
  const { code } = w;
  if (t.scalar === "f16") return loadHalves(w, t, offset);
  if (t.width === 1) code.memory(floats(t.scalar) ? "f32.load" : "i32.load", offset);
  else code.memory(t.width === 2 ? "v128.load64_zero" : "v128.load", offset);
}

function loadHalves(w: Writer, t: Type, offset: number): void {
  const { code } = w;
  if (t.width === 1) {
    code.memory("i32.load16_s", offset);
    code.op("i32x4.splat");
  } else if (t.width === 2) {
    code.memory("v128.load32_zero", offset);
    code.op("i32x4.extend_low_i16x8_s");
  } else code.memory("v128.load16x4_s", offset);
  w.math("fromHalf");
  if (t.width === 1) code.lane("f32x4.extract_lane", 0);
}

/** What is stored: numbers become f16 by the store itself. */
const given = ({ buffer, value }: Store): Expr =>
  buffer.element.scalar === "f16" && value.kind === "convert" && value.of.type.scalar === "f32"
    ? value.of
    : value;

/** Writes an element, or a component of one. */
export function emitStore(w: Writer, s: Store, emit: (e: Expr) => void): void {
  const stored = given(s);
  const { code } = w;
  if (!w.target.unsure(s)) {
    if (!s.lane) {
      const offset = w.at(s);
      emit(stored);
      return storeAt(w, s.buffer.element, offset);
    }
    return code.scratch(w.address, (at) => {
      const offset = w.at(s);
      code.set(at);
      storeLane(w, s, at, offset, emit, () => emit(stored));
    });
  }
  code.scratch("i32", (index) =>
    code.scratch(valueType(stored.type), (value) => {
      emit(s.index);
      code.set(index);
      emit(stored);
      code.set(value);
      const put = () => code.get(value);
      inside(w, s, index);
      code.open("if");
      element(w, s, index);
      if (!s.lane) {
        put();
        storeAt(w, s.buffer.element, 0);
      } else {
        code.scratch(w.address, (at) => {
          code.set(at);
          storeLane(w, s, at, 0, emit, put);
        });
      }
      code.close();
    }));
}

/** The address is on the stack, and the value on it. */
function storeAt(w: Writer, t: Type, offset: number): void {
  const { code } = w;
  if (t.scalar === "f16") return storeHalves(w, t, offset);
  if (t.width === 1) return code.memory(floats(t.scalar) ? "f32.store" : "i32.store", offset);
  if (t.width === 4) return code.memory("v128.store", offset);
  if (t.width === 2) return code.storeLane("v128.store64_lane", 0, offset);
  code.scratch("v128", (value) => {
    code.scratch(w.address, (at) => {
      code.set(value);
      code.set(at);
      code.get(at);
      code.get(value);
      code.storeLane("v128.store64_lane", 0, offset);
      code.get(at);
      code.get(value);
      code.storeLane("v128.store32_lane", 2, offset + 8);
    });
  });
}

function storeHalves(w: Writer, t: Type, offset: number): void {
  const { code } = w;
  if (t.width === 1) code.op("f32x4.splat");
  w.math("toHalf");
  if (t.width === 1) {
    code.lane("i32x4.extract_lane", 0);
    return code.memory("i32.store16", offset);
  }
  code.scratch("v128", (value) => {
    code.tee(value);
    code.get(value);
    code.op("i16x8.narrow_i32x4_u");
    code.storeLane(t.width === 2 ? "v128.store32_lane" : "v128.store64_lane", 0, offset);
  });
}

function storeLane(
  w: Writer,
  s: Store,
  at: number,
  offset: number,
  emit: (e: Expr) => void,
  put: () => void,
): void {
  const { code } = w;
  const { scalar, width } = s.buffer.element;
  code.get(at);
  emitLane(w, s.lane!, width, emit);
  w.scale(scalar === "f16" ? 2 : 4);
  code.op(`${w.address}.add`);
  put();
  storeAt(w, type(scalar), offset);
}

/** Pushes the number of a component, brought into the vector's width. */
export function emitLane(w: Writer, lane: Expr, width: number, emit: (e: Expr) => void): void {
  const { code } = w;
  emit(lane);
  if (lane.kind === "const") return;
  if (width !== 3) {
    code.i32(width - 1);
    return code.op("i32.and");
  }
  code.scratch("i32", (l) => {
    code.tee(l);
    code.i32(2);
    code.get(l);
    code.i32(2);
    code.op("i32.lt_u");
    code.op("select");
  });
}
