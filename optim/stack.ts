/** Examples of a batch as tensors. */
import type { DType } from "../tensor/dtype.ts";
import type { TensorData } from "../tensor/host.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { what } from "../tensor/what.ts";
import { tensor } from "../ops/leaf.ts";

/** What an example may be for {@linkcode stackExamples}: numbers, lists and typed arrays of them, by name or alone. */
export type ExampleData = TensorData | { readonly [name: string]: ExampleData };

/** The same with a tensor for each of them. */
export type Stacked<E> = E extends TensorData ? Tensor : { readonly [K in keyof E]: Stacked<E[K]> };

/**
 * Examples stacked along a new first axis: those of `{ x: Float32Array(4), y: 1 }` become `{ x: [b, 4], y: [b] }`. They are
 * constants, which a compiled function takes as arguments.
 *
 * @param dtype element type of all; default as `tensor` chooses
 * @throws TypeError when examples differ in their names; ShapeError when in their lengths
 */
export function stackExamples<E extends ExampleData>(
  examples: readonly E[],
  dtype?: DType,
): Stacked<E> {
  return stacked(examples, dtype, "") as Stacked<E>;
}

type Stack = Tensor | { [name: string]: Stack };

function stacked(all: readonly ExampleData[], dtype: DType | undefined, path: string): Stack {
  const [first] = all;
  if (!isNamed(first)) return tensor(all as TensorData, undefined, dtype);
  const names = Object.keys(first);
  for (const [i, one] of all.entries()) {
    const others = isNamed(one) ? Object.keys(one) : [];
    if (
      isNamed(one) && names.length === others.length && names.every((n) => Object.hasOwn(one, n))
    ) {
      continue;
    }
    throw new TypeError(
      `stackExamples: example ${i}${path && ` at "${path}"`} is ${what(one)}, the first ${
        what(first)
      }`,
    );
  }
  return Object.fromEntries(
    names.map((name) => [
      name,
      stacked(
        all.map((one) => (one as Record<string, ExampleData>)[name]),
        dtype,
        path ? `${path}.${name}` : name,
      ),
    ]),
  );
}

const isNamed = (x: ExampleData): x is { readonly [name: string]: ExampleData } =>
  x !== null && typeof x === "object" && !Array.isArray(x) && !ArrayBuffer.isView(x);
