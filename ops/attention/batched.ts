/**
 * Attention on software adapters: scores are written to scratch memory and everything is a matrix product by register
 * tiles of 8 × 8. Such adapters fetch every lane's operand on its own, so what counts is multiply-adds per load (4 in
 * these tiles, 1 in a row-by-row kernel), and they compile just in time, so small loops beat unrolled ones. Long
 * sequences go head by head, so that the scratch stays small; what does not fit even so streams.
 */
import {
  type AdapterProfile,
  assertIterations,
  type BufferUse,
  type Dispatch,
  f32,
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
  type InputName,
  inputUse,
  LOWEST,
  MASKED,
  type Operand,
  type Problem,
  repeat,
  stored,
} from "./problem.ts";
import {
  gradientsOnCpu,
  padded,
  panelBytes,
  type Part,
  SCORE_TILE,
  scoresOnCpu,
} from "./cpu_scores.ts";

/** Rows and columns of scores that one invocation computes. */
const TILE = SCORE_TILE;
const WORKGROUP = 16;
/** The most bytes of scores that are ever written. */
const SCORE_BYTES = 64 << 20;

/** Bytes of the scores of one head of one sample. */
const headBytes = (p: Problem) => padded(p.T) * padded(p.S) * 4;

/** Whether the scores of this problem may be written out, a few heads at a time. */
export function batchedFits(p: Problem, profile: AdapterProfile): boolean {
  return p.D % 4 === 0 && headBytes(p) <= Math.min(SCORE_BYTES, profile.maxBinding);
}

/** The problem in parts whose scores fit together. */
function partsOf(p: Problem, profile: AdapterProfile): Part[] {
  const all = p.B * p.H;
  const most = Math.floor(Math.min(SCORE_BYTES, profile.maxBinding) / headBytes(p));
  const heads = Math.ceil(all / Math.ceil(all / Math.min(all, most)));
  return Array.from({ length: Math.ceil(all / heads) }, (_, i) => {
    const first = i * heads;
    return { ...p, first, heads: Math.min(heads, all - first) };
  });
}

/** Scores, their softmax in place, and the product with v. */
export function batchedForward(p: Problem, ctx: KernelContext<AttentionAttrs>): KernelPlan {
  const read = (n: InputName) => inputUse(n, ctx.inputs, 4);
  const out = ctx.outputs[0];
  const parts = partsOf(p, ctx.profile);
  const { heads } = parts[0];
  return {
    scratch: [
      heads * headBytes(p),
      heads * padded(p.T) * 4,
      ...ctx.profile.cpu ? [panelBytes(parts[0])] : [],
    ],
    dispatches: parts.flatMap((p) => [
      ...ctx.profile.cpu
        ? scoresOnCpu(p, ctx, score("SCORES", 0, "write"), 2)
        : [scores(p, [read("q"), read("k"), score("SCORES", 0, "write")])],
      softmax(p, [
        score("SCORES", 0, "write"),
        { name: "FACTOR", ref: { scratch: 1 }, access: "write", type: "f32" },
        { name: "SUM", ref: { output: 1 }, access: "write", type: "f32" },
      ]),
      times(p, "attention P·v", "V", out.dtype, [
        score("SCORES", 0, "read"),
        { name: "FACTOR", ref: { scratch: 1 }, access: "read", type: "f32" },
        read("v"),
        { name: "OUT", ref: { output: 0 }, access: "write", type: storageType(out.dtype, 4) },
      ]),
    ]),
  };
}

/** The weights and the derivative of the scores from the log-sum-exp, then one product per wanted gradient. */
export function batchedGrad(p: Problem, ctx: KernelContext<AttentionGradAttrs>): KernelPlan {
  const { wanted } = ctx.attrs;
  const read = (n: InputName) => inputUse(n, ctx.inputs, 4);
  const needsWeights = wanted.includes("v");
  const needsScores = wanted.includes("q") || wanted.includes("k");
  const product = (p: Part, w: Operand, output: number): Dispatch => {
    const { dtype } = ctx.outputs[output];
    const out: BufferUse = {
      name: "OUT",
      ref: { output },
      access: "write",
      type: storageType(dtype, 4),
    };
    const factor = score("SCORES", w === "v" ? 0 : 1, "read");
    if (w === "q") return times(p, "attention dS·k", "K", dtype, [factor, read("k"), out]);
    return w === "k"
      ? transposedTimes(p, "attention dSᵀ·q", "Q", dtype, [factor, read("q"), out])
      : transposedTimes(p, "attention Pᵀ·g", "G", dtype, [factor, read("g"), out]);
  };
  const parts = partsOf(p, ctx.profile);
  const bytes = parts[0].heads * headBytes(p);
  return {
    scratch: [
      needsWeights ? bytes : 0,
      needsScores ? bytes : 0,
      ...ctx.profile.cpu ? [panelBytes(parts[0])] : [],
    ],
    dispatches: parts.flatMap((p) => [
      ...ctx.profile.cpu
        ? gradientsOnCpu(p, ctx, {
          weights: needsWeights ? score("SCORES", 0, "write") : undefined,
          scores: needsScores ? score("SCORES", 1, "write") : undefined,
          panel: 2,
        })
        : [scoreGradients(p, needsWeights, needsScores, [
          ...(needsScores
            ? (["q", "k", "v", "g", "lse", "delta"] as const)
            : (["q", "k", "lse"] as const)).map(read),
          ...(needsWeights ? [score("WEIGHTS", 0, "write")] : []),
          ...(needsScores ? [score("SCORES", 1, "write")] : []),
        ])],
      ...wanted.map((w, i) => product(p, w, i)),
    ]),
  };
}

const score = (name: string, scratch: number, access: "read" | "write"): BufferUse => ({
  name,
  ref: { scratch },
  access,
  type: "vec4<f32>",
});

/** Common to all kernels: constants, and the decoding of a flat index into coordinates (innermost first). */
function kernel(
  p: Part,
  label: string,
  extents: readonly (readonly [name: string, extent: number])[],
  buffers: readonly BufferUse[],
  flops: number,
  body: string,
): Dispatch {
  const total = extents.reduce((n, [, e]) => n * e, 1);
  const grid = foldGrid(Math.ceil(total / WORKGROUP));
  let below = 1;
  const decode = extents.map(([name, extent], i) => {
    const line = `let ${name} = flat${below > 1 ? ` / ${below}u` : ""}${
      i < extents.length - 1 ? ` % ${extent}u` : ""
    };`;
    below *= extent;
    return line;
  });
  return {
    label,
    grid,
    buffers,
    flops,
    body: `const T = ${p.T}u; const S = ${p.S}u; const H = ${p.H}u;
// Vectors of four in a row of one head, in a row of all heads, and in a padded row of scores; padded rows of scores.
const FIRST = ${p.first}u; // Scores are those of heads from here on, counted over all samples.
const DV = ${p.D / 4}u; const ROW = ${p.H * p.D / 4}u; const SV = ${padded(p.S) / 4}u; const TP = ${
      padded(p.T)
    }u;
${entry(WORKGROUP)}
  let flat = ${flatGroup(grid)} * ${WORKGROUP}u + lid;
  if (flat >= ${total}u) { return; }
  ${decode.join("\n  ")}
${body}
}`,
  };
}

const tiles = (p: Part) =>
  [["tileS", padded(p.S) / TILE], ["tileT", padded(p.T) / TILE], ["bh", p.heads]] as const;

/** Where the tile's rows of q (or g) and of k (or v) begin; rows past the end repeat the last one. */
const tileRows = `  let s0 = tileS * ${TILE}u; let t0 = tileT * ${TILE}u;
  let b = (bh + FIRST) / H; let h = (bh + FIRST) % H;
${repeat(TILE, (i) => `  let qr${i} = (b * T + min(t0 + ${i}u, T - 1u)) * ROW + h * DV;`)}
${repeat(TILE, (j) => `  let kr${j} = (b * S + min(s0 + ${j}u, S - 1u)) * ROW + h * DV;`)}`;

/** A tile of products of rows of two matrices, as f32 variables `name{i}_{j}`. */
function tileProduct(p: Part, name: string, left: string, right: string): string {
  assertIterations("attention scores", p.D / 4);
  return `${repeat(TILE, (i) => `  ${repeat(TILE, (j) => `var ${name}${i}_${j} = 0.0;`, " ")}`)}
  for (var d = 0u; d < DV; d++) {
${repeat(TILE, (i) => `    let l${i} = vec4<f32>(${left}[qr${i} + d]);`)}
${
    repeat(TILE, (j) =>
      `    { let r = vec4<f32>(${right}[kr${j} + d]);\n${
        repeat(TILE, (i) => {
          const x = `${name}${i}_${j}`;
          return `      ${x} = fma(l${i}.x, r.x, fma(l${i}.y, r.y, fma(l${i}.z, r.z, fma(l${i}.w, r.w, ${x}))));`;
        })
      } }`)
  }
  }`;
}

/** Whether score (i, j) of a tile exists and may be attended to; undefined when all of them do. */
function allowed(p: Part, i: number, j: number, paddedRows: boolean): string | undefined {
  const tests = [
    ...(p.S % TILE ? [`s0 + ${j}u < S`] : []),
    ...(paddedRows && p.T % TILE ? [`t0 + ${i}u < T`] : []),
    ...(p.causal ? [`s0 + ${j}u <= t0 + ${i}u`] : []),
  ];
  return tests.length ? tests.join(" && ") : undefined;
}

/** Stores a tile of values, two vectors a row. */
const storeTile = (buffer: string, value: (i: number, j: number) => string): string =>
  repeat(TILE, (i) =>
    repeat(2, (half) => {
      const lanes = repeat(4, (c) => value(i, half * 4 + c), ", ");
      return `  ${buffer}[(bh * TP + t0 + ${i}u) * SV + tileS * 2u + ${half}u] = vec4<f32>(${lanes});`;
    }));

function scores(p: Part, buffers: readonly BufferUse[]): Dispatch {
  const body = `${tileRows}
${tileProduct(p, "x", "Q", "K")}
${
    storeTile("SCORES", (i, j) => {
      const test = allowed(p, i, j, false);
      const value = `x${i}_${j} * ${f32(p.scale)}`;
      return test ? `select(${MASKED}, ${value}, ${test})` : value;
    })
  }`;
  return kernel(p, "attention q·kᵀ", tiles(p), buffers, 2 * p.heads * p.T * p.S * p.D, body);
}

function softmax(p: Part, buffers: readonly BufferUse[]): Dispatch {
  assertIterations("attention softmax", padded(p.S) / 2);
  const body = `  let row = (bh * TP + t) * SV;
  var most4 = vec4<f32>(${LOWEST});
  for (var s = 0u; s < SV; s++) { most4 = max(most4, SCORES[row + s]); }
  let most = max(max(most4.x, most4.y), max(most4.z, most4.w));
  var sum4 = vec4<f32>();
  for (var s = 0u; s < SV; s++) {
    let e = exp(SCORES[row + s] - most);
    sum4 += e;
    SCORES[row + s] = e;
  }
  let total = (sum4.x + sum4.y) + (sum4.z + sum4.w);
  FACTOR[bh * TP + t] = 1.0 / total;
  SUM[((bh + FIRST) / H * T + t) * H + (bh + FIRST) % H] = most + log(total);`;
  return kernel(p, "attention softmax", [["t", p.T], ["bh", p.heads]], buffers, 0, body);
}

/** The weights P and the derivative dS of the scores, each zero where a score is masked or padding. */
function scoreGradients(
  p: Part,
  weights: boolean,
  scores: boolean,
  buffers: readonly BufferUse[],
): Dispatch {
  const masked = (i: number, j: number, value: string) => {
    const test = allowed(p, i, j, true);
    return test ? `select(0.0, ${value}, ${test})` : value;
  };
  const weightOf = (i: number, j: number) =>
    masked(i, j, `exp(x${i}_${j} * ${f32(p.scale)} - lse${i})`);
  const body = `${tileRows}
${
    repeat(TILE, (i) =>
      `  let at${i} = (b * T + min(t0 + ${i}u, T - 1u)) * H + h; let lse${i} = LSE[at${i}];`)
  }
${tileProduct(p, "x", "Q", "K")}
${repeat(TILE, (i) => `  ${repeat(TILE, (j) => `x${i}_${j} = ${weightOf(i, j)};`, " ")}`)}
${weights ? storeTile("WEIGHTS", (i, j) => `x${i}_${j}`) : ""}
${
    scores
      ? `${tileProduct(p, "y", "G", "V")}
${repeat(TILE, (i) => `  let delta${i} = DELTA[at${i}];`)}
${storeTile("SCORES", (i, j) => `x${i}_${j} * (y${i}_${j} - delta${i}) * ${f32(p.scale)}`)}`
      : ""
  }`;
  const flops = 2 * (scores ? 2 : 1) * p.heads * p.T * p.S * p.D;
  return kernel(p, "attention scores again", tiles(p), buffers, flops, body);
}

/** Vectors of a row that one invocation computes in a product. */
const vectors = (p: Part): 1 | 2 => p.D % 8 === 0 ? 2 : 1;

/** SCORES · right: rows of queries. With a FACTOR buffer, each row times its factor. */
function times(
  p: Part,
  label: string,
  right: string,
  dtype: string,
  buffers: readonly BufferUse[],
): Dispatch {
  const n = vectors(p);
  const normalised = buffers.some((b) => b.name === "FACTOR");
  assertIterations(label, padded(p.S) / 4);
  const rowOf = (c: number) => p.S % TILE ? `min(s * 4u + ${c}u, S - 1u)` : `(s * 4u + ${c}u)`;
  const body = `  let b = (bh + FIRST) / H; let h = (bh + FIRST) % H;
  let own = bh * TP * SV + tileT * ${TILE}u * SV;
  let base = b * S * ROW + h * DV + tileD * ${n}u;
${repeat(TILE, (i) => `  ${repeat(n, (j) => `var a${i}_${j} = vec4<f32>();`, " ")}`)}
  for (var s = 0u; s < SV; s++) {
${
    repeat(4, (c) =>
      `    let r${c} = base + ${rowOf(c)} * ROW; ${
        repeat(n, (j) =>
          `let v${c}_${j} = vec4<f32>(${right}[r${c} + ${j}u]);`, " ")
      }`)
  }
${
    repeat(TILE, (i) =>
      `    { let w = SCORES[own + ${i}u * SV + s];\n${
        repeat(n, (j) => {
          const x = `a${i}_${j}`;
          return `      ${x} = fma(w.xxxx, v0_${j}, fma(w.yyyy, v1_${j}, fma(w.zzzz, v2_${j}, fma(w.wwww, v3_${j}, ${x}))));`;
        })
      } }`)
  }
  }
${
    repeat(TILE, (i) => {
      const store = repeat(n, (j) => {
        const value = normalised ? `a${i}_${j} * FACTOR[bh * TP + t]` : `a${i}_${j}`;
        return `OUT[at + ${j}u] = ${stored(value, dtype, 4)};`;
      }, " ");
      const test = p.T % TILE ? "if (t < T) " : "";
      return `  { let t = tileT * ${TILE}u + ${i}u; ${test}{ let at = (b * T + t) * ROW + h * DV + tileD * ${n}u; ${store} } }`;
    })
  }`;
  const extents = [["tileD", p.D / 4 / n], ["tileT", padded(p.T) / TILE], [
    "bh",
    p.heads,
  ]] as const;
  return kernel(p, label, extents, buffers, 2 * p.heads * p.T * p.S * p.D, body);
}

/** SCORESᵀ · right: rows of keys. */
function transposedTimes(
  p: Part,
  label: string,
  right: string,
  dtype: string,
  buffers: readonly BufferUse[],
): Dispatch {
  const n = vectors(p);
  assertIterations(label, p.T);
  const lane = (i: number) => `w${i >> 2}.${"xyzw"[i & 3]}`;
  const body = `  let b = (bh + FIRST) / H; let h = (bh + FIRST) % H;
  let own = bh * TP * SV + tileS * 2u;
  let base = b * T * ROW + h * DV + tileD * ${n}u;
${repeat(TILE, (i) => `  ${repeat(n, (j) => `var a${i}_${j} = vec4<f32>();`, " ")}`)}
  for (var t = 0u; t < T; t++) {
    let w0 = SCORES[own + t * SV]; let w1 = SCORES[own + t * SV + 1u];
${
    repeat(n, (j) =>
      `    { let x = vec4<f32>(${right}[base + t * ROW + ${j}u]);
${repeat(TILE, (i) => `      a${i}_${j} = fma(vec4<f32>(${lane(i)}), x, a${i}_${j});`)} }`)
  }
  }
${
    repeat(TILE, (i) => {
      const store = repeat(n, (j) => `OUT[at + ${j}u] = ${stored(`a${i}_${j}`, dtype, 4)};`, " ");
      const test = p.S % TILE ? "if (s < S) " : "";
      return `  { let s = tileS * ${TILE}u + ${i}u; ${test}{ let at = (b * S + s) * ROW + h * DV + tileD * ${n}u; ${store} } }`;
    })
  }`;
  const extents = [["tileD", p.D / 4 / n], ["tileS", padded(p.S) / TILE], [
    "bh",
    p.heads,
  ]] as const;
  return kernel(p, label, extents, buffers, 2 * p.heads * p.T * p.S * p.D, body);
}
