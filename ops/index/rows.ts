/**
 * Rows by id, and what is put there by id: each is the other's derivative, so they stand together. A tensor is `[R, V, D]`:
 * V rows of D elements, R times over with ids of its own. Everything that looks up or scatters is one of these two.
 */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import type { DType } from "../../tensor/dtype.ts";
import { ShapeError, show, sizeOf, type Spec } from "../../tensor/shape.ts";
import { linear, transposed } from "../../tensor/forward.ts";
import { defineOp, type Op } from "../../tensor/op.ts";
import { foldInto, moreRows, unfold } from "../batch/fold.ts";
import { expand } from "../broadcast.ts";
import { div, maximum, minimum, mul } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal, less, where } from "../elementwise/compare.ts";
import { times, wrapped } from "../elementwise/define.ts";
import { literal, tensor } from "../leaf.ts";
import { reshape } from "../movement.ts";
import { orderOf } from "./argsort.ts";
import { gatherKernel, type ScatterAttrs, scatterKernel, type ScatterMode } from "./kernels.ts";

function check(op: string, x: Spec, ids: Spec): void {
  if (
    x.shape.length !== 3 || ids.shape.length !== 2 || ids.dtype !== "u32" ||
    ids.shape[0] !== x.shape[0]
  ) {
    throw new ShapeError(op, `ids are ${show(ids)} for ${show(x)}; expected u32[R,n] and [R,V,D]`);
  }
}

interface GatherAttrs {
  /** Whether no id comes twice in a row, so that nothing has to be added up on the way back. */
  readonly unique: boolean;
}

const gatherOp: Op<GatherAttrs> = defineOp<GatherAttrs>({
  name: "gather",
  shape([x, ids]) {
    check("gather", x, ids);
    return [{ shape: [...ids.shape, x.shape[2]], dtype: x.dtype }];
  },
  vjp: ([g], { inputs: [x, ids], attrs: { unique } }) => [
    g && scatterRows(nothing(x), inRange(ids, x.shape[1]), g, "add", unique),
    undefined,
  ],
  batch: (b) => {
    if (b.batched[0]) return moreRows(b);
    // All examples look into one tensor: their ids are more ids, which may then come twice.
    const [x, ids] = b.inputs;
    return [unfold(gatherRows(x, foldInto(ids, 1)), 1, b.size)];
  },
  jvp: linear,
  reference([x, ids], [{ shape: [, v, d] }, { shape: [, n] }], _attrs, [out]) {
    const y = new Float64Array(sizeOf(out.shape));
    ids.forEach((id, p) => {
      const row = (Math.floor(p / n) * v + Math.min(id, v - 1)) * d;
      if (v) y.set(x.subarray(row, row + d), p * d);
    });
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: gatherKernel },
});

/** Ids as a look-up reads them: beyond the end, the last. */
const inRange = (ids: Tensor, rows: number): Tensor => rows ? minimum(ids, rows - 1) : ids;
const nothing = (x: Tensor): Tensor => expand(literal(0, x.dtype), x.shape);

type Join = (a: number, b: number, dtype: DType) => number;
const JOIN: Readonly<Record<ScatterMode, Join>> = {
  set: (_, b) => b,
  add: (a, b) => a + b,
  mul: times,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
};

const scatterOp: Op<ScatterAttrs> = defineOp<ScatterAttrs>({
  name: "scatter",
  shape([x, ids, updates]) {
    check("scatter", x, ids);
    const wanted = [...ids.shape, x.shape[2]];
    if (updates.shape.join() !== wanted.join() || updates.dtype !== x.dtype) {
      throw new ShapeError(
        "scatter",
        `updates are ${show(updates)}, expected ${x.dtype}[${wanted}]`,
      );
    }
    return [x];
  },
  vjp([g], { inputs: [x, ids, updates], outputs: [y], attrs: { mode, unique } }, wanted) {
    if (!g) return [];
    const put = (to: Tensor, from: Tensor, how: ScatterMode) =>
      scatterRows(to, ids, from, how, unique);
    const got = (from: Tensor) => where(within(ids, x), gatherRows(from, ids, unique), 0);
    switch (mode) {
      case "add":
        return [g, undefined, wanted[2] ? got(g) : undefined];
      case "set":
        return [
          wanted[0] ? put(g, nothing(updates), "set") : undefined,
          undefined,
          wanted[2] ? where(unique ? within(ids, x) : last(x, ids), got(g), 0) : undefined,
        ];
      case "mul":
        if (wanted[2]) {
          throw new ShapeError(
            "scatter",
            "products have no derivative by what is multiplied in; take it by x, or hold it with stopGradient",
          );
        }
        return [mul(g, put(expand(literal(1, x.dtype), x.shape), updates, "mul"))];
      default: {
        // As of a maximum over an axis: an equal share for every element that attains it.
        const one = (test: Tensor) => cast(test, g.dtype);
        const hitsX = one(equal(x, y));
        const hits = mul(one(equal(updates, gatherRows(y, ids))), one(within(ids, x)));
        const share = div(g, maximum(put(hitsX, hits, "add"), 1));
        return [mul(hitsX, share), undefined, mul(hits, got(share))];
      }
    }
  },
  batch: moreRows,
  jvp: (tangents, node, tools) =>
    (/^(add|set)$/.test(node.attrs.mode) ? linear : transposed)(tangents, node, tools),
  reference([x, ids, updates], [{ shape: [, v, d], dtype }, { shape: [, n] }], { mode }) {
    const y = x.slice();
    ids.forEach((id, p) => {
      if (id >= v) return;
      const row = (Math.floor(p / n) * v + id) * d;
      for (let c = 0; c < d; c++) y[row + c] = JOIN[mode](y[row + c], updates[p * d + c], dtype);
    });
    return [wrapped(y, dtype)];
  },
  lowering: { kind: "kernel", epilogue: false, build: scatterKernel },
});

/** Whether ids name a row, for each element of their updates. */
function within(ids: Tensor, x: Tensor): Tensor {
  const [r, n] = ids.shape;
  return expand(reshape(less(ids, x.shape[1]), [r, n, 1]), [r, n, x.shape[2]]);
}

/** Whether an update is the last of its row, which stays. */
function last(x: Tensor, ids: Tensor): Tensor {
  const [r, n] = ids.shape;
  const places = expand(
    reshape(tensor(Uint32Array.from({ length: n }, (_, i) => i)), [1, n, 1]),
    [r, n, 1],
  );
  const none = expand(literal(0, "u32"), [r, x.shape[1], 1]);
  const stays = equal(gatherRows(scatterRows(none, ids, places, "set"), ids), places);
  return mul(expand(stays, [r, n, x.shape[2]]), within(ids, x));
}

/** @internal `[R, n, D]` of `[R, V, D]`: rows by id, the last one for ids beyond. `unique`: no id comes twice. */
export const gatherRows = (x: Tensor, ids: Tensor, unique = false): Tensor =>
  apply(gatherOp, [x, ids], { unique })[0];

/**
 * @internal `x` with `[R, n, D]` updates at its rows `ids`; ids beyond the end are left out. Where an id comes twice, updates
 * are joined in their order; with `unique` it does not, and nothing is sorted. Without ids x stays as it is.
 */
export function scatterRows(
  x: Tensor,
  ids: Tensor,
  updates: Tensor,
  mode: ScatterMode,
  unique = false,
): Tensor {
  if (!ids.size) return x;
  const inputs = unique ? [x, ids, updates] : [x, ids, updates, orderOf(ids)];
  return apply(scatterOp, inputs, { mode, unique })[0];
}
