/**
 * The order of each row, from which sorting, the largest few, and sums over equal ids are made. A merge sort on every
 * device: short runs are sorted where they lie, and pairs of runs are merged until one is left, each invocation writing a
 * piece of a merged run whose two ends it finds by bisection. Where only the first few are asked for, each invocation keeps
 * those of a stretch, and those of all stretches are gone through once more. No workgroup memory, and no two orders for one
 * input.
 */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { alike } from "../../tensor/batch.ts";
import { defineOp } from "../../tensor/op.ts";
import { slice } from "../movement.ts";
import { type ArgsortAttrs, argsortKernel } from "./argsort_kernel.ts";

/** As many are kept one by one. */
const FEW = 64;

const argsortOp = defineOp<ArgsortAttrs>({
  name: "argsort",
  shape([x], { first }) {
    if (!x.shape.length) throw new ShapeError("argsort", `${show(x)} has no axis to sort along`);
    return [{ shape: [...x.shape.slice(0, -1), first ?? x.shape.at(-1)!], dtype: "u32" }];
  },
  vjp: () => [undefined],
  batch: alike,
  reference([x], [{ shape }], { descending, first }) {
    const n = shape.at(-1)!;
    const kept = first ?? n;
    const y = new Float64Array(x.length / n * kept);
    // NaN is larger than all others, and the two zeros are the same.
    const before = (a: number, b: number) =>
      Number.isNaN(a) || Number.isNaN(b)
        ? Number(Number.isNaN(a)) - Number(Number.isNaN(b))
        : a - b;
    for (let from = 0; from < x.length; from += n) {
      const row = x.subarray(from, from + n);
      const order = [...row.keys()].sort((i, j) => {
        const d = row[i] === row[j] ? 0 : before(row[i], row[j]);
        return descending ? -d : d;
      });
      y.set(order.slice(0, kept), from / n * kept);
    }
    return [y];
  },
  lowering: { kind: "kernel", epilogue: false, build: argsortKernel },
});

/**
 * @internal The places of the elements of each row, from the smallest on; equal ones keep their order.
 *
 * @param first how many of them; all where nothing is said
 */
export function orderOf(x: Tensor, descending = false, first?: number): Tensor {
  const n = x.shape.at(-1);
  if (first === undefined || n === undefined || first >= n) {
    return apply(argsortOp, [x], { descending })[0];
  }
  if (first > 0 && first <= FEW) return apply(argsortOp, [x], { descending, first })[0];
  return slice(apply(argsortOp, [x], { descending })[0], x.shape.length - 1, 0, first);
}
