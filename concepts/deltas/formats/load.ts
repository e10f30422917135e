/** Reading a delta of any format: a file, or the folder that holds it. What it is, its content tells. */
import { expectKinds, RECORD } from "../../../tensor/kinds.ts";
import { PATH } from "../../../files/given.ts";
import { FileError } from "../../../files/errors.ts";
import { isFile, isFolder, namesIn } from "../../../files/paths.ts";
import { isBounded } from "../changes.ts";
import { type Delta, DELTA_FILE } from "../delta.ts";
import { type DeltaFile, openContent } from "./content.ts";
import type { DeltaFormat, FormatContext } from "./format.ts";
import { deltaFormats, formatOf } from "./registry.ts";
import { withTokensBeside } from "./tokens.ts";

/** A delta with what is known of the file that it came from. */
export interface LoadedDelta {
  /** The file, where a folder was named. */
  readonly path: string;
  /** Its format. */
  readonly format: DeltaFormat;
  /** Its container. */
  readonly container: DeltaFile["container"];
  /** What is in it. */
  readonly delta: Delta;
}

/**
 * Reads a delta file of any format, or the one in a folder: moongate's, CompVis, Adobe, diffusers, the AUTOMATIC1111
 * extension's, LoRA. Embeddings that such formats keep in files beside are read with it.
 *
 * @param context what a file may leave open, e.g. the layers per block of the UNet that it is for
 * @throws FileError when it is missing, truncated, no delta, of a newer version, or not true to its own header
 */
export async function loadDelta(path: string, context: FormatContext = {}): Promise<Delta> {
  expectKinds("loadDelta", { path: [path, PATH], context: [context, RECORD] });
  return (await openDelta(path, context)).delta;
}

/** The same, and which format it is. */
export async function openDelta(path: string, context: FormatContext = {}): Promise<LoadedDelta> {
  const at = await resolveDelta(path);
  using file = await openContent(at);
  const format = formatOf(file);
  if (!format) {
    throw new FileError(
      at,
      "is no delta in any format that is read here",
      `Those are: ${deltaFormats.map((f) => f.name).join(", ")}`,
    );
  }
  const read = await format.read(file, context);
  for (const [name, w] of read.weights) {
    if (!isBounded(w)) {
      throw new FileError(at, `changes "${name}" by NaN, infinity, or more than an f32 holds`);
    }
  }
  const delta = format.tokens === "inside" ? read : await withTokensBeside(at, read);
  return { path: at, format, container: file.container, delta };
}

/** The delta file that a path means: itself, or in a folder our own, or else the only one that there is. */
async function resolveDelta(path: string): Promise<string> {
  if (!await isFolder(path, [DELTA_FILE])) return path;
  const root = path.replace(/(?<=[^/\\])[/\\]+$/, "");
  const own = `${root}/${DELTA_FILE}`;
  if (await isFile(own)) return own;
  const found: string[] = [];
  for (const name of (await namesIn(root)).sort()) {
    const file = `${root}/${name}`;
    if (await isFile(file) && await holdsDelta(file)) found.push(name);
  }
  if (found.length === 1) return `${root}/${found[0]}`;
  throw found.length
    ? new FileError(root, `holds several deltas (${found.join(", ")})`, "Name one of them")
    : new FileError(root, "holds no delta", `\`moongate train\` writes ${DELTA_FILE} there`);
}

/** Whether a file in a folder is a delta with weights. Files that can't be read are passed over. */
async function holdsDelta(path: string): Promise<boolean> {
  try {
    using file = await openContent(path);
    const format = formatOf(file);
    return format !== undefined && format.name !== "embedding";
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  }
}
