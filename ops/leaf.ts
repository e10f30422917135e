/**
 * Leaves of a program: values that exist before it runs. Arguments are bound at each call; constants are uploaded once;
 * literals are written into the kernels that use them (so nothing that changes per step may be one).
 */
import { calledAs } from "../tensor/called.ts";
import { append, type Node, tapeOf, type Tensor } from "../tensor/tensor.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import { hostValues, type TensorData } from "../tensor/host.ts";
import { showValues } from "../tensor/print.ts";
import type { Shape, Spec } from "../tensor/shape.ts";
import { unbatched } from "../tensor/batch.ts";
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
  batch: unbatched,
  reference: unreachable,
  lowering: { kind: "leaf" },
  describe: ({ name }) => `(argument ${name} of a function that is being traced)`,
});

/** A host array baked into the program. */
export const constantOp = defineOp<{ readonly data: HostArray }>({
  name: "constant",
  shape: nothing,
  vjp: nothing,
  batch: unbatched,
  reference: (_in, _specs, { data }) => [Float64Array.from(data as Float32Array)],
  lowering: { kind: "leaf" },
  describe: ({ data }, spec) => showValues(spec, data),
});

/** A number, written into the expressions that use it. */
export const literalOp = defineOp<{ readonly value: number }>({
  name: "literal",
  shape: nothing,
  vjp: nothing,
  batch: unbatched,
  reference: (_in, _specs, { value }) => [Float64Array.of(value)],
  lowering: { kind: "leaf" },
  describe: ({ value }, spec) => showValues(spec, [value]),
});

/** Memory on a device, held outside of any program (see `device/buffers.ts`). */
export interface Storage {
  /** Why the value is there no more: the memory has been given back, donated or overwritten since. */
  readonly gone: string | undefined;
}

/** A tensor whose value already lies on a device. */
export const arrayOp = defineOp<{ readonly storage: Storage }>({
  name: "array",
  shape: nothing,
  vjp: nothing,
  batch: unbatched,
  reference: unreachable,
  lowering: { kind: "leaf" },
  describe: ({ storage: { gone } }) =>
    gone ? `(gone: ${gone})` : "(on the device: await device.read(t))",
});

/** A symbolic program argument of the given spec. */
export function input(spec: Spec, position: number, name = `arg${position}`): Tensor {
  return append(inputOp, [], { position, name }, [spec])[0];
}

/** A tensor holding a device's memory. */
export function arrayTensor(storage: Storage, spec: Spec): Tensor {
  return append(arrayOp, [], { storage }, [spec])[0];
}

/** What a tensor without device memory is, and how it gets some: the end of messages that refuse one. */
export function withoutMemory(t: Tensor): string {
  const traced = tapeOf([t]).find((n) => n.op === (inputOp as Node["op"]));
  if (!traced) return `${t}: evaluate(device, t) computes it first`;
  return `${t}${
    t.node === traced ? "" : `, made of ${traced.outputs[0]}`
  }: it has no value outside of that ` +
    "function. Return what is needed from there, or pass it in as an argument";
}

/** The device memory behind a tensor, if it has any already. */
export function storageOf(t: Tensor): Storage | undefined {
  return t.node.op === (arrayOp as Node["op"])
    ? (t.node as Node<{ storage: Storage }>).attrs.storage
    : undefined;
}

/**
 * A constant tensor of values on the host, which are copied.
 *
 * Numbers are converted by their value: to floats they are rounded to the nearest, and an integer type must hold them
 * exactly. Truth values are 1 and 0, and `bool` takes those two alone: of other numbers `notEqual(x, 0)` makes them.
 *
 * @param data a number, a typed array in row-major order, or a list of such, nested as deep as the shape
 * @param shape extents; those of the nesting when left out
 * @param dtype element type. Left out, it is that of a typed array (of other widths f32, i32 or u32), bool for truth values,
 *   i32 for bigints, and f32 for other numbers
 * @throws ShapeError when the number of values is not that of the shape, or lists are ragged
 * @throws RangeError when the element type cannot hold a number: which one is said
 * @throws TypeError when something is no number, or the kinds of several differ and no element type is given
 */
export function tensor(data: TensorData, shape?: Shape, dtype?: DType): Tensor {
  const { data: values, ...spec } = hostValues("tensor", data, shape, dtype);
  const own = values === data ? values.slice() : values;
  return append(constantOp, [], { data: own }, [spec])[0];
}

/** The values of a constant, where the tensor is one. */
export function constantValues(t: Tensor): HostArray | undefined {
  return t.node.op === (constantOp as Node["op"])
    ? (t.node as Node<{ data: HostArray }>).attrs.data
    : undefined;
}

/** @internal A constant of host data that is known to fit its spec. */
export const constantTensor = (data: HostArray, spec: Spec): Tensor =>
  append(constantOp, [], { data }, [spec])[0];

/**
 * A scalar constant of shape `[]`: as an argument of a compiled function, a value that may change at every call.
 *
 * @param dtype default f32, bool for a truth value
 */
export const scalar = (value: number | boolean, dtype?: DType): Tensor =>
  calledAs(
    "scalar",
    () => tensor([value], [], dtype ?? (typeof value === "boolean" ? "bool" : "f32")),
    { "value 0": "argument 1 (value)" },
  );

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
