/**
 * Attention on the CPU device: scores are written to scratch memory, and everything but their softmax is a matrix product
 * (`gemm/`) that does the rest where it stores its result. Long sequences go a few heads at a time, so that the scratch
 * stays small; what does not fit even so streams.
 */
import {
  type AdapterProfile,
  type BufferUse,
  type Dispatch,
  f32,
  type KernelContext,
  type KernelPlan,
  perItem,
  storageType,
} from "../../tensor/kernel.ts";
import type { Spec } from "../../tensor/shape.ts";
import { chooseCpu, cpuKernel, packedBytes, packKernel } from "../gemm/cpu_kernel.ts";
import { matrix } from "../gemm/operands.ts";
import { flopsOf, type Gemm, type Operand as GemmOperand } from "../gemm/problem.ts";
import {
  type AttentionAttrs,
  type AttentionGradAttrs,
  type InputName,
  INPUTS,
  inputUse,
  LOWEST,
  MASKED,
  type Operand,
  type Problem,
  stored,
} from "./problem.ts";

/** The most bytes of scores that are ever written. */
const SCORE_BYTES = 64 << 20;

/** Vectors of four in a row of scores. */
const vectorsOf = (p: Problem): number => Math.ceil(p.S / 4);
/** Bytes of the scores of one head of one sample. */
const headBytes = (p: Problem): number => p.T * vectorsOf(p) * 16;

/** Whether the scores of this problem may be written out, a few heads at a time. */
export function scoresFit(p: Problem, profile: AdapterProfile): boolean {
  return p.D % 4 === 0 && headBytes(p) <= Math.min(SCORE_BYTES, profile.maxBinding);
}

/** Heads, counted over all samples, whose scores are in memory at one time. */
interface Part extends Problem {
  readonly first: number;
  readonly heads: number;
}

/** The problem in parts whose scores fit together; the first is the largest. */
function partsOf(p: Problem, profile: AdapterProfile): Part[] {
  const all = p.B * p.H;
  const most = Math.floor(Math.min(SCORE_BYTES, profile.maxBinding) / headBytes(p));
  const heads = Math.ceil(all / Math.ceil(all / Math.min(all, most)));
  return Array.from({ length: Math.ceil(all / heads) }, (_, i) => {
    const first = i * heads;
    return { ...p, first, heads: Math.min(heads, all - first) };
  });
}

/** A product of the scores in a scratch buffer, as they lie there or transposed, and the rows of an input. */
interface Weighted {
  readonly label: string;
  readonly scratch: number;
  readonly transposed: boolean;
  readonly right: InputName;
}

const RESULT: Weighted = { label: "attention P·v", scratch: 0, transposed: false, right: "v" };
const GRADIENTS: Readonly<Record<Operand, Weighted>> = {
  q: { label: "attention dS·k", scratch: 1, transposed: false, right: "k" },
  k: { label: "attention dSᵀ·q", scratch: 1, transposed: true, right: "q" },
  v: { label: "attention Pᵀ·g", scratch: 0, transposed: true, right: "g" },
};

/** The dispatches of one attention problem, and the scratch buffer in which all of its products pack their right side. */
class Dispatches {
  readonly all: Dispatch[] = [];
  #bytes = 0;

  constructor(
    readonly inputs: KernelContext<unknown>["inputs"],
    /** Scratch buffers before that one. */
    readonly scratch: readonly number[],
  ) {}

  plan(): KernelPlan {
    return { dispatches: this.all, scratch: [...this.scratch, this.#bytes] };
  }

  /** A product; `store` is WGSL for the product `value` of row `m` and columns `n` … `n + 3` of head `z`. */
  product(g: Gemm, buffers: readonly BufferUse[], columns: number, store: string): void {
    const choice = { ...chooseCpu(g), splits: 1 };
    const panel: BufferUse = {
      name: "panel",
      ref: { scratch: this.scratch.length },
      access: "read",
      type: "vec4<f32>",
    };
    if (choice.packed) {
      this.#bytes = Math.max(this.#bytes, packedBytes(g, choice.tile));
      this.all.push({
        label: `${g.label} (pack)`,
        buffers: [g.b.buffer, { ...panel, access: "write" }],
        ...packKernel(g, choice.tile),
      });
    }
    const put = `fn put(m: u32, n: u32, z: u32, split: u32, value: vec4<f32>) {
  if (m >= ${g.m}u || n >= ${columns}u) { return; }
  ${store}
}`;
    // Converting an f16 costs as much as converting four.
    const left = g.a.buffer.type === "vec4<f16>" ? g.a : g.a.narrow;
    this.all.push({
      label: g.label,
      buffers: [left.buffer, choice.packed ? panel : g.b.buffer, ...buffers],
      ...cpuKernel(g, choice, put, left),
      flops: flopsOf(g),
    });
  }

  /** An input as an operand whose rows are those of one head, or with `across` its columns. */
  operand(p: Part, name: InputName, across = false): GemmOperand {
    const input = INPUTS.indexOf(name);
    const spec = this.inputs[input];
    const [, rows] = spec.shape;
    const row = p.H * p.D;
    const batch = (z: string) =>
      `((${z} + ${p.first}u) / ${p.H}u * ${
        rows * row
      }u + (${z} + ${p.first}u) % ${p.H}u * ${p.D}u)`;
    const strides = across ? { batch, row: 1, k: row } : { batch, row, k: 1 };
    return matrix(name.toUpperCase(), input, spec, strides);
  }

  /** Rows of `left` times rows of `right`: a number for each score, stored at `at` of a buffer of scores. */
  scores(
    p: Part,
    label: string,
    [left, right]: readonly [InputName, InputName],
    buffers: readonly BufferUse[],
    store: string,
  ): void {
    const [a, b] = [this.operand(p, left), this.operand(p, right)];
    const g = { ...gemmOf(label, p.T, p.S, p.D, p), a, b };
    const width = vectorsOf(p);
    const at = `let at = (z * ${p.T}u + m) * ${width}u + (n >> 2u);`;
    this.product(g, buffers, 4 * width, `${at} ${store}`);
  }

  /** Scores times the rows of an input, stored to output `output`; with a `factor`, each row times its own. */
  weighted(
    p: Part,
    { label, scratch, transposed, right }: Weighted,
    output: number,
    { dtype }: Spec,
    factor?: BufferUse,
  ): void {
    const [rows, length] = transposed ? [p.S, p.T] : [p.T, p.S];
    const row = 4 * vectorsOf(p);
    const spec = { shape: [p.heads, p.T, row], dtype: "f32" } as const;
    const strides = { batch: p.T * row, ...transposed ? { row: 1, k: row } : { row, k: 1 } };
    const made = matrix("SCORES", 0, spec, strides, 1);
    const read: GemmOperand = { ...made, buffer: { ...made.buffer, ref: { scratch } } };
    const g = {
      ...gemmOf(label, rows, p.D, length, p),
      a: { ...read, narrow: read },
      b: this.operand(p, right, true),
    };
    const out: BufferUse = {
      name: "OUT",
      ref: { output },
      access: "write",
      type: storageType(dtype, 4),
    };
    const value = factor ? `value * ${factor.name}[z * ${p.T}u + m]` : "value";
    this.product(
      g,
      [out, ...factor ? [factor] : []],
      p.D,
      `OUT[(${rowOf(p, rows)} * ${p.D}u + n) >> 2u] = ${stored(value, dtype, 4)};`,
    );
  }
}

const gemmOf = (label: string, m: number, n: number, length: number, { heads }: Part) => ({
  ...{ label, m, n, length, batch: heads, segments: 1 },
  row: () => "",
});

/** Row `m` of head `z` among the rows of all heads and samples. */
const rowOf = (p: Part, rows: number): string =>
  `(((z + ${p.first}u) / ${p.H}u * ${rows}u + m) * ${p.H}u + (z + ${p.first}u) % ${p.H}u)`;

const score = (name: string, scratch: number, access: "read" | "write"): BufferUse => ({
  name,
  ref: { scratch },
  access,
  type: "vec4<f32>",
});

/** The value, or another where a score is masked or padding. */
function masked(p: Part, value: string, other: string): string {
  const column = "(vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u))";
  const tests = [
    ...(p.S % 4 ? [`(${column} < vec4<u32>(${p.S}u))`] : []),
    ...(p.causal ? [`(${column} <= vec4<u32>(m))`] : []),
  ];
  return tests.length ? `select(vec4<f32>(${other}), ${value}, ${tests.join(" & ")})` : value;
}

/** Scores, their softmax in place, and the product with v. */
export function cpuForward(p: Problem, ctx: KernelContext<AttentionAttrs>): KernelPlan {
  const parts = partsOf(p, ctx.profile);
  const { heads } = parts[0];
  const made = new Dispatches(ctx.inputs, [heads * headBytes(p), heads * p.T * 4]);
  const factor = (access: "read" | "write"): BufferUse => ({
    ...{ name: "FACTOR", ref: { scratch: 1 }, type: "f32" },
    access,
  });
  for (const part of parts) {
    const value = masked(part, `value * ${f32(p.scale)}`, MASKED);
    const scores = score("SCORES", 0, "write");
    made.scores(part, "attention q·kᵀ", ["q", "k"], [scores], `SCORES[at] = ${value};`);
    const sums: BufferUse = { name: "SUM", ref: { output: 1 }, access: "write", type: "f32" };
    made.all.push(softmax(part, [scores, factor("write"), sums]));
    made.weighted(part, RESULT, 0, ctx.outputs[0], factor("read"));
  }
  return made.plan();
}

function softmax(p: Part, buffers: readonly BufferUse[]): Dispatch {
  const width = vectorsOf(p);
  const work = `let z = row / ${p.T}u; let m = row % ${p.T}u; let first = row * ${width}u;
  var most4 = vec4<f32>(${LOWEST});
  for (var s = 0u; s < ${width}u; s++) { most4 = max(most4, SCORES[first + s]); }
  let most = max(max(most4.x, most4.y), max(most4.z, most4.w));
  var sum4 = vec4<f32>();
  for (var s = 0u; s < ${width}u; s++) {
    let e = exp(SCORES[first + s] - most);
    sum4 += e;
    SCORES[first + s] = e;
  }
  let total = (sum4.x + sum4.y) + (sum4.z + sum4.w);
  FACTOR[row] = 1.0 / total;
  SUM[${rowOf(p, p.T)}] = most + log(total);`;
  const kernel = perItem({ count: p.heads * p.T, name: "row", workgroup: 16 }, work);
  return { label: "attention softmax", buffers, ...kernel };
}

/** Weights P = exp(scale · q·kᵀ − lse), derivatives P · (g·vᵀ − δ) · scale of the scores, one product a wanted gradient. */
export function cpuGrad(p: Problem, ctx: KernelContext<AttentionGradAttrs>): KernelPlan {
  const { wanted } = ctx.attrs;
  const parts = partsOf(p, ctx.profile);
  const bytes = parts[0].heads * headBytes(p);
  const [keeps, slopes] = [wanted.includes("v"), wanted.includes("q") || wanted.includes("k")];
  const made = new Dispatches(ctx.inputs, [keeps ? bytes : 0, slopes ? bytes : 0]);
  // Without a place of their own, weights lie where the derivatives will.
  const place = keeps ? 0 : 1;
  const scale = f32(p.scale);
  for (const part of parts) {
    const statistic = (name: InputName) => `vec4<f32>(${name.toUpperCase()}[${rowOf(part, p.T)}])`;
    const weight = masked(part, `exp(value * ${scale} - ${statistic("lse")})`, "0.0");
    const weights = score("WEIGHTS", place, "write");
    const lse = inputUse("lse", ctx.inputs, 1);
    const again = "attention weights again";
    made.scores(part, again, ["q", "k"], [lse, weights], `WEIGHTS[at] = ${weight};`);
    if (slopes) {
      const into = score("SLOPES", 1, "write");
      const [from, reads] = keeps ? ["WEIGHTS", [score("WEIGHTS", 0, "read")]] : ["SLOPES", []];
      const delta = inputUse("delta", ctx.inputs, 1);
      const value = `${from}[at] * (value - ${statistic("delta")}) * ${scale}`;
      const buffers = [delta, ...reads, into];
      made.scores(part, "attention dScores", ["g", "v"], buffers, `SLOPES[at] = ${value};`);
    }
    wanted.forEach((w, i) => made.weighted(part, GRADIENTS[w], i, ctx.outputs[i]));
  }
  return made.plan();
}
