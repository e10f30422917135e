/**
 * The header of a file of NumPy's: a magic number, a version, and a dictionary as Python writes it, which says the element
 * type, the order of the elements and the shape. It is read as data, and whatever it claims is checked before a byte is allocated.
 * Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3.
 */
import { latin1, littleEndian } from "../bytes.ts";
import { FILE_BYTES, type FileDType } from "../dtypes.ts";
import { FileError } from "../errors.ts";

/** What a file says of its array. */
export interface NpyHeader {
  readonly dtype: FileDType;
  /** Whether the first byte of a number is its highest. */
  readonly bigEndian: boolean;
  /** Whether the first axis is the fastest. */
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** Where the elements begin. */
  readonly offset: number;
  /** How many bytes they take. */
  readonly bytes: number;
}

const MAGIC = "\x93NUMPY";
/** Longest header that is looked at; those of plain arrays have a hundred bytes. */
const LONGEST = 1 << 20;
/** Bytes that say how long the header is, at most. */
export const PREFIX = 12;

const DAMAGED = "The file is damaged or was cut short: fetch or write it again";

/** Element types by NumPy's letters. */
const TYPES: Readonly<Record<string, FileDType>> = {
  b1: "BOOL",
  u1: "U8",
  i1: "I8",
  i2: "I16",
  u2: "U16",
  f2: "F16",
  i4: "I32",
  u4: "U32",
  f4: "F32",
  f8: "F64",
  i8: "I64",
  u8: "U64",
};

/** What other letters stand for, and what to do about them. */
const REFUSED: Readonly<Record<string, string>> = {
  O: "Python objects, which are programs",
  c: "complex numbers",
  f: "floats of another width",
  S: "bytes",
  a: "bytes",
  U: "text",
  V: "raw memory (bfloat16 is saved so)",
  M: "dates",
  m: "durations",
  T: "text",
};

/** How long the header is, behind its prefix: where it begins and ends. Throws {@linkcode FileError} for other files. */
export function headerRange(start: Uint8Array, file: string): [from: number, to: number] {
  if (start.length < 10 || latin1(start, 0, 6) !== MAGIC) {
    throw new FileError(file, "is no array of NumPy: it does not begin as .npy files do");
  }
  const version = start[6];
  if (version < 1 || version > 3) {
    throw new FileError(file, `is of version ${version} of the format`, "Versions 1 to 3 are read");
  }
  const width = version === 1 ? 2 : 4;
  const length = littleEndian(start, 8, width);
  if (length > LONGEST) throw new FileError(file, `claims a header of ${length} bytes`, DAMAGED);
  return [8 + width, 8 + width + length];
}

/** Reads the header. Throws {@linkcode FileError} naming the file and what is wrong. */
export function parseHeader(text: string, offset: number, file: string): NpyHeader {
  const fault = (what: string, advice = DAMAGED) => new FileError(file, what, advice);
  let said: Literal;
  try {
    said = new Parser(text).whole();
  } catch (cause) {
    throw fault(`has a header that can't be read: ${(cause as Error).message}`);
  }
  const { descr, fortran_order: fortran, shape, ...others } = said instanceof Map
    ? Object.fromEntries(said) as Record<string, Literal>
    : {};
  const [other] = Object.keys(others);
  if (other !== undefined) throw fault(`says "${other}" in its header`, "Write it with np.save");
  if (Array.isArray(descr)) {
    const fields = descr.map((f) => Array.isArray(f) ? String(f[0]) : "?");
    throw fault(
      `holds records (${fields.join(", ")})`,
      "Save each field as an array of its own, np.savez(path, **fields)",
    );
  }
  const isShape = Array.isArray(shape) &&
    shape.every((d) => Number.isSafeInteger(d) && d as number >= 0);
  if (typeof descr !== "string" || typeof fortran !== "boolean" || !isShape) {
    throw fault("has a header without element type, order and shape");
  }
  const [, order, letters] = /^([<>|=]?)(.*)$/s.exec(descr)!;
  const dtype = Object.hasOwn(TYPES, letters) ? TYPES[letters] : undefined;
  if (!dtype) {
    const what = REFUSED[letters[0]] ?? "elements of an unknown type";
    throw fault(
      `holds ${what} ("${descr}")`,
      "Numbers of 1 to 8 bytes and truth values are read: convert it with astype",
    );
  }
  const extents = shape as number[];
  const bytes = extents.reduce((n, d) => n * d, FILE_BYTES[dtype]);
  if (!Number.isSafeInteger(bytes)) throw fault(`claims the shape [${extents}]`);
  return { dtype, bigEndian: order === ">", fortran, shape: extents, offset, bytes };
}

/** The bytes of a header for row-major little-endian elements, of whole 64 bytes, so that these lie straight. */
export function headerBytes(dtype: FileDType, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const letters = Object.keys(TYPES).find((l) => TYPES[l] === dtype)!;
  const order = FILE_BYTES[dtype] === 1 ? "|" : "<";
  const extents = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const said = `{'descr': '${order}${letters}', 'fortran_order': False, 'shape': (${extents}), }`;
  const bytes = new Uint8Array(Math.ceil((10 + said.length + 1) / 64) * 64).fill(0x20);
  bytes.set([0x93, ..."NUMPY"].map((c) => typeof c === "number" ? c : c.charCodeAt(0)));
  bytes.set([1, 0, (bytes.length - 10) & 255, (bytes.length - 10) >> 8], 6);
  bytes.set(new TextEncoder().encode(said), 10);
  bytes[bytes.length - 1] = 0x0a;
  return bytes;
}

/** Whether elements of a type can be written. */
export const isNumpyType = (dtype: FileDType): boolean => Object.values(TYPES).includes(dtype);

/** What Python's literals are here. */
type Literal = string | number | boolean | undefined | Literal[] | Map<string, Literal>;

/** Deepest nesting that is followed. */
const DEEPEST = 32;

/** Reads a literal of Python: a dictionary of texts, whole numbers, truth values, lists and tuples. */
class Parser {
  #at = 0;
  constructor(readonly text: string) {}

  whole(): Literal {
    const value = this.#value(0);
    if (this.#next() !== undefined) throw new Error(`more than one value at ${this.#at}`);
    return value;
  }

  /** The next letter that is no space. */
  #next(): string | undefined {
    while (/\s/.test(this.text[this.#at] ?? "")) this.#at++;
    return this.text[this.#at];
  }

  #take(pattern: RegExp): string | undefined {
    this.#next();
    const found = new RegExp(pattern, "y");
    found.lastIndex = this.#at;
    const [token] = found.exec(this.text) ?? [];
    if (token !== undefined) this.#at += token.length;
    return token;
  }

  #value(depth: number): Literal {
    if (depth > DEEPEST) throw new Error("it is nested too deep");
    const word = this.#take(/True|False|None/);
    if (word) return word === "None" ? undefined : word === "True";
    // Python 2 marks long numbers by a letter.
    const number = this.#take(/\d+L?/);
    if (number) return Number(number.replace("L", ""));
    const text = this.#take(/'[^'\\]*'|"[^"\\]*"/);
    if (text) return text.slice(1, -1);
    const open = this.#take(/[[({]/);
    if (!open) throw new Error(`no value at ${this.#at}`);
    const close = open === "(" ? /\)/ : open === "[" ? /\]/ : /\}/;
    const list: Literal[] = [];
    const pairs = new Map<string, Literal>();
    for (;;) {
      if (this.#take(close)) return open === "{" ? pairs : list;
      const value = this.#value(depth + 1);
      if (open !== "{") list.push(value);
      else {
        if (typeof value !== "string" || !this.#take(/:/)) {
          throw new Error(`no name at ${this.#at}`);
        }
        if (pairs.has(value)) throw new Error(`"${value}" twice`);
        pairs.set(value, this.#value(depth + 1));
      }
      if (!this.#take(/,/) && !new RegExp(close, "y").test(this.#next() ?? "")) {
        throw new Error(`no end at ${this.#at}`);
      }
    }
  }
}
