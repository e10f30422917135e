/** Rotary position embedding: pairs of features turned by angles that grow with the place (Su et al., 2021). */
import { calledAs } from "../../tensor/called.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { expectOptions, expectTensors } from "../../tensor/arguments.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { concat } from "../concat.ts";
import { add, mul, sub } from "../elementwise/arithmetic.ts";
import { cast } from "../elementwise/cast.ts";
import { take } from "../index/take.ts";
import { reshape, slice } from "../movement.ts";

/** Options of {@linkcode rotaryEmbedding}. */
export interface RotaryOptions {
  /** The place of each token, a row of the tables: integers `[B, T]`. Default: the tables' rows are those of the tokens. */
  readonly positions?: Tensor;
  /** Whether pairs are neighbours, and not a feature of the first half with one of the second. Default false. */
  readonly interleaved?: boolean;
}

/**
 * Queries or keys with their places turned into them.
 *
 * @param x `[B, T, H, D]`, f32 or f16
 * @param cos `[T, R/2]` or `[B, T, R/2]`; with `positions` a table `[places, R/2]`. Features from R on stay as they are
 * @param sin of the same shape
 * @returns of x's shape and element type
 * @throws ShapeError when the tables do not fit the tokens and features
 */
export function rotaryEmbedding(
  x: Tensor,
  cos: Tensor,
  sin: Tensor,
  options: RotaryOptions = {},
): Tensor {
  const op = "rotaryEmbedding";
  expectTensors(op, { x, cos, sin });
  expectOptions(op, 3, options, { positions: "any", interleaved: "true or false" });
  const { positions, interleaved } = options;
  if (positions) expectTensors(op, { x, cos, sin, "options.positions": positions });
  const [b, t, , d] = x.shape;
  const tables = [cos, sin].map((table) =>
    positions ? calledAs(op, () => take(table, positions)) : table
  );
  const half = cos.shape.at(-1) ?? 0;
  const rows = [[t, half], [b, t, half]].map((s) => s.join());
  if (
    x.shape.length !== 4 || !isFloat(x.dtype) || 2 * half > d ||
    tables.some((table) => !rows.includes(table.shape.join()))
  ) {
    throw new ShapeError(
      op,
      `cos ${show(cos.spec)}, sin ${show(sin.spec)}${
        positions ? `, positions ${show(positions.spec)}` : ""
      } for ${show(x.spec)}; expected one row of at most ${d}/2 for each of [${b},${t}] tokens`,
    );
  }
  const [c, s] = tables.map((table) =>
    reshape(cast(table, "f32"), [...table.shape.slice(0, -1), 1, half, ...(interleaved ? [1] : [])])
  );
  const turned = cast(slice(x, 3, 0, 2 * half), "f32");
  const pairs = interleaved ? reshape(turned, [...x.shape.slice(0, 3), half, 2]) : turned;
  const axis = interleaved ? 4 : 3, wide = interleaved ? 1 : half;
  const [p, q] = [slice(pairs, axis, 0, wide), slice(pairs, axis, wide, 2 * wide)];
  const both = concat([sub(mul(p, c), mul(q, s)), add(mul(q, c), mul(p, s))], axis);
  const y = cast(reshape(both, turned.shape), x.dtype);
  return 2 * half === d ? y : concat([y, slice(x, 3, 2 * half, d)], 3);
}
