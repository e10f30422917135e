/**
 * What a merge refuses, and how it says so: shapes, NaNs, contradicting targets, dependent rows.
 *
 * Why in its own file: the solver then reads as its mathematics, and the messages can be reviewed side by side.
 */
import { type Matrix, norm, powerOfTwoNear, zeros } from "../../numerics/matrix.ts";
import { rankOfRows, type RowRank } from "../../numerics/orthogonal.ts";
import { figures } from "../../numerics/quantities.ts";

/** Why a merge was refused. */
export type MergeErrorCode = "shape" | "not-finite" | "contradiction" | "rank" | "ridge";

/** A merge that cannot be solved as asked; the message names the matrix and the rows, and says what to do. */
export class MergeError extends Error {
  /** Always "MergeError". */
  override readonly name = "MergeError";
  /** The kind of refusal, for programs. */
  readonly code: MergeErrorCode;

  /** An error of a kind, with its message. */
  constructor(code: MergeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Target rows that came twice with the same values, and were merged. */
export interface DuplicateRow {
  /** The row that was dropped. */
  row: number;
  /** The first row that says the same. */
  of: number;
}

/**
 * Target rows that are independent enough to count as such: this share of a unit row must be its own. With less, the
 * weights have to grow so much that float64 cannot hold W Cᵀ = V to six digits.
 */
const independence = 1e-9;

/** Throws unless `matrix` is a well-formed, finite matrix with at least one element; `name` is used in the message. */
export function checkMatrix(name: string, matrix: Matrix): void {
  const { rows, cols, data } = matrix ?? {};
  if (!Number.isInteger(rows) || !Number.isInteger(cols) || !(data instanceof Float64Array)) {
    throw new MergeError("shape", `${name} must be { rows, cols, data: Float64Array }, row-major`);
  }
  if (rows < 1 || cols < 1) {
    throw new MergeError(
      "shape",
      `${name} is ${rows}×${cols}: it needs at least one row and column`,
    );
  }
  if (data.length !== rows * cols) {
    const message = `${name} is ${rows}×${cols} but its data has ${data.length} numbers`;
    throw new MergeError("shape", `${message}, not ${rows * cols}`);
  }
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    const at = `row ${Math.floor(i / cols)}, column ${i % cols}`;
    throw new MergeError("not-finite", `${name} has ${data[i]} at ${at}`);
  }
}

/** Throws unless `matrix` has the given number of columns (or rows), naming both matrices. */
export function checkSize(
  name: string,
  matrix: Matrix,
  side: "rows" | "cols",
  wanted: number,
  because: string,
): void {
  if (matrix[side] === wanted) return;
  const what = side === "cols" ? "columns" : "rows";
  throw new MergeError(
    "shape",
    `${name} is ${matrix.rows}×${matrix.cols}: it must have ${wanted} ${what}, as ${because}`,
  );
}

/** The targets without repeated rows. */
export interface DistinctTargets {
  /** The distinct rows, each divided by `scales[i]` so that its length is about 1. */
  rows: Matrix;
  /** Where each distinct row stood in the targets. */
  index: number[];
  /** The power of two by which each distinct row was divided. */
  scales: number[];
  /** What was dropped. */
  duplicates: DuplicateRow[];
}

/**
 * Target rows without those that repeat an earlier one, up to `tolerance` relative to their length.
 *
 * @throws {MergeError} code "rank" for a row of zeros, or for rows that depend on one another.
 */
export function distinctTargets(targets: Matrix, tolerance: number): DistinctTargets {
  const { rows: s, cols: d, data } = targets;
  const index: number[] = [], duplicates: DuplicateRow[] = [];
  const lengths = Array.from({ length: s }, (_, i) => norm(data.subarray(i * d, i * d + d)));
  for (let i = 0; i < s; i++) {
    if (lengths[i] === 0) {
      throw new MergeError("rank", `targets row ${i} is all zeros: no W can change what it gives`);
    }
    const of = index.find((j) => sameRow(data, i * d, j * d, d, tolerance * lengths[i]));
    if (of === undefined) index.push(i);
    else duplicates.push({ row: i, of });
  }
  const scales = index.map((i) => powerOfTwoNear(lengths[i]));
  const rows = zeros(index.length, d);
  index.forEach((i, k) => {
    for (let c = 0; c < d; c++) rows.data[k * d + c] = data[i * d + c] / scales[k];
  });
  const found = rankOfRows(rows, independence);
  if (found.dependent) throw dependentTargets(found, found.dependent, index, d);
  return { rows, index, scales, duplicates };
}

function sameRow(x: Float64Array, i: number, j: number, d: number, within: number): boolean {
  if (within === 0) {
    for (let c = 0; c < d; c++) if (x[i + c] !== x[j + c]) return false;
    return true;
  }
  let sum = 0;
  for (let c = 0; c < d; c++) {
    sum += (x[i + c] - x[j + c]) ** 2;
    if (sum > within * within) return false;
  }
  return true;
}

function dependentTargets(
  found: RowRank,
  dependent: { row: number; on: number[] },
  index: number[],
  d: number,
): MergeError {
  const on = dependent.on.map((k) => index[k]);
  return new MergeError(
    "rank",
    `targets has rank ${found.rank}, but ${index.length} distinct rows of ${d} numbers: row ` +
      `${index[dependent.row]} is a combination of ${on.length === 1 ? "row" : "rows"} ${
        list(on)
      }. ` +
      `Drop one of them; their values are either implied or contradict`,
  );
}

/**
 * Throws where two target rows that are the same ask for different values.
 *
 * @throws {MergeError} code "contradiction", naming the two rows and how far their values are apart.
 */
export function checkAgreement(
  values: Matrix,
  duplicates: DuplicateRow[],
  tolerance: number,
): void {
  const { rows: o, cols: s, data: v } = values;
  for (const { row, of } of duplicates) {
    let apart = 0, size = 0;
    for (let i = 0; i < o; i++) {
      const a = v[i * s + row], b = v[i * s + of];
      apart = Math.hypot(apart, a - b);
      size = Math.hypot(size, Math.max(Math.abs(a), Math.abs(b)));
    }
    // Equal up to what a product computed in another order may differ by.
    if (apart <= Math.max(1e-10, 10 * tolerance) * size) continue;
    throw new MergeError(
      "contradiction",
      `targets rows ${of} and ${row} are the same, but their values (columns ${of} and ${row}) differ by ` +
        `${figures(apart / size)} of their size: no W can give both. Keep one of them`,
    );
  }
}

/** Refuses a regularization whose rows do not span all d directions. */
export function singularRegularization(rank: number, d: number, rows: number): MergeError {
  const few = rows < d ? ` (it has only ${rows} rows)` : "";
  return new MergeError(
    "rank",
    `regularization has rank ${rank} of ${d}${few}, so the least change is not defined in the other ` +
      `${
        d - rank
      } directions. Give more captions, or set ridge (1e-6 is a mild one) to ask for the smallest ` +
      `change there too`,
  );
}

function list(rows: number[]): string {
  return rows.length > 6
    ? `${rows.slice(0, 6).join(", ")} and ${rows.length - 6} more`
    : rows.join(", ");
}
