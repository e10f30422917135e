/**
 * Kernels of `rows.ts`. A scatter has no atomics: ids come with their order, in which the updates of one row follow each
 * other, and are joined in it, so that the same input gives the same bits.
 */
import {
  type BufferUse,
  type Dispatch,
  type KernelContext,
  type KernelPlan,
  number,
  perItem,
  storageType,
  sumLoop,
} from "../../tensor/kernel.ts";
import { arithmetic, type DType } from "../../tensor/dtype.ts";
import { leastOf, mostOf } from "../../tensor/element.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { joinExtreme } from "../elementwise/nan.ts";

/** How an update meets what is there. */
export type ScatterMode = "set" | "add" | "mul" | "max" | "min";

/** Attributes of a scatter; with `unique` no id comes twice, and no order of the ids is needed. */
export interface ScatterAttrs {
  readonly mode: ScatterMode;
  readonly unique: boolean;
}

const widthOf = (d: number): 1 | 4 => d % 4 === 0 ? 4 : 1;

const buffer = (
  name: string,
  ref: BufferUse["ref"],
  type: string,
  access: BufferUse["access"] = "read",
): BufferUse => ({ name, ref, type, access });

/** Output `[R, n, D]` of `[R, V, D]` and ids `[R, n]`. */
export function gatherKernel({ inputs: [x, ids], epilogue }: KernelContext<unknown>): KernelPlan {
  const [, v, d] = x.shape;
  const n = ids.shape[1];
  const width = widthOf(d);
  const steps = d / width;
  const type = storageType(arithmetic(x.dtype), width);
  const work = `let place = t / ${steps}u;
  let row = place / ${n}u * ${v}u + min(ids[place], ${v - 1}u);
  ${epilogue.store(`t * ${width}u`, `${type}(xs[row * ${steps}u + t % ${steps}u])`)}`;
  return {
    dispatches: [{
      label: "gather",
      buffers: [
        buffer("xs", { input: 0 }, storageType(x.dtype, width)),
        buffer("ids", { input: 1 }, "u32"),
        ...epilogue.buffers,
      ],
      ...perItem({ count: sizeOf(ids.shape) * steps, name: "t" }, work),
    }],
  };
}

/** What joins to nothing. */
const identityOf = (mode: ScatterMode, dtype: DType): number =>
  mode === "mul" ? 1 : mode === "max" ? leastOf(dtype) : mode === "min" ? mostOf(dtype) : 0;

/** How two values are joined, as WGSL of a scalar type in vectors of a width. */
const joining = (mode: ScatterMode, scalar: string, width: 1 | 4) => (a: string, b: string) => {
  if (mode === "set") return b;
  if (mode === "add" || mode === "mul") return `${a} ${mode === "add" ? "+" : "*"} ${b}`;
  if (scalar !== "f32") return `${mode}(${a}, ${b})`;
  return joinExtreme(mode, a, b, storageType("u32", width));
};

/** A copy of x, and then every row that an id names. Inputs: x, ids, updates, and the order of the ids. */
export function scatterKernel(ctx: KernelContext<ScatterAttrs>): KernelPlan {
  const { inputs: [x, ids], attrs: { mode, unique } } = ctx;
  const [, v, d] = x.shape;
  const n = ids.shape[1];
  const width = widthOf(d);
  const steps = d / width;
  const scalar = arithmetic(x.dtype);
  const type = storageType(scalar, width);
  const stored = storageType(x.dtype, width);
  const y = buffer("y", { output: 0 }, stored, "write");
  const copy: Dispatch = {
    label: "scatter (copy)",
    buffers: [buffer("xs", { input: 0 }, stored), y],
    ...perItem({ count: sizeOf(x.shape) / width, name: "t" }, "y[t] = xs[t];"),
  };
  if (!unique && mode !== "set") return inChunks(ctx, copy);
  // Of several that are set the last one stays.
  const at = unique ? "p" : "row + order[p]";
  const value = `${type}(updates[(${at}) * ${steps}u + column])`;
  const target = `y[(p / ${n}u * ${v}u + id) * ${steps}u + column]`;
  const put: Dispatch = {
    label: "scatter",
    buffers: [
      buffer("ids", { input: 1 }, "u32"),
      buffer("updates", { input: 2 }, stored),
      ...unique ? [] : [buffer("order", { input: 3 }, "u32")],
      y,
    ],
    ...perItem(
      { count: sizeOf(ids.shape) * steps, name: "t" },
      `let column = t % ${steps}u;
  let p = t / ${steps}u;
  let row = p / ${n}u * ${n}u;
  let id = ids[${at}];
  if (id >= ${v}u) { return; }
  ${unique ? "" : `if (p + 1u < row + ${n}u) { if (ids[row + order[p + 1u]] == id) { return; } }`}
  ${target} = ${stored}(${joining(mode, scalar, width)(`${type}(${target})`, value)});`,
    ),
  };
  return { dispatches: [copy, put] };
}

/** Updates that one accumulator takes before it is joined to the next. */
const RUN = 16;

/**
 * Updates in the order of their ids, in chunks: what begins and ends within one is joined there, and what goes on beyond is
 * joined of the chunks' parts, so that nobody walks for long though all updates may be of one row.
 */
function inChunks(
  { inputs: [x, ids], attrs: { mode } }: KernelContext<ScatterAttrs>,
  copy: Dispatch,
): KernelPlan {
  const [r, v, d] = x.shape;
  const n = ids.shape[1];
  const width = widthOf(d);
  const steps = d / width;
  const scalar = arithmetic(x.dtype);
  const type = storageType(scalar, width);
  const stored = storageType(x.dtype, width);
  const length = Math.min(256, Math.max(32, Math.ceil(Math.sqrt(n) / 4)));
  const chunks = Math.ceil(n / length);
  const join = joining(mode, scalar, width);
  const nothing = `${type}(${number(identityOf(mode, x.dtype), scalar)})`;
  const buffers = (access: "read" | "write"): BufferUse[] => [
    buffer("ids", { input: 1 }, "u32"),
    buffer("order", { input: 3 }, "u32"),
    buffer("y", { output: 0 }, stored, "write"),
    buffer("heads", { scratch: 0 }, type, access),
    buffer("tails", { scratch: 1 }, type, access),
  ];
  const idAt = (p: string) => `ids[row + order[row + ${p}]]`;
  const head = `let column = t % ${steps}u;
  let chunk = t / ${steps}u % ${chunks}u;
  let r = t / ${steps * chunks}u;
  let row = r * ${n}u;
  let start = chunk * ${length}u;
  let end = min(start + ${length}u, ${n}u);`;
  const put = (value: string) =>
    `if (id < ${v}u) {
      let target_ = (r * ${v}u + id) * ${steps}u + column;
      y[target_] = ${stored}(${join(`${type}(y[target_])`, value)});
    }`;
  const first: Dispatch = {
    label: "scatter (chunks)",
    buffers: [buffer("updates", { input: 2 }, stored), ...buffers("write")],
    ...perItem(
      { count: r * chunks * steps, name: "t" },
      `${head}
  var id = ${idAt("start")};
  // Whether what is joined has begun in a chunk before.
  var inherited = 0u;
  if (start > 0u) { inherited = select(0u, 1u, ${idAt("start - 1u")} == id); }
  var part = ${nothing};
  var total = ${nothing};
  for (var p = start; p < end; p++) {
    let u = ${type}(updates[(row + order[row + p]) * ${steps}u + column]);
    part = ${join("part", "u")};
    if (p % ${RUN}u == ${RUN - 1}u) { total = ${join("total", "part")}; part = ${nothing}; }
    var next = id;
    if (p + 1u < ${n}u) { next = ${idAt("p + 1u")}; }
    let over = p + 1u == ${n}u || next != id;
    if (over || p + 1u == end) {
      let whole = ${join("total", "part")};
      if (inherited == 1u) { heads[t] = whole; }
      else if (over) { ${put("whole")} }
      else { tails[t] = whole; }
      id = next;
      inherited = 0u;
      part = ${nothing};
      total = ${nothing};
    }
  }`,
    ),
  };
  const second: Dispatch = {
    label: "scatter (join)",
    buffers: buffers("read"),
    ...perItem(
      { count: r * chunks * steps, name: "t" },
      `${head}
  if (end == ${n}u) { return; }
  let id = ${idAt("end - 1u")};
  if (${idAt("end")} != id) { return; }
  if (start > 0u) { if (${idAt("start - 1u")} == id) { return; } }
  var total = ${mode === "add" ? `${type}()` : "tails[t]"};
  var more = 1u;
  ${
        sumLoop({
          index: "k",
          from: "chunk + 1u",
          to: `${chunks}u`,
          while: "more == 1u",
          most: chunks,
          sums: mode === "add" ? { total: type } : {},
          turn: (into) => {
            const acc = mode === "add" ? into("total") : "total";
            return `let h = heads[(r * ${chunks}u + k) * ${steps}u + column];
    ${acc} = ${join(acc, "h")};
    let stop = (k + 1u) * ${length}u;
    more = 0u;
    if (stop < ${n}u) { more = select(0u, 1u, ${idAt("stop")} == id); }`;
          },
        })
      }
  ${put(mode === "add" ? "(tails[t] + total)" : "total")}`,
    ),
  };
  const bytes = r * chunks * d * 4;
  return {
    dispatches: chunks > 1 ? [copy, first, second] : [copy, first],
    scratch: [bytes, bytes],
  };
}
