/**
 * Folds over axes (sum, product, extremes), reading their input through a fused expression. One invocation folds one chunk of one output
 * element; partial results go through scratch, so the order of additions is fixed and no invocation loops for long.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { permuteView } from "../tensor/view.ts";
import {
  type AdapterProfile,
  number,
  perItem,
  size,
  storageType,
  type SumLoop,
  sumLoop,
} from "../tensor/kernel.ts";
import { BufferNames, chooseScalars, Emitter, innermost, type Part, vector } from "./emit.ts";
import { INFINITY_BITS, joinExtreme, NOT_A_NUMBER } from "../ops/elementwise/nan.ts";
import { arithmetic, type DType } from "../tensor/dtype.ts";
import { leastOf, mostOf } from "../tensor/element.ts";
import { type Expr, withView } from "./expr.ts";
import { groupOf, type TensorUse } from "./elementwise.ts";

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
/**
 * So few turns, those of a small window, are written out: where each reads is then known beforehand. Not so sums on GPUs,
 * whose compilers put those that they see whole into another order.
 */
const UNROLLED = 9;

/** Elements up to which what is folded is a window, of which there are few sizes. */
const WINDOW = 64;

/** Lowers a fold of `expr` over `shape`, reducing `axes`, into `output`. */
export function reduceKernel(
  op: "sum" | "prod" | "max" | "min",
  shape: readonly number[],
  axes: readonly number[],
  expr: Expr,
  output: Tensor,
  { cpu }: Pick<AdapterProfile, "cpu">,
): ReduceKernel {
  const outer = sizeOf(shape.filter((_, i) => !axes.includes(i)));
  const length = sizeOf(shape) / outer;
  // Vectors run along the innermost axis when it is kept; when it is reduced, lanes are folded together at the end.
  const innerKept = !axes.includes(shape.length - 1);
  const rest = shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const sorted = axes.toSorted((a, b) => a - b);
  const order = innerKept ? [...sorted, ...rest] : [...rest, ...sorted];
  const space = order.map((i) => shape[i]);
  const read = withView(expr, (v) => permuteView(v, order))!;
  const sides = [{ axes: sorted.length }, { axes: rest.length }];
  if (!innerKept) sides.reverse();
  const inner = innermost(space, [read], sides);
  const width = shape.at(-1)! % 4 === 0 && inner % 4 === 0 ? 4 : 1;
  const steps = length / (innerKept ? 1 : width);
  const lanes = innerKept ? outer / width : outer;
  const chunks = steps > CHUNK
    ? Math.min(Math.ceil(steps / 64), Math.max(2, Math.ceil(16384 / lanes)), 4096)
    : 1;
  const per = Math.ceil(steps / chunks);

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
  if (width === 4) chooseScalars(space, [read], names, sides);
  const emit = new Emitter(space, width, names);
  const wide = (index: string) => width === 4 ? `${index} * 4u` : index;
  const across: Part = { axes: rest.length, index: innerKept ? wide("o") : "o", early: true };
  const along: Part = {
    axes: sorted.length,
    index: innerKept ? "k" : wide("k"),
    literal: length <= WINDOW,
  };
  emit.loadParts([read], innerKept ? [along, across] : [across, along]);
  const value = emit.value(read);
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
  // An extreme of floats loses a NaN on the way: the largest of all magnitudes' bits tells whether there was one.
  const loses = t === "f32" && (op === "max" || op === "min");
  /** Folds `value(k)` for k = from … to into `acc`, which is declared and holds what it begins with. */
  const folded = (
    value: string,
    { before = "", ...loop }: { before?: string; from: string; to: string; most: number },
    type: string,
    width: 1 | 4,
  ) => {
    const words = vector("u32", width);
    const turns: SumLoop = {
      index: "k",
      ...loop,
      sums: op === "sum" ? { acc: type } : {},
      turn(into) {
        if (loses) {
          return `${before} let v = ${value}; acc = ${op}(acc, v);
  magnitude = max(magnitude, bitcast<${words}>(v) & ${words}(0x7fffffffu));`;
        }
        const acc = op === "sum" ? into("acc") : "acc";
        return `${before} ${acc} = ${joinAs(acc, value, width)};`;
      },
    };
    const all = (cpu || op === "max" || op === "min") && chunks === 1 && steps <= UNROLLED
      ? Array.from({ length: steps }, (_, k) => `{ let k = ${k}u; ${turns.turn((s) => s)} }`)
        .join("\n  ")
      : sumLoop(turns);
    if (!loses) return all;
    return `var magnitude = bitcast<${words}>(acc) & ${words}(0x7fffffffu);
  ${all}
  acc = select(acc, ${type}(${NOT_A_NUMBER}), magnitude > ${words}(${INFINITY_BITS}u));`;
  };
  const first = perItem(
    {
      count: lanes * chunks,
      name: "g",
      ...innerKept && { workgroup: groupOf(inner / width, cpu) },
    },
    `${
      whole
        ? `let o = g; let from_ = 0u; let to_ = ${size(steps)};`
        : `let o = g % ${size(lanes, "lanes")};
  let chunk = g / ${size(lanes, "lanes")};
  let from_ = chunk * ${size(per, "per")};
  let to_ = min(from_ + ${size(per, "per")}, ${size(steps)});`
    }
  ${emit.before.join("\n  ")}
  var acc = ${start};
  ${
      folded(
        value,
        {
          from: "from_",
          to: "to_",
          most: per,
          before: `${emit.lines.join("\n    ")}\n   `,
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
