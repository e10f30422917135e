/**
 * The batch rules of look-ups. Where all examples ask for the same ids, or replace the same rows, examples are more columns of
 * one table. Where each has ids of its own, the tables lie below one another, and an example's ids begin where its table does.
 */
import { apply, type Batch, type Tensor } from "../../tensor/tensor.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { add, minimum } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { equal } from "../elementwise/compare.ts";
import { tensor } from "../leaf.ts";
import { matmul } from "../matmul.ts";
import { reshape } from "../movement.ts";
import { foldInto, unfold } from "../batch/fold.ts";
import type { RowIds, Vocabulary } from "./kernels.ts";

/** Ids `[n, …]` of n tables of `rows` rows each, which lie below one another; what lies beyond a table is its last row. */
function stacked(ids: Tensor, rows: number): Tensor {
  const [n, ...rest] = ids.shape;
  const starts = tensor(Uint32Array.from({ length: n }, (_, i) => i * rows));
  return add(minimum(ids, rows - 1), reshape(starts, [n, ...rest.map(() => 1)]));
}

const merged = (t: Tensor): Tensor => reshape(t, [t.shape[0] * t.shape[1], ...t.shape.slice(2)]);

/** Rows of a table by ids. */
export function batchedEmbedding(b: Batch<undefined>): Tensor[] {
  const { node, inputs: [table, ids], batched: [ofTable, ofIds], size } = b;
  const lookUp = (table: Tensor, ids: Tensor) => apply(node.op, [table, ids], node.attrs)[0];
  if (!ofTable) return [lookUp(table, ids)];
  if (!ofIds) {
    const y = lookUp(foldInto(table, 1), ids);
    return [unfold(y, y.shape.length - 1, size)];
  }
  return [lookUp(merged(table), stacked(ids, table.shape[1]))];
}

/** Sums of a cotangent by ids. */
export function batchedEmbeddingGrad(b: Batch<Vocabulary>): Tensor[] {
  const { node, batched: [, ofIds], size } = b;
  const { rows } = node.attrs;
  const g = b.wide(0);
  if (!ofIds) {
    const columns = foldInto(g, g.shape.length - 2);
    return [unfold(apply(node.op, [columns, b.inputs[1]], { rows })[0], 1, size)];
  }
  const ids = stacked(b.inputs[1], rows);
  const [y] = apply(node.op, [g, ids], { rows: size * rows });
  return [reshape(y, [size, rows, g.shape.at(-1)!])];
}

/** A table with other rows: of each example, as more columns. */
export function batchedReplaceRows(b: Batch<RowIds>): Tensor[] {
  const [table, rows] = b.all().map((t) => foldInto(t, 1));
  return [unfold(apply(b.node.op, [table, rows], b.node.attrs)[0], 1, b.size)];
}

/** Sums of a cotangent by a few ids: a product with where these ids are, which no table of all rows is needed for. */
export function batchedRowsGrad(b: Batch<RowIds & Vocabulary>): Tensor[] {
  const { node, batched: [, ofIds], size } = b;
  const { rowIds, rows } = node.attrs;
  const g = b.wide(0);
  if (!ofIds) {
    const columns = foldInto(g, g.shape.length - 2);
    return [unfold(apply(node.op, [columns, b.inputs[1]], node.attrs)[0], 1, size)];
  }
  const places = sizeOf(node.inputs[1].shape);
  const ids = reshape(minimum(b.inputs[1], rows - 1), [size, 1, places]);
  const hits = equal(ids, reshape(tensor(Uint32Array.from(rowIds)), [rowIds.length, 1]));
  const d = g.shape.at(-1)!;
  const dtype = node.outputs[0].dtype as "f32" | "f16";
  return [matmul(cast(hits, "f32"), reshape(g, [size, places, d]), { dtype })];
}
