/** Elements that do not follow each other as they are read: transposed tensors of PyTorch's, arrays in Fortran's order. */
import type { FileArray } from "./dtypes.ts";

/** Row-major elements of an array whose axes have these strides, in elements. */
export function gathered(
  from: FileArray,
  shape: readonly number[],
  strides: readonly number[],
): FileArray {
  const total = shape.reduce((n, d) => n * d, 1);
  const to = new (from.constructor as new (length: number) => FileArray)(total);
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < total; i++) {
    to[i] = from[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return to;
}
