/**
 * Deltas in a model, for sampling: one or several, each with a strength, without touching the base. A matrix becomes
 * `W0 + Σ strength · (W − W0)`; new words get their rows of the token table.
 *
 * The base's parameters are shared, so going back is dropping the result, to the last bit. One delta at strength 1 gives
 * its own weights, to the last bit too; and the order of several does not matter, since a sum is always taken in the same.
 */
import { DELTA } from "./delta.ts";
import { MODEL } from "../../diffusion/given.ts";
import { expectKinds, ITERABLE } from "../../tensor/kinds.ts";
import { evaluate } from "../../compile/compile.ts";
import type { Pipeline, PipelineParams } from "../../diffusion/pipeline.ts";
import { FileError } from "../../files/errors.ts";
import { fileShape } from "../../models/params.ts";
import { add, div, maximum, mul, sqrt, square, sub } from "../../ops/elementwise/arithmetic.ts";
import { sum } from "../../ops/broadcast.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { replaceRows } from "../../ops/embedding/embedding.ts";
import { tensor } from "../../ops/leaf.ts";
import { matmul } from "../../ops/matmul.ts";
import { concat } from "../../ops/concat.ts";
import { reshape, slice } from "../../ops/movement.ts";
import { sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { flatten, mapTree } from "../../tensor/tree.ts";
import { fitted, numbersOf } from "./changes.ts";
import type { Delta, DeltaWeight, ScaledChange } from "./delta.ts";
import { asHeld, isSecond, isTable } from "./from_parameters.ts";

/** A delta and how much of it is wanted. */
export interface AppliedDelta {
  /** What was trained. */
  readonly delta: Delta;
  /**
   * Multiple of the change of every weight: 0 leaves the base, 1 (the default) is what was trained, and any other number
   * lies on the line through both. Embeddings of new words have no base to go back to, and are as they were trained.
   */
  readonly strength?: number;
  /** What to call it in errors; a path, for one. */
  readonly name?: string;
}

/** One delta's share in one parameter. */
interface Share {
  readonly weight: DeltaWeight;
  readonly strength: number;
}

/** The pipeline with one delta in place: see {@linkcode withDeltas}. */
export function withDelta(
  pipeline: Pipeline,
  delta: Delta,
  name?: string,
): Pipeline & { free(): void } {
  expectKinds("withDelta", { pipeline: [pipeline, MODEL], delta: [delta, DELTA] });
  return withDeltas(pipeline, [{ delta, name }]);
}

/**
 * The pipeline with deltas in place, in any order. The base parameters are shared and untouched, so going back is
 * dropping the result (`free` gives back what was uploaded for it).
 *
 * @param stack deltas of the pipeline's model, whose tokens its tokenizer knows
 * @throws FileError when a delta names a parameter that the model lacks, or one of another shape, or when two of them
 *   teach the same token
 */
export function withDeltas(
  pipeline: Pipeline,
  stack: readonly AppliedDelta[],
): Pipeline & { free(): void } {
  expectKinds("withDeltas", { pipeline: [pipeline, MODEL], stack: [stack, ITERABLE] });
  const { device } = pipeline;
  const shares = sharesOf(pipeline, stack);
  const uploaded: Tensor[] = [];
  const keep = (t: Tensor) => {
    uploaded.push(t);
    return t;
  };
  const params = mapTree<Tensor, Tensor>({ ...pipeline.params }, (t, path) => {
    const parts = shares.get(path) ?? [];
    const [first] = parts;
    const whole = parts.length === 1 && first.strength === 1 && "data" in first.weight &&
      sameShape(first.weight.shape, t.shape);
    const changed = !parts.length
      ? t
      : whole
      ? keep(device.upload(first.weight.data, t.shape, "f32"))
      : keep(evaluate(device, sumOf(t, parts)));
    const rows = isTable(path) ? rowsOf(pipeline, stack, path, t.shape[1]) : undefined;
    if (!rows) return changed;
    const { data, ids } = rows;
    const values = cast(tensor(data, [ids.length, t.shape[1]]), changed.dtype);
    return keep(evaluate(device, replaceRows(changed, values, ids)));
  }) as unknown as PipelineParams;
  return { ...pipeline, params, free: () => device.free(...uploaded) };
}

/** What each parameter gets from whom, in an order that does not depend on that of the stack. */
function sharesOf(pipeline: Pipeline, stack: readonly AppliedDelta[]): Map<string, Share[]> {
  const known = new Map(flatten<Tensor>({ ...pipeline.params }));
  const shares = new Map<string, Share[]>();
  for (const { delta, strength = 1, name = "the delta" } of stack) {
    if (!Number.isFinite(strength)) {
      throw new RangeError(`${name}: strength ${strength} is no number`);
    }
    for (const [path, stored] of delta.weights) {
      const t = known.get(path);
      if (!t) {
        throw new FileError(
          name,
          `changes "${path}", which the model does not have`,
          "It is of another model",
        );
      }
      const shape = fileShape(t.shape, t.shape.length === 4 ? "conv" : "plain");
      const weight = isShortTable(stored.shape, t, path) ? stored : fitted(stored, shape);
      if (!weight) {
        throw new FileError(
          name,
          `holds "${path}" as [${stored.shape}], the model has [${shape}]`,
          "It is of another model",
        );
      }
      if (strength === 0) continue;
      shares.set(path, [...shares.get(path) ?? [], { weight: asHeld(weight), strength }]);
    }
  }
  for (const parts of shares.values()) parts.sort(compare);
  return shares;
}

/** A token table that was saved before words were added has fewer rows. */
const isShortTable = (shape: readonly number[], t: Tensor, path: string): boolean =>
  isTable(path) && shape.length === 2 && shape[1] === t.shape[1] && shape[0] < t.shape[0];

/** Orders shares by what is in them. */
function compare(a: Share, b: Share): number {
  const [x, y] = [numbersOf(a.weight), numbersOf(b.weight)];
  if (a.strength !== b.strength) return a.strength - b.strength;
  if (x.length !== y.length) return x.length - y.length;
  for (const [k, part] of x.entries()) {
    const other = y[k];
    if (part.length !== other.length) return part.length - other.length;
    for (let i = 0; i < part.length; i++) if (part[i] !== other[i]) return part[i] - other[i];
  }
  return Object.keys(a.weight).join().localeCompare(Object.keys(b.weight).join());
}

/** `W0 + Σ strength · (W − W0)`, f32. */
function sumOf(t: Tensor, parts: readonly Share[]): Tensor {
  const base = cast(t, "f32");
  return parts.reduce((total, { weight, strength }) => {
    const missing = t.shape[0] - weight.shape[0];
    if (!missing) return add(total, mul(changeOf(base, weight), strength));
    const known = slice(base, 0, 0, weight.shape[0]),
      rest = slice(base, 0, weight.shape[0], t.shape[0]);
    return add(total, mul(concat([changeOf(known, weight), mul(rest, 0)], 0), strength));
  }, base);
}

/** W − W0 of a weight in the engine's layout. */
function changeOf(base: Tensor, weight: DeltaWeight): Tensor {
  const { shape } = weight;
  if ("data" in weight) return sub(tensor(weight.data, shape), base);
  if ("change" in weight) return tensor(weight.change, shape);
  if ("magnitude" in weight) return sub(scaled(base, weight), base);
  const { rank, u, v } = weight;
  if (!rank) return mul(base, 0);
  const product = matmul(tensor(u, [u.length / rank, rank]), tensor(v, [rank, v.length / rank]));
  return reshape(product, shape);
}

/** m · V / ‖V‖ with V = W0 + ΔV. */
function scaled(base: Tensor, { shape, direction, magnitude, axis }: ScaledChange): Tensor {
  const own = shape.length === 4 ? 3 - axis : axis;
  const others = shape.map((_, i) => i).filter((i) => i !== own);
  const V = add(base, changeOf(base, direction));
  const length = sqrt(sum(square(V), others, { keep: true }));
  const m = tensor(magnitude, shape.map((_, i) => i === own ? magnitude.length : 1));
  // What has no direction stays where it is.
  return mul(V, div(m, maximum(length, 1e-30)));
}

/** The rows that a token table gets; undefined where there are none. */
function rowsOf(
  pipeline: Pipeline,
  stack: readonly AppliedDelta[],
  path: string,
  width: number,
): { ids: number[]; data: Float32Array } | undefined {
  const second = isSecond(path);
  const ids: number[] = [], rows: Float32Array[] = [];
  const teachers = new Map<string, string>();
  for (const { delta, name = "the delta" } of stack) {
    const embeddings = second ? delta.embeddings2 ?? [] : delta.embeddings;
    for (const [i, { token }] of delta.tokens.entries()) {
      const found = pipeline.tokenIds(token), row = embeddings[i];
      const other = teachers.get(token);
      if (other) throw new FileError(name, `teaches ${token}, as ${other} does`);
      teachers.set(token, name);
      if (row?.length !== width || found.length !== 1) {
        throw new FileError(
          name,
          found.length === 1
            ? `has ${row?.length ?? 0} numbers for ${token}, the model's embeddings have ${width}`
            : `teaches ${token}, which the model was loaded without (addTokens)`,
        );
      }
      ids.push(found[0]);
      rows.push(row);
    }
  }
  if (!ids.length) return undefined;
  const data = new Float32Array(ids.length * width);
  rows.forEach((row, i) => data.set(row, i * width));
  return { ids, data };
}
