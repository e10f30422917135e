/**
 * Kernels of `rows.ts`. A scatter has no atomics: ids come with their order, so that the invocation that stands where an
 * id begins goes through all of its updates, one after the other, and the same input gives the same bits.
 */
import {
  assertIterations,
  type BufferUse,
  type KernelContext,
  type KernelPlan,
  perItem,
  storageType,
  sumLoop,
  sumTurns,
} from "../../tensor/kernel.ts";
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
  const type = storageType(x.dtype === "f16" ? "f32" : x.dtype, width);
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

/** A copy of x, and then every row that an id names. Inputs: x, ids, updates, and the order of the ids. */
export function scatterKernel(
  { inputs: [x, ids], attrs: { mode, unique }, profile }: KernelContext<ScatterAttrs>,
): KernelPlan {
  const [, v, d] = x.shape;
  const n = ids.shape[1];
  const width = widthOf(d);
  const steps = d / width;
  const scalar = x.dtype === "f16" ? "f32" : x.dtype;
  const type = storageType(scalar, width);
  const stored = storageType(x.dtype, width);
  const looped = !unique && mode !== "set";
  if (profile.software && looped) assertIterations("scatter", sumTurns(n));
  const join = (a: string, b: string) => {
    if (mode === "set") return b;
    if (mode === "add") return `${a} + ${b}`;
    if (mode === "mul") return `${a} * ${b}`;
    return scalar === "f32"
      ? joinExtreme(mode, a, b, storageType("u32", width))
      : `${mode}(${a}, ${b})`;
  };
  const update = (place: string) => `${type}(updates[(${place}) * ${steps}u + column])`;
  const target = `(p / ${n}u * ${v}u + id) * ${steps}u + column`;
  const put = (value: string) => `y[${target}] = ${stored}(${value});`;
  const old = `${type}(y[${target}])`;
  // Place `p` of the order within its row; updates lie by the ids' own order.
  const at = unique ? "p" : `row + order[p]`;
  const head = `let column = t % ${steps}u;
  let p = t / ${steps}u;
  let row = p / ${n}u * ${n}u;
  let id = ids[${at}];
  if (id >= ${v}u) { return; }`;
  const sum = mode === "add";
  // The first of a run of equal ids goes through all of it; of several that are set the last one stays.
  const body = unique
    ? put(join(old, update("p")))
    : mode === "set"
    ? `if (p + 1u < row + ${n}u) { if (ids[row + order[p + 1u]] == id) { return; } }
  ${put(update(at))}`
    : `if (p > row) { if (ids[row + order[p - 1u]] == id) { return; } }
  var more = 1u;
  var q = p;
  var total = ${sum ? `${type}()` : old};
  ${
      sumLoop({
        index: "k",
        from: "0u",
        to: `${n}u`,
        while: "more == 1u",
        most: n,
        sums: sum ? { total: type } : {},
        turn: (into) =>
          `let u = ${update("row + order[q]")};
    ${sum ? `${into("total")} += u;` : `total = ${join("total", "u")};`}
    q++;
    more = 0u;
    if (q < row + ${n}u) { more = select(0u, 1u, ids[row + order[q]] == id); }`,
      })
    }
  ${put(sum ? join(old, "total") : "total")}`;
  return {
    dispatches: [
      {
        label: "scatter (copy)",
        buffers: [
          buffer("xs", { input: 0 }, stored),
          buffer("y", { output: 0 }, stored, "write"),
        ],
        ...perItem({ count: sizeOf(x.shape) / width, name: "t" }, "y[t] = xs[t];"),
      },
      {
        label: "scatter",
        buffers: [
          buffer("ids", { input: 1 }, "u32"),
          buffer("updates", { input: 2 }, stored),
          ...unique ? [] : [buffer("order", { input: 3 }, "u32")],
          buffer("y", { output: 0 }, stored, "write"),
        ],
        ...perItem({ count: sizeOf(ids.shape) * steps, name: "t" }, `${head}\n  ${body}`),
      },
    ],
  };
}
