/** Writing a delta in any format: into the forms that it can hold, and to one file or several, each whole or not at all. */
import { DELTA } from "../delta.ts";
import { expectKinds } from "../../../tensor/kinds.ts";
import { PATH } from "../../../files/given.ts";
import { FileError } from "../../../files/errors.ts";
import { makeFolder } from "../../../files/atomic.ts";
import { isFile } from "../../../files/paths.ts";
import { system } from "../../../files/stores/system.ts";
import {
  safetensorsSize,
  type TensorToWrite,
  writeSafetensors,
} from "../../../files/safetensors/write.ts";
import { writeTorch } from "../../../files/torch/write.ts";
import {
  type ChangeForm,
  factoredChange,
  formOf,
  needsBase,
  trainedWeight,
  weightChange,
} from "../changes.ts";
import { type Delta, DELTA_FILE, type DeltaWeight } from "../delta.ts";
import type { DeltaFile } from "./content.ts";
import type { DeltaFormat, DeltaFormatName, FormatContext, Packed, Written } from "./format.ts";
import { moongate } from "./moongate.ts";
import { formatNamed } from "./registry.ts";
import { packEmbedding, stemOf, tokenFile } from "./tokens.ts";

/** Rank of a LoRA where none is asked for. */
export const LORA_RANK = 64;

/** Reads a parameter of the base model by path. Throws FileError where it has none of that name. */
export type BaseWeights = (path: string) => Promise<Float32Array>;

/** Options of {@linkcode saveDeltaAs}. */
export interface SaveDeltaOptions extends FormatContext {
  /** The base model's weights: needed where the delta holds trained weights and the format changes, or the reverse. */
  readonly base?: BaseWeights;
  /** Rank of the factors that changes are cut to. Default: as they are; {@linkcode LORA_RANK} for LoRA. */
  readonly rank?: number;
  /** Called with the paths of all files before the first is written; what it throws prevents that. */
  readonly onFiles?: (paths: readonly string[]) => Promise<void>;
  /** Called after each weight with the number that are done and the number there are. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** What was written. */
export interface SavedDelta {
  /** The files, the one with the weights first. */
  readonly paths: readonly string[];
  /** What the format has no place for, and so was left out. */
  readonly lost: readonly string[];
}

/** Writes a delta as moongate has it, whole or not at all. */
export async function saveDelta(path: string, delta: Delta): Promise<void> {
  expectKinds("saveDelta", { path: [path, PATH], delta: [delta, DELTA] });
  await writePacked(path, moongate.write(delta, {}), "safetensors");
}

/** How many bytes the file takes that {@linkcode saveDelta} writes; by shapes, whatever numbers there are. */
export function deltaSize(delta: Delta): number {
  const { root, metadata } = moongate.write(delta, {});
  return safetensorsSize(tensorsOf(root), metadata);
}

/**
 * Writes a delta in a format of the ecosystem.
 *
 * @param out a file, if its name has an ending such as `.safetensors`, `.bin` or `.ckpt`; else a folder, where the files
 *   get the names that the ecosystem gives them. Embeddings that the format keeps apart go beside the file
 * @throws FileError when the format has no place for something, a needed base model was not given, or a file can't be
 *   written; before anything is
 */
export async function saveDeltaAs(
  out: string,
  delta: Delta,
  to: DeltaFormatName,
  options: SaveDeltaOptions = {},
): Promise<SavedDelta> {
  expectKinds("saveDeltaAs", { out: [out, PATH], delta: [delta, DELTA] });
  const format = formatNamed(to);
  const target = targetOf(out, format);
  const { fitted, lost } = await fit(delta, format, options);
  const written = format.write(fitted, options);
  const files: [string, Written][] = [[target.path, written]];
  if (format.tokens !== "inside") {
    const os = (await system())?.build.os;
    const plain = format.tokens === "beside, bare" || os === undefined || os === "windows";
    // Nor may a word's file be taken for one of ours.
    const taken = new Set([target.path, DELTA_FILE].map((path) => stemOf(path).toLowerCase()));
    for (const [i, { token }] of fitted.tokens.entries()) {
      const path = `${target.folder}${tokenFile(token, plain, taken)}${target.ending}`;
      files.push([path, packEmbedding(fitted, i, !plain)]);
    }
  }
  await options.onFiles?.(files.map(([path]) => path));
  await makeFolderOf(target.folder);
  for (const [path, content] of files.toReversed()) {
    await writePacked(path, content, target.container);
  }
  return { paths: files.map(([path]) => path), lost };
}

/** Brings every weight into a form that a format can hold. */
async function fit(delta: Delta, format: DeltaFormat, options: SaveDeltaOptions) {
  const { forms } = format, weights = new Map<string, DeltaWeight>(), lost: string[] = [];
  if (options.rank !== undefined && !forms.includes("factors")) {
    throw new FileError(format.name, "holds whole weights, not factors", "Leave --rank out");
  }
  for (const [path, w] of delta.weights) {
    const fitted = await fitWeight(path, w, format, options);
    if (fitted) weights.set(path, fitted);
    else lost.push(path);
    options.onProgress?.(weights.size + lost.length, delta.weights.size);
  }
  return { fitted: { ...delta, weights }, lost };
}

async function fitWeight(
  path: string,
  w: DeltaWeight,
  format: DeltaFormat,
  { base, rank, name: called = "the delta" }: SaveDeltaOptions,
): Promise<DeltaWeight | undefined> {
  const { name, forms } = format, form = formOf(w);
  const low = forms.includes("factors"),
    only = !forms.some((f) => f === "weight" || f === "change");
  const values = async (): Promise<ArrayLike<number>> => {
    if (!needsBase(w) && (only || forms.includes("change"))) return [];
    const from = await base?.(path);
    if (from?.length === w.shape.reduce((a, b) => a * b, 1)) return from;
    throw from
      ? new FileError(
        called,
        `has "${path}" as [${w.shape}], the model has ${from.length} numbers`,
      )
      : new FileError(
        called,
        missing(name, form),
        "Name the model that it was trained on, too (--model)",
      );
  };
  if (w.shape.length < 2) {
    if (!only) return forms.includes(form) ? w : await converted(w, forms, values);
    return format.vectors ? weightChange(w, await values()) : undefined;
  }
  const folded = w.shape.length === 2 || (format.convolutions ?? false);
  if (low && folded && rank !== undefined) return factoredChange(w, await values(), rank);
  if (forms.includes(form) && holds(w, folded, only)) return w;
  if (only) return factoredChange(w, await values(), LORA_RANK);
  return await converted(w, forms, values);
}

/** A weight as a difference, or else as trained values. */
async function converted(
  w: DeltaWeight,
  forms: DeltaFormat["forms"],
  values: () => Promise<ArrayLike<number>>,
): Promise<DeltaWeight> {
  return forms.includes("change")
    ? weightChange(w, await values())
    : trainedWeight(w, await values());
}

/** Whether a weight can stay as it is where its form is one of a format's. */
const holds = (w: DeltaWeight, folded: boolean, only: boolean): boolean =>
  "u" in w ? folded : !("magnitude" in w) || "u" in w.direction || !only;

/** Why a format needs the base model for a weight. */
const missing = (format: string, form: ChangeForm): string =>
  form === "scaled"
    ? `holds lengths (DoRA), which ${format} has no place for: what they change, only the base tells`
    : `holds ${form === "weight" ? "trained weights" : "differences to its base"}, and ${format} ` +
      `holds ${form === "weight" ? "differences to the base" : "trained weights"}`;

/** Where the files go. */
function targetOf(out: string, { containers, stem, name }: DeltaFormat) {
  const [, ending] = /(\.(?:safetensors|bin|ckpt|pt|pth))$/i.exec(out) ?? [];
  const container: DeltaFile["container"] = ending === undefined
    ? containers[0]
    : ending.toLowerCase() === ".safetensors"
    ? "safetensors"
    : "torch";
  if (!containers.includes(container)) {
    const fits = containers[0] === "torch" ? ".bin or .ckpt" : ".safetensors";
    throw new FileError(out, `can't hold the format ${name}`, `Let the name end in ${fits}`);
  }
  const plain = container === "safetensors"
    ? ".safetensors"
    : name === "compvis"
    ? ".ckpt"
    : ".bin";
  const root = out.replace(/(?<=[^/\\])[/\\]+$/, "");
  if (ending === undefined) {
    return { folder: `${root}/`, path: `${root}/${stem}${plain}`, container, ending: plain };
  }
  const cut = Math.max(out.lastIndexOf("/"), out.lastIndexOf("\\")) + 1;
  return { folder: out.slice(0, cut), path: out, container, ending: plain };
}

async function makeFolderOf(folder: string): Promise<void> {
  if (!folder) return;
  if (await isFile(folder.slice(0, -1))) {
    throw new FileError(folder.slice(0, -1), "is a file where a folder is expected");
  }
  await makeFolder(folder);
}

/** Writes a file's content. In safetensors, what is no tensor (the empty dictionaries of one format) is left out. */
async function writePacked(
  path: string,
  { root, metadata }: Written,
  container: DeltaFile["container"],
): Promise<void> {
  if (container === "torch") return await writeTorch(path, root);
  await writeSafetensors(path, tensorsOf(root), metadata);
}

const tensorsOf = (root: Written["root"]): Map<string, TensorToWrite> =>
  new Map([...root].filter((entry): entry is [string, TensorToWrite] => isTensor(entry[1])));

const isTensor = (packed: Packed): packed is TensorToWrite => "shape" in packed;
