/** Examples of a batch as tensors. */
import { calledAs } from "../tensor/called.ts";
import { expectKinds, listOf } from "../tensor/kinds.ts";
import type { DType } from "../tensor/dtype.ts";
import { expectDType } from "../tensor/arguments.ts";
import { hostValues, type TensorData } from "../tensor/host.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { isLeaf, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { constantTensor, constantValues, tensor } from "../ops/leaf.ts";
import { stack } from "../ops/shape/parts.ts";

/**
 * What an example may be for {@linkcode stackExamples}: numbers, lists and typed arrays of them, tensors and texts, by name, side
 * by side in a list, or alone.
 */
export type ExampleData =
  | TensorData
  | Tensor
  | string
  | { readonly [name: string]: ExampleData }
  | readonly ExampleData[];

/** The same with a tensor for each of them, and a list for each text. */
export type Stacked<E> = [ExampleData] extends [E] ? Tree<Tensor | string[]>
  : E extends string ? string[]
  : E extends TensorData | Tensor ? Tensor
  : { readonly [K in keyof E]: Stacked<E[K]> };

/**
 * Examples stacked along a new first axis: those of `{ x: Float32Array(4), y: 1 }` become `{ x: [b, 4], y: [b] }`. They are
 * constants, which a compiled function takes as arguments. So do tensors that are constants; of others, what is stacked is computed
 * by `evaluate(device, batch)`. Texts, labels or names of files, stay texts, in a list.
 *
 * @param dtype element type of all tensors; default as `tensor` chooses, and that of tensors
 * @throws TypeError when examples differ in their names or in kind; ShapeError when in their shapes
 */
export function stackExamples<E extends ExampleData>(
  examples: readonly E[],
  dtype?: DType,
): Stacked<E> {
  expectKinds("stackExamples", { examples: [examples, listOf(["an example", () => true])] });
  if (dtype !== undefined) expectDType("stackExamples", dtype);
  return stacked(examples, dtype, "") as Stacked<E>;
}

type Stack = Tensor | string[] | Stack[] | { [name: string]: Stack };

function stacked(all: readonly ExampleData[], dtype: DType | undefined, path: string): Stack {
  const [first] = all;
  for (const [i, one] of all.entries()) {
    if (kindOf(one) === kindOf(first) && namesOf(one).join("\0") === namesOf(first).join("\0")) {
      continue;
    }
    const place = path && ` at "${path}"`;
    throw new TypeError(
      `stackExamples: example ${i}${place} is ${what(one)}, the first ${what(first)}`,
    );
  }
  switch (kindOf(first)) {
    case "text":
      return [...all] as string[];
    case "tensor":
      return joined(all as readonly Tensor[], dtype, path);
    case "numbers":
      return calledAs("stackExamples", () => tensor(all as TensorData, undefined, dtype), {
        "": path && `"${path}": `,
      });
    default: {
      const parts = namesOf(first).map((name): [string, Stack] => [
        name,
        stacked(
          all.map((one) => (one as Record<string, ExampleData>)[name]),
          dtype,
          path ? `${path}.${name}` : name,
        ),
      ]);
      return Array.isArray(first) ? parts.map(([, part]) => part) : Object.fromEntries(parts);
    }
  }
}

/** What an example is; one that can be nothing of it passes for numbers, which say so. */
function kindOf(x: ExampleData): "text" | "tensor" | "numbers" | "list" | "names" {
  if (typeof x === "string") return "text";
  if (x instanceof Tensor) return "tensor";
  if (isLeaf(x)) return "numbers";
  if (!Array.isArray(x)) return "names";
  return x.some((one) => kindOf(one) !== "numbers") ? "list" : "numbers";
}

/** The names of what is in it, in one order, whatever that of the example is. */
const namesOf = (x: ExampleData): string[] =>
  /^(list|names)$/.test(kindOf(x)) ? Object.keys(x as object).sort() : [];

/** Tensors along a new first axis: a constant of constants. */
function joined(all: readonly Tensor[], dtype: DType | undefined, path: string): Tensor {
  const [first] = all;
  for (const [i, t] of all.entries()) {
    if (sameShape(t.shape, first.shape) && (dtype || t.dtype === first.dtype)) continue;
    throw new ShapeError(
      "stackExamples",
      `example ${i}${path && ` at "${path}"`} is ${show(t.spec)}, the first ${show(first.spec)}`,
    );
  }
  const values = all.map(constantValues);
  if (!values.every((v) => v !== undefined)) {
    return stack(dtype ? all.map((t) => cast(t, dtype)) : all);
  }
  return calledAs(
    "stackExamples",
    () => {
      const of = dtype ?? first.dtype, { data } = hostValues("tensor", values, undefined, of);
      return constantTensor(data, { shape: [all.length, ...first.shape], dtype: of });
    },
    { "": path && `"${path}": ` },
  );
}
