/**
 * Attention for any sizes, with no workgroup memory and nothing stored between dispatches: one invocation takes one row
 * and a chunk of its width, and streams over the other side four rows at a time. Scores are computed once per chunk, so
 * this is the fallback (widths that are no multiple of 4, long sequences on software adapters), not the fast way.
 */
import {
  assertIterations,
  type BufferUse,
  type Dispatch,
  f32,
  type KernelContext,
  type KernelPlan,
  perItem,
  size,
  storageType,
} from "../../tensor/kernel.ts";
import * as shared from "./problem.ts";

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

function geometryOf({ D }: shared.Problem): Geometry {
  const width = D % 4 === 0 ? 4 : 1;
  const steps = D / width;
  return { width, steps, chunk: Math.min(steps, width === 4 ? 4 : 8) };
}

/** The result and the log-sum-exp of its rows. */
export function streamingForward(
  p: shared.Problem,
  ctx: KernelContext<shared.AttentionAttrs>,
): KernelPlan {
  const geometry = geometryOf(p);
  const { width, chunk } = geometry;
  const out = ctx.outputs[0];
  const body = stream(p, geometry, "q", {
    before: `var most = ${shared.LOWEST}; var total = 0.0;`,
    step: `${scores(geometry, "x", "Q", "K")}
  ${
      shared.repeat(BLOCK, (c) =>
        `x${c} = select(${shared.MASKED}, x${c} * ${f32(p.scale)}, ok${c});`)
    }
  let higher = max(most, max(max(x0, x1), max(x2, x3)));
  let shrink = exp(most - higher);
  most = higher;
  ${shared.repeat(BLOCK, (c) => `let w${c} = select(0.0, exp(x${c} - most), ok${c});`)}
  total = total * shrink + ((w0 + w1) + (w2 + w3));
  ${shared.repeat(chunk, (i) => `acc${i} *= shrink;`, " ")}
  ${accumulate(geometry, "V", "w")}`,
    after: (i, at) => `OUT[${at}] = ${shared.stored(`acc${i} / total`, out.dtype, width)};`,
    last: "if (part == 0u) { SUM[(b * T + row) * H + h] = most + log(total); }",
  });
  return plan("attention", p, geometry, p.S, body, [
    ...["q", "k", "v"].map((n) => shared.inputUse(n as shared.InputName, ctx.inputs, width)),
    { name: "OUT", ref: { output: 0 }, access: "write", type: storageType(out.dtype, width) },
    { name: "SUM", ref: { output: 1 }, access: "write", type: "f32" },
  ]);
}

/** Each wanted gradient in a dispatch of its own. */
export function streamingGrad(
  p: shared.Problem,
  ctx: KernelContext<shared.AttentionGradAttrs>,
): KernelPlan {
  return { dispatches: ctx.attrs.wanted.flatMap((w, i) => gradOf(w, i, p, ctx).dispatches) };
}

function gradOf(
  wanted: shared.Operand,
  output: number,
  p: shared.Problem,
  ctx: KernelContext<shared.AttentionGradAttrs>,
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
    shared.repeat(BLOCK, (c) =>
      `let w${c} = select(0.0, exp(x${c} * ${f32(p.scale)} - ${statistic("LSE", c)}), ok${c});`)
  }`;
  const products = `${
    mine === "q" ? scores(geometry, "y", "G", "V") : scores(geometry, "y", "V", "G")
  }
  ${
    shared.repeat(BLOCK, (c) =>
      `let z${c} = w${c} * (y${c} - ${statistic("DELTA", c)}) * ${f32(p.scale)};`)
  }`;
  const step = wanted === "v"
    ? `${weights}\n${accumulate(geometry, "G", "w")}`
    : `${weights}\n${products}\n${accumulate(geometry, other, "z")}`;
  const body = stream(p, geometry, mine, {
    before: mine === "q" ? "let at = (b * T + row) * H + h;" : "",
    step,
    after: (i, at) => `OUT[${at}] = ${shared.stored(`acc${i}`, out.dtype, width)};`,
  });
  const reads: shared.InputName[] = wanted === "v"
    ? ["q", "k", "g", "lse"]
    : ["q", "k", "v", "g", "lse", "delta"];
  const others = mine === "q" ? p.S : p.T;
  return plan(`attention d${wanted}`, p, geometry, others, body, [
    ...reads.map((n) => shared.inputUse(n, ctx.inputs, width)),
    { name: "OUT", ref: { output }, access: "write", type: storageType(out.dtype, width) },
  ]);
}

/** What is dispatched, and over how many workgroups. */
type Kernel = Pick<Dispatch, "body" | "grid">;

interface Parts {
  readonly before: string;
  /** Uses `ok0…`, `i0…` (rows of the other side) and calls to the helpers below. */
  readonly step: string;
  readonly after: (i: number, at: string) => string;
  readonly last?: string;
}

function stream(
  p: shared.Problem,
  { width, steps, chunk }: Geometry,
  mine: "q" | "k",
  parts: Parts,
): Kernel {
  const [rows, others] = mine === "q" ? [p.T, p.S] : [p.S, p.T];
  const chunks = Math.ceil(steps / chunk);
  const total = p.B * p.H * chunks * rows;
  const allowed = (c: number) => {
    const exists = `(j + ${c}u < ${size(others, "others")})`;
    if (!p.causal) return exists;
    return `${exists} & (${mine === "q" ? `j + ${c}u <= row` : `row <= j + ${c}u`})`;
  };
  // Causal: a query meets keys up to itself, a key meets queries from itself on.
  const from = p.causal && mine === "k" ? `row / ${BLOCK}u * ${BLOCK}u` : "0u";
  const to = p.causal && mine === "q"
    ? `min(${size(others, "others")}, row + 1u)`
    : size(others, "others");
  const guard = (i: number) => steps % chunk ? `if (first + ${i}u < ${steps}u) ` : "";
  return perItem(
    { count: total, name: "flat", workgroup: WORKGROUP },
    `let T = ${size(p.T)}; let H = ${size(p.H)}; let ROW = ${size(p.H * steps)};
  let row = flat % ${size(rows, "rows")};
  let part = flat / ${size(rows, "rows")} % ${chunks}u;
  let h = flat / ${size(rows * chunks)} % H;
  let b = flat / ${size(rows * chunks * p.H)};
  let first = part * ${chunk}u;
  let own = b * ${size(rows, "rows")} * ROW + h * ${steps}u + row * ROW;
  let others = b * ${size(others, "others")} * ROW + h * ${steps}u;
  ${shared.repeat(chunk, (i) => `var acc${i} = ${shared.valueType(width)}();`, " ")}
  ${parts.before}
  for (var j = ${from}; j < ${to}; j += ${BLOCK}u) {
  ${
      shared.repeat(BLOCK, (c) =>
        `let i${c} = min(j + ${c}u, ${size(others - 1, "lastOther")}); let ok${c} = ${
          allowed(c)
        }; let r${c} = others + i${c} * ROW;`)
    }
  ${parts.step}
  }
  ${shared.repeat(chunk, (i) => `${guard(i)}{ ${parts.after(i, `own + first + ${i}u`)} }`)}
  ${parts.last ?? ""}`,
  );
}

/** Four dot products of the own row of `own` with the block's rows of `other`: shared.f32 variables `name0` … `name3`. */
function scores({ width, steps }: Geometry, name: string, own: string, other: string): string {
  const type = shared.valueType(width);
  const whole = Math.floor(steps / UNROLL) * UNROLL;
  const term = (d: string) =>
    `{ let mine = ${type}(${own}[own + ${d}]); ${
      shared.repeat(BLOCK, (c) =>
        `${name}s${c} = fma(mine, ${type}(${other}[r${c} + ${d}]), ${name}s${c});`, " ")
    } }`;
  const sum = (v: string) => width === 1 ? v : `(${v}.x + ${v}.y) + (${v}.z + ${v}.w)`;
  const loop = whole === 0 ? "" : `for (var d = 0u; d < ${whole}u; d += ${UNROLL}u) {
    ${shared.repeat(UNROLL, (u) => term(`d + ${u}u`), "\n    ")}
  }`;
  return `${shared.repeat(BLOCK, (c) => `var ${name}s${c} = ${type}();`, " ")}
  ${loop}
  ${shared.repeat(steps - whole, (u) => term(`${whole + u}u`))}
  ${shared.repeat(BLOCK, (c) => `var ${name}${c} = ${sum(`${name}s${c}`)};`, " ")}`;
}

/** Adds the block's rows of `other`, times `weight0` … `weight3`, to the accumulators of this chunk. */
function accumulate({ width, steps, chunk }: Geometry, other: string, weight: string): string {
  const type = shared.valueType(width);
  const at = (i: number) => steps % chunk ? `min(first + ${i}u, ${steps - 1}u)` : `first + ${i}u`;
  return shared.repeat(
    chunk,
    (i) =>
      `{ let d = ${at(i)}; ${
        shared.repeat(
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
  p: shared.Problem,
  { steps }: Geometry,
  others: number,
  kernel: Kernel,
  buffers: readonly BufferUse[],
): KernelPlan {
  assertIterations(label, Math.ceil(others / BLOCK) * (2 * (Math.floor(steps / UNROLL) + 1) + 1));
  const dispatch: Dispatch = {
    label: `${label} (streaming)`,
    buffers,
    ...kernel,
    flops: 4 * p.B * p.H * p.T * p.S * p.D,
  };
  return { dispatches: [dispatch] };
}
