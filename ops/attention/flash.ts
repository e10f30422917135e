/**
 * Flash attention for GPUs, forward and backward: a workgroup keeps a tile of rows and walks over the columns, tile by
 * tile, through workgroup memory; scores exist only in registers and in one tile of weights. After Dao et al. 2022
 * (arXiv:2205.14135); backward is two kernels without atomics, so that the same input gives the same bits.
 */
import {
  type BufferUse,
  type Dispatch,
  f32,
  type KernelContext,
  type KernelPlan,
  perItem,
  size,
  storageType,
} from "../../tensor/kernel.ts";
import {
  type AttentionAttrs,
  type AttentionGradAttrs,
  type InputName,
  inputUse,
  LOWEST,
  MASKED,
  type Problem,
  repeat,
  stored,
} from "./problem.ts";
import { chooseTiling, type FlashKind, tileColumns, tileRows, type Tiling } from "./tiles.ts";
import { COLUMNS_OF_THREAD, FlashWriter } from "./flash_writer.ts";

/** Whether the flash kernels take this problem on this adapter. */
export function flashFits(
  p: Problem,
  kinds: readonly FlashKind[],
  ctx: KernelContext<AttentionAttrs>,
): boolean {
  return p.D % 4 === 0 && p.B * p.H <= 65535 &&
    kinds.every((kind) => tilingOf(kind, p, ctx) !== undefined);
}

const tilingOf = (
  kind: FlashKind,
  p: Problem,
  ctx: KernelContext<AttentionAttrs>,
): Tiling | undefined =>
  chooseTiling(kind, p.D / 4, kind === "keyValueGrad" ? p.S : p.T, ctx.profile);

/** The result and its log-sum-exp, with the softmax kept up to date as columns arrive. */
export function flashForward(p: Problem, ctx: KernelContext<AttentionAttrs>): KernelPlan {
  const t = tilingOf("forward", p, ctx)!;
  const { RM, NJ, TX } = t;
  const out = ctx.outputs[0];
  const w = new FlashWriter(p, t, { rows: "q", rowMatrices: ["Q"], columnMatrices: ["K", "V"] });
  w.shared("PARTIAL", `array<array<f32, ${TX}>, ${tileRows(t)}>`, tileRows(t) * TX * 4);
  w.each(RM, (i) => `var most${i} = ${LOWEST}; var total${i} = 0.0;`);
  w.each(RM, (i) => repeat(NJ, (j) => `var a${i}_${j} = vec4<f32>();`, " "));
  w.overColumns(() => {
    w.products("s", "Q", "K");
    // Scores in base 2, since exp2 is what hardware has.
    w.scores((i, j, ok) => {
      const value = `s${i}_${j} * ${f32(p.scale * Math.LOG2E)}`;
      return `s${i}_${j} = ${ok ? `select(${MASKED}, ${value}, ${ok})` : value};`;
    });
    w.each(RM, (i) => `PARTIAL[ry${i}][tx] = max(max(s${i}_0, s${i}_1), max(s${i}_2, s${i}_3));`);
    w.barrier();
    w.each(
      RM,
      (i) =>
        `var higher${i} = most${i};\n${
          repeat(TX, (x) => `higher${i} = max(higher${i}, PARTIAL[ry${i}][${x}]);`)
        }`,
    );
    w.each(RM, (i) => `let shrink${i} = exp2(most${i} - higher${i}); most${i} = higher${i};`);
    w.scores((i, j) => `s${i}_${j} = exp2(s${i}_${j} - most${i});`);
    w.each(
      RM,
      (i) => `total${i} = total${i} * shrink${i} + ((s${i}_0 + s${i}_1) + (s${i}_2 + s${i}_3));`,
    );
    w.each(RM, (i) => repeat(NJ, (j) => `a${i}_${j} *= shrink${i};`, " "));
    w.weights((i, j) => `s${i}_${j}`);
    w.accumulate("a", "V");
  });
  w.barrier();
  w.each(RM, (i) => `PARTIAL[ry${i}][tx] = total${i};`);
  w.barrier();
  w.each(RM, (i) => {
    const sum = `var sum${i} = 0.0;\n${repeat(TX, (x) => `sum${i} += PARTIAL[ry${i}][${x}];`)}`;
    return `${sum}\nif (tx == 0u && row0 + ry${i} < ROWS) {
  SUM[(b * T + row0 + ry${i}) * H + h] = (most${i} + log2(sum${i})) * ${f32(Math.LN2)};
}`;
  });
  w.storeRows((i, j, at) => `OUT[${at}] = ${stored(`a${i}_${j} / sum${i}`, out.dtype, 4)};`);
  return {
    dispatches: [
      w.dispatch(
        "flash attention",
        4,
        inputsOf(["q", "k", "v"], ctx).concat(outputUse(ctx, 0, "OUT"), [
          { name: "SUM", ref: { output: 1 }, access: "write", type: "f32" },
        ]),
      ),
    ],
  };
}

/** dQ in one kernel, dK and dV together in another; only what is wanted. */
export function flashGrad(p: Problem, ctx: KernelContext<AttentionGradAttrs>): KernelPlan {
  const { wanted } = ctx.attrs;
  const dispatches: Dispatch[] = [];
  if (wanted.includes("q")) dispatches.push(queryGrad(p, ctx));
  if (!wanted.includes("k") && !wanted.includes("v")) return { dispatches };
  const keyValue = keyValueGrad(p, ctx);
  return { ...keyValue, dispatches: [...dispatches, ...keyValue.dispatches] };
}

/** Workgroups that keep a large GPU busy. */
const BUSY = 256;

/** Into how many parts the columns are cut: few rows (of keys, in cross-attention) may meet very many columns. */
function splitsOf(p: Problem, t: Tiling): number {
  const groups = Math.ceil(p.S / tileRows(t)) * p.B * p.H;
  const most = Math.ceil(p.T / tileColumns(t));
  const wanted = Math.min(Math.ceil(BUSY / groups), most);
  // As many as are not empty.
  return Math.ceil(most / Math.ceil(most / wanted));
}

function queryGrad(p: Problem, ctx: KernelContext<AttentionGradAttrs>): Dispatch {
  const t = tilingOf("queryGrad", p, ctx)!;
  const { RM, NJ } = t;
  const output = ctx.attrs.wanted.indexOf("q");
  const w = new FlashWriter(p, t, {
    rows: "q",
    rowMatrices: ["Q", "G"],
    columnMatrices: ["K", "V"],
  });
  w.each(RM, (i) =>
    `let at${i} = (b * T + min(row0 + ry${i}, T - 1u)) * H + h;
let lse${i} = LSE[at${i}] * ${f32(Math.LOG2E)}; let delta${i} = DELTA[at${i}];`);
  w.each(RM, (i) => repeat(NJ, (j) => `var a${i}_${j} = vec4<f32>();`, " "));
  w.overColumns(() => {
    w.products("s", "Q", "K");
    w.products("d", "G", "V");
    w.scores((i, j, ok) => {
      const weight = `exp2(s${i}_${j} * ${f32(p.scale * Math.LOG2E)} - lse${i})`;
      return `s${i}_${j} = ${
        ok ? `select(0.0, ${weight}, ${ok})` : weight
      } * (d${i}_${j} - delta${i});`;
    });
    w.weights((i, j) => `s${i}_${j}`);
    w.accumulate("a", "K");
  });
  const { dtype } = ctx.outputs[output];
  w.storeRows((i, j, at) => `OUT[${at}] = ${stored(`a${i}_${j} * ${f32(p.scale)}`, dtype, 4)};`);
  const reads = inputsOf(["q", "k", "v", "g", "lse", "delta"], ctx);
  return w.dispatch("flash attention dq", 6, [...reads, outputUse(ctx, output, "OUT")]);
}

function keyValueGrad(p: Problem, ctx: KernelContext<AttentionGradAttrs>): KernelPlan {
  const t = tilingOf("keyValueGrad", p, ctx)!;
  const { RM, NJ, TX } = t;
  const splits = splitsOf(p, t);
  const [dk, dv] = (["k", "v"] as const).map((n) => ctx.attrs.wanted.indexOf(n));
  const w = new FlashWriter(p, t, {
    rows: "k",
    rowMatrices: ["K", "V"],
    columnMatrices: ["Q", "G"],
  }, splits);
  const statistics = COLUMNS_OF_THREAD * TX;
  w.shared("LSES", `array<f32, ${statistics}>`, statistics * 4);
  w.shared("DELTAS", `array<f32, ${statistics}>`, statistics * 4);
  if (dk >= 0) w.each(RM, (i) => repeat(NJ, (j) => `var a${i}_${j} = vec4<f32>();`, " "));
  if (dv >= 0) w.each(RM, (i) => repeat(NJ, (j) => `var b${i}_${j} = vec4<f32>();`, " "));
  w.overColumns(() => {
    w.write(`if (lid < ${statistics}u) {
  let at = (b * T + min(column0 + lid, T - 1u)) * H + h;
  LSES[lid] = LSE[at] * ${f32(Math.LOG2E)};${dk >= 0 ? " DELTAS[lid] = DELTA[at];" : ""}
}`);
    w.products("s", "K", "Q");
    w.scores((i, j, ok) => {
      const weight = `exp2(s${i}_${j} * ${f32(p.scale * Math.LOG2E)} - LSES[cx${j}])`;
      return `s${i}_${j} = ${ok ? `select(0.0, ${weight}, ${ok})` : weight};`;
    });
    if (dv >= 0) {
      w.weights((i, j) => `s${i}_${j}`);
      w.accumulate("b", "G");
    }
    if (dk >= 0) {
      w.products("d", "V", "G");
      w.weights((i, j) => `s${i}_${j} * (d${i}_${j} - DELTAS[cx${j}])`);
      w.accumulate("a", "Q");
    }
  });
  const results = [dk, dv].flatMap((output, k) =>
    output < 0 ? [] : [{ output, name: "DK DV".split(" ")[k], sum: "ab"[k] }]
  );
  for (const { output, name, sum } of results) {
    const scale = name === "DK" ? ` * ${f32(p.scale)}` : "";
    const dtype = splits > 1 ? "f32" : ctx.outputs[output].dtype;
    w.storeRows((i, j, at) => `${name}[${at}] = ${stored(`${sum}${i}_${j}${scale}`, dtype, 4)};`);
  }
  const reads: InputName[] = dk >= 0
    ? ["q", "k", "v", "g", "lse", "delta"]
    : ["q", "k", "g", "lse"];
  const parts = results.map(({ name }, scratch): BufferUse => ({
    name,
    ref: { scratch },
    access: "write",
    type: "vec4<f32>",
  }));
  const label = "flash attention dk, dv";
  const main = w.dispatch(label, 2 + 2 * Number(dv >= 0) + 4 * Number(dk >= 0), [
    ...inputsOf(reads, ctx),
    ...splits > 1 ? parts : results.map(({ output, name }) => outputUse(ctx, output, name)),
  ]);
  if (splits === 1) return { dispatches: [main] };
  const count = p.B * p.S * p.H * p.D / 4;
  const join: Dispatch = {
    label: `${label} (join)`,
    buffers: [
      ...parts.map((part): BufferUse => ({ ...part, access: "read" })),
      ...results.map(({ output, name }) => outputUse(ctx, output, `${name}OUT`)),
    ],
    ...perItem(
      { count, name: "i" },
      results.map(({ output, name }) =>
        `var ${name}sum = ${name}[i];
for (var s = 1u; s < ${size(splits, "splits")}; s++) { ${name}sum += ${name}[s * ${
          size(count, "all")
        } + i]; }
${name}OUT[i] = ${stored(`${name}sum`, ctx.outputs[output].dtype, 4)};`
      ).join("\n"),
    ),
  };
  return { dispatches: [main, join], scratch: parts.map(() => splits * count * 16) };
}

const inputsOf = (names: readonly InputName[], ctx: KernelContext<AttentionAttrs>): BufferUse[] =>
  names.map((n) => inputUse(n, ctx.inputs, 4));

const outputUse = (
  ctx: KernelContext<AttentionAttrs>,
  output: number,
  name: string,
): BufferUse => ({
  name,
  ref: { output },
  access: "write",
  type: storageType(ctx.outputs[output].dtype, 4),
});
