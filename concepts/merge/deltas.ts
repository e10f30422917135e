/**
 * Merging fine-tuned concepts (§3.3 of the paper): each concept's own features must keep the keys and values that its
 * own fine-tuned matrices give them, while everything else changes least. The features of all tokens come from one text
 * encoder, since each token is only a row of its own; all matrices share one factorization.
 */
import { MODEL } from "../../diffusion/given.ts";
import { DELTA } from "../deltas/delta.ts";
import { expectKinds, listOf, RECORD } from "../../tensor/kinds.ts";
import { compile } from "../../compile/compile.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten } from "../../tensor/tree.ts";
import { FileError } from "../../files/errors.ts";
import { promptFeatures } from "../../diffusion/conditions.ts";
import { type Pipeline, textWindow } from "../../diffusion/pipeline.ts";
import { checkTexts, type OnWarning } from "../../models/text_window.ts";
import type { Delta, DeltaToken, DeltaWeight } from "../deltas/delta.ts";
import { withDelta } from "../deltas/apply.ts";
import { trainedWeight } from "../deltas/changes.ts";
import { type Matrix, type MergeReport, mergeSolver } from "./solve.ts";
import { fill, phrase } from "../data/prompts.ts";

/** Options of {@linkcode mergeDeltas}. */
export interface MergeDeltasOptions {
  /** Captions of ordinary pictures; at most 1000 are used. */
  readonly regularization: readonly string[];
  /** Multiple of the mean diagonal of C_regᵀC_reg that is added to it. Default 0. */
  readonly ridge?: number;
  /** Prompts around a concept's words. */
  readonly templates?: readonly string[];
  /** Also constrain the padding after the end token, which the model attends to as well. */
  readonly padding?: boolean;
  /** Called with how many captions are encoded, then with how many matrices are merged. */
  readonly onProgress?: (what: "captions" | "matrices", done: number, total: number) => void;
  /** Hears of captions that are longer than the model reads. */
  readonly onWarning?: OnWarning;
}

/** A merged delta, and how well each matrix went. */
export interface MergedDelta {
  /** All concepts in one. */
  readonly delta: Delta;
  /** How well it went, by parameter path. */
  readonly reports: ReadonlyMap<string, MergeReport>;
}

/** Rows of text features `[n, d]` with the concept that each belongs to. */
interface TargetRows {
  readonly rows: Float64Array[];
  readonly owner: number[];
}

const MOST_CAPTIONS = 1000;

/**
 * Merges deltas of one base model. The pipeline must know every token of theirs.
 *
 * @throws FileError when deltas cannot be merged with one another
 * @throws TokenError where a new word of a caption or template lies behind what the model reads
 */
export async function mergeDeltas(
  pipeline: Pipeline,
  deltas: readonly Delta[],
  options: MergeDeltasOptions,
): Promise<MergedDelta> {
  expectKinds("mergeDeltas", {
    pipeline: [pipeline, MODEL],
    deltas: [deltas, listOf(DELTA)],
    options: [options, RECORD],
  });
  checkDeltas(deltas);
  const { onProgress, onWarning } = options;
  const captions = options.regularization.slice(0, MOST_CAPTIONS);
  const own = deltas.flatMap((d) => d.tokens.flatMap((token) => promptsOf(token, options)));
  checkTexts(textWindow(pipeline), captions, "caption", onWarning);
  checkTexts(textWindow(pipeline), own, "prompt of a concept", onWarning);
  const all = withTokens(pipeline, deltas);
  try {
    const encode = textEncoder(all);
    onProgress?.("captions", 0, captions.length);
    const regularization = await captionRows(
      all,
      encode,
      captions,
      (done) => onProgress?.("captions", done, captions.length),
    );
    const targets = await targetRows(all, encode, deltas, options);
    encode.free();
    const solver = mergeSolver({
      targets: matrixOf(targets.rows),
      regularization: matrixOf(regularization),
      ridge: options.ridge,
      duplicateTolerance: 1e-6,
    });
    const weights = new Map<string, DeltaWeight>();
    onProgress?.("matrices", 0, deltas[0].weights.size);
    const reports = new Map<string, MergeReport>();
    const base = new Map(flatten<Tensor>({ ...pipeline.params }));
    for (const path of deltas[0].weights.keys()) {
      const W0 = await hostMatrix(pipeline, base.get(path)!);
      const tuned = deltas.map((d) => trainedWeight(d.weights.get(path)!, W0.data).data);
      const values = valuesOf(tuned, targets, W0.rows);
      const { W, report } = solver.apply(W0, values, { relative: true });
      weights.set(path, { shape: [W.rows, W.cols], data: Float32Array.from(W.data) });
      reports.set(path, report);
      onProgress?.("matrices", reports.size, deltas[0].weights.size);
    }
    const tokens = deltas.flatMap((d) => d.tokens);
    return {
      reports,
      delta: {
        base: baseOf(deltas),
        tokens,
        ...embeddingsOf(deltas),
        weights,
        notes: {
          kind: "merged",
          of: deltas.map((d) => d.tokens.map((t) => phrase(t))),
          captions: captions.length,
          ridge: options.ridge ?? 0,
          parts: deltas.map((d) => d.notes),
        },
      },
    };
  } finally {
    all.free();
  }
}

/** The base of the first delta that names it. */
const baseOf = (deltas: readonly Delta[]): string => deltas.find((d) => d.base)?.base ?? "";

/** The embeddings of all deltas, in both text encoders where they have two. */
function embeddingsOf(deltas: readonly Delta[]): Pick<Delta, "embeddings" | "embeddings2"> {
  const embeddings = deltas.flatMap((d) => d.embeddings);
  const embeddings2 = deltas.flatMap((d) => d.embeddings2 ?? []);
  return embeddings2.length ? { embeddings, embeddings2 } : { embeddings };
}

function checkDeltas(deltas: readonly Delta[]): void {
  if (deltas.length < 2) throw new TypeError("merging needs at least two deltas");
  const seen = new Set<string>();
  const base = baseOf(deltas);
  for (const [i, d] of deltas.entries()) {
    if (d.base && d.base !== base) {
      throw new FileError(`delta ${i + 1}`, "is of another base model than those before it");
    }
    for (const { token } of d.tokens) {
      if (seen.has(token)) {
        throw new FileError(
          `delta ${i + 1}`,
          `uses ${token}, as another one does`,
          "Train each concept with a token of its own",
        );
      }
      seen.add(token);
    }
    const other = [...d.weights.keys()].find((k) => !isKeyOrValue(k));
    if (other !== undefined) {
      throw new FileError(
        `delta ${i + 1}`,
        `changes "${other}", which is no key or value matrix of the cross-attention`,
        "Only deltas of those can be merged: they alone are functions of the text",
      );
    }
    const differs = [...deltas[0].weights.keys()].find((k) => !d.weights.has(k));
    if (differs || d.weights.size !== deltas[0].weights.size) {
      throw new FileError(
        `delta ${i + 1}`,
        `does not change the same matrices as delta 1 (${differs ?? "more"})`,
      );
    }
  }
}

const isKeyOrValue = (path: string): boolean => /\.attn2\.to_[kv]\.weight$/.test(path);

/** The base pipeline with the embeddings of all deltas, and none of their matrices. */
function withTokens(pipeline: Pipeline, deltas: readonly Delta[]) {
  return withDelta(pipeline, {
    base: baseOf(deltas),
    tokens: deltas.flatMap((d) => d.tokens),
    ...embeddingsOf(deltas),
    weights: new Map(),
    notes: {},
  });
}

function textEncoder(pipeline: Pipeline) {
  const { config, params, tokenizer, device } = pipeline;
  const run = compile(
    device,
    (ids: Tensor) => ({ hidden: promptFeatures(config, params, ids).context }),
  );
  const encode = async (text: string): Promise<{ ids: number[]; rows: Float64Array[] }> => {
    const tokens = pipeline.tokenize([text]);
    const ids = tokenizer.encodePadded(text, tokens.shape.at(-1));
    const { hidden } = run(tokens);
    const data = Float64Array.from(await device.read(hidden) as Float32Array);
    const d = hidden.shape[2];
    return { ids, rows: ids.map((_, i) => data.slice(i * d, (i + 1) * d)) };
  };
  return Object.assign(encode, { free: run.free });
}

/** Rows of captions from position 1 to the end token. */
async function captionRows(
  pipeline: Pipeline,
  encode: ReturnType<typeof textEncoder>,
  captions: readonly string[],
  onCaption: (done: number) => void,
): Promise<Float64Array[]> {
  const rows: Float64Array[] = [];
  for (const [i, caption] of captions.entries()) {
    const { ids, rows: all } = await encode(caption);
    rows.push(...all.slice(1, ids.indexOf(pipeline.tokenizer.eos) + 1));
    onCaption(i + 1);
  }
  return rows;
}

/** Rows of each concept's own words and end token, in its bare name and in the templates. */
async function targetRows(
  pipeline: Pipeline,
  encode: ReturnType<typeof textEncoder>,
  deltas: readonly Delta[],
  options: MergeDeltasOptions,
): Promise<TargetRows> {
  const rows: Float64Array[] = [];
  const owner: number[] = [];
  const { tokenizer } = pipeline;
  for (const [n, delta] of deltas.entries()) {
    for (const token of delta.tokens) {
      for (const prompt of promptsOf(token, options)) {
        const { ids, rows: all } = await encode(prompt);
        const from = firstOf(ids, token, pipeline);
        const end = options.padding ? ids.length : ids.indexOf(tokenizer.eos) + 1;
        for (let i = from; i < end; i++) {
          rows.push(all[i]);
          owner.push(n);
        }
      }
    }
  }
  return { rows, owner };
}

/** A concept's bare name, and its name in the templates. */
const promptsOf = (token: DeltaToken, { templates = ["photo of a {}"] }: MergeDeltasOptions) =>
  ["{}", ...templates].map((template) => fill(template, phrase(token)));

/** Position of a concept's first word in a prompt. */
function firstOf(ids: readonly number[], token: DeltaToken, pipeline: Pipeline): number {
  const first = token.token
    ? pipeline.tokenIds(token.token)[0]
    : pipeline.tokenizer.idsOf(token.className)[0];
  return ids.indexOf(first);
}

/** V: column i is what the owner's fine-tuned matrix gives for target row i. */
function valuesOf(tuned: readonly Float32Array[], targets: TargetRows, out: number): Matrix {
  const s = targets.rows.length;
  const data = new Float64Array(out * s);
  targets.rows.forEach((c, i) => {
    const w = tuned[targets.owner[i]];
    for (let r = 0; r < out; r++) {
      let sum = 0;
      for (let k = 0; k < c.length; k++) sum += w[r * c.length + k] * c[k];
      data[r * s + i] = sum;
    }
  });
  return { rows: out, cols: s, data };
}

async function hostMatrix(pipeline: Pipeline, t: Tensor): Promise<Matrix> {
  const data = Float64Array.from(await pipeline.device.read(t) as Float32Array);
  return { rows: t.shape[0], cols: t.shape[1], data };
}

function matrixOf(rows: readonly Float64Array[]): Matrix {
  const cols = rows[0].length;
  const data = new Float64Array(rows.length * cols);
  rows.forEach((r, i) => data.set(r, i * cols));
  return { rows: rows.length, cols, data };
}
