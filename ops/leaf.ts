/**
 * Leaves of a program: values that exist before it runs. Arguments are bound at each call; constants are uploaded once;
 * literals are written into the kernels that use them (so nothing that changes per step may be one).
 */
import { append, type Node, type Tensor } from "../tensor/tensor.ts";
import { type DType, dtypeOf, type HostArray } from "../tensor/dtype.ts";
import { type Shape, ShapeError, sizeOf, type Spec } from "../tensor/shape.ts";
import { defineOp } from "../tensor/op.ts";

const nothing = () => [];
const unreachable = () => {
  throw new Error("a leaf has no inputs to compute from");
};

/** A program argument; `position` is its place among the flattened arguments. */
export const inputOp = defineOp<{ readonly position: number; readonly name: string }>({
  name: "input",
  shape: nothing,
  vjp: nothing,
  reference: unreachable,
  lowering: { kind: "leaf" },
});

/** A host array baked into the program. */
export const constantOp = defineOp<{ readonly data: HostArray }>({
  name: "constant",
  shape: nothing,
  vjp: nothing,
  reference: (_in, _specs, { data }) => [Float64Array.from(data as Float32Array)],
  lowering: { kind: "leaf" },
});

/** A number, written into the expressions that use it. */
export const literalOp = defineOp<{ readonly value: number }>({
  name: "literal",
  shape: nothing,
  vjp: nothing,
  reference: (_in, _specs, { value }) => [Float64Array.of(value)],
  lowering: { kind: "leaf" },
});

/** Memory on a device, held outside of any program (see `device/array.ts`). */
export interface Storage {
  /** Throws when the memory has been given back or donated since. */
  check(): void;
}

/** A tensor whose value already lies on a device. */
export const arrayOp = defineOp<{ readonly storage: Storage }>({
  name: "array",
  shape: nothing,
  vjp: nothing,
  reference: unreachable,
  lowering: { kind: "leaf" },
});

/** A symbolic program argument of the given spec. */
export function input(spec: Spec, position: number, name = `arg${position}`): Tensor {
  return append(inputOp, [], { position, name }, [spec])[0];
}

/** A tensor holding a device's memory. */
export function arrayTensor(storage: Storage, spec: Spec): Tensor {
  return append(arrayOp, [], { storage }, [spec])[0];
}

/** The device memory behind a tensor, if it has any already. */
export function storageOf(t: Tensor): Storage | undefined {
  return t.node.op === (arrayOp as Node["op"])
    ? (t.node as Node<{ storage: Storage }>).attrs.storage
    : undefined;
}

/**
 * A constant tensor from host data.
 *
 * @param data nested-free values in row-major order
 * @param shape extents; `[data.length]` when left out
 * @throws ShapeError when the number of values is not that of the shape
 */
export function tensor(data: HostArray | readonly number[], shape?: Shape, dtype?: DType): Tensor {
  const array = (Array.isArray(data) ? convert(data, dtype ?? "f32") : data) as HostArray;
  const s = shape ?? [array.length];
  if (sizeOf(s) !== array.length) {
    throw new ShapeError("tensor", `${array.length} values for shape [${s}]`);
  }
  return append(constantOp, [], { data: array }, [{ shape: s, dtype: dtype ?? dtypeOf(array) }])[0];
}

function convert(values: readonly number[], dtype: DType): HostArray {
  const arrays = { f32: Float32Array, f16: Float16Array, i32: Int32Array, u32: Uint32Array };
  return arrays[dtype].from(values);
}

/** @internal A constant of host data that is known to fit its spec. */
export const constantTensor = (data: HostArray, spec: Spec): Tensor =>
  append(constantOp, [], { data }, [spec])[0];

/** A scalar constant of shape `[]`: as an argument of a compiled function, a value that may change at every call. */
export const scalar = (value: number, dtype: DType = "f32"): Tensor => tensor([value], [], dtype);

/** A scalar literal of shape `[]`. */
export function literal(value: number, dtype: DType = "f32"): Tensor {
  return append(literalOp, [], { value }, [{ shape: [], dtype }])[0];
}

/** The number a tensor is known to be at trace time, if it is a literal. */
export function literalValue(t: Tensor): number | undefined {
  return t.node.op === (literalOp as Node["op"])
    ? (t.node as Node<{ value: number }>).attrs.value
    : undefined;
}
