/** Writing at ids that are data: setting, adding, multiplying, the larger and the smaller, each with fixed bits. */
import type { Tensor } from "../../tensor/tensor.ts";
import {
  expectChoice,
  expectNumber,
  expectOptions,
  expectTensors,
} from "../../tensor/arguments.ts";
import { sameShape, type Shape, ShapeError, show, sizeOf, stridesOf } from "../../tensor/shape.ts";
import { add, mul } from "../elementwise/arithmetic.ts";
import { counted } from "../elementwise/cast.ts";
import { greaterEqual, where } from "../elementwise/compare.ts";
import { permute, reshape } from "../movement.ts";
import type { ScatterMode } from "./kernels.ts";
import { scatterRows } from "./rows.ts";
import { along, alongAxis, axisTo, coordinatesOf, idsOf } from "./take.ts";

export type { ScatterMode } from "./kernels.ts";

/** Options of {@linkcode scatter} and {@linkcode putAlongAxis}. */
export interface ScatterOptions {
  /** How an update meets what is there: "set" (the default), "add", "mul", "max" or "min". */
  readonly mode?: ScatterMode;
  /** Says that no place is named twice, which saves sorting the ids; with one that is, the result is any of them. */
  readonly unique?: boolean;
  /** Leading axes that tensor and ids have in common. Default 0. */
  readonly batchDims?: number;
}

const MODES: readonly ScatterMode[] = ["set", "add", "mul", "max", "min"];

function modeOf(op: string, { mode = "set" }: ScatterOptions): ScatterMode {
  expectChoice(op, "options.mode", mode, MODES);
  return mode;
}

/** A tensor and what is written into it: where that is arithmetic, truth values are counted. */
function written(
  op: string,
  x: Tensor,
  updates: Tensor,
  shape: Shape,
  mode: ScatterMode,
): Tensor[] {
  if (!sameShape(updates.shape, shape)) {
    throw new ShapeError(op, `updates are ${show(updates.spec)}, expected ${x.dtype}[${shape}]`);
  }
  if (updates.dtype === x.dtype) {
    return mode === "add" || mode === "mul" ? [x, updates].map(counted) : [x, updates];
  }
  throw new ShapeError(
    op,
    `updates are ${show(updates.spec)} for ${show(x.spec)}; cast one of them first`,
  );
}

/**
 * `x` with updates at coordinates, as JAX's `x.at[ids].set(updates)` and its like. Where a place is named more than once,
 * updates are joined in their order: of those that are set the last one stays.
 *
 * @param x `[batch…, V₁, …, Vₖ, D…]` of any element type
 * @param ids `[batch…, n…, k]` of i32 or u32. Below 0 they count from the end; what lies outside is left out
 * @param updates `[batch…, n…, D…]` of x's element type
 * @returns of x's shape, bool counted as u32 by "add" and "mul". The products of "mul" have a derivative by x alone
 * @throws ShapeError when the shapes do not fit
 */
export function scatter(
  x: Tensor,
  ids: Tensor,
  updates: Tensor,
  options: ScatterOptions = {},
): Tensor {
  expectTensors("scatter", { x, ids, updates });
  expectOptions("scatter", 3, options, {
    mode: "any",
    unique: "true or false",
    batchDims: "number",
  });
  const mode = modeOf("scatter", options);
  const c = coordinatesOf("scatter", x, ids, options.batchDims ?? 0);
  const wanted = [...c.batch, ...c.places, ...c.rest];
  const [into, from] = written("scatter", x, updates, wanted, mode);
  const [r, v, d] = [sizeOf(c.batch), sizeOf(c.lead), sizeOf(c.rest)];
  const rows = reshape(from, [r, sizeOf(c.places), d]);
  const y = scatterRows(reshape(into, [r, v, d]), c.flat, rows, mode, options.unique);
  return reshape(y, x.shape);
}

/**
 * `x` with one update along an axis for each id: `y[i, ids[i, j]] = updates[i, j]`, as NumPy's `put_along_axis`, but a new
 * tensor.
 *
 * @param x `[…, V, …]` of any element type
 * @param ids i32 or u32, of as many axes as x, each but `axis` at most as long. Below 0 they count from the end; what lies
 *   outside is left out
 * @param updates of the shape of ids and x's element type
 * @throws ShapeError when the shapes do not fit
 */
export function putAlongAxis(
  x: Tensor,
  ids: Tensor,
  updates: Tensor,
  axis: number,
  options: Omit<ScatterOptions, "batchDims"> = {},
): Tensor {
  const op = "putAlongAxis";
  expectTensors(op, { x, ids, updates });
  expectNumber(op, 3, "axis", axis);
  expectOptions(op, 4, options, { mode: "any", unique: "true or false" });
  const mode = modeOf(op, options);
  const a = alongAxis(op, x, ids, axis);
  const [into, from] = written(op, x, updates, ids.shape, mode);
  const places = idsOf(op, ids, x.shape[a]);
  if (ids.shape.every((d, i) => i === a || d === x.shape[i])) {
    const { to, back } = axisTo(x.shape.length, a, "last");
    const [t, i, u] = [into, places, from].map((t) => permute(t, to));
    const rows = sizeOf(t.shape.slice(0, -1)), n = i.shape.at(-1)!;
    const y = scatterRows(
      reshape(t, [rows, t.shape.at(-1)!, 1]),
      reshape(i, [rows, n]),
      reshape(u, [rows, n, 1]),
      mode,
      options.unique,
    );
    return permute(reshape(y, t.shape), back);
  }
  // Ids of a part of x: one number for each place of the whole.
  const strides = stridesOf(x.shape);
  const flat = ids.shape.map((_, i) => mul(i === a ? places : along(ids.shape, i), strides[i]))
    .reduce((sum, t) => add(sum, t));
  const inside = where(greaterEqual(places, x.shape[a]), x.size, flat);
  const y = scatterRows(
    reshape(into, [1, x.size, 1]),
    reshape(inside, [1, ids.size]),
    reshape(from, [1, ids.size, 1]),
    mode,
    options.unique,
  );
  return reshape(y, x.shape);
}
