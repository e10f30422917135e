/**
 * Looking up rows of a table by id, and tables of which a few rows are trained. Compiled, `embedding(replaceRows(E, R,
 * ids), …)` never builds the replaced table: rows are taken from R or from E as they are read, and the gradient of R has as
 * many rows as R. Ids at run time that lie beyond the table read its last row.
 */
import { apply, type Node, type Tensor } from "../../tensor/tensor.ts";
import { expectFloats, expectList, expectTensors } from "../../tensor/arguments.ts";
import { ShapeError, show, type Spec } from "../../tensor/shape.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { linear } from "../../tensor/forward.ts";
import { defineOp, type Op } from "../../tensor/op.ts";
import { literal, tensor } from "../leaf.ts";
import { add } from "../elementwise/arithmetic.ts";
import { cast, counted } from "../elementwise/cast.ts";
import { expand } from "../broadcast.ts";
import {
  batchedEmbedding,
  batchedEmbeddingGrad,
  batchedReplaceRows,
  batchedRowsGrad,
} from "./batch.ts";
import {
  embeddingGradKernel,
  embeddingKernel,
  embeddingRowsGradKernel,
  embeddingRowsKernel,
  replaceRowsKernel,
  type RowIds,
  type Vocabulary,
} from "./kernels.ts";

function checkTable(name: string, table: Spec): void {
  if (table.shape.length !== 2 || !isFloat(table.dtype)) {
    throw new ShapeError(name, `the table must be [V, d] floats, not ${show(table)}`);
  }
  if (table.shape[0] === 0) {
    throw new ShapeError(name, `the table ${show(table)} has no row to look up`);
  }
}

function checkIds(name: string, ids: Spec): void {
  if (ids.dtype !== "u32") throw new ShapeError(name, `ids must be u32, not ${show(ids)}`);
}

function checkRows(name: string, table: Spec, rows: Spec, { rowIds }: RowIds): void {
  checkTable(name, table);
  const [v, d] = table.shape;
  if (rows.shape.length !== 2 || rows.shape[1] !== d || rows.shape[0] !== rowIds.length) {
    throw new ShapeError(
      name,
      `${rowIds.length} rows of a table ${show(table)} are [${rowIds.length},${d}], not ${
        show(rows)
      }`,
    );
  }
  const bad = rowIds.find((id) => !Number.isInteger(id) || id < 0 || id >= v);
  if (bad !== undefined) throw new ShapeError(name, `row ${bad} of a table of ${v} rows`);
  if (new Set(rowIds).size !== rowIds.length) {
    throw new ShapeError(name, `a row is replaced twice among [${rowIds}]`);
  }
}

const embeddingOp: Op<undefined> = defineOp<undefined>({
  name: "embedding",
  shape([table, ids]) {
    checkTable("embedding", table);
    checkIds("embedding", ids);
    return [{ shape: [...ids.shape, table.shape[1]], dtype: table.dtype }];
  },
  vjp: ([g], { inputs: [table, ids] }) => [g && gradient(g, ids, table.shape[0])],
  batch: batchedEmbedding,
  jvp: linear,
  reference([table, ids], [{ shape: [v, d] }]) {
    const y = new Float64Array(ids.length * d);
    ids.forEach((id, p) => y.set(rowOf(table, Math.min(id, v - 1), d), p * d));
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: embeddingKernel },
});

const rowOf = (table: Float64Array, row: number, d: number) =>
  table.subarray(row * d, (row + 1) * d);

const embeddingGradOp: Op<Vocabulary> = defineOp<Vocabulary>({
  name: "embeddingGrad",
  shape: ([g], { rows }) => [{ shape: [rows, g.shape.at(-1)!], dtype: g.dtype }],
  vjp: ([h], { inputs: [, ids] }) => [h && embedding(h, ids)],
  batch: batchedEmbeddingGrad,
  jvp: linear,
  reference([g, ids], _specs, _attrs, [{ shape: [v, d] }]) {
    const y = new Float64Array(v * d);
    ids.forEach((id, p) => {
      const row = Math.min(id, v - 1) * d;
      for (let c = 0; c < d; c++) y[row + c] += g[p * d + c];
    });
    return [y];
  },
  lowering: { kind: "kernel", epilogue: false, build: embeddingGradKernel },
});

/** Σ over positions of `g`, by id: `[rows, d]`. */
const gradient = (g: Tensor, ids: Tensor, rows: number): Tensor =>
  apply(embeddingGradOp, [g, ids], { rows })[0];

const replaceRowsOp: Op<RowIds> = defineOp<RowIds>({
  name: "replaceRows",
  shape([table, rows], attrs) {
    checkRows("replaceRows", table, rows, attrs);
    return [{ shape: table.shape, dtype: rows.dtype }];
  },
  vjp([g], { inputs: [table, rows], attrs }, wanted) {
    if (!g) return [];
    const none = expand(literal(0, g.dtype), rows.shape);
    return [
      wanted[0] ? cast(apply(replaceRowsOp, [g, none], attrs)[0], table.dtype) : undefined,
      wanted[1] ? rowsOf(g, attrs) : undefined,
    ];
  },
  batch: batchedReplaceRows,
  jvp: linear,
  reference([table, rows], [{ shape: [, d] }], { rowIds }) {
    const y = table.slice();
    rowIds.forEach((id, j) => y.set(rowOf(rows, j, d), id * d));
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: replaceRowsKernel },
});

/**
 * Rows of a table's cotangent. That of every look-up is a table of zeros but for what was looked up: of such a table the rows
 * are summed without it, and of a sum of tables one by one.
 */
function rowsOf(g: Tensor, attrs: RowIds): Tensor {
  const at = tensor(Uint32Array.from(attrs.rowIds));
  const isSum = (t: Tensor) => t.node.op.name === "add";
  const parts = new Set([g]);
  for (const t of parts) if (isSum(t)) { for (const part of t.node.inputs) parts.add(part); }
  const made = new Map<Tensor, Tensor>();
  for (const t of [...parts].sort((a, b) => a.node.id - b.node.id)) {
    const { op, inputs } = t.node;
    const [a, b] = inputs;
    made.set(
      t,
      isSum(t)
        ? add(made.get(a)!, made.get(b)!)
        : op === (embeddingGradOp as Node["op"])
        ? apply(embeddingRowsGradOp, [a, b], { ...attrs, rows: g.shape[0] })[0]
        : embedding(t, at),
    );
  }
  return made.get(g)!;
}

const embeddingRowsOp: Op<RowIds> = defineOp<RowIds>({
  name: "embeddingRows",
  shape([table, rows, ids], attrs) {
    checkRows("embeddingRows", table, rows, attrs);
    checkIds("embeddingRows", ids);
    return [{ shape: [...ids.shape, table.shape[1]], dtype: rows.dtype }];
  },
  vjp([g], { inputs: [table, rows, ids], attrs }, wanted) {
    if (!g) return [];
    const [v] = table.shape;
    const toTable = () => {
      const none = expand(literal(0, g.dtype), rows.shape);
      return cast(apply(replaceRowsOp, [gradient(g, ids, v), none], attrs)[0], table.dtype);
    };
    return [
      wanted[0] ? toTable() : undefined,
      wanted[1]
        ? apply(embeddingRowsGradOp, [g, ids], { rowIds: attrs.rowIds, rows: v })[0]
        : undefined,
    ];
  },
  batch: (b) =>
    b.batched[0] || b.batched[1]
      ? b.through(([table, rows, ids]) => {
        const [replaced] = apply(replaceRowsOp, [table, rows], b.node.attrs);
        return [embedding(replaced, ids)];
      })
      : apply(b.node.op, b.inputs, b.node.attrs),
  jvp: linear,
  reference([table, rows, ids], [{ shape: [v, d] }], { rowIds }) {
    const y = new Float64Array(ids.length * d);
    ids.forEach((given, p) => {
      const id = Math.min(given, v - 1);
      const j = rowIds.indexOf(id);
      y.set(j < 0 ? rowOf(table, id, d) : rowOf(rows, j, d), p * d);
    });
    return [y];
  },
  lowering: { kind: "kernel", epilogue: true, build: embeddingRowsKernel },
});

const embeddingRowsGradOp: Op<RowIds & Vocabulary> = defineOp<RowIds & Vocabulary>({
  name: "embeddingRowsGrad",
  shape: ([g], { rowIds }) => [{ shape: [rowIds.length, g.shape.at(-1)!], dtype: g.dtype }],
  vjp([h], { inputs: [, ids], attrs: { rowIds, rows } }) {
    if (!h) return [];
    const nothing = expand(literal(0, h.dtype), [rows, h.shape[1]]);
    return [apply(embeddingRowsOp, [nothing, h, ids], { rowIds })[0]];
  },
  batch: batchedRowsGrad,
  jvp: linear,
  reference([g, ids], _specs, { rowIds, rows }, [{ shape: [n, d] }]) {
    const y = new Float64Array(n * d);
    ids.forEach((id, p) => {
      const j = rowIds.indexOf(Math.min(id, rows - 1));
      for (let c = 0; c < d && j >= 0; c++) y[j * d + c] += g[p * d + c];
    });
    return [y];
  },
  lowering: { kind: "kernel", epilogue: false, build: embeddingRowsGradKernel },
});

/**
 * Rows of a table by id.
 *
 * @param table `[V, d]`, f32 or f16; a {@linkcode replaceRows} table is not built for this
 * @param ids `[…]` u32; ids of V or more read row V − 1
 * @returns `[…, d]` of the table's dtype
 * @throws ShapeError when the table has not two axes, or ids are no u32
 */
export function embedding(table: Tensor, ids: Tensor): Tensor {
  expectTensors("embedding", { table, ids });
  return apply(embeddingOp, [table, counted(ids)], undefined)[0];
}

/** For the compiler: the same of a {@linkcode replaceRows} table, without the table. */
export function lookUpReplaced(table: Tensor, ids: Tensor): Tensor | undefined {
  const { op, inputs, attrs } = table.node;
  return op === (replaceRowsOp as Node["op"])
    ? apply(embeddingRowsOp, [...inputs, ids], attrs as RowIds)[0]
    : undefined;
}

/**
 * A table of which some rows are others: a vocabulary with trained tokens in it.
 *
 * @param table `[V, d]`, usually frozen
 * @param rows `[n, d]`, usually trained
 * @param ids the n table rows that they replace, all different
 * @returns `[V, d]` of the dtype of `rows`
 * @throws ShapeError when an id lies outside of the table
 */
export function replaceRows(table: Tensor, rows: Tensor, ids: readonly number[]): Tensor {
  expectFloats("replaceRows", { table, rows });
  expectList("replaceRows", 2, "ids", ids, "[5, 7]");
  const [replaced] = apply(replaceRowsOp, [table, rows], { rowIds: [...ids] });
  return ids.length ? replaced : cast(table, rows.dtype);
}
