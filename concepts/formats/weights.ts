/** Weights in files: what is under a name becomes one of the forms of a change, and back. */
import { FileError } from "../../files/errors.ts";
import type { DeltaWeight, FactoredChange } from "../delta.ts";
import { type Content, type DeltaFile, type Dict, isDict, isLeaf, readFinite } from "./content.ts";
import type { Packed } from "./format.ts";

/** Reads trained values. */
export async function readTrained(
  file: DeltaFile,
  name: string,
  content: Content,
): Promise<DeltaWeight> {
  return { data: await readFinite(file, name, content), shape: shapeOf(content) };
}

/** Reads what was added to the base. */
export async function readChange(
  file: DeltaFile,
  name: string,
  content: Content,
): Promise<DeltaWeight> {
  return { change: await readFinite(file, name, content), shape: shapeOf(content) };
}

/**
 * Reads two factors.
 *
 * @param scale what their product is multiplied by
 * @throws FileError when they are no matrices or their ranks differ
 */
export async function readFactors(
  file: DeltaFile,
  name: string,
  left: Content,
  right: Content,
  scale = 1,
): Promise<FactoredChange> {
  const u = await readFinite(file, `${name} (left factor)`, left);
  const v = await readFinite(file, `${name} (right factor)`, right);
  const [out, rank] = shapeOf(left), [inner, into] = shapeOf(right);
  if (shapeOf(left).length !== 2 || shapeOf(right).length !== 2 || rank !== inner) {
    throw new FileError(
      file.path,
      `"${name}" has factors [${shapeOf(left)}] and [${shapeOf(right)}], which can't be multiplied`,
    );
  }
  return { shape: [out, into], rank, u: scale === 1 ? u : u.map((x) => x * scale), v };
}

/** Reads a weight as the Python tools keep it: trained values, or (compressed) a dictionary of factors. */
export async function readWeight(
  file: DeltaFile,
  name: string,
  content: Content,
): Promise<DeltaWeight> {
  if (!isDict(content)) return await readTrained(file, name, content);
  return await readFactors(file, name, content.get("u"), content.get("v"));
}

/** A weight as the Python tools keep it. */
export function packWeight(name: string, w: DeltaWeight): Packed {
  if ("data" in w) return w;
  if ("u" in w) return new Map(Object.entries(packFactors(w)));
  throw new TypeError(`"${name}" is a difference, which this format has no place for`);
}

/** The factors of a change as two tensors. */
export function packFactors({ u, v, rank, shape: [out, into] }: FactoredChange) {
  return { u: { shape: [out, rank], data: u }, v: { shape: [rank, into], data: v } };
}

/** Entries of a dictionary whose values are neither empty nor meaningless. */
export function* filled(dict: Dict): Generator<[string, Content]> {
  for (const [name, content] of dict) {
    if (content === undefined || isDict(content) && !content.size) continue;
    yield [name, content];
  }
}

const shapeOf = (content: Content): readonly number[] => isLeaf(content) ? content.shape : [];
