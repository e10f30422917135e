/**
 * Kernels that fold each row of a matrix to a few numbers and then map the row with them: layer norm, softmax, their
 * gradients. The author states the folds; this file decides who walks a row. On a software adapter one invocation
 * does, since workgroup memory and barriers are slow there. On a GPU up to 128 lanes share a row, keep their part of
 * it in registers, and exchange sums through workgroup memory, with one barrier for each fold.
 */
import {
  type AdapterProfile,
  assertIterations,
  type BufferUse,
  type Dispatch,
  type Epilogue,
  flatGroup,
  foldGrid,
  perItem,
  size,
  storageType,
  sumLoop,
  sumTurns,
} from "../tensor/kernel.ts";
import type { DType } from "../tensor/dtype.ts";
import { MINUS_INFINITE } from "./elementwise/nan.ts";

/** An operand of the same shape as the matrix; the kernel sees its values as `v[i]`, in f32. */
export interface RowOperand {
  readonly name: string;
  readonly dtype: DType;
  readonly input: number;
}

/** A number that every row is folded to. Its name is that of the result in later WGSL. */
export interface RowFold {
  readonly name: string;
  readonly join: "add" | "max";
  readonly value: (v: readonly string[], k: string) => string;
}

/** One walk along the row. */
export interface RowPhase {
  /** New values of the operands, for this phase and all later work. */
  readonly update?: (v: readonly string[], k: string) => readonly string[];
  readonly folds: readonly RowFold[];
  /** Whether `update` costs more than storing what it gives and reading that again. */
  readonly costly?: boolean;
  /** Statements once the folds are known. */
  readonly then?: string;
}

/** What a row kernel computes. `k` counts steps of `width` elements within the row, `row` the rows. */
export interface RowKernel {
  readonly label: string;
  readonly rows: number;
  readonly length: number;
  readonly operands: readonly RowOperand[];
  /** Other buffers that the WGSL below names. */
  readonly buffers: readonly BufferUse[];
  /** Statements before the first phase. */
  readonly prologue?: string;
  readonly phases: readonly RowPhase[];
  /** Statements run once for each row, after the phases. */
  readonly finish?: string;
  /** The mapped row, stored to output 0 through the epilogue. */
  readonly map?: {
    readonly value: (v: readonly string[], k: string) => string;
    readonly epilogue: Epilogue;
  };
}

/** Elements per step: vectors wherever rows are a whole number of them. */
export const rowWidth = (length: number): 1 | 4 => length % 4 === 0 ? 4 : 1;

/** WGSL type of one step of values. */
export const rowType = (length: number): string => storageType("f32", rowWidth(length));

const WORKGROUP = 128;
/** Steps that one lane keeps in registers; longer rows are read once per phase instead. */
const REGISTERS = 8;
const START = { add: "0.0", max: MINUS_INFINITE } as const;

/** Lowers a row kernel to one dispatch. */
export function rowKernel(spec: RowKernel, profile: AdapterProfile): Dispatch {
  const steps = spec.length / rowWidth(spec.length);
  const passes = spec.phases.length + (spec.map ? 1 : 0);
  const solo = profile.cpu || (profile.software && steps * passes <= 30_000);
  const { body, grid } = solo
    ? soloBody(spec, steps, keepsIn(spec, profile), profile.cpu)
    : sharedBody(spec, steps, passes);
  const width = rowWidth(spec.length);
  return {
    label: spec.label,
    body,
    grid,
    buffers: [
      ...spec.operands.map((o): BufferUse => ({
        name: o.name,
        ref: { input: o.input },
        access: "read",
        type: storageType(o.dtype, width),
      })),
      ...spec.buffers,
      ...spec.map?.epilogue.buffers ?? [],
    ],
  };
}

const names = (spec: RowKernel, suffix = ""): string[] =>
  spec.operands.map((_, i) => `v${i}${suffix}`);

/** Statements that read step `k` of the row into variables. */
const reads = (spec: RowKernel, steps: number, to: readonly string[], k: string): string =>
  spec.operands.map((o, i) =>
    `var ${to[i]} = ${rowType(spec.length)}(${o.name}[row * ${size(steps, "steps")} + ${k}]);`
  ).join(" ");

const updates = (phases: readonly RowPhase[], v: readonly string[], k: string): string =>
  phases.map((p) =>
    (p.update?.(v, k) ?? []).map((e, i) => e === v[i] ? "" : `${v[i]} = ${e};`).join(" ")
  )
    .join(" ");

/** Names of accumulators, which are others within {@linkcode sumLoop}. */
type Into = (name: string) => string;

/** Joins some values to an accumulator. */
const folding = (f: RowFold, values: readonly string[], into: Into = (name) => name): string =>
  f.join === "add"
    ? `${into(`${f.name}_`)} += ${inPairs(values, joiner(f))};`
    : `${f.name}_ = max(${f.name}_, ${inPairs(values, joiner(f))});`;

const joiner = ({ join }: RowFold) => (a: string, b: string): string =>
  join === "add" ? `(${a} + ${b})` : `max(${a}, ${b})`;

/** The accumulators of a phase that are sums. */
const sumsOf = (spec: RowKernel, phase: RowPhase): Record<string, string> =>
  Object.fromEntries(
    phase.folds.filter((f) => f.join === "add").map((f) => [`${f.name}_`, rowType(spec.length)]),
  );

const declare = (spec: RowKernel, phase: RowPhase): string =>
  phase.folds.map((f) => `var ${f.name}_ = ${rowType(spec.length)}(${START[f.join]});`).join(" ");

/** One number from the lanes of an accumulator. */
function collapse(f: RowFold, v: string, width: 1 | 4): string {
  if (width === 1) return v;
  return f.join === "add"
    ? `((${v}.x + ${v}.y) + (${v}.z + ${v}.w))`
    : `max(max(${v}.x, ${v}.y), max(${v}.z, ${v}.w))`;
}

const storing = (spec: RowKernel, v: readonly string[], k: string): string => {
  const width = rowWidth(spec.length);
  const steps = size(spec.length / width, "steps");
  return spec.map!.epilogue.store(
    `(row * ${steps} + ${k}) * ${width}u`,
    spec.map!.value(v, k),
    { inner: spec.length, row: "row", column: `${k} * ${width}u` },
  );
};

/** Joins neighbours, then neighbours of these: as few joins one after the other as there can be. */
function inPairs(parts: readonly string[], join: (a: string, b: string) => string): string {
  if (parts.length === 1) return parts[0];
  const half = Math.ceil(parts.length / 2);
  return join(inPairs(parts.slice(0, half), join), inPairs(parts.slice(half), join));
}

/** The output's name where the last phase's values may wait there for the mapping: only on the CPU, where it is in the cache. */
function keepsIn({ phases, operands, map, length }: RowKernel, { cpu }: AdapterProfile) {
  const only = map?.epilogue.buffers.length === 1 ? map.epilogue.buffers[0] : undefined;
  const fits = only?.type === rowType(length) && operands.length === 1;
  return cpu && fits && phases.at(-1)?.costly ? only?.name : undefined;
}

/** Steps of a row that a turn of a loop takes on the CPU, where the turn itself costs as much as a step. */
const TOGETHER = 4;

/** One invocation for each row. */
function soloBody(spec: RowKernel, steps: number, kept: string | undefined, cpu = false) {
  const width = rowWidth(spec.length);
  // Few rows still have to occupy every core.
  const workgroup = spec.rows < 1024 ? 8 : 64;
  const last = spec.phases.at(-1);
  const at = (k: string) => `row * ${size(steps, "steps")} + ${k}`;
  const recomputed = (done: number) => (v: readonly string[], k: string) =>
    `${reads(spec, steps, v, k)} ${updates(spec.phases.slice(0, done), v, k)}`;
  /** A walk along the row: `get` names the values of a step, `put` does something with them, folds join those of a turn. */
  const walk = (
    get: (v: readonly string[], k: string) => string,
    put: (v: readonly string[], k: string) => string,
    phase?: RowPhase,
  ) => {
    const together = cpu && !phase?.costly && steps % TOGETHER === 0 ? TOGETHER : 1;
    const turn = Array.from({ length: together }, (_, i) => ({
      v: names(spec, together === 1 ? "" : `_${i}`),
      k: i ? `k + ${i}u` : "k",
    }));
    return sumLoop({
      index: "k",
      from: "0u",
      to: size(steps, "steps"),
      step: together,
      most: steps / together,
      sums: phase ? sumsOf(spec, phase) : {},
      turn: (into) =>
        [
          ...turn.map(({ v, k }) => `${get(v, k)} ${put(v, k)}`),
          ...phase?.folds.map((f) => folding(f, turn.map(({ v, k }) => f.value(v, k)), into)) ?? [],
        ].join(" "),
    });
  };
  const phases = spec.phases.map((p, i) =>
    [
      declare(spec, p),
      walk(recomputed(i + 1), ([v], k) => kept && p === last ? `${kept}[${at(k)}] = ${v};` : "", p),
      ...p.folds.map((f) => `let ${f.name} = ${collapse(f, `${f.name}_`, width)};`),
      p.then ?? "",
    ].join("\n  ")
  );
  const mapping = spec.map && walk(
    kept ? ([v], k) => `let ${v} = ${kept}[${at(k)}];` : recomputed(spec.phases.length),
    (v, k) => storing(spec, v, k),
  );
  return perItem(
    { count: spec.rows, name: "row", workgroup },
    `${spec.prologue ?? ""}
  ${phases.join("\n  ")}
  ${spec.finish ?? ""}
  ${mapping ?? ""}`,
  );
}

/** Lanes of a workgroup share a row. */
function sharedBody(spec: RowKernel, steps: number, passes: number) {
  const width = rowWidth(spec.length);
  const lanes = Math.min(WORKGROUP, Math.max(8, 2 ** Math.ceil(Math.log2(steps / 4))));
  const rows = WORKGROUP / lanes;
  const each = Math.ceil(steps / lanes);
  assertIterations(spec.label, each > REGISTERS ? sumTurns(each) * passes : 0);
  const grid = foldGrid(Math.ceil(spec.rows / rows));
  const ragged = steps % lanes !== 0;
  const guarded = (test: boolean, k: string, body: string) =>
    test ? `if (${k} < ${size(steps, "steps")}) { ${body} }` : body;

  /** Emits `body` for every step of this lane: unrolled over registers, or as a loop that reads again. */
  const walk = (
    done: number,
    body: (v: string[], k: string, into?: Into) => string,
    phase?: RowPhase,
  ): string => {
    const store = phase === undefined;
    if (each > REGISTERS) {
      const v = names(spec);
      return sumLoop({
        index: "k",
        from: "lane",
        to: size(steps, "steps"),
        step: lanes,
        most: each,
        sums: phase ? sumsOf(spec, phase) : {},
        turn: (into) =>
          `${reads(spec, steps, v, "k")} ${updates(spec.phases.slice(0, done), v, "k")} ${
            guardedStore(store, body(v, "k", into))
          }`,
      });
    }
    return Array.from({ length: each }, (_, s) => {
      const v = names(spec, `_${s}`);
      const k = `k${s}`;
      const update = store ? "" : updates(spec.phases.slice(done - 1, done), v, k);
      const last = ragged && s === each - 1;
      return guarded(last, k, `${update} ${guardedStore(store, body(v, k))}`);
    }).join("\n  ");
  };
  const guardedStore = (store: boolean, body: string) =>
    store && spec.rows % rows !== 0 ? `if (mine) { ${body} }` : body;

  const load = each > REGISTERS ? "" : Array.from({ length: each }, (_, s) => {
    const last = ragged && s === each - 1;
    // A lane past the end of the row reads the row's last step and does nothing with it.
    const at = last ? `min(k${s}, ${size(steps - 1, "lastStep")})` : `k${s}`;
    return `let k${s} = lane + ${s * lanes}u; ${reads(spec, steps, names(spec, `_${s}`), at)}`;
  }).join("\n  ");

  const shared: string[] = [];
  const phases = spec.phases.map((p, i) => {
    p.folds.forEach((f) =>
      shared.push(`var<workgroup> ${f.name}_w: array<vec4<f32>, ${WORKGROUP / 4}>;`)
    );
    const joined = (f: RowFold) => {
      const parts = Array.from({ length: lanes / 4 }, (_, j) => `${f.name}_w[at + ${j}u]`);
      const sum = inPairs(parts, joiner(f));
      return `let ${f.name}_4 = ${sum}; let ${f.name} = ${collapse(f, `${f.name}_4`, 4)};`;
    };
    return [
      declare(spec, p),
      walk(
        i + 1,
        (v, k, into) => p.folds.map((f) => folding(f, [f.value(v, k)], into)).join(" "),
        p,
      ),
      ...p.folds.map((f) =>
        `${f.name}_w[lid >> 2u][lid & 3u] = ${collapse(f, `${f.name}_`, width)};`
      ),
      "workgroupBarrier();",
      ...p.folds.map(joined),
      p.then ?? "",
    ].join("\n  ");
  });
  const body = `${shared.join("\n")}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let lane = lid % ${lanes}u;
  let at = (lid / ${lanes}u) * ${lanes / 4}u;
  let wanted = ${flatGroup(grid)} * ${rows}u + lid / ${lanes}u;
  let mine = wanted < ${size(spec.rows)};
  // Rows past the end are computed again and not stored, so that every lane meets every barrier.
  let row = min(wanted, ${size(spec.rows - 1)});
  ${spec.prologue ?? ""}
  ${load}
  ${phases.join("\n  ")}
  ${spec.finish ? `if (mine && lane == 0u) { ${spec.finish} }` : ""}
  ${spec.map ? walk(spec.phases.length, (v, k) => storing(spec, v, k)) : ""}
}`;
  return { body, grid };
}
