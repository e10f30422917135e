/** What a delta is, in numbers: its model, its words, the ranks and sizes of its changes. */
import { changeNorm, formOf } from "../../concepts/deltas/changes.ts";
import type { Delta, DeltaWeight } from "../../concepts/deltas/delta.ts";
import type { BaseModel } from "../../concepts/deltas/formats/base.ts";
import type { LoadedDelta } from "../../concepts/deltas/formats/load.ts";
import { norm } from "../../numerics/matrix.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Inspected } from "../shared/ui.ts";
import { visibleLine } from "../../files/visible.ts";
import { columns } from "../../terminal/table.ts";
import { figures } from "../../numerics/quantities.ts";

/** One weight of a delta. */
interface WeightFacts {
  name: string;
  shape: readonly number[];
  /** "weight": trained values, "change": their difference to the base, "factors": that as a product, "scaled": DoRA. */
  form: string;
  rank?: number;
  /** ‖ΔW‖, the Frobenius norm; of trained values and of DoRA it is known beside a base only. */
  change?: number;
  /** ‖ΔW‖ / ‖W0‖, where the base was given. */
  relative?: number;
  /** ‖W‖ of trained values. */
  norm?: number;
}

/** Looks a delta through; beside a base model its changes can be measured, too. */
export async function inspectDelta(loaded: LoadedDelta, base?: BaseModel): Promise<Inspected> {
  const { path, format, container } = loaded;
  const delta = base?.fit(path, loaded.delta) ?? loaded.delta;
  const weights: WeightFacts[] = [];
  for (const [name, w] of delta.weights) {
    weights.push(weightFacts(name, w, await base?.read(name)));
  }
  const tokens = delta.tokens.map((token, i) => {
    const rows = [delta.embeddings[i], ...delta.embeddings2 ? [delta.embeddings2[i]] : []];
    return { ...token, widths: rows.map((r) => r.length), norms: rows.map((r) => lengthOf(r)) };
  });
  const changes = weights.map((w) => w.change);
  const known = changes.every((c) => c !== undefined);
  const facts = {
    path,
    kind: "delta",
    format: format.name,
    container,
    model: modelOf(delta),
    base: delta.base || null,
    ...(base && { baseFits: delta.base === "" ? "unknown" : "yes" }),
    tokens,
    parameters: weights.reduce((sum, w) => sum + sizeOf(w.shape), 0),
    ...(known && { change: norm(Float64Array.from(changes as number[])) }),
    weights,
    notes: delta.notes,
  };
  return { facts, lines: linesOf(facts, format.title) };
}

function weightFacts(name: string, w: DeltaWeight, base?: Float32Array): WeightFacts {
  const change = changeNorm(w, base), size = base && lengthOf(base);
  return {
    name,
    shape: w.shape,
    form: formOf(w),
    ...(rankOf(w) !== undefined && { rank: rankOf(w) }),
    ...(change !== undefined && { change }),
    ...(change !== undefined && size && { relative: change / size }),
    ...("data" in w && { norm: lengthOf(w.data) }),
  };
}

/** The rank of what is held in factors. */
function rankOf(w: DeltaWeight): number | undefined {
  const change = "magnitude" in w ? w.direction : w;
  return "u" in change ? change.rank : undefined;
}

const lengthOf = (data: Float32Array): number => norm(Float64Array.from(data));

/** Stable Diffusion models by the width of what their cross-attention attends to, and how many keys and values it has. */
const FAMILIES: [width: number, count: number, name: string][] = [
  [768, 32, "Stable Diffusion 1.x"],
  [1024, 32, "Stable Diffusion 2.x"],
  [2048, 140, "Stable Diffusion XL"],
];

/** Which family a delta is of, by its shapes alone. */
function modelOf({ weights, embeddings, embeddings2 }: Delta) {
  const pairs = [...weights].filter(([name]) => /attn2\.to_[kv]\.weight$/.test(name));
  const width = pairs[0]?.[1].shape[1];
  const token = embeddings[0]?.length;
  const found = FAMILIES.find(([w, n]) => width === w && pairs.length === n)?.[2];
  return {
    family: found ?? null,
    contextWidth: width ?? null,
    crossAttentionLayers: new Set(pairs.map(([name]) => name.split(".to_")[0])).size,
    embeddingWidth: token ?? null,
    textEncoders: embeddings2 ? 2 : 1,
  };
}

function linesOf(
  facts: {
    path: string;
    container: string;
    model: ReturnType<typeof modelOf>;
    base: string | null;
    baseFits?: string;
    tokens: { token: string; className: string; initializer: string; norms: number[] }[];
    parameters: number;
    change?: number;
    weights: WeightFacts[];
    notes: Delta["notes"];
  },
  title: string,
): string[] {
  const { model, base, tokens, weights } = facts;
  const width = model.contextWidth === null ? "" : `, context ${model.contextWidth}`;
  const notes = Object.entries(facts.notes);
  return [
    `${facts.path}: ${title}`,
    `container  ${facts.container}`,
    `model      ${model.family ?? "of no known family"}${width}, ` +
    `${model.crossAttentionLayers} cross-attention layers; base ` +
    (base ? base.slice(0, 12) : "not named") +
    (facts.baseFits === "yes" ? ", which is this model" : ""),
    ...tokens.map(({ token, className, initializer, norms }) =>
      `token      ${visibleLine([token, className].filter(Boolean).join(" "))}` +
      `${initializer ? `, from ${visibleLine(initializer)}` : ""}, length ` +
      norms.map(digits).join(" and ")
    ),
    ...tokens.length ? [] : ["token      none"],
    `weights    ${weights.length}, ${facts.parameters} parameters` +
    (facts.change === undefined ? "" : `, ‖ΔW‖ ${digits(facts.change)}`),
    ...weights.length ? ["", ...weightTable(weights)] : [],
    ...weights.length && facts.change === undefined
      ? ["", "It holds trained weights or DoRA: --model with the base measures their changes, too."]
      : [],
    ...notes.length ? [""] : [],
    ...notes.map(([name, value]) => `${visibleLine(name)}: ${cut(JSON.stringify(value))}`),
  ];
}

const weightTable = (weights: readonly WeightFacts[]): string[] =>
  columns([
    ["weight", "shape", "held as", "rank", "‖ΔW‖", "‖ΔW‖/‖W0‖"],
    ...weights.map((w) => [
      w.name,
      w.shape.join("×"),
      w.form,
      String(w.rank ?? ""),
      digits(w.change),
      digits(w.relative),
    ]),
  ]);

const digits = (x: number | undefined): string => x === undefined ? "" : figures(x);

const cut = (text = ""): string => text.length > 100 ? `${text.slice(0, 99)}…` : text;
