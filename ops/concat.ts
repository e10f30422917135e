/** Movement that other ops add up to: joining is a sum of padded parts, upsampling a broadcast. */
import { expectTensor, type Tensor } from "../tensor/tensor.ts";
import { expectArray, expectNumber, expectTensors } from "../tensor/arguments.ts";
import { axisOf, ShapeError } from "../tensor/shape.ts";
import { wholeNumber } from "../tensor/element.ts";
import { defineMap } from "./elementwise/define.ts";
import { applyMap, expectAlike } from "./elementwise/map.ts";
import { expand } from "./broadcast.ts";
import { pad, reshape } from "./movement.ts";

/**
 * Two tensors of which at each place at most one is not padding: the bits of both, which unlike a sum keeps −0 and every
 * NaN as it is.
 */
const overlayOp = defineMap({
  name: "overlay",
  arity: 2,
  takes: "all",
  expression: ([a, b], _attrs, w) => {
    const bits = (x: string) => w.out === "f32" ? `bitcast<${w.type("u32")}>(${x})` : x;
    const joined = `(${bits(a)} | ${bits(b)})`;
    return w.out === "f32" ? `bitcast<${w.type("f32")}>${joined}` : joined;
  },
  reference: ([a, b]) => a === 0 && !Object.is(a, -0) ? b : a,
  vjp: [(g) => g, (g) => g],
});

/**
 * Joins tensors along an axis.
 *
 * @param parts one or more of one element type, whose extents agree but for `axis`
 * @returns their extents added up along `axis`
 * @throws ShapeError when there are none, or their extents or element types do not agree
 */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  expectArray("concat", 0, "parts", parts, "[a, b]");
  if (!parts.length) throw new ShapeError("concat", "no tensors are given to join");
  parts.forEach((p, i) => expectTensor("concat", `part ${i}`, p));
  expectNumber("concat", 1, "axis", axis);
  const a = axisOf("concat", axis, parts[0].shape.length);
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
  expectAlike("concat", parts);
  return join(parts, a);
}

/** Most parts that one kernel joins. */
const TOGETHER = 8;

/** Joins parts that fit; many of them in groups, and these again, so that none is copied once for every few others. */
function join(parts: readonly Tensor[], axis: number): Tensor {
  if (parts.length > TOGETHER) {
    let size = TOGETHER;
    while (size * TOGETHER < parts.length) size *= TOGETHER;
    const groups = Array.from(
      { length: Math.ceil(parts.length / size) },
      (_, i) => join(parts.slice(i * size, (i + 1) * size), axis),
    );
    return join(groups, axis);
  }
  // Zero-padded parts, laid over one another: every part is read only inside its guard, and the fuser makes one kernel of it.
  const total = parts.reduce((n, p) => n + p.shape[axis], 0);
  let at = 0;
  const padded = parts.map((p) => {
    const widths = p.shape.map((d, i): [number, number] =>
      i === axis ? [at, total - at - d] : [0, 0]
    );
    at += p.shape[axis];
    return pad(p, widths);
  });
  return padded.reduce((x, y) => applyMap(overlayOp, [x, y], undefined));
}

/**
 * Repeats every pixel `factor` times along height and width.
 *
 * @param x `[B, H, W, C]` of any element type
 * @returns `[B, H · factor, W · factor, C]`
 * @throws ShapeError when x has not four axes, or the factor is no whole number of at least 1
 */
export function upsampleNearest(x: Tensor, factor = 2): Tensor {
  expectTensors("upsampleNearest", { x });
  if (x.shape.length !== 4) {
    throw new ShapeError("upsampleNearest", `needs [B, H, W, C], not [${x.shape}]`);
  }
  wholeNumber("upsampleNearest", "the factor", factor, 1);
  const [b, h, w, c] = x.shape;
  const cells = expand(reshape(x, [b, h, 1, w, 1, c]), [b, h, factor, w, factor, c]);
  return reshape(cells, [b, h * factor, w * factor, c]);
}
