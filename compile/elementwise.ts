/** Kernels made of expressions alone: fused elementwise maps (several outputs at once) and epilogues behind kernels. */
import type { Tensor } from "../tensor/tensor.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type BufferUse, type Epilogue, perItem, storageType } from "../tensor/kernel.ts";
import { arithmetic, BufferNames, chooseScalars, Emitter, innermost, vector } from "./emit.ts";
import { type Expr, loadsOf } from "./expr.ts";

/** A dispatch whose buffers are named by tensors rather than by position. */
export interface TensorUse {
  readonly name: string;
  readonly tensor: Tensor;
  readonly access: "read" | "write";
  readonly type: string;
}

/** A lowered elementwise kernel. */
export interface MapKernel {
  readonly buffers: readonly TensorUse[];
  readonly body: string;
  readonly grid: readonly [number, number, number];
}

const declare = (names: BufferNames, width: 1 | 4): TensorUse[] =>
  [...names.entries()].map(([tensor, name]) => ({
    name,
    tensor,
    access: "read" as const,
    type: storageType(tensor.dtype, width === 4 && !names.isScalar(tensor) ? 4 : 1),
  }));

/** Converts a value in arithmetic type to what the buffer holds. */
const stored = (value: string, t: Tensor, width: 1 | 4): string =>
  t.dtype === "f16" ? `${vector("f16", width)}(${value})` : value;

/** One kernel that computes every expression over `shape` and writes it whole to its output tensor. */
export function mapKernel(
  shape: Shape,
  outputs: readonly Tensor[],
  exprs: readonly Expr[],
): MapKernel {
  const n = sizeOf(shape);
  const width = n % 4 === 0 && innermost(shape, exprs) % 4 === 0 ? 4 : 1;
  const names = new BufferNames("x");
  if (width === 4) chooseScalars(shape, exprs, names);
  const emit = new Emitter(shape, width, names);
  emit.load(exprs, "e");
  outputs.forEach((t, k) => {
    const value = emit.value(exprs[k]);
    emit.lines.push(`y${k}[i] = ${stored(value, t, width)};`);
  });
  const steps = n / width;
  const writes = outputs.map((tensor, k): TensorUse => ({
    name: `y${k}`,
    tensor,
    access: "write",
    type: storageType(tensor.dtype, width),
  }));
  return {
    buffers: [...declare(names, width), ...writes],
    ...perItem(
      { count: steps, name: "i" },
      `let e = i${width === 4 ? " * 4u" : ""};
  ${emit.lines.join("\n  ")}`,
    ),
  };
}

/** What is fused behind a kernel: the expression over its output's elements, and where the result goes. */
export interface FusedEpilogue {
  readonly shape: Shape;
  readonly expr: Expr;
  readonly output: Tensor;
}

/** An epilogue for kernel authors, plus the tensors behind the buffers it names. */
export interface LoweredEpilogue extends Epilogue {
  readonly reads: readonly Tensor[];
}

/** Builds the storing side of a kernel. Without a fused expression it is a plain (converted) store. */
export function epilogueOf(
  output: Tensor,
  fused: FusedEpilogue | undefined,
  width: 1 | 4,
): LoweredEpilogue {
  const names = new BufferNames("ep");
  if (fused && width === 4) chooseScalars(fused.shape, [fused.expr], names);
  if (fused) loadsOf([fused.expr]).forEach((l) => names.name(l.tensor));
  const target = fused?.output ?? output;
  const reads = [...names.entries()];
  const buffers: BufferUse[] = [
    ...reads.map(([t, name], k): BufferUse => ({
      name,
      ref: { input: -1 - k },
      access: "read",
      type: storageType(t.dtype, width === 4 && !names.isScalar(t) ? 4 : 1),
    })),
    { name: "y", ref: { output: 0 }, access: "write", type: storageType(target.dtype, width) },
  ];
  return {
    width,
    plain: !fused && target.dtype !== "f16",
    reads: reads.map(([t]) => t),
    buffers,
    store(index, value, place) {
      const at = width === 4 ? "(e >> 2u)" : "e";
      if (!fused) return `{ let e = ${index}; y[${at}] = ${stored(value, target, width)}; }`;
      const emit = new Emitter(fused.shape, width, names, "h", "ep_");
      emit.load([fused.expr], "e", place);
      const result = emit.value(fused.expr);
      const type = vector(arithmetic(output.dtype), width);
      return `{ let e = ${index}; let h: ${type} = ${value};
${emit.lines.join("\n")}
y[${at}] = ${stored(result, target, width)}; }`;
    },
  };
}
