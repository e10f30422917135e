/**
 * Values as text: what a tensor that lies on the host looks like in a terminal. Numbers are the shortest that read back as
 * the same element, and of a large tensor the corners stand for the whole.
 */
import { BYTES, type DType } from "./dtype.ts";
import { sizeOf, type Spec, stridesOf } from "./shape.ts";

/** Elements up to which all are shown. */
const ALL = 64;

/** `[[1, 2, 3], [4, 5, 6]]`; a scalar is its number; long axes are cut in the middle. */
export function showValues({ shape, dtype }: Spec, data: ArrayLike<number>): string {
  const strides = stridesOf(shape);
  const size = sizeOf(shape);
  // As many of each axis that all together stay readable.
  const most = size <= ALL
    ? Infinity
    : Math.min(6, Math.max(2, 2 * Math.floor(ALL ** (1 / shape.length) / 2 + 1e-9)));
  const at = (axis: number, offset: number): string => {
    if (axis === shape.length) return showNumber(data[offset], dtype);
    const extent = shape[axis];
    const half = extent > most ? most / 2 : extent;
    const parts: string[] = [];
    for (let i = 0; i < half; i++) parts.push(at(axis + 1, offset + i * strides[axis]));
    if (extent > most) {
      parts.push("…");
      for (let i = extent - half; i < extent; i++) {
        parts.push(at(axis + 1, offset + i * strides[axis]));
      }
    }
    return `[${parts.join(", ")}]`;
  };
  return size === 0 ? "(no values)" : at(0, 0);
}

/** The shortest decimal that is read as this element. */
function showNumber(x: number, dtype: DType): string {
  if (dtype === "bool") return String(!!x);
  if (Object.is(x, -0)) return "-0";
  if (!Number.isFinite(x) || Number.isSafeInteger(x)) return String(x);
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  const digits = BYTES[dtype] === 2 ? 5 : 9;
  for (let p = 1; p < digits; p++) {
    const short = Number(x.toPrecision(p));
    if (round(short) === x) return String(short);
  }
  return String(Number(x.toPrecision(digits)));
}
