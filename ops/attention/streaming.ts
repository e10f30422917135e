/**
 * Attention for any sizes, with no workgroup memory and nothing stored between dispatches: one invocation takes one row
 * and a chunk of its width, and streams over the other side four rows at a time. Scores are computed once per chunk, so
 * this is the fallback (widths that are no multiple of 4, long sequences on software adapters), not the fast way.
 */
import {
  assertIterations,
  type BufferUse,
  type Dispatch,
  flatGroup,
  foldGrid,
  type KernelContext,
  type KernelPlan,
  storageType,
} from "../../tensor/kernel.ts";
import {
  type AttentionAttrs,
  type AttentionGradAttrs,
  entry,
  f32,
  type InputName,
  inputUse,
  LOWEST,
  MASKED,
  type Operand,
  type Problem,
  repeat,
  stored,
  valueType,
} from "./problem.ts";

const WORKGROUP = 16;
/** Rows of the other side per step. */
const BLOCK = 4;
/** Products per turn of the loop over the width. */
const UNROLL = 4;

interface Geometry {
  readonly width: 1 | 4;
  /** Steps of `width` in a row, and in the chunk that one invocation computes. */
  readonly steps: number;
  readonly chunk: number;
}

function geometryOf({ D }: Problem): Geometry {
  const width = D % 4 === 0 ? 4 : 1;
  const steps = D / width;
  return { width, steps, chunk: Math.min(steps, width === 4 ? 4 : 8) };
}

/** The result and the log-sum-exp of its rows. */
export function streamingForward(p: Problem, ctx: KernelContext<AttentionAttrs>): KernelPlan {
  const geometry = geometryOf(p);
  const { width, chunk } = geometry;
  const out = ctx.outputs[0];
  const body = stream(p, geometry, "q", {
    before: `var most = ${LOWEST}; var total = 0.0;`,
    step: `${scores(geometry, "x", "Q", "K")}
  ${repeat(BLOCK, (c) => `x${c} = select(${MASKED}, x${c} * ${f32(p.scale)}, ok${c});`)}
  let higher = max(most, max(max(x0, x1), max(x2, x3)));
  let shrink = exp(most - higher);
  most = higher;
  ${repeat(BLOCK, (c) => `let w${c} = select(0.0, exp(x${c} - most), ok${c});`)}
  total = total * shrink + ((w0 + w1) + (w2 + w3));
  ${repeat(chunk, (i) => `acc${i} *= shrink;`, " ")}
  ${accumulate(geometry, "V", "w")}`,
    after: (i, at) => `OUT[${at}] = ${stored(`acc${i} / total`, out.dtype, width)};`,
    last: "if (part == 0u) { SUM[(b * T + row) * H + h] = most + log(total); }",
  });
  return plan("attention", p, geometry, p.T, p.S, body, [
    ...["q", "k", "v"].map((n) => inputUse(n as InputName, ctx.inputs, width)),
    { name: "OUT", ref: { output: 0 }, access: "write", type: storageType(out.dtype, width) },
    { name: "SUM", ref: { output: 1 }, access: "write", type: "f32" },
  ]);
}

/** Each wanted gradient in a dispatch of its own. */
export function streamingGrad(p: Problem, ctx: KernelContext<AttentionGradAttrs>): KernelPlan {
  return { dispatches: ctx.attrs.wanted.flatMap((w, i) => gradOf(w, i, p, ctx).dispatches) };
}

function gradOf(
  wanted: Operand,
  output: number,
  p: Problem,
  ctx: KernelContext<AttentionGradAttrs>,
): KernelPlan {
  const geometry = geometryOf(p);
  const { width } = geometry;
  const out = ctx.outputs[output];
  const mine = wanted === "q" ? "q" : "k";
  const [own, other] = mine === "q" ? ["Q", "K"] : ["K", "Q"];
  const statistic = (name: string, c: number) =>
    mine === "q" ? `${name}[at]` : `${name}[(b * T + i${c}) * H + h]`;
  const weights = `${scores(geometry, "x", own, other)}
  ${
    repeat(BLOCK, (c) =>
      `let w${c} = select(0.0, exp(x${c} * ${f32(p.scale)} - ${statistic("LSE", c)}), ok${c});`)
  }`;
  const products = `${
    mine === "q" ? scores(geometry, "y", "G", "V") : scores(geometry, "y", "V", "G")
  }
  ${
    repeat(BLOCK, (c) =>
      `let z${c} = w${c} * (y${c} - ${statistic("DELTA", c)}) * ${f32(p.scale)};`)
  }`;
  const step = wanted === "v"
    ? `${weights}\n${accumulate(geometry, "G", "w")}`
    : `${weights}\n${products}\n${accumulate(geometry, other, "z")}`;
  const body = stream(p, geometry, mine, {
    before: mine === "q" ? "let at = (b * T + row) * H + h;" : "",
    step,
    after: (i, at) => `OUT[${at}] = ${stored(`acc${i}`, out.dtype, width)};`,
  });
  const reads: InputName[] = wanted === "v"
    ? ["q", "k", "g", "lse"]
    : ["q", "k", "v", "g", "lse", "delta"];
  const [rows, others] = mine === "q" ? [p.T, p.S] : [p.S, p.T];
  return plan(`attention d${wanted}`, p, geometry, rows, others, body, [
    ...reads.map((n) => inputUse(n, ctx.inputs, width)),
    { name: "OUT", ref: { output }, access: "write", type: storageType(out.dtype, width) },
  ]);
}

interface Parts {
  readonly before: string;
  /** Uses `ok0…`, `i0…` (rows of the other side) and calls to the helpers below. */
  readonly step: string;
  readonly after: (i: number, at: string) => string;
  readonly last?: string;
}

function stream(
  p: Problem,
  { width, steps, chunk }: Geometry,
  mine: "q" | "k",
  parts: Parts,
): string {
  const [rows, others] = mine === "q" ? [p.T, p.S] : [p.S, p.T];
  const chunks = Math.ceil(steps / chunk);
  const total = p.B * p.H * chunks * rows;
  const grid = foldGrid(Math.ceil(total / WORKGROUP));
  const allowed = (c: number) => {
    const exists = `j + ${c}u < ${others}u`;
    if (!p.causal) return exists;
    return mine === "q" ? `${exists} && j + ${c}u <= row` : `${exists} && row <= j + ${c}u`;
  };
  // Causal: a query meets keys up to itself, a key meets queries from itself on.
  const from = p.causal && mine === "k" ? `row / ${BLOCK}u * ${BLOCK}u` : "0u";
  const to = p.causal && mine === "q" ? `min(${others}u, row + 1u)` : `${others}u`;
  const guard = (i: number) => steps % chunk ? `if (first + ${i}u < ${steps}u) ` : "";
  return `const T = ${p.T}u; const H = ${p.H}u; const ROW = ${p.H * steps}u;
${entry(WORKGROUP)}
  let flat = ${flatGroup(grid)} * ${WORKGROUP}u + lid;
  if (flat >= ${total}u) { return; }
  let row = flat % ${rows}u;
  let part = flat / ${rows}u % ${chunks}u;
  let h = flat / ${rows * chunks}u % H;
  let b = flat / ${rows * chunks * p.H}u;
  let first = part * ${chunk}u;
  let own = b * ${rows}u * ROW + h * ${steps}u + row * ROW;
  let others = b * ${others}u * ROW + h * ${steps}u;
  ${repeat(chunk, (i) => `var acc${i} = ${valueType(width)}();`, " ")}
  ${parts.before}
  for (var j = ${from}; j < ${to}; j += ${BLOCK}u) {
  ${
    repeat(BLOCK, (c) =>
      `let i${c} = min(j + ${c}u, ${others - 1}u); let ok${c} = ${
        allowed(c)
      }; let r${c} = others + i${c} * ROW;`)
  }
  ${parts.step}
  }
  ${repeat(chunk, (i) => `${guard(i)}{ ${parts.after(i, `own + first + ${i}u`)} }`)}
  ${parts.last ?? ""}
}`;
}

/** Four dot products of the own row of `own` with the block's rows of `other`: f32 variables `name0` … `name3`. */
function scores({ width, steps }: Geometry, name: string, own: string, other: string): string {
  const type = valueType(width);
  const whole = Math.floor(steps / UNROLL) * UNROLL;
  const term = (d: string) =>
    `{ let mine = ${type}(${own}[own + ${d}]); ${
      repeat(BLOCK, (c) =>
        `${name}s${c} = fma(mine, ${type}(${other}[r${c} + ${d}]), ${name}s${c});`, " ")
    } }`;
  const sum = (v: string) => width === 1 ? v : `(${v}.x + ${v}.y) + (${v}.z + ${v}.w)`;
  const loop = whole === 0 ? "" : `for (var d = 0u; d < ${whole}u; d += ${UNROLL}u) {
    ${repeat(UNROLL, (u) => term(`d + ${u}u`), "\n    ")}
  }`;
  return `${repeat(BLOCK, (c) => `var ${name}s${c} = ${type}();`, " ")}
  ${loop}
  ${repeat(steps - whole, (u) => term(`${whole + u}u`))}
  ${repeat(BLOCK, (c) => `var ${name}${c} = ${sum(`${name}s${c}`)};`, " ")}`;
}

/** Adds the block's rows of `other`, times `weight0` … `weight3`, to the accumulators of this chunk. */
function accumulate({ width, steps, chunk }: Geometry, other: string, weight: string): string {
  const type = valueType(width);
  const at = (i: number) => steps % chunk ? `min(first + ${i}u, ${steps - 1}u)` : `first + ${i}u`;
  return repeat(
    chunk,
    (i) =>
      `{ let d = ${at(i)}; ${
        repeat(
          BLOCK,
          (c) => `acc${i} = fma(${type}(${weight}${c}), ${type}(${other}[r${c} + d]), acc${i});`,
          " ",
        )
      } }`,
    "\n  ",
  );
}

function plan(
  label: string,
  p: Problem,
  { steps, chunk }: Geometry,
  rows: number,
  others: number,
  body: string,
  buffers: readonly BufferUse[],
): KernelPlan {
  assertIterations(label, Math.ceil(others / BLOCK) * (2 * (Math.floor(steps / UNROLL) + 1) + 1));
  const chunks = Math.ceil(steps / chunk);
  const grid = foldGrid(Math.ceil(p.B * p.H * chunks * rows / WORKGROUP));
  const dispatch: Dispatch = {
    label: `${label} (streaming)`,
    buffers,
    body,
    grid,
    flops: 4 * p.B * p.H * p.T * p.S * p.D,
  };
  return { dispatches: [dispatch] };
}
