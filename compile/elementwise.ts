/** Kernels made of expressions alone: fused elementwise maps (several outputs at once) and epilogues behind kernels. */
import type { Tensor } from "../tensor/tensor.ts";
import { arithmetic } from "../tensor/dtype.ts";
import { type Shape, sizeOf, stridesOf } from "../tensor/shape.ts";
import {
  type AdapterProfile,
  type BufferUse,
  type Epilogue,
  perItem,
  size,
  storageType,
} from "../tensor/kernel.ts";
import {
  BufferNames,
  chooseScalars,
  collapse,
  Emitter,
  innermost,
  readMode,
  vector,
} from "./emit.ts";
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
  { cpu }: Pick<AdapterProfile, "cpu">,
): MapKernel {
  const n = sizeOf(shape);
  const inner = innermost(shape, exprs);
  const width = n % 4 === 0 && inner % 4 === 0 ? 4 : 1;
  const names = new BufferNames("x");
  if (width === 4) chooseScalars(shape, exprs, names);
  const emit = new Emitter(shape, width, names);
  const blocks = width === 4 ? blockOrder(shape, exprs) : undefined;
  emit.load(exprs, "e");
  outputs.forEach((t, k) => {
    const value = emit.value(exprs[k]);
    emit.lines.push(`y${k}[${blocks ? "e >> 2u" : "i"}] = ${stored(value, t, width)};`);
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
      {
        count: steps,
        name: "i",
        workgroup: blocks ? BLOCK * BLOCK / 4 : groupOf(inner / width, cpu),
      },
      `${blocks ?? `let e = i${width === 4 ? " * 4u" : ""};`}
  ${emit.lines.join("\n  ")}`,
    ),
  };
}

/** Invocations of a workgroup that is not a row. */
const GROUP = 64;
/** Fewest and most of one that is a row, or an equal part of one. */
const [LEAST, MOST] = [16, 256];

/**
 * Invocations of a workgroup whose numbers run along rows of so many. On the CPU a workgroup is a row, or a part of one:
 * where it lies then follows from the workgroup's number alone, and is computed once for all of it.
 */
export function groupOf(row: number, cpu: boolean): number {
  if (!cpu || row < LEAST) return GROUP;
  let parts = Math.ceil(row / MOST);
  while (row % parts) parts++;
  return row / parts < LEAST ? GROUP : row / parts;
}

/** Elements of a side of the blocks that a transposed tensor is walked through by. */
const BLOCK = 16;

/**
 * WGSL for `e` from `i` where something is read across its memory: a workgroup takes a block of two axes, the last and
 * the one along which that something lies in a row, so that all of what a cache fetches is used. Nothing where all is
 * read as it lies, or blocks don't fit.
 */
function blockOrder(space: Shape, exprs: readonly Expr[]): string | undefined {
  const { shape, views } = collapse(space, loadsOf(exprs).map((l) => l.view));
  const last = shape.length - 1;
  const across = views.find((v) => readMode(v) === "gather" && v.strides[last] >= BLOCK);
  const axis = across ? across.strides.indexOf(1) : -1;
  if (axis < 0 || axis === last || shape[axis] % BLOCK || shape[last] % BLOCK) return undefined;
  const strides = stridesOf(shape);
  const lines = [`let lane = i % ${(BLOCK * BLOCK) / 4}u;`];
  const terms = [
    `(lane / ${BLOCK / 4}u) * ${size(strides[axis], "rows")}`,
    `lane % ${BLOCK / 4}u * 4u`,
  ];
  let rest = `i / ${(BLOCK * BLOCK) / 4}u`;
  for (let d = last; d >= 0; d--) {
    const side = d === axis || d === last ? BLOCK : 1;
    const extent = size(shape[d] / side, `n${d}`);
    lines.push(`let at${d} = ${d ? `(${rest}) % ${extent}` : rest};`);
    if (d) lines.push(`let rest${d} = (${rest}) / ${extent};`);
    terms.push(`at${d} * ${size(strides[d] * side, `s${d}`)}`);
    rest = `rest${d}`;
  }
  return `${lines.join(" ")} let e = ${terms.join(" + ")};`;
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
