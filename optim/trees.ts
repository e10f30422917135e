/**
 * Trees in files: parameters, optimizer states, positions of loaders, in one safetensors file that other programs read too.
 *
 * Tensors have their paths for names. What names do not say (which nodes are lists, what is a number and what a text, in which
 * order names stand) lies beside them in the header, so that what is read is what was written.
 */
import { expectKinds, RECORD } from "../tensor/kinds.ts";
import { PATH, SOURCE } from "../files/given.ts";
import type { Device } from "../device/device.ts";
import { ARRAYS, type DType, type HostArray } from "../tensor/dtype.ts";
import { sameShape, show } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { what } from "../tensor/what.ts";
import { constantValues, storageOf, tensor, withoutMemory } from "../ops/leaf.ts";
import { type FileArray, type FileDType, fileDTypeOf } from "../files/dtypes.ts";
import { FileError } from "../files/errors.ts";
import { isObject } from "../files/json.ts";
import { openSafetensors, type TensorSource } from "../files/safetensors/read.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";

/** What a tree in a file may have for leaves. */
export type SavedLeaf =
  | Tensor
  | Exclude<FileArray, Uint8ClampedArray>
  | number
  | string
  | boolean
  | null
  | undefined;

/** A tree that can be written: plain objects and lists of leaves. */
export type SavedTree =
  | SavedLeaf
  | { readonly [key: string]: SavedTree }
  | readonly SavedTree[];

/** Options of {@linkcode saveTree}. */
export interface SaveOptions {
  /** Where tensors lie that are not constants. */
  readonly device?: Device;
  /** Texts to be noted. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Nodes in each other that a tree may have: who reads it takes a step into each. */
const DEEPEST = 1000;

/** Names of the notes that describe the tree. */
const FORM = "moongate.tree", VERSION = "moongate.tree.version";

/** How a node stands in the header: its kind, and what is in it. */
type Form =
  | { readonly o: readonly (readonly [key: string, form: Form])[] }
  | { readonly l: readonly Form[] }
  | { readonly t: string }
  | { readonly a: string }
  | { readonly v: number | string | boolean | null }
  | { readonly n: "NaN" | "Infinity" | "-Infinity" | "-0" | "undefined" };

/** Numbers that JSON has no words for. */
const ODD = new Map<string, number | undefined>([
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["-0", -0],
  ["undefined", undefined],
]);

const FILE_TYPES: Readonly<Record<DType, FileDType>> = {
  f32: "F32",
  f16: "F16",
  i32: "I32",
  u32: "U32",
  bool: "BOOL",
};

/**
 * Writes a tree of tensors, typed arrays, numbers, texts and truth values into a safetensors file. It appears whole or not at
 * all; what was there before is replaced.
 *
 * @param tree plain objects and lists, of tensors that are constants or lie on `options.device`, and other leaves
 * @throws TypeError naming the leaf that can't be written, or has no value yet, before anything is written
 * @throws FileError when the file can't be written
 */
export async function saveTree(
  path: string,
  tree: SavedTree | object,
  options: SaveOptions = {},
): Promise<void> {
  expectKinds("saveTree", { path: [path, PATH] });
  const { device, metadata = {} } = options;
  const tensors = new Map<string, TensorToWrite>();
  const add = (place: string, one: TensorToWrite): string => {
    // Keys may have dots in them, so that two places have one path.
    let name = place || "value";
    for (let i = 2; tensors.has(name) || name === "__metadata__"; i++) name = `${place}#${i}`;
    tensors.set(name, one);
    return name;
  };
  const formOf = (x: unknown, place: string, above: readonly object[]): Form => {
    const at = (k: string | number) => place ? `${place}.${k}` : String(k);
    const refuse = (why: string) => new TypeError(`saveTree: "${place}" is ${why}`);
    if (above.length > DEEPEST) {
      throw new TypeError(`saveTree: the tree is deeper than ${DEEPEST} nodes`);
    }
    if (x instanceof Tensor) {
      const constant = constantValues(x);
      if (!constant && !storageOf(x)) throw refuse(withoutMemory(x));
      if (!constant && !device) {
        throw refuse(`${what(x)}, whose value lies on a device: give it as options.device`);
      }
      const data = () => constant ? Promise.resolve(constant) : device!.read(x);
      return { t: add(place, { shape: x.shape, dtype: FILE_TYPES[x.dtype], data }) };
    }
    if (ArrayBuffer.isView(x)) {
      const dtype = arrayType(x);
      if (!dtype) throw refuse(`${what(x)}, which no file of tensors holds`);
      return { a: add(place, { shape: [(x as FileArray).length], dtype, data: x as FileArray }) };
    }
    if (typeof x === "number" && (!Number.isFinite(x) || Object.is(x, -0))) {
      return { n: (Object.is(x, -0) ? "-0" : String(x)) as "NaN" };
    }
    if (x === undefined) return { n: "undefined" };
    if (x === null || ["number", "string", "boolean"].includes(typeof x)) {
      return { v: x as number | string | boolean | null };
    }
    if (typeof x !== "object") throw refuse(what(x));
    if (above.includes(x)) throw refuse("one of the nodes that it is in");
    const inside = [...above, x];
    if (Array.isArray(x)) return { l: Array.from(x, (v, i) => formOf(v, at(i), inside)) };
    const proto = Object.getPrototypeOf(x);
    if (proto !== Object.prototype && proto !== null) throw refuse(`${what(x)}, no plain object`);
    return { o: Object.entries(x).map(([k, v]) => [k, formOf(v, at(k), inside)] as const) };
  };
  const form = formOf(tree, "", []);
  for (const [name, value] of Object.entries(metadata)) {
    if (typeof value !== "string" || name === FORM || name === VERSION) {
      throw new TypeError(
        `saveTree: the note "${name}" is ${what(value)}, not a text of another name`,
      );
    }
  }
  await writeSafetensors(path, tensors, {
    ...metadata,
    [FORM]: JSON.stringify(form),
    [VERSION]: "1",
  });
}

function arrayType(x: ArrayBufferView): FileDType | undefined {
  if (x instanceof DataView || x instanceof Uint8ClampedArray) return undefined;
  return fileDTypeOf(x as FileArray);
}

/** Options of {@linkcode loadTree}. */
export interface LoadOptions<T> {
  /** Where tensors are to lie. Default: they are constants of the host. */
  readonly device?: Device;
  /**
   * A tree of the form that is expected, whose values do not count: what differs from it in form, shape or element type is
   * refused. What is read then has its type.
   */
  readonly like?: T;
}

/** What {@linkcode loadTree} gives. */
export interface LoadedTree<T> {
  /** The tree. */
  readonly tree: T;
  /** What was noted, but for what describes the tree. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads a tree that {@linkcode saveTree} wrote: the same objects, lists, numbers, texts and typed arrays, and tensors of the
 * same shapes, element types and bits.
 *
 * @param path a path, or anything that `openSafetensors` takes
 * @throws FileError naming the file, and what is wrong with it: it is damaged, is none that saveTree wrote, or is of
 *   another tree than `options.like`. Nothing stays allocated
 */
export async function loadTree<T = SavedTree>(
  path: Parameters<typeof openSafetensors>[0],
  options: LoadOptions<T> = {},
): Promise<LoadedTree<T>> {
  expectKinds("loadTree", { path: [path, SOURCE], options: [options, RECORD] });
  using source = await openSafetensors(path);
  const { [FORM]: text, [VERSION]: version, ...metadata } = source.metadata;
  if (text === undefined) {
    throw new FileError(
      source.name,
      "was not written by saveTree",
      "Read its tensors with openSafetensors",
    );
  }
  if (version !== "1") {
    throw new FileError(
      source.name,
      `has version ${version} of trees`,
      "Read it with a newer moongate",
    );
  }
  const uploaded: Tensor[] = [];
  try {
    const tree = await new Reader(source, options.device, uploaded).read(text);
    if (options.like !== undefined) expectLike(source.name, tree, options.like, "");
    return { tree: tree as T, metadata };
  } catch (error) {
    if (uploaded.length) options.device!.free(...uploaded);
    throw error;
  }
}

/** One reading of a file. What its header claims of the tree is believed as far as it holds. */
class Reader {
  readonly #used = new Set<string>();
  constructor(
    readonly source: TensorSource,
    readonly device: Device | undefined,
    readonly uploaded: Tensor[],
  ) {}

  async read(text: string): Promise<unknown> {
    let form: unknown;
    try {
      form = JSON.parse(text);
    } catch (cause) {
      throw new FileError(this.source.name, "its description of the tree is no JSON", DAMAGED, {
        cause,
      });
    }
    const tree = await this.#node(form, 0);
    const left = [...this.source.tensors.keys()].find((name) => !this.#used.has(name));
    if (left !== undefined) throw this.#wrong(`the tree has no place for tensor "${left}"`);
    return tree;
  }

  #wrong(fault: string): FileError {
    return new FileError(this.source.name, fault, DAMAGED);
  }

  async #node(form: unknown, depth: number): Promise<unknown> {
    if (depth > DEEPEST) throw this.#wrong(`its tree is deeper than ${DEEPEST} nodes`);
    if (!isObject(form)) throw this.#wrong("its description of the tree is none");
    const [[kind, value] = [], ...more] = Object.entries(form);
    if (more.length) throw this.#wrong("its description of the tree is none");
    if (kind === "l" && Array.isArray(value)) {
      const list: unknown[] = [];
      for (const one of value) list.push(await this.#node(one, depth + 1));
      return list;
    }
    if (kind === "o" && Array.isArray(value)) {
      const entries: [string, unknown][] = [];
      for (const pair of value) {
        if (!Array.isArray(pair) || typeof pair[0] !== "string") {
          throw this.#wrong("its description of the tree is none");
        }
        entries.push([pair[0], await this.#node(pair[1], depth + 1)]);
      }
      return Object.fromEntries(entries);
    }
    if (kind === "n" && ODD.has(value as string)) return ODD.get(value as string);
    if (
      kind === "v" && (value === null || ["number", "string", "boolean"].includes(typeof value))
    ) {
      return value;
    }
    if ((kind === "t" || kind === "a") && typeof value === "string") {
      return await this.#leaf(value, kind === "t");
    }
    throw this.#wrong("its description of the tree is none");
  }

  async #leaf(name: string, isTensor: boolean): Promise<unknown> {
    if (!this.source.tensors.has(name)) throw this.#wrong(`lacks tensor "${name}" of its tree`);
    if (this.#used.has(name)) throw this.#wrong(`its tree has tensor "${name}" twice`);
    this.#used.add(name);
    const { dtype: stored, shape, data } = await this.source.read(name);
    if (!isTensor) return data;
    const dtype = (Object.keys(FILE_TYPES) as DType[]).find((d) => FILE_TYPES[d] === stored);
    if (!dtype || !(data instanceof (dtype === "bool" ? Uint8Array : ARRAYS[dtype]))) {
      throw this.#wrong(`tensor "${name}" is of type ${stored}`);
    }
    if (!this.device) return tensor(data as HostArray, shape, dtype);
    const t = this.device.upload(data as HostArray, shape, dtype);
    this.uploaded.push(t);
    return t;
  }
}

const DAMAGED = "The file is damaged, or was changed by another program";

/** Refuses a tree that differs in form, or in the shape or element type of a tensor. */
function expectLike(file: string, tree: unknown, like: unknown, path: string): void {
  const other = (is: string, wanted: string) =>
    new FileError(
      file,
      `is of another tree: ${path ? `"${path}"` : "it"} is ${is}, not ${wanted}`,
      "It was saved by another model or optimizer",
    );
  const at = (k: string | number) => path ? `${path}.${k}` : String(k);
  if (like instanceof Tensor || tree instanceof Tensor) {
    if (!(like instanceof Tensor) || !(tree instanceof Tensor)) throw other(what(tree), what(like));
    if (!sameShape(like.shape, tree.shape) || like.dtype !== tree.dtype) {
      throw other(show(tree.spec), show(like.spec));
    }
    return;
  }
  const kind = (x: unknown) =>
    Array.isArray(x) ? "a list" : ArrayBuffer.isView(x) ? x.constructor.name : typeof x;
  if (kind(tree) !== kind(like) || (tree === null) !== (like === null)) {
    throw other(what(tree), what(like));
  }
  if (ArrayBuffer.isView(like)) {
    if (like.byteLength !== (tree as ArrayBufferView).byteLength) {
      throw other(what(tree), what(like));
    }
  } else if (Array.isArray(like)) {
    const list = tree as unknown[];
    if (list.length !== like.length) throw other(what(tree), what(like));
    like.forEach((one, i) => expectLike(file, list[i], one, at(i)));
  } else if (isObject(like)) {
    const object = tree as Record<string, unknown>;
    for (const key of Object.keys({ ...like, ...object })) {
      if (!Object.hasOwn(object, key)) throw other(`without "${key}"`, what(like));
      if (!Object.hasOwn(like, key)) throw other(`with "${key}"`, what(like));
      expectLike(file, object[key], like[key], at(key));
    }
  }
}
