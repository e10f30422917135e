/**
 * Whole numbers from a range. Each takes 64 random bits, of which the range is a share: no number is likelier than another by
 * more than 2⁻³² of its probability, and no draw is thrown away, so that how many are drawn does not depend on chance.
 */
import { apply, type Tensor } from "../../tensor/tensor.ts";
import { expectDType, expectNumber, expectOptions } from "../../tensor/arguments.ts";
import { alike } from "../../tensor/batch.ts";
import type { DType } from "../../tensor/dtype.ts";
import { elementOf } from "../../tensor/element.ts";
import { defineOp } from "../../tensor/op.ts";
import { type Shape, ShapeError, show, sizeOf } from "../../tensor/shape.ts";
import { DRAW_OPTIONS, type DrawOptions, expectDraw } from "../random.ts";
import { type IntAttrs, intKernel } from "./kernel.ts";
import { threefry } from "./threefry.ts";

const intOp = defineOp<IntAttrs>({
  name: "randomInt",
  shape([key], { shape, dtype }) {
    if (key.dtype !== "u32" || key.shape.at(-1) !== 2) {
      throw new ShapeError("randomInt", `the key must be u32[2], not ${show(key)}`);
    }
    return [{ shape: [...key.shape.slice(0, -1), ...shape], dtype }];
  },
  vjp: () => [undefined],
  batch: alike,
  reference([keys], _specs, { shape, stream, min, span }) {
    const count = sizeOf(shape);
    return [
      Float64Array.from({ length: count * keys.length / 2 }, (_, i) => {
        const k = Math.floor(i / count) * 2;
        const [a, b] = threefry([keys[k], keys[k + 1]], [i % count, stream]);
        return min + Number(((BigInt(a) << 32n | BigInt(b)) * BigInt(span)) >> 64n);
      }),
    ];
  },
  lowering: { kind: "kernel", epilogue: false, build: intKernel },
});

/** Options of {@linkcode randomInt}. */
export interface IntOptions extends DrawOptions {
  /** Default i32. */
  readonly dtype?: DType;
}

/**
 * Whole numbers from `min` to below `max`, each as likely.
 *
 * @param key `[2]` u32
 * @returns `shape`, i32 or u32
 * @throws RangeError when there is no number between the bounds, or the element type does not hold one of them
 */
export function randomInt(
  key: Tensor,
  shape: Shape,
  min: number,
  max: number,
  options: IntOptions = {},
): Tensor {
  expectDraw("randomInt", key, shape);
  expectNumber("randomInt", 2, "min", min);
  expectNumber("randomInt", 3, "max", max);
  expectOptions("randomInt", 4, options, { ...DRAW_OPTIONS, dtype: "any" });
  const { dtype = "i32", stream = 0 } = options;
  expectDType("randomInt", dtype);
  if (dtype !== "i32" && dtype !== "u32") {
    throw new ShapeError("randomInt", `draws i32 or u32, not ${dtype}`);
  }
  if (!(min < max)) throw new RangeError(`randomInt: no number from ${min} to below ${max}`);
  elementOf("randomInt", min, dtype);
  elementOf("randomInt", max - 1, dtype);
  return apply(intOp, [key], { shape, stream, min, span: max - min, dtype })[0];
}
