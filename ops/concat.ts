/** Movement that other ops add up to: joining is a sum of padded parts, upsampling a broadcast. */
import type { Tensor } from "../tensor/tensor.ts";
import { axisOf, ShapeError } from "../tensor/shape.ts";
import { add } from "./arithmetic.ts";
import { expand } from "./broadcast.ts";
import { pad, reshape } from "./movement.ts";

/** Joins tensors along an axis. */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const a = axisOf("concat", axis, parts[0].shape.length);
  const total = parts.reduce((n, p) => n + p.shape[a], 0);
  for (const p of parts) {
    if (
      p.shape.length !== parts[0].shape.length ||
      p.shape.some((d, i) => i !== a && d !== parts[0].shape[i])
    ) {
      throw new ShapeError(
        "concat",
        `[${p.shape}] does not join [${parts[0].shape}] along axis ${a}`,
      );
    }
  }
  // A sum of zero-padded parts: every part is read only inside its guard, and the fuser makes one kernel of it.
  let at = 0;
  const padded = parts.map((p) => {
    const widths = p.shape.map((d, i): [number, number] => i === a ? [at, total - at - d] : [0, 0]);
    at += p.shape[a];
    return pad(p, widths);
  });
  return padded.reduce((x, y) => add(x, y));
}

/** Repeats every pixel `factor` times along height and width. `x` is NHWC. */
export function upsampleNearest(x: Tensor, factor = 2): Tensor {
  const [b, h, w, c] = x.shape;
  const cells = expand(reshape(x, [b, h, 1, w, 1, c]), [b, h, factor, w, factor, c]);
  return reshape(cells, [b, h * factor, w * factor, c]);
}
