/**
 * The kernels of a scan: each chunk is folded to one number, the chunks' numbers are scanned, and each chunk is walked
 * again from where the ones before it end. Chunks are as long as there are many, so that nobody walks for long, and what
 * is joined with what depends on the shape alone.
 */
import {
  type BufferUse,
  type KernelContext,
  type KernelPlan,
  number,
  perItem,
  storageType,
} from "../../tensor/kernel.ts";
import { arithmetic, type DType } from "../../tensor/dtype.ts";
import { leastOf, mostOf } from "../../tensor/element.ts";
import { joinExtreme } from "../elementwise/nan.ts";

/** What is joined along the axis; "linear" takes factors beside what is added. */
export type ScanMode = "add" | "mul" | "max" | "min" | "linear";

/** Attributes of a scan of `[R, n, D]` along its middle axis. */
export interface ScanAttrs {
  readonly mode: ScanMode;
  readonly reverse: boolean;
  readonly exclusive: boolean;
}

/** What joins to nothing. */
export const identityOf = (mode: ScanMode, dtype: DType): number =>
  mode === "mul" ? 1 : mode === "max" ? leastOf(dtype) : mode === "min" ? mostOf(dtype) : 0;

/** Chunks shorter than this are not worth their own numbers. */
const LEAST = 64;

export function scanKernel({ inputs: [x], attrs, epilogue }: KernelContext<ScanAttrs>): KernelPlan {
  const { mode, reverse, exclusive } = attrs;
  const [r, n, d] = x.shape;
  const { width } = epilogue;
  const steps = d / width;
  const scalar = arithmetic(x.dtype);
  const type = storageType(scalar, width);
  const linear = mode === "linear";
  const length = n <= 2 * LEAST ? n : Math.max(LEAST, Math.ceil(Math.sqrt(n)));
  const chunks = Math.ceil(n / length);
  const identity = identityOf(mode, x.dtype);
  const nothing = `${type}(${number(identity, scalar)})`;
  const join = (a: string, b: string) => {
    if (mode === "add") return `${a} + ${b}`;
    if (mode === "mul") return `${a} * ${b}`;
    if (scalar !== "f32") return `${mode}(${a}, ${b})`;
    return joinExtreme(mode as "max" | "min", a, b, storageType("u32", width));
  };
  const stored = storageType(x.dtype, width);
  const read = (name: string, input: number): BufferUse => ({
    name,
    ref: { input },
    access: "read",
    type: stored,
  });
  const reads = [read("xs", 0), ...linear ? [read("factors", 1)] : []];
  const part = (access: "read" | "write"): BufferUse => ({
    name: "part",
    ref: { scratch: 0 },
    access,
    type,
  });
  const each = linear ? 2 : 1;
  const head = `let column = t % ${steps}u;
  let chunk = t / ${steps}u % ${chunks}u;
  let row = t / ${steps * chunks}u;
  let end = min(chunk * ${length}u + ${length}u, ${n}u);`;
  /** Statements of a walk along a chunk: element `x`, its factor, its flat step `at`. */
  const walk = (body: string) =>
    `for (var k = chunk * ${length}u; k < end; k++) {
    let at = (row * ${n}u + ${reverse ? `${n - 1}u - k` : "k"}) * ${steps}u + column;
    let x = ${type}(xs[at]);
    ${linear ? `let a = ${type}(factors[at]);` : ""}
    ${body}
  }`;
  const step = linear ? "acc = a * acc + x;" : `acc = ${join("acc", "x")};`;
  const put = epilogue.store(`at * ${width}u`, "acc");
  const last = {
    label: "scan",
    buffers: [...reads, ...chunks > 1 ? [part("read")] : [], ...epilogue.buffers],
    ...perItem(
      { count: r * steps * chunks, name: "t" },
      `${head}
  var acc = ${chunks > 1 ? `part[t * ${each}u]` : nothing};
  ${walk(exclusive ? `${put}\n    ${step}` : `${step}\n    ${put}`)}`,
    ),
  };
  if (chunks === 1) return { dispatches: [last] };
  const folded = {
    label: "scan (chunks)",
    buffers: [...reads, part("write")],
    ...perItem(
      { count: r * steps * chunks, name: "t" },
      `${head}
  var acc = ${nothing};
  ${linear ? `var product = ${type}(1.0);` : ""}
  ${walk(`${step} ${linear ? "product = product * a;" : ""}`)}
  part[t * ${each}u] = acc;
  ${linear ? "part[t * 2u + 1u] = product;" : ""}`,
    ),
  };
  const joined = {
    label: "scan (join)",
    buffers: [part("write")],
    ...perItem(
      { count: r * steps, name: "t" },
      `let column = t % ${steps}u;
  let row = t / ${steps}u;
  var acc = ${nothing};
  for (var chunk = 0u; chunk < ${chunks}u; chunk++) {
    let at = ((row * ${chunks}u + chunk) * ${steps}u + column) * ${each}u;
    let x = part[at];
    ${linear ? "let a = part[at + 1u];" : ""}
    part[at] = acc;
    ${step}
  }`,
    ),
  };
  return { dispatches: [folded, joined, last], scratch: [r * steps * chunks * each * width * 4] };
}
