/**
 * Timesteps as vectors: sinusoids of geometrically spaced frequencies, then a two-layer network.
 * Source: Ho et al. 2020 §B; order and spacing as diffusers' `flip_sin_to_cos: true, freq_shift: 0`.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { add, mul, sub } from "../../ops/elementwise/arithmetic.ts";
import { cos, sin } from "../../ops/elementwise/trigonometry.ts";
import { silu } from "../../ops/elementwise/activation.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { tensor } from "../../ops/leaf.ts";
import { concat } from "../../ops/concat.ts";
import { reshape } from "../../ops/movement.ts";
import { linearLayer } from "../layers.ts";
import type { Parameters } from "../params.ts";

/**
 * cos then sin of `t·10000^(−i/half)` for i < half = width/2.
 *
 * @param t f32 `[B]`, not negative
 * @param width even
 * @returns f32 `[B, width]`
 */
export function sinusoids(t: Tensor, width: number): Tensor {
  if (t.shape.length !== 1 || t.dtype !== "f32") {
    throw new ShapeError("timesteps", `${show(t.spec)}, where f32[B] was expected`);
  }
  const half = width / 2;
  const frequencies = Array.from({ length: half }, (_, i) => 10000 ** (-i / half));
  const angle = reduced(mul(reshape(t, [-1, 1]), tensor(frequencies, [1, half])));
  return concat([cos(angle), sin(angle)], 1);
}

/**
 * The angle less whole turns, in [−π, π]: WGSL promises no precision of sine and cosine beyond. 2π is split in two so
 * that the first product is exact.
 */
function reduced(angle: Tensor): Tensor {
  const high = 6.28125;
  const turns = cast(cast(add(mul(angle, 0.5 / Math.PI), 0.5), "i32"), "f32");
  return sub(sub(angle, mul(turns, high)), mul(turns, 2 * Math.PI - high));
}

/** The two-layer network that makes an embedding of sinusoids or of other features: `[B, in]` → `[B, out]`. */
export function embedded(p: Parameters, x: Tensor, out: number): Tensor {
  return linearLayer(p.at("linear_2"), silu(linearLayer(p.at("linear_1"), x, out)), out);
}
