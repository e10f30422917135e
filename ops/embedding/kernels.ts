/**
 * Kernels of `embedding.ts`. Gathers copy vectors along the row. Gradients add the positions of one id in their order,
 * so the sums have fixed bits: a short pass links equal ids, so that nobody scans all positions for every column.
 */
import {
  type BufferUse,
  type Dispatch,
  type KernelContext,
  type KernelPlan,
  perItem,
  storageType,
  sumLoop,
} from "../../tensor/kernel.ts";
import { sizeOf, type Spec } from "../../tensor/shape.ts";

/** Which rows of a table are replaced; row `j` of the replacement stands for table row `rowIds[j]`. */
export interface RowIds {
  readonly rowIds: readonly number[];
}

/** The number of rows of the table that a gradient belongs to. */
export interface Vocabulary {
  readonly rows: number;
}

const read = (name: string, input: number, type: string): BufferUse => ({
  name,
  ref: { input },
  access: "read",
  type,
});

/** One invocation for each of `count` pieces of work, numbered `t`. */
function forEach(label: string, count: number, buffers: BufferUse[], body: string): Dispatch {
  return { label, buffers, ...perItem({ count, name: "t" }, body) };
}

const widthOf = (d: number): 1 | 4 => d % 4 === 0 ? 4 : 1;
const valueType = (d: number): string => storageType("f32", widthOf(d));
const rowType = (table: Spec): string => storageType(table.dtype, widthOf(table.shape.at(-1)!));

/** Statements after which `value` is the step of row `id` at `column` of a table, input 0. */
const takeRow = (table: Spec): string => {
  const d = table.shape[1];
  return `value = ${valueType(d)}(table[id * ${d / widthOf(d)}u + column]);`;
};

/** The same, taken from `rows` where `id` is replaced. */
function pickRow(table: Spec, rowIds: readonly number[]): string {
  const d = table.shape[1];
  const steps = d / widthOf(d);
  const type = valueType(d);
  const tests = rowIds.map((id, j) => `if (id == ${id}u) { other = ${j}u; }`).join(" ");
  return `var other = ${rowIds.length}u; ${tests}
  var value = ${type}();
  if (other < ${rowIds.length}u) { value = ${type}(rows[other * ${steps}u + column]); }
  else { ${takeRow(table)} }`;
}

/** A kernel that gives `count` rows of a table, the first input, each by its id. */
function rowsOfTable<A>(
  label: string,
  ctx: KernelContext<A>,
  part: {
    count: number;
    buffers: readonly BufferUse[];
    /** The id of row `row`. */
    id: (row: string, rows: number) => string;
    /** Statements after which `value` is the step of row `id` at `column`. */
    pick: (table: Spec) => string;
  },
): KernelPlan {
  const [v, d] = ctx.inputs[0].shape;
  const steps = d / widthOf(d);
  const [table] = ctx.inputs;
  const buffers = [read("table", 0, rowType(table)), ...part.buffers, ...ctx.epilogue.buffers];
  const body = `let column = t % ${steps}u;
  let id = ${part.id(`t / ${steps}u`, v)};
  ${part.pick(table)}
  ${ctx.epilogue.store(`t * ${widthOf(d)}u`, "value")}`;
  return { dispatches: [forEach(label, part.count * steps, buffers, body)] };
}

const idAt = (row: string, rows: number): string => `min(ids[${row}], ${rows - 1}u)`;

/** Output `[…, d]` from a table and ids. */
export function embeddingKernel(ctx: KernelContext<undefined>): KernelPlan {
  const [{ shape: [, d] }, ids] = ctx.inputs;
  return rowsOfTable("embedding", ctx, {
    count: sizeOf(ids.shape),
    buffers: [read("ids", 1, "u32")],
    id: idAt,
    pick: (table) => `var value = ${valueType(d)}(); ${takeRow(table)}`,
  });
}

/** The same with some rows overridden. Inputs: table, rows, ids. */
export function embeddingRowsKernel(ctx: KernelContext<RowIds>): KernelPlan {
  const [, rows, ids] = ctx.inputs;
  return rowsOfTable("embeddingRows", ctx, {
    count: sizeOf(ids.shape),
    buffers: [read("rows", 1, rowType(rows)), read("ids", 2, "u32")],
    id: idAt,
    pick: (table) => pickRow(table, ctx.attrs.rowIds),
  });
}

/** The whole replaced table. Inputs: table, rows. */
export function replaceRowsKernel(ctx: KernelContext<RowIds>): KernelPlan {
  const [table, rows] = ctx.inputs;
  return rowsOfTable("replaceRows", ctx, {
    count: table.shape[0],
    buffers: [read("rows", 1, rowType(rows))],
    id: (row) => row,
    pick: (table) => pickRow(table, ctx.attrs.rowIds),
  });
}

/** Σ of g over equal ids, for every row of the table. Inputs: g, ids. */
export function embeddingGradKernel(ctx: KernelContext<Vocabulary>): KernelPlan {
  const [g, ids] = ctx.inputs;
  const [out] = ctx.outputs;
  const count = sizeOf(ids.shape);
  const d = out.shape[1];
  const steps = d / widthOf(d);
  const type = valueType(d);
  const output: BufferUse = {
    name: "sums",
    ref: { output: 0 },
    access: "write",
    type: rowType(out),
  };
  const links = (access: "read" | "write"): BufferUse => ({
    name: "links",
    ref: { scratch: 0 },
    access,
    type: "u32",
  });
  const id = (at: string) => `min(ids[${at}], ${ctx.attrs.rows - 1}u)`;
  // For each position: the next one with the same id (`count` if none), and whether it is the first of its id.
  const link = forEach(
    "embeddingGrad (links)",
    count,
    [read("ids", 1, "u32"), links("write")],
    `let id = ${id("t")};
  var next = ${count}u;
  for (var p = t + 1u; p < ${count}u; p++) { if (${id("p")} == id) { next = p; break; } }
  var first = 1u;
  for (var p = 0u; p < t; p++) { if (${id("p")} == id) { first = 0u; break; } }
  links[2u * t] = next;
  links[2u * t + 1u] = first;`,
  );
  const clear = forEach(
    "embeddingGrad (clear)",
    ctx.attrs.rows * steps,
    [output],
    `sums[t] = ${rowType(out)}();`,
  );
  const sum = forEach(
    "embeddingGrad",
    count * steps,
    [read("gs", 0, storageType(g.dtype, widthOf(d))), read("ids", 1, "u32"), links("read"), output],
    `let column = t % ${steps}u;
  var p = t / ${steps}u;
  if (links[2u * p + 1u] == 0u) { return; }
  let id = ${id("p")};
  var total = ${type}();
  ${
      sumLoop({
        index: "n",
        from: "0u",
        to: `${count}u`,
        while: `p < ${count}u`,
        most: count,
        sums: { total: type },
        turn: (into) =>
          `${into("total")} += ${type}(gs[p * ${steps}u + column]); p = links[2u * p];`,
      })
    }
  sums[id * ${steps}u + column] = ${rowType(out)}(total);`,
  );
  return { dispatches: [link, clear, sum], scratch: [count * 8] };
}

/** Σ of g over the positions of each replaced row. Inputs: g, ids. */
export function embeddingRowsGradKernel(ctx: KernelContext<RowIds & Vocabulary>): KernelPlan {
  const { inputs: [g, ids], outputs: [out], attrs: { rowIds, rows } } = ctx;
  const count = sizeOf(ids.shape);
  const d = out.shape[1];
  const steps = d / widthOf(d);
  const type = valueType(d);
  const tests = rowIds.map((id, j) => `if (row == ${j}u) { wanted = ${id}u; }`).join(" ");
  const buffers: BufferUse[] = [
    read("gs", 0, storageType(g.dtype, widthOf(d))),
    read("ids", 1, "u32"),
    { name: "sums", ref: { output: 0 }, access: "write", type: rowType(out) },
  ];
  const sum = forEach(
    "embeddingRowsGrad",
    rowIds.length * steps,
    buffers,
    `let column = t % ${steps}u;
  let row = t / ${steps}u;
  var wanted = 0u; ${tests}
  var total = ${type}();
  ${
      sumLoop({
        index: "p",
        from: "0u",
        to: `${count}u`,
        most: count,
        sums: { total: type },
        turn: (into) =>
          `if (min(ids[p], ${rows - 1}u) == wanted) { ${
            into("total")
          } += ${type}(gs[p * ${steps}u + column]); }`,
      })
    }
  sums[t] = ${rowType(out)}(total);`,
  );
  return { dispatches: [sum] };
}
