/**
 * WGSL for fused expressions: loads through strided views at vector width 1 or 4, arithmetic in f32, stores. Used for
 * elementwise kernels, for the inputs of reductions, and for what is fused behind a kernel (epilogues).
 */
import { arithmetic } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { isContiguous, type View } from "../tensor/view.ts";
import { number, type Place, size } from "../tensor/kernel.ts";
import type { Wgsl } from "../tensor/op.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Expr, type Load, loadsOf } from "./expr.ts";

/** WGSL type of one step of values. */
export const vector = (t: string, width: 1 | 4): string => width === 4 ? `vec4<${t}>` : t;

/** How each buffer is declared and named inside one dispatch. */
export class BufferNames {
  readonly #names = new Map<Tensor, string>();
  readonly #scalar = new Set<Tensor>();
  constructor(readonly prefix: string) {}

  name(t: Tensor): string {
    let n = this.#names.get(t);
    if (n === undefined) this.#names.set(t, n = `${this.prefix}${this.#names.size}`);
    return n;
  }
  /** Declares that some load of this buffer is not vectorised, so that the whole buffer is bound as scalars. */
  forceScalar(t: Tensor): void {
    this.#scalar.add(t);
  }
  isScalar(t: Tensor): boolean {
    return this.#scalar.has(t);
  }
  entries(): IterableIterator<[Tensor, string]> {
    return this.#names.entries();
  }
}

/** Views of one index space with adjacent axes merged wherever every view allows it. */
export function collapse(shape: Shape, views: readonly View[]): { shape: number[]; views: View[] } {
  let dims = [...shape];
  let vs = views.map((v) => ({
    ...v,
    shape: [...v.shape],
    strides: [...v.strides],
    guards: [...v.guards],
  }));
  for (let d = dims.length - 1; d >= 0; d--) {
    if (dims[d] !== 1 || vs.some((v) => v.guards[d])) continue;
    dims = dims.toSpliced(d, 1);
    vs = vs.map((v) => dropAxis(v, d));
  }
  for (let d = dims.length - 2; d >= 0; d--) {
    const mergeable = vs.every((v) =>
      !v.guards[d] && !v.guards[d + 1] && v.strides[d] === v.strides[d + 1] * dims[d + 1]
    );
    if (!mergeable) continue;
    const merged = dims[d] * dims[d + 1];
    dims = dims.toSpliced(d, 2, merged);
    vs = vs.map((v) => {
      const kept = dropAxis(v, d);
      kept.shape[d] = merged;
      return kept;
    });
  }
  return { shape: dims, views: vs };
}

function dropAxis<V extends View>(v: V, d: number) {
  return {
    ...v,
    shape: v.shape.toSpliced(d, 1) as number[],
    strides: v.strides.toSpliced(d, 1) as number[],
    guards: v.guards.toSpliced(d, 1) as (readonly [number, number] | undefined)[],
  };
}

/** How a view can be read four elements at a time along the innermost axis. */
export function readMode(v: View): "vector" | "splat" | "gather" {
  const last = v.shape.length - 1;
  if (last < 0) return "splat";
  const g = v.guards[last];
  const aligned = v.offset % 4 === 0 && v.strides.every((s, d) => d === last || s % 4 === 0);
  const guardAligned = !g || (g[0] % 4 === 0 && g[1] % 4 === 0);
  if (v.strides[last] === 1 && aligned && guardAligned) return "vector";
  if (v.strides[last] === 0 && guardAligned) return "splat";
  return "gather";
}

/** Some adjacent axes of an index space, and the flat index of an element among them. */
export interface Part {
  /** How many axes. */
  readonly axes: number;
  readonly index: string;
  /** Known before the loop that the statements stand in: what follows from it alone goes into `before`. */
  readonly early?: true;
  /** Extents are literals on every adapter: a division by a number that is data costs a GPU dozens of instructions. */
  readonly literal?: boolean;
}

/** The axes of views that a part has. */
const axesOf = (v: View, from: number, to: number): View => ({
  ...v,
  shape: v.shape.slice(from, to),
  strides: v.strides.slice(from, to),
  guards: v.guards.slice(from, to),
});

/** Emits statements that evaluate expressions at flat element index `e` (a multiple of `width`). */
export class Emitter {
  readonly lines: string[] = [];
  /** What stands before the loop; see {@linkcode Part}. */
  readonly before: string[] = [];
  readonly #values = new Map<Expr, string>();
  readonly #prefix: string;
  /** Names of what was computed on the way to values, by its text. */
  readonly #texts = new Map<string, string>();

  /**
   * @param shape index space; `loads` all share it
   * @param width elements per step; with 4 the innermost extent must be a multiple of 4
   * @param hole name of the value that an epilogue receives
   * @param prefix of what is declared
   */
  constructor(
    readonly shape: Shape,
    readonly width: 1 | 4,
    readonly names: BufferNames,
    readonly hole = "",
    prefix = "v",
  ) {
    this.#prefix = prefix;
  }

  /** Prepares coordinates and loads for these roots. `e` names the flat element index, which may be known as a place. */
  load(roots: readonly Expr[], e: string, place?: Place): void {
    const loads = loadsOf(roots);
    const { shape, views } = collapse(this.shape, loads.map((l) => l.view));
    const coords = this.#coordinates(shape, views, e, place);
    loads.forEach((l, i) => this.#load(l, views[i], coords, { e }));
  }

  /** The same where the index is known in parts, which together have all axes. */
  loadParts(roots: readonly Expr[], parts: readonly Part[]): void {
    const loads = loadsOf(roots);
    const { pieces, views } = collapseParts(this.shape, loads.map((l) => l.view), parts);
    const early: boolean[] = [];
    const coords = pieces.flatMap((piece, p) => {
      const { index, early: known, literal } = parts[p];
      early.push(...piece.shape.map(() => !!known));
      const lines = known ? this.before : this.lines;
      return this.#coordinates(piece.shape, piece.views, index, undefined, {
        lines,
        part: `p${p}`,
        literal,
      });
    });
    loads.forEach((l, i) => this.#load(l, views[i], coords, { early }));
  }

  #coordinates(
    shape: readonly number[],
    views: readonly View[],
    e: string,
    place: Place | undefined,
    { lines = this.lines, part = "", literal = false }: {
      lines?: string[];
      part?: string;
      literal?: boolean;
    } = {},
  ): string[] {
    const whole = part === "";
    // A single axis needs no division: its coordinate is the index itself.
    if (shape.length <= 1) return shape.map(() => e);
    const needed = shape.map((_, d) =>
      views.some((v) => !(whole && isContiguous(v)) && (v.strides[d] !== 0 || v.guards[d]))
    );
    const prefix = `${this.#prefix}${part}`;
    const coords = shape.map((_, d) => `${prefix}c${d}`);
    const extent = (d: number) => literal ? `${shape[d]}u` : size(shape[d], `${prefix}n${d}`);
    let rest = e;
    const first = needed.indexOf(true);
    let innermost = shape.length - 1;
    if (place?.inner === shape[innermost]) {
      coords[innermost--] = `(${place.column})`;
      rest = `(${place.row})`;
    }
    for (let d = innermost; d >= 0 && first >= 0 && d >= first; d--) {
      const last = d === 0;
      if (needed[d]) {
        lines.push(`let ${coords[d]} = ${last ? rest : `(${rest}) % ${extent(d)}`};`);
      }
      if (!last && d > first) {
        lines.push(`let ${prefix}r${d} = (${rest}) / ${extent(d)};`);
        rest = `${prefix}r${d}`;
      }
    }
    return coords;
  }

  /** `e`: the flat index, where it is known; `early`: the coordinates that are known before the loop. */
  #load(
    load: Load,
    v: View,
    coords: readonly string[],
    { e, early }: { e?: string; early?: readonly boolean[] },
  ): void {
    const t = arithmetic(load.tensor.dtype);
    const type = vector(t, this.width);
    const buffer = this.names.name(load.tensor);
    const name = `${this.#prefix}${this.#values.size}`;
    const lanes = (k: number, stride: number) =>
      stride === 1 ? `${k}u` : `${k}u * ${size(stride, `${name}s`)}`;
    const mode = this.width === 1 ? "vector" : readMode(v);
    const scalar = this.width === 1 || this.names.isScalar(load.tensor);
    // Elements, or vectors of them, that the buffer's index counts.
    const unit = mode === "vector" && !scalar ? 4 : 1;
    const term = (s: number, d: number) => {
      if (s % unit) return `((${coords[d]}) >> 2u)`; // The innermost coordinate is a multiple of four.
      return s === unit ? `(${coords[d]})` : `(${coords[d]}) * ${size(s / unit, `${name}s${d}`)}`;
    };
    const termsOf = (known: boolean) =>
      v.strides.flatMap((s, d) => s === 0 || !!early?.[d] !== known ? [] : [term(s, d)]);
    const terms = termsOf(false);
    const base = termsOf(true);
    if (v.offset !== 0) (early ? base : terms).push(size(v.offset / unit, `${name}o`));
    if (base.length) {
      this.before.push(`let ${name}b = ${base.join(" + ")};`);
      terms.unshift(`${name}b`);
    }
    const flat = e !== undefined && isContiguous(v);
    const at = flat ? unit === 4 ? `(${e}) >> 2u` : e : terms.length ? terms.join(" + ") : "0u";
    let value: string;
    if (this.width === 1) value = `${t}(${buffer}[${at}])`;
    else if (mode === "splat") {
      value = scalar
        ? `${type}(${t}(${buffer}[${at}]))`
        : this.#splatFromVector(buffer, at, type, t);
    } else if (unit === 4) value = `${type}(${buffer}[${at}])`;
    else {
      const stride = v.strides.at(-1)!;
      const lane = (k: number) => `${t}(${buffer}[${at} + ${lanes(k, stride)}])`;
      value = `${type}(${[0, 1, 2, 3].map(lane).join(", ")})`;
    }
    this.#values.set(load, name);
    const guards = v.guards.flatMap((g, d) => g ? guard(coords[d], g, v.shape[d]) : []);
    const fill = v.fill ? `${type}(${number(v.fill, t)})` : `${type}()`;
    if (!guards.length) this.lines.push(`let ${name} = ${value};`);
    else if (this.width === 4 && mode === "gather" && v.guards.at(-1)) {
      this.#gatherGuarded(name, v, coords, at, buffer, t, fill, lanes);
    } else {
      this.lines.push(
        `var ${name} = ${fill}; if (${guards.join(" & ")}) { ${name} = ${value}; }`,
      );
    }
  }

  /** A splat from a buffer that other loads read as vectors. */
  #splatFromVector(buffer: string, at: string, type: string, t: string): string {
    return `${type}(${t}(${buffer}[(${at}) >> 2u][(${at}) & 3u]))`;
  }

  /** Lanes that may fall in and out of the guarded range one by one. */
  #gatherGuarded(
    name: string,
    v: View,
    coords: readonly string[],
    at: string,
    buffer: string,
    t: string,
    fill: string,
    lanes: (k: number, stride: number) => string,
  ): void {
    const last = v.shape.length - 1;
    const outer = v.guards.flatMap((g, d) =>
      g && d !== last ? guard(coords[d], g, v.shape[d]) : []
    );
    this.lines.push(`var ${name} = ${fill};`);
    for (let k = 0; k < 4; k++) {
      const c = coords.length > 1 || coords[0] ? `(${coords[last]} + ${k}u)` : `${k}u`;
      const test = [...outer, ...guard(c, v.guards[last]!, v.shape[last] + 4)].join(" & ");
      this.lines.push(
        `if (${test}) { ${name}[${k}] = ${t}(${buffer}[${at} + ${lanes(k, v.strides[last])}]); }`,
      );
    }
  }

  /** The name of the value of an expression, after emitting what computes it. */
  value(e: Expr): string {
    const known = this.#values.get(e);
    if (known !== undefined) return known;
    if (e.kind === "hole") return this.hole;
    if (e.kind === "literal") {
      const t = arithmetic(e.dtype);
      return `${vector(t, this.width)}(${number(e.value, t)})`;
    }
    if (e.kind === "load") throw new Error("a load was not prepared");
    const lowering = e.node.op.lowering;
    if (lowering.kind !== "map") throw new Error(`${e.node.op.name} is not elementwise`);
    const args = e.args.map((a) => this.value(a));
    const out = arithmetic(e.node.outputs[0].dtype);
    const w: Wgsl = {
      type: (t) => vector(t, this.width),
      out,
      literal: (i) => literalOf(e.args[i]),
      number: (v) => `${vector(out, this.width)}(${number(v, out)})`,
      let: (value) => {
        // An op and its slope share much: the same text stands for the same number, and is computed once.
        let name = this.#texts.get(value);
        if (name === undefined) {
          name = `${this.#prefix}t${this.#texts.size}`;
          this.#texts.set(value, name);
          this.lines.push(`let ${name} = ${value};`);
        }
        return name;
      },
    };
    const name = `${this.#prefix}${this.#values.size}`;
    this.#values.set(e, name);
    this.lines.push(`let ${name} = ${lowering.expression(args, e.node.attrs, w)};`);
    return name;
  }
}

const literalOf = (e: Expr): number | undefined => e.kind === "literal" ? e.value : undefined;

function guard(c: string, [lo, hi]: readonly [number, number], extent: number): string[] {
  return [
    ...(lo > 0 ? [`(${c} >= ${size(lo)})`] : []),
    ...(hi < extent ? [`(${c} < ${size(hi)})`] : []),
  ];
}

/** Each part collapsed by itself, and the views over what is left of all of them. */
function collapseParts(shape: Shape, views: readonly View[], parts: readonly { axes: number }[]) {
  let from = 0;
  const pieces = parts.map(({ axes }) => {
    const to = from + axes;
    const piece = collapse(shape.slice(from, to), views.map((v) => axesOf(v, from, to)));
    from = to;
    return piece;
  });
  const joined = <K extends "shape" | "strides" | "guards">(i: number, of: K) =>
    pieces.flatMap((piece) => piece.views[i][of] as unknown[]) as unknown as View[K];
  return {
    pieces,
    views: views.map((v, i): View => ({
      ...v,
      shape: joined(i, "shape"),
      strides: joined(i, "strides"),
      guards: joined(i, "guards"),
    })),
  };
}

/** All axes as one part. */
const whole = (shape: Shape) => [{ axes: shape.length }];

/** Marks the buffers that some load must read element by element; width 4 stays possible for the rest. */
export function chooseScalars(
  shape: Shape,
  roots: readonly Expr[],
  names: BufferNames,
  parts: readonly { readonly axes: number }[] = whole(shape),
): void {
  const loads = loadsOf(roots);
  const { views } = collapseParts(shape, loads.map((l) => l.view), parts);
  loads.forEach((l, i) => {
    const mode = readMode(views[i]);
    if (
      mode === "gather" || (mode === "splat" && l.tensor.size % 4 !== 0) || l.tensor.size % 4 !== 0
    ) {
      names.forceScalar(l.tensor);
    }
  });
}

/** Extent of the innermost collapsed axis: vectors run along it. */
export function innermost(
  shape: Shape,
  roots: readonly Expr[],
  parts: readonly { readonly axes: number }[] = whole(shape),
): number {
  const { pieces } = collapseParts(shape, loadsOf(roots).map((l) => l.view), parts);
  return pieces.at(-1)!.shape.at(-1) ?? 1;
}
