/**
 * Group norm's kernels, in three dispatches each way. (1) Every invocation folds a short run of pixels of one column of
 * channels; neighbours read neighbouring channels. (2) The folds of a group are joined. (3) The pixels are mapped.
 * Runs are short enough that squares about the run's first value lose no accuracy: with n values, that value lies
 * within √n standard deviations of their mean, so cancellation costs at most a factor n ≤ 64 of the rounding error.
 * Runs are then joined by Chan's formula, mean first and centred squares after.
 */
import {
  type AdapterProfile,
  type BufferUse,
  type Dispatch,
  flatGroup,
  foldGrid,
  type KernelContext,
  type KernelPlan,
  perItem,
  realSize,
  size,
  storageType,
  sumLoop,
} from "../../tensor/kernel.ts";
import type { DType } from "../../tensor/dtype.ts";
import { groupShape, type NormAttrs } from "./shape.ts";
import {
  AGAIN,
  againDispatch,
  FOLD,
  foldBuffers,
  foldBytes,
  foldsAgain,
  type Layout,
  layoutOf,
  MAP,
  pixelsOf,
  RUN,
  runLength,
  WORKGROUP,
} from "./runs.ts";

/** Few groups on few cores: as many invocations as a CPU's vector has lanes. */
const SMALL = 8;
/** A dispatch whose invocations each walk a run of pixels in one column; `i` counts elements in steps of `width`. */
function columnDispatch(
  l: Layout,
  run: number,
  part: {
    label: string;
    buffers: BufferUse[];
    before: string;
    /** Names of what `each` adds up. */
    sums?: readonly string[];
    each: (into: (name: string) => string) => string;
    after?: string;
  },
): Dispatch {
  const runs = Math.ceil(l.pixels / run);
  const invocations = l.images * runs * l.columns;
  const columns = size(l.columns, "columns");
  const work = `let column = t % ${columns};
  let image = t / ${size(l.columns * runs)};
  let first = (t / ${columns}) % ${size(runs)} * ${size(run, "run")};
  let count = min(${size(run, "run")}, ${size(l.pixels, "pixels")} - first);
  let base = (image * ${size(l.pixels, "pixels")} + first) * ${columns} + column;
  ${part.before}
  ${
    sumLoop({
      index: "p",
      from: "0u",
      to: "count",
      // One form of the loop for every run that is folded.
      most: part.sums ? RUN : run,
      sums: Object.fromEntries((part.sums ?? []).map((name) => [name, l.type])),
      turn: (into) => `let i = base + p * ${columns}; ${part.each(into)}`,
    })
  }
  ${part.after ?? ""}`;
  return {
    label: part.label,
    buffers: part.buffers,
    ...perItem({ count: invocations, name: "t", workgroup: WORKGROUP }, work),
  };
}

/** A dispatch that joins, for each group, the values of all runs and channels in two scratch buffers `aa`, `bb`. */
function joinDispatch(
  l: Layout,
  run: number,
  profile: AdapterProfile,
  part: {
    label: string;
    buffers: BufferUse[];
    /** Walks over the group's values; each sums expressions in `j` (place in scratch), `c` (channel), `n` (pixels). */
    sums: { name: string; value: string; then: string }[];
    store: string;
  },
): Dispatch {
  const runs = Math.ceil(l.pixels / run);
  const items = runs * l.channels;
  const lanes = profile.cpu ? 1 : WORKGROUP;
  const each = Math.ceil(items / lanes);
  const groups = l.images * l.groups;
  const workgroup = lanes === 1 ? SMALL : WORKGROUP;
  const perWorkgroup = workgroup / lanes;
  const grid = foldGrid(Math.ceil(groups / perWorkgroup));
  const walks = part.sums.map(({ name, value, then }) => `
  var ${name} = 0.0;
  ${
    sumLoop({
      index: "item",
      from: "lane",
      to: size(items, "items"),
      step: lanes,
      most: each,
      sums: { [name]: "f32" },
      turn: (into) =>
        `let run = item / ${size(l.channels, "channels")};
    let c = channel + item % ${size(l.channels, "channels")};
    let j = (image * ${size(runs, "runs")} + run) * ${size(l.total, "total")} + c;
    let n = f32(min(${size(run, "run")}, ${size(l.pixels, "pixels")} - run * ${size(run, "run")}));
    ${into(name)} += ${value};`,
    })
  }
  ${lanes === 1 ? "" : treeSum(name)}
  ${then}`);
  const shared = lanes === 1
    ? ""
    : part.sums.map((s) => `var<workgroup> ${s.name}_w: array<f32, ${WORKGROUP}>;`).join("\n");
  const body = `${shared}
@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let lane = lid % ${lanes}u;
  let wanted = ${flatGroup(grid)} * ${perWorkgroup}u + lid / ${lanes}u;
  let group = min(wanted, ${size(groups - 1)});
  let image = group / ${l.groups}u;
  let channel = group % ${l.groups}u * ${size(l.channels, "channels")};
  ${walks.join("")}
  if (lane == 0u && wanted < ${size(groups)}) { ${part.store} }
}`;
  return { label: part.label, buffers: part.buffers, body, grid };
}

/** Statements that replace each lane's `name` by the sum over the workgroup, added in a fixed order. */
function treeSum(name: string): string {
  const lines = [`${name}_w[lid] = ${name};`, "workgroupBarrier();"];
  for (let half = WORKGROUP / 2; half >= 1; half /= 2) {
    lines.push(`if (lid < ${half}u) { ${name}_w[lid] += ${name}_w[lid + ${half}u]; }`);
    lines.push("workgroupBarrier();");
  }
  return [...lines, `${name} = ${name}_w[0];`].join("\n  ");
}

/** The pair that belongs to each channel of a column, as `low` and `high` of the step's width. */
function pairsOf(l: Layout, buffer: string, low: string, high: string): string {
  const at = (lane: number) =>
    `${buffer}[image * ${l.groups}u + (column * ${l.width}u + ${lane}u) / ${
      size(l.channels, "channels")
    }]`;
  if (l.width === 1 || l.channels % 4 === 0) {
    return `let ${low} = ${l.type}(${at(0)}.x); let ${high} = ${l.type}(${at(0)}.y);`;
  }
  const lanes = [0, 1, 2, 3].map((k) => `let ${buffer}${k} = ${at(k)};`).join(" ");
  const pick = (c: string) =>
    `vec4<f32>(${[0, 1, 2, 3].map((k) => `${buffer}${k}.${c}`).join(", ")})`;
  return `${lanes} let ${low} = ${pick("x")}; let ${high} = ${pick("y")};`;
}

/** Forward: y to output 0, (mean, 1/σ) of each group to output 1. */
export function groupNormKernel(ctx: KernelContext<NormAttrs>): KernelPlan {
  const { inputs: [x, gamma, beta], attrs, profile, epilogue } = ctx;
  const l = layoutOf(groupShape(x.shape, attrs.groups));
  const { type } = l;
  const run = runLength(l, profile, { tensors: 1, ...FOLD });
  const elements = l.pixels * l.channels;
  const xs: BufferUse = {
    name: "xs",
    ref: { input: 0 },
    access: "read",
    type: storageType(x.dtype, l.width),
  };
  const parameters = [gamma, beta].map((p, i): BufferUse => ({
    name: i ? "betas" : "gammas",
    ref: { input: 1 + i },
    access: "read",
    type: storageType(p.dtype, l.width),
  }));
  const stats = (access: "read" | "write"): BufferUse => ({
    name: "stats",
    ref: { output: 1 },
    access,
    type: "vec2<f32>",
  });
  const moments = columnDispatch(l, run, {
    label: "groupNorm (moments)",
    buffers: [xs, ...foldBuffers(type, "write")],
    before: `let pivot = ${type}(xs[base]); var s = ${type}(); var q = ${type}();`,
    sums: ["s", "q"],
    each: (into) => `let d = ${type}(xs[i]) - pivot; ${into("s")} += d; ${into("q")} += d * d;`,
    after: `let share = s * (1.0 / f32(count));
  aa[t] = pivot + share;
  bb[t] = max(q - s * share, ${type}());`,
  });
  const again = foldsAgain(l, run, profile);
  const each = `at + k * ${size(l.columns, "columns")}`;
  const fold = againDispatch(
    l,
    run,
    2,
    "groupNorm",
    `var all = 0.0;
  for (var k = 0u; k < count; k++) { let n = ${pixelsOf(l, run)}; all += n; a += n * aa[${each}]; }
  a = a * (1.0 / all);
  for (var k = 0u; k < count; k++) { let d = aa[${each}] - a; b += bb[${each}] + ${
      pixelsOf(l, run)
    } * d * d; }`,
  );
  const folded = again ? AGAIN * run : run;
  const join = joinDispatch(l, folded, profile, {
    label: "groupNorm (join)",
    buffers: [...foldBuffers("f32", "read", ["aa", "bb"], again ? 2 : 0), stats("write")],
    sums: [
      {
        name: "total",
        value: "n * aa[j]",
        then: `let mean = total / ${realSize(elements, "elements")};`,
      },
      { name: "squares", value: "bb[j] + n * (aa[j] - mean) * (aa[j] - mean)", then: "" },
    ],
    store: `stats[group] = vec2<f32>(mean, inverseSqrt(squares / ${
      realSize(elements, "elements")
    } + f32(${attrs.eps})));`,
  });
  const map = columnDispatch(l, runLength(l, profile, { tensors: 2, ...MAP }), {
    label: "groupNorm",
    buffers: [xs, ...parameters, stats("read"), ...epilogue.buffers],
    before: `${pairsOf(l, "stats", "mean", "scale")}
  let gamma = scale * ${type}(gammas[column]);
  let beta = ${type}(betas[column]);`,
    each: () => epilogue.store(`i * ${l.width}u`, `(${type}(xs[i]) - mean) * gamma + beta`),
  });
  const scratch = [run, run, ...again ? [folded, folded] : []].map((r) => foldBytes(l, r));
  return { dispatches: [moments, ...again ? [fold] : [], join, map], scratch };
}

/** The input's gradient. Inputs: x, γ, g, statistics. */
export function groupGradKernel(ctx: KernelContext<NormAttrs>): KernelPlan {
  const { inputs: [x, gamma, g], attrs, profile, epilogue } = ctx;
  const l = layoutOf(groupShape(x.shape, attrs.groups));
  const { type } = l;
  const run = runLength(l, profile, { tensors: 2, ...FOLD });
  const elements = l.pixels * l.channels;
  const input = (name: string, i: number, dtype: DType, width: 1 | 4): BufferUse => ({
    name,
    ref: { input: i },
    access: "read",
    type: storageType(dtype, width),
  });
  const xs = input("xs", 0, x.dtype, l.width);
  const gs = input("gs", 2, g.dtype, l.width);
  const stats: BufferUse = { name: "stats", ref: { input: 3 }, access: "read", type: "vec2<f32>" };
  const means = (access: "read" | "write"): BufferUse => ({
    name: "means",
    ref: { scratch: 2 },
    access,
    type: "vec2<f32>",
  });
  const sums = columnDispatch(l, run, {
    label: "groupNormGrad (sums)",
    buffers: [xs, gs, stats, ...foldBuffers(type, "write")],
    before: `${pairsOf(l, "stats", "mean", "scale")} var s = ${type}(); var q = ${type}();`,
    sums: ["s", "q"],
    each: (into) =>
      `let d = ${type}(gs[i]); ${into("s")} += d; ${
        into("q")
      } += d * ((${type}(xs[i]) - mean) * scale);`,
    after: "aa[t] = s; bb[t] = q;",
  });
  const again = foldsAgain(l, run, profile);
  const each = `at + k * ${size(l.columns, "columns")}`;
  const fold = againDispatch(
    l,
    run,
    3,
    "groupNormGrad",
    `for (var k = 0u; k < count; k++) { a += aa[${each}]; b += bb[${each}]; }`,
  );
  const folded = again ? AGAIN * run : run;
  const join = joinDispatch(l, folded, profile, {
    label: "groupNormGrad (join)",
    buffers: [
      ...foldBuffers("f32", "read", ["aa", "bb"], again ? 3 : 0),
      input("gammas", 1, gamma.dtype, 1),
      means("write"),
    ],
    sums: [
      { name: "level", value: "aa[j] * f32(gammas[c])", then: "" },
      { name: "slope", value: "bb[j] * f32(gammas[c])", then: "" },
    ],
    store: `means[group] = vec2<f32>(level, slope) / ${realSize(elements, "elements")};`,
  });
  const map = columnDispatch(l, runLength(l, profile, { tensors: 3, ...MAP }), {
    label: "groupNormGrad",
    buffers: [
      xs,
      input("gammas", 1, gamma.dtype, l.width),
      gs,
      stats,
      means("read"),
      ...epilogue.buffers,
    ],
    before: `${pairsOf(l, "stats", "mean", "scale")}
  ${pairsOf(l, "means", "level", "slope")}
  let gamma = ${type}(gammas[column]);`,
    each: () =>
      epilogue.store(
        `i * ${l.width}u`,
        `scale * (${type}(gs[i]) * gamma - level - (${type}(xs[i]) - mean) * scale * slope)`,
      ),
  });
  const folds = (r: number) => foldBytes(l, r);
  const scratch = [folds(run), folds(run), l.images * l.groups * 8].concat(
    again ? [folds(folded), folds(folded)] : [],
  );
  return { dispatches: [sums, ...again ? [fold] : [], join, map], scratch };
}
