/**
 * What a program is, in words: its tape, which ops became which dispatch, and where every value lies. Everything here is
 * known before anything is allocated, so a program that would not fit can still explain itself.
 */
import { what } from "../../tensor/what.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { show } from "../../tensor/shape.ts";
import type { Blueprint } from "../trace.ts";
import { operationsOf } from "../expr.ts";
import type { Step } from "../fuse.ts";
import type { LoweredDispatch, LoweredUse, Scratch } from "../lower.ts";
import { binaryBytes } from "../../numerics/quantities.ts";

/** Names tensors by the position of their node on the tape: `%7`, or `%7.1` for a second output. */
export class TensorNames {
  readonly #position = new Map<unknown, number>();
  constructor(tape: Blueprint["tape"]) {
    tape.forEach((node, i) => this.#position.set(node, i));
  }
  of(t: Tensor): string {
    const at = this.#position.get(t.node);
    const name = at === undefined ? `?${t.node.op.name}` : `%${at}`;
    return t.index ? `${name}.${t.index}` : name;
  }
}

/** The ops that a step computes, in the order of the tape. */
export function opsOf(step: Step): string[] {
  const found = new Map<number, string>();
  const roots = step.kind === "map"
    ? step.exprs
    : step.kind === "reduce"
    ? [step.expr]
    : step.kind === "kernel" && step.epilogue
    ? [step.epilogue.expr]
    : [];
  if (step.kind !== "map") found.set(step.node.id, step.node.op.name);
  for (const { node } of operationsOf(roots)) found.set(node.id, node.op.name);
  return [...found].sort(([a], [b]) => a - b).map(([, name]) => name);
}

/** Rows of cells as lines with aligned columns; `right` lists the columns to align to the right. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const width: number[] = [];
  for (const row of rows) row.forEach((cell, i) => width[i] = Math.max(width[i] ?? 0, cell.length));
  return rows.map((row) =>
    row.map((cell, i) => right.includes(i) ? cell.padStart(width[i]) : cell.padEnd(width[i])).join(
      "  ",
    ).trimEnd()
  );
}

/** Text cut to a column's width. */
export const clip = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, width - 1)}…` : text;

/** Width of the column that names a dispatch. */
export const LABEL_WIDTH = 40;

/**
 * The program as aligned text: tape, dispatches with the ops they came from, and the memory plan.
 *
 * @param plan as `compile(…).plan(…)` gives it
 */
export function explain(plan: Blueprint): string {
  if (!Array.isArray(plan?.tape)) {
    throw new TypeError(
      `explain: argument 1 (plan) is ${what(plan)}, not a plan: compiled.plan(…args) gives one`,
    );
  }
  const names = new TensorNames(plan.tape);
  return [
    ...tapeLines(plan, names),
    "",
    ...dispatchLines(plan, names),
    "",
    ...memoryLines(plan, names),
    "",
  ].join("\n");
}

function tapeLines(plan: Blueprint, names: TensorNames): string[] {
  const results = new Set(plan.results.map((r) => r.memory));
  const rows = plan.tape.map((node) => [
    `  ${names.of(node.outputs[0])}`,
    node.outputs.map((t) => show(t.spec)).join(" "),
    `${node.op.name}(${node.inputs.map((t) => names.of(t)).join(", ")})`,
    `${attributes(node.attrs)} ${node.outputs.some((t) => results.has(t)) ? "→ result" : ""}`
      .trim(),
  ]);
  return [`tape: ${plan.tape.length} nodes`, ...alignColumns(rows)];
}

/** Static attributes in short; arrays of data by their length. */
function attributes(attrs: unknown): string {
  if (attrs === undefined || attrs === null) return "";
  const text = JSON.stringify(attrs, (_key, v) => {
    if (typeof v === "number" && !Number.isFinite(v)) return String(v);
    if (ArrayBuffer.isView(v)) return `${(v as Float32Array).length} values`;
    const plain = v === null || typeof v !== "object" || Array.isArray(v) ||
      Object.getPrototypeOf(v) === Object.prototype;
    return plain ? v : v.constructor?.name ?? "object";
  });
  return clip(text, 72);
}

function dispatchLines(plan: Blueprint, names: TensorNames): string[] {
  const scratch = scratchNames(plan);
  const steps = [...new Set(plan.dispatches.map((d) => d.step))];
  const work = steps.reduce((n, s) => n + opsOf(s).length, 0);
  const fused = steps.filter((s) => opsOf(s).length > 1).length;
  const list = (d: LoweredDispatch, access: LoweredUse["access"]) =>
    d.buffers.filter((b) => b.access === access)
      .filter(({ window }) => !window?.offset)
      .map(({ memory: m }) => m instanceof Tensor ? names.of(m) : scratch.get(m)!).join(" ") ||
    "nothing";
  const rows = plan.dispatches.map((d, i) => [
    `  #${i}`,
    clip(d.label, LABEL_WIDTH),
    `${d.grid.join("×")} groups`,
    `${list(d, "read")} → ${list(d, "write")}`,
    origin(d),
  ]);
  return [
    `dispatches: ${plan.dispatches.length} (steps: ${steps.length}, fused: ${fused}, operations: ${work})`,
    ...alignColumns(rows),
  ];
}

/** The ops of a dispatch, unless its label lists them already and in full. */
function origin({ step, label, once, loops }: LoweredDispatch): string {
  const ops = opsOf(step);
  const named = label === ops.join("·") && label.length <= LABEL_WIDTH;
  const from = named ? "" : `from ${ops.join(" · ") || "a copy"}`;
  const times = loops?.length ? ` (×${loops.map((l) => l.count).join("×")})` : "";
  return once ? `${from} (once)` : `${from}${times}`.trim();
}

function scratchNames(plan: Blueprint): Map<Scratch, string> {
  const scratch = new Map<Scratch, string>();
  for (const { memory: m } of plan.dispatches.flatMap((d) => d.buffers)) {
    if (!(m instanceof Tensor) && !scratch.has(m)) scratch.set(m, `scratch${scratch.size}`);
  }
  return scratch;
}

function memoryLines(plan: Blueprint, names: TensorNames): string[] {
  const { memory } = plan;
  const scratch = scratchNames(plan);
  const lifetime = lifetimes(plan);
  const planned = memory.slabs.reduce((a, b) => a + b, 0);
  const rows = [...memory.places]
    .flatMap(([m, pieces]) => pieces.map((place, i) => ({ m, place, i, of: pieces.length })))
    .sort(({ place: a }, { place: b }) => a.slab - b.slab || a.offset - b.offset)
    .map(({ m, place, i, of }) => [
      `  slab ${place.slab}`,
      `@${place.offset}`,
      binaryBytes(place.bytes),
      (m instanceof Tensor ? `${names.of(m)} ${show(m.spec)}` : scratch.get(m) ?? "scratch") +
      (of > 1 ? ` (piece ${i + 1} of ${of})` : ""),
      lifetime(m),
    ]);
  const donated = [...plan.donations].map(([result, argument]) =>
    `  ${names.of(result)} takes the memory of ${names.of(argument)}, ${
      memory.inPlace.has(result) ? "written in place" : "copied at the end"
    }`
  );
  const percent = planned
    ? ` (${Math.round(100 * memory.lowerBound / planned)} % of the plan)`
    : "";
  return [
    `memory: peak ${binaryBytes(planned)} in ${memory.slabs.length} slabs (${
      memory.slabs.map(binaryBytes).join(" + ") || "none"
    })`,
    `  lower bound ${
      binaryBytes(memory.lowerBound)
    }${percent}: what is alive at the busiest dispatch`,
    ...alignColumns(rows, [1, 2]),
    `donated: ${plan.donations.size} results, ${memory.inPlace.size} of them in place`,
    ...donated,
  ];
}

/** From which dispatch to which each value is needed. */
function lifetimes({ memory, dispatches }: Blueprint): (m: Tensor | Scratch) => string {
  return (m) => {
    const { first, last } = memory.lifetimes.get(m)!;
    return `#${first} … ${last === dispatches.length ? "end" : `#${last}`}`;
  };
}
