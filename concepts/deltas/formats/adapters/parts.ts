/**
 * What the tensors of an adapter make of a weight: `up · down` (LoRA, with a core between them for convolutions), the
 * elementwise product of two such (LoHa), or the Kronecker product of two matrices (LoKr). Sums are taken in float64.
 */
import { FileError } from "../../../../files/errors.ts";
import { sameShape } from "../../../../tensor/shape.ts";
import { pays } from "../../changes.ts";
import type { FactoredChange, WeightChange } from "../../delta.ts";
import { type DeltaFile, isLeaf, readFinite } from "../content.ts";
import { readFactors, shapeOf } from "../weights.ts";

/** The tensors of a layer, by part: the key of each. */
export type Parts = ReadonlyMap<string, string>;

/** A tensor as rows: all but the first extent are one. */
interface Rows {
  readonly rows: number;
  readonly cols: number;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** The rank by which alpha is divided; undefined where a layer's tensors are whole matrices. */
export function rankOf(file: DeltaFile, parts: Parts): number | undefined {
  const key = ["down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"].map((part) => parts.get(part)).find((
    k,
  ) => k);
  const content = key === undefined ? undefined : file.root.get(key);
  return isLeaf(content) ? content.shape[0] : undefined;
}

/** Whether a layer's window is larger than 1×1, so far as its tensors tell. */
export const hasWindow = (file: DeltaFile, parts: Parts): boolean =>
  [...parts.values()].some((key) => shapeOf(file.root.get(key)).slice(2).some((n) => n > 1));

/** LoRA: `scale · up · down`, with `lora_mid` between them where there is one. */
export async function loraChange(
  file: DeltaFile,
  parts: Parts,
  scale: number,
): Promise<FactoredChange> {
  const [up, down] = ["up", "down"].map((part) => required(file, parts, part));
  const mid = parts.get("mid");
  if (mid === undefined) {
    return await readFactors(file, up, file.root.get(up), file.root.get(down), scale);
  }
  const [u, core, v] = await allRows(file, [up, mid, down]);
  const [m, n, ...window] = core.shape;
  const flat = [u, v].every((x) => x.shape.slice(2).every((k) => k === 1));
  demand(file, mid, flat && u.cols === m && v.rows === n && window.length === 2, u, core, v);
  // `[m, in, taps]`: what each of the core's outputs sees of the input.
  const seen = contracted(core, v);
  return { shape: [u.rows, v.cols, ...window], rank: m, u: scaled(u.data, scale), v: seen };
}

/**
 * LoHa: `scale · (a1 b1) ∘ (a2 b2)`, each with a core of its own in convolutions that have one. Of ranks r1 and r2 it is a
 * product of rank r1 · r2, which is kept where it is smaller.
 */
export async function lohaChange(
  file: DeltaFile,
  parts: Parts,
  scale: number,
): Promise<FactoredChange | WeightChange> {
  const keys = ["w1_a", "w1_b", "w2_a", "w2_b"].map((part) =>
    required(file, parts, `hada_${part}`)
  );
  const [a1, b1, a2, b2] = await allRows(file, keys), [key] = keys;
  if (parts.has("hada_t1") || parts.has("hada_t2")) {
    const [t1, t2] = ["hada_t1", "hada_t2"].map((part) => required(file, parts, part));
    const one = await cored(file, t1, a1, b1), two = await cored(file, t2, a2, b2);
    return elementwise(file, key, one, two, scale);
  }
  const fits = a1.rows === a2.rows && b1.cols === b2.cols && a1.cols === b1.rows &&
    a2.cols === b2.rows && [a1, a2, b1, b2].every((x) => x.shape.length >= 2);
  demand(file, key, fits, a1, b1, a2, b2);
  const shape = [a1.rows, ...b1.shape.slice(1)], rank = a1.cols * a2.cols;
  if (!pays(shape, rank)) {
    return elementwise(
      file,
      key,
      multiplied(file, key, a1, b1),
      multiplied(file, key, a2, b2),
      scale,
    );
  }
  const u = new Float32Array(a1.rows * rank), v = new Float32Array(rank * b1.cols);
  for (let p = 0; p < a1.cols; p++) {
    for (let q = 0; q < a2.cols; q++) {
      const r = p * a2.cols + q;
      for (let i = 0; i < a1.rows; i++) {
        u[i * rank + r] = scale * a1.data[i * a1.cols + p] * a2.data[i * a2.cols + q];
      }
      for (let j = 0; j < b1.cols; j++) {
        v[r * b1.cols + j] = b1.data[p * b1.cols + j] * b2.data[q * b1.cols + j];
      }
    }
  }
  return { shape, rank, u, v };
}

function elementwise(
  file: DeltaFile,
  key: string,
  one: Rows,
  two: Rows,
  scale: number,
): WeightChange {
  demand(file, key, sameShape(one.shape, two.shape), one, two);
  return {
    shape: one.shape,
    change: Float32Array.from(one.data, (x, i) => scale * x * two.data[i]),
  };
}

/** LoKr: `scale · w1 ⊗ w2`, where either may be a product itself: then so is the whole, which is kept where it is smaller. */
export async function lokrChange(
  file: DeltaFile,
  parts: Parts,
  scale: number,
): Promise<FactoredChange | WeightChange> {
  const [one, two] = [await lokrHalf(file, parts, 1), await lokrHalf(file, parts, 2)];
  const [key] = parts.values();
  const flat = [one.left, one.right, two.left].every((x) =>
    !x || x.shape.slice(2).every((n) => n === 1)
  );
  demand(file, key, flat && two.whole.shape.length >= 2, one.whole, two.whole);
  const [, into, ...window] = two.whole.shape;
  const shape = [one.whole.rows * two.whole.rows, one.whole.cols * into, ...window];
  if (two.left && two.right) {
    const left = one.left ?? one.whole, right = one.right ?? identity(one.whole.cols);
    const rank = left.cols * two.left.cols;
    if (pays(shape, rank)) {
      const u = kronecker(left, two.left, scale), v = kronecker(right, two.right, 1);
      return { shape, rank, u, v };
    }
  }
  return { shape, change: kronecker(one.whole, two.whole, scale) };
}

/** One of the two matrices, and its own factors if it has some. */
async function lokrHalf(
  file: DeltaFile,
  parts: Parts,
  i: 1 | 2,
): Promise<{ whole: Rows; left?: Rows; right?: Rows }> {
  const key = parts.get(`lokr_w${i}`), names = ["a", "b"].map((end) => `lokr_w${i}_${end}`);
  if (key !== undefined) {
    const extra = [...names, ...i === 2 ? ["lokr_t2"] : []].find((name) => parts.has(name));
    if (!extra) return { whole: await rowsOf(file, key) };
    throw new FileError(file.path, `holds both "${key}" and "${parts.get(extra)}"`);
  }
  const keys = names.map((name) => required(file, parts, name));
  const [left, right] = await allRows(file, keys);
  const core = i === 2 ? parts.get("lokr_t2") : undefined;
  return core === undefined
    ? { whole: multiplied(file, keys[0], left, right), left, right }
    : { whole: await cored(file, core, left, right) };
}

const identity = (n: number): Rows => ({
  rows: n,
  cols: n,
  shape: [n, n],
  data: Float32Array.from({ length: n * n }, (_, i) => i % (n + 1) ? 0 : 1),
});

/** `scale · a ⊗ b`, row-major. */
function kronecker(a: Rows, b: Rows, scale: number): Float32Array {
  const product = new Float32Array(a.rows * b.rows * a.cols * b.cols);
  let at = 0;
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < b.rows; k++) {
      for (let j = 0; j < a.cols; j++) {
        const x = scale * a.data[i * a.cols + j];
        for (let l = 0; l < b.cols; l++) product[at++] = x * b.data[k * b.cols + l];
      }
    }
  }
  return product;
}

/** The key of a part that must be there. */
function required(file: DeltaFile, parts: Parts, part: string): string {
  const key = parts.get(part);
  if (key !== undefined) return key;
  const [some] = parts.values();
  throw new FileError(
    file.path,
    `holds "${some}" without ${part}, which belongs to it`,
    "The file is not whole",
  );
}

/** One after the other: a file may be closed once one of them is refused. */
async function allRows(file: DeltaFile, keys: readonly string[]): Promise<Rows[]> {
  const rows: Rows[] = [];
  for (const key of keys) rows.push(await rowsOf(file, key));
  return rows;
}

async function rowsOf(file: DeltaFile, key: string): Promise<Rows> {
  const content = file.root.get(key), data = await readFinite(file, key, content);
  const shape = shapeOf(content), [rows = 1] = shape;
  return { rows, cols: rows ? data.length / rows : 0, shape, data };
}

const scaled = (data: ArrayLike<number>, scale: number): Float32Array =>
  Float32Array.from(data, (x) => scale * x);

function demand(file: DeltaFile, key: string, fits: boolean, ...tensors: Rows[]): void {
  if (fits) return;
  const shapes = tensors.map(({ shape }) => `[${shape}]`).join(" and ");
  throw new FileError(
    file.path,
    `"${key}" belongs to tensors of ${shapes}, which don't fit each other`,
  );
}

/** a · b; the product has the extents of a's rows and of all but b's first. */
function multiplied(file: DeltaFile, key: string, a: Rows, b: Rows): Rows {
  demand(file, key, a.cols === b.rows && a.shape.length >= 2 && b.shape.length >= 2, a, b);
  const data = new Float64Array(a.rows * b.cols);
  for (let i = 0; i < a.rows; i++) {
    for (let r = 0; r < b.rows; r++) {
      const x = a.data[i * a.cols + r];
      for (let j = 0; j < b.cols; j++) data[i * b.cols + j] += x * b.data[r * b.cols + j];
    }
  }
  return { rows: a.rows, cols: b.cols, shape: [a.rows, ...b.shape.slice(1)], data };
}

/** Σ core[m, n, taps] · a[m, out] · b[n, in]: both ends lie with their rank first. */
async function cored(file: DeltaFile, key: string, a: Rows, b: Rows): Promise<Rows> {
  const core = await rowsOf(file, key);
  const [m, n, ...window] = core.shape;
  demand(file, key, a.rows === m && b.rows === n && window.length === 2, a, core, b);
  const seen: Rows = { rows: m, cols: 0, shape: [m, b.cols, ...window], data: contracted(core, b) };
  const turned = new Float64Array(a.rows * a.cols);
  for (let r = 0; r < a.rows; r++) {
    for (let i = 0; i < a.cols; i++) turned[i * a.rows + r] = a.data[r * a.cols + i];
  }
  const left = { rows: a.cols, cols: m, shape: [a.cols, m], data: turned };
  return multiplied(file, key, left, { ...seen, cols: seen.data.length / m });
}

/** Σ over n of core[m, n, taps] · b[n, in]: `[m, in, taps]`. */
function contracted(core: Rows, b: Rows): Float32Array {
  const [m, n] = core.shape, taps = core.cols / n, into = b.cols;
  const sums = new Float64Array(m * into * taps);
  for (let i = 0; i < m; i++) {
    for (let r = 0; r < n; r++) {
      for (let j = 0; j < into; j++) {
        const x = b.data[r * into + j];
        for (let t = 0; t < taps; t++) {
          sums[(i * into + j) * taps + t] += x * core.data[(i * n + r) * taps + t];
        }
      }
    }
  }
  return Float32Array.from(sums);
}
