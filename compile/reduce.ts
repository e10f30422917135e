/**
 * Folds over axes (sum, product, extremes), reading their input through a fused expression. One invocation folds one chunk of one output
 * element; partial results go through scratch, so the order of additions is fixed and no invocation loops for long.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { sizeOf, stridesOf } from "../tensor/shape.ts";
import {
  assertIterations,
  number,
  perItem,
  size,
  storageType,
  sumLoop,
  sumTurns,
} from "../tensor/kernel.ts";
import { arithmetic, BufferNames, chooseScalars, Emitter, innermost, vector } from "./emit.ts";
import { joinExtreme } from "../ops/elementwise/nan.ts";
import type { DType } from "../tensor/dtype.ts";
import { leastOf, mostOf } from "../tensor/element.ts";
import type { Expr } from "./expr.ts";
import type { TensorUse } from "./elementwise.ts";

/** What a fold begins with: what changes nothing that it is joined with. */
const startOf = (op: string, dtype: DType): number =>
  op === "sum" ? 0 : op === "prod" ? 1 : op === "max" ? leastOf(dtype) : mostOf(dtype);

/** A reduction lowered to one or two dispatches; scratch buffers are named `part`. */
export interface ReduceKernel {
  readonly stages: readonly {
    readonly buffers: readonly (TensorUse | {
      readonly name: "part";
      readonly access: "read" | "write";
      readonly type: string;
    })[];
    readonly body: string;
    readonly grid: readonly [number, number, number];
  }[];
  /** Bytes of partial results; 0 when one stage is enough. */
  readonly scratch: number;
}

/** Longest run that one invocation folds before the reduction is split into chunks. */
const CHUNK = 512;

/** Lowers a fold of `expr` over `shape`, reducing `axes`, into `output`. */
export function reduceKernel(
  op: "sum" | "prod" | "max" | "min",
  shape: readonly number[],
  axes: readonly number[],
  expr: Expr,
  output: Tensor,
): ReduceKernel {
  const kept = shape.map((d, i) => axes.includes(i) ? 1 : d);
  const outer = sizeOf(kept);
  const length = sizeOf(shape) / outer;
  // Vectors run along the innermost axis when it is kept; when it is reduced, lanes are folded together at the end.
  const innerKept = !axes.includes(shape.length - 1);
  const inner = shape.at(-1)!;
  const width = inner % 4 === 0 && innermost(shape, [expr]) % 4 === 0 ? 4 : 1;
  const steps = length / (innerKept ? 1 : width);
  const lanes = innerKept ? outer / width : outer;
  const chunks = steps > CHUNK
    ? Math.min(Math.ceil(steps / 64), Math.max(2, Math.ceil(16384 / lanes)), 4096)
    : 1;
  const per = Math.ceil(steps / chunks);
  assertIterations(`${op} over ${length} elements`, sumTurns(per));

  const t = arithmetic(output.dtype);
  const type = vector(t, width);
  const start = `${type}(${number(startOf(op, output.dtype), t)})`;
  const joinAs = (a: string, b: string, width: 1 | 4) =>
    op === "sum" || op === "prod"
      ? `${a} ${op === "sum" ? "+" : "*"} ${b}`
      : t === "f32"
      ? joinExtreme(op, a, b, vector("u32", width))
      : `${op}(${a}, ${b})`;
  const collapseLanes = (v: string) =>
    width === 1 || innerKept
      ? v
      : op === "sum"
      ? `(${v}.x + ${v}.y) + (${v}.z + ${v}.w)`
      : ["x", "y", "z", "w"].map((c) => `${v}.${c}`).reduce((a, b) => joinAs(a, b, 1));

  const names = new BufferNames("x");
  if (width === 4) chooseScalars(shape, [expr], names);
  const emit = new Emitter(shape, width, names);
  emit.load([expr], "e");
  const value = emit.value(expr);
  const whole = chunks === 1;
  const target = (v: string) =>
    output.dtype === "f16" ? `${innerKept ? vector("f16", width) : "f16"}(${v})` : v;
  const outWidth = innerKept ? width : 1;
  const reads = [...names.entries()].map(([tensor, name]): TensorUse => ({
    name,
    tensor,
    access: "read",
    type: storageType(tensor.dtype, width === 4 && !names.isScalar(tensor) ? 4 : 1),
  }));
  const write: TensorUse = {
    name: "y",
    tensor: output,
    access: "write",
    type: storageType(output.dtype, outWidth),
  };
  const partType = vector(t, outWidth);
  /** Folds `value(k)` for k = from … to into `acc`. */
  const folded = (
    value: string,
    { before = "", ...loop }: { before?: string; from: string; to: string; most: number },
    type: string,
    width: 1 | 4,
  ) =>
    sumLoop({
      index: "k",
      ...loop,
      sums: op === "sum" ? { acc: type } : {},
      turn: (into) => {
        const acc = op === "sum" ? into("acc") : "acc";
        return `${before} ${acc} = ${joinAs(acc, value, width)};`;
      },
    });
  const first = perItem(
    { count: lanes * chunks, name: "g" },
    `let o = g % ${size(lanes, "lanes")};
  let chunk = g / ${size(lanes, "lanes")};
  let from_ = chunk * ${size(per, "per")};
  let to_ = min(from_ + ${size(per, "per")}, ${size(steps)});
  ${baseIndex(shape, axes, innerKept ? width : 1)}
  var acc = ${start};
  ${
      folded(
        value,
        {
          from: "from_",
          to: "to_",
          most: per,
          before: `${stepIndex(shape, axes, innerKept ? 1 : width)}
    ${emit.lines.join("\n    ")}
   `,
        },
        type,
        width,
      )
    }
  ${whole ? `y[o] = ${target(collapseLanes("acc"))};` : `part[g] = ${collapseLanes("acc")};`}`,
  );
  if (whole) return { stages: [{ buffers: [...reads, write], ...first }], scratch: 0 };

  const second = perItem(
    { count: lanes, name: "o" },
    `var acc = part[o];
  ${
      folded(
        `part[k * ${lanes}u + o]`,
        { from: "1u", to: `${chunks}u`, most: chunks },
        partType,
        outWidth,
      )
    }
  y[o] = ${target("acc")};`,
  );
  return {
    stages: [
      { buffers: [...reads, { name: "part", access: "write", type: partType }], ...first },
      {
        buffers: [{ name: "part", access: "read", type: partType }, write],
        ...second,
      },
    ],
    scratch: lanes * chunks * 4 * outWidth,
  };
}

/** WGSL for `base`: flat element index of output `o` in the input, all reduced coordinates being 0. */
function baseIndex(shape: readonly number[], axes: readonly number[], width: number): string {
  return unravel("o", "base", shape, shape.map((_, i) => !axes.includes(i)), width);
}

/** WGSL for `e`: `base` advanced to the k-th reduced coordinate. */
function stepIndex(shape: readonly number[], axes: readonly number[], width: number): string {
  return `${
    unravel("k", "step_", shape, shape.map((_, i) => axes.includes(i)), width)
  }\n    let e = base + step_;`;
}

/** Turns a flat index over the chosen axes (innermost in steps of `width`) into a flat index over all axes. */
function unravel(
  from: string,
  to: string,
  shape: readonly number[],
  chosen: readonly boolean[],
  width: number,
): string {
  const strides = stridesOf(shape);
  const axes = shape.map((_, i) => i).filter((i) => chosen[i] && shape[i] > 1);
  if (!axes.length) return `let ${to} = 0u;`;
  // Runs of adjacent chosen axes behave as one axis.
  const runs: { extent: number; stride: number }[] = [];
  for (const i of axes.toReversed()) {
    const last = runs.at(-1);
    if (last && strides[i] === last.stride * last.extent) last.extent *= shape[i];
    else runs.push({ extent: shape[i], stride: strides[i] });
  }
  const lines: string[] = [];
  const terms: string[] = [];
  let rest = from;
  runs.forEach((r, n) => {
    const step = n === 0 && r.stride === 1 ? width : 1;
    const extent = r.extent / step;
    const c = n === runs.length - 1 ? rest : `${to}${n}`;
    if (n < runs.length - 1) {
      const by = size(extent, `${to}n${n}`);
      lines.push(`let ${c} = ${rest} % ${by};`, `let ${to}r${n} = ${rest} / ${by};`);
      rest = `${to}r${n}`;
    }
    const stride = r.stride * step;
    terms.push(stride === 1 ? c : `${c} * ${size(stride, `${to}s${n}`)}`);
  });
  return `${lines.join(" ")} let ${to} = ${terms.join(" + ")};`;
}
