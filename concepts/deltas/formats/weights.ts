/** Weights in files: what is under a name becomes one of the forms of a change, and back. */
import { FileError } from "../../../files/errors.ts";
import { asMatrix } from "../changes.ts";
import type { DeltaWeight, FactoredChange, ScaledChange, WeightChange } from "../delta.ts";
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
): Promise<WeightChange> {
  return { change: await readFinite(file, name, content), shape: shapeOf(content) };
}

/**
 * Reads two factors, `[out, rank]` and `[rank, in]` (or `[rank, in, height, width]` of a convolution).
 *
 * @param scale what their product is multiplied by
 * @throws FileError when they are neither or their ranks differ
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
  const [out, rank, ...window] = shapeOf(left), [inner, ...rest] = shapeOf(right);
  const fits = shapeOf(left).length >= 2 && window.every((n) => n === 1) && rank === inner;
  if (!fits || rest.length !== 1 && rest.length !== 3) {
    throw new FileError(
      file.path,
      `"${name}" has factors [${shapeOf(left)}] and [${shapeOf(right)}], which can't be multiplied`,
    );
  }
  return { shape: [out, ...rest], rank, u: scale === 1 ? u : u.map((x) => x * scale), v };
}

/**
 * A change with lengths of its own (DoRA), which a file holds under `name`.
 *
 * @param axis what has a length each: 0 for the outputs of the layer, 1 for its inputs
 * @throws FileError when there are not as many as the layer has
 */
export async function withLengths(
  file: DeltaFile,
  name: string,
  direction: WeightChange | FactoredChange,
  axis: number,
): Promise<ScaledChange> {
  const magnitude = await readFinite(file, name, file.root.get(name));
  const [rows, cols] = asMatrix(direction.shape), count = magnitude.length;
  // A convolution that lies flat does not say how many inputs it has.
  const fits = axis === 0
    ? count === rows
    : direction.shape.length === 2
    ? count > 0 && cols % count === 0
    : count === direction.shape[1];
  if (fits) return { shape: direction.shape, direction, magnitude, axis: axis === 0 ? 0 : 1 };
  throw new FileError(
    file.path,
    `"${name}" holds ${count} lengths for a layer of [${direction.shape}]`,
  );
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
export function packFactors({ u, v, rank, shape: [out, ...rest] }: FactoredChange) {
  return { u: { shape: [out, rank], data: u }, v: { shape: [rank, ...rest], data: v } };
}

/** Entries of a dictionary whose values are neither empty nor meaningless. */
export function* filled(dict: Dict): Generator<[string, Content]> {
  for (const [name, content] of dict) {
    if (content === undefined || isDict(content) && !content.size) continue;
    yield [name, content];
  }
}

/** The extents of a tensor; none of anything else. */
export const shapeOf = (content: Content): readonly number[] =>
  isLeaf(content) ? content.shape : [];
