/**
 * Scores of attention on the CPU device, by the kernels of matrix products: what turns a product into a score, a weight or
 * a derivative is done where it is stored. They lie in scratch memory as the other kernels of `batched.ts` expect them.
 */
import { type BufferUse, type Dispatch, f32, type KernelContext } from "../../tensor/kernel.ts";
import { chooseCpu, cpuKernel, packedBytes, packKernel, WIDE_TILES } from "../gemm/cpu_kernel.ts";
import { matrix } from "../gemm/operands.ts";
import { flopsOf, type Gemm } from "../gemm/problem.ts";
import { type InputName, INPUTS, inputUse, MASKED, type Problem } from "./problem.ts";

/** Rows and columns of scores are padded to a whole number of tiles. */
export const SCORE_TILE = 8;
/** An extent with its padding. */
export const padded = (n: number): number => Math.ceil(n / SCORE_TILE) * SCORE_TILE;

/** Heads, counted over all samples, whose scores are in memory at one time. */
export interface Part extends Problem {
  readonly first: number;
  readonly heads: number;
}

type Context = Pick<KernelContext<unknown>, "inputs">;

/** Rows of `left` times rows of `right`, head by head. */
function products(p: Part, ctx: Context, label: string, left: InputName, right: InputName): Gemm {
  const operand = (name: InputName, rows: number) => {
    const input = INPUTS.indexOf(name);
    const head = (z: string) =>
      `((${z} + ${p.first}u) / ${p.H}u * ${
        rows * p.H * p.D
      }u + (${z} + ${p.first}u) % ${p.H}u * ${p.D}u)`;
    return matrix(name.toUpperCase(), input, ctx.inputs[input], {
      batch: head,
      row: p.H * p.D,
      k: 1,
    });
  };
  return {
    label,
    m: p.T,
    n: p.S,
    batch: p.heads,
    segments: 1,
    length: p.D,
    a: operand(left, p.T),
    b: operand(right, p.S),
    row: () => "",
  };
}

/** Bytes of the packed keys (or values) of a part. */
export const panelBytes = (p: Part): number => p.heads * padded(p.S) * p.D * 4;

/** Packing and product; `value` is what becomes of the product `value` of row `m` and columns `n` … `n + 3` of head `z`. */
function dispatches(
  g: Gemm,
  p: Part,
  panel: number,
  buffers: readonly BufferUse[],
  store: string,
): Dispatch[] {
  const { tile, stack } = chooseCpu(g, WIDE_TILES);
  const choice = { tile, stack, splits: 1, packed: true };
  if (packedBytes(g, tile) !== panelBytes(p)) throw new Error("panels of scores have another size");
  const packedUse: BufferUse = {
    name: "panel",
    ref: { scratch: panel },
    access: "read",
    type: "vec4<f32>",
  };
  const put = `const TP = ${padded(p.T)}u; const SV = ${padded(p.S) / 4}u;
fn put(m: u32, n: u32, z: u32, split: u32, value: vec4<f32>) {
  if (m >= ${p.T}u) { return; }
  let at = (z * TP + m) * SV + (n >> 2u);
  ${store}
}`;
  // Converting an f16 costs as much as converting four.
  const left = g.a.buffer.type === "vec4<f16>" ? g.a : g.a.narrow;
  return [
    {
      label: `${g.label} (pack)`,
      buffers: [g.b.buffer, { ...packedUse, access: "write" }],
      ...packKernel(g, tile),
    },
    {
      label: g.label,
      buffers: [left.buffer, packedUse, ...buffers],
      ...cpuKernel(g, choice, put, left),
      flops: flopsOf(g),
    },
  ];
}

/** The value, or another where a score is masked or padding. */
function masked(p: Part, value: string, other: string): string {
  const column = "(vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u))";
  const tests = [
    ...(p.S % SCORE_TILE ? [`(${column} < vec4<u32>(${p.S}u))`] : []),
    ...(p.causal ? [`(${column} <= vec4<u32>(m))`] : []),
  ];
  return tests.length ? `select(vec4<f32>(${other}), ${value}, ${tests.join(" & ")})` : value;
}

/** Scores of a part. */
export function scoresOnCpu(
  p: Part,
  ctx: Context,
  scores: BufferUse,
  panel: number,
): Dispatch[] {
  const g = products(p, ctx, "attention q·kᵀ", "q", "k");
  const value = masked(p, `value * ${f32(p.scale)}`, MASKED);
  return dispatches(g, p, panel, [scores], `${scores.name}[at] = ${value};`);
}

/** Where weights and derivatives of scores go. */
export interface GradientScratch {
  readonly weights?: BufferUse;
  readonly scores?: BufferUse;
  /** Number of the scratch for packed operands. */
  readonly panel: number;
}

/** Weights P = exp(scale · q·kᵀ − lse) of a part, then the derivatives P · (g·vᵀ − δ) · scale of its scores. */
export function gradientsOnCpu(
  p: Part,
  ctx: Context,
  { weights, scores, panel }: GradientScratch,
): Dispatch[] {
  const statistic = (name: InputName) => inputUse(name, ctx.inputs, 1);
  const row = `((z + ${p.first}u) / ${p.H}u * ${p.T}u + m) * ${p.H}u + (z + ${p.first}u) % ${p.H}u`;
  // Without a place of their own, weights lie where the derivatives will.
  const first = { ...(weights ?? scores)!, name: "WEIGHTS" };
  const weight = masked(p, `exp(value * ${f32(p.scale)} - vec4<f32>(LSE[${row}]))`, "0.0");
  const done = dispatches(
    products(p, ctx, "attention weights again", "q", "k"),
    p,
    panel,
    [statistic("lse"), first],
    `WEIGHTS[at] = ${weight};`,
  );
  if (!scores) return done;
  const from: BufferUse[] = weights ? [{ ...first, access: "read" }] : [];
  const before = weights ? "WEIGHTS" : scores.name;
  const slope = `${scores.name}[at] = ${before}[at] * (value - vec4<f32>(DELTA[${row}])) * ${
    f32(p.scale)
  };`;
  const second = products(p, ctx, "attention dScores", "g", "v");
  return [...done, ...dispatches(second, p, panel, [statistic("delta"), ...from, scores], slope)];
}
