/**
 * The header of a safetensors file: eight bytes of length, a JSON object, then the tensors' bytes without gaps.
 *
 * Why so strict: such files come from strangers. Whatever a header claims is checked before a byte is allocated, so a
 * damaged or malicious file is an error message and never a crash, a hang, or a tensor of somebody else's bytes.
 * Format: https://huggingface.co/docs/safetensors
 */
import { FILE_BYTES, type FileDType, isFileDType } from "../dtypes.ts";
import { FileError } from "../errors.ts";
import { duplicateNames, isObject, parseJsonObject } from "../json.ts";
import { strange, whatIs } from "../kinds.ts";
import type { ByteSource } from "../source.ts";

/** What a file says of one tensor. */
export interface TensorEntry {
  /** Element type in the file. */
  readonly dtype: FileDType;
  /** Extents, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** Offset of its first byte in the file. */
  readonly offset: number;
  /** How many bytes it takes. */
  readonly bytes: number;
}

/** A header that was found to be true. */
export interface Header {
  /** In the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** What the writer noted, e.g. `{ format: "pt" }`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The name under which a header has notes. */
const METADATA = "__metadata__";

/** Longest header that is looked at; the reference implementation's limit. */
const LONGEST = 100_000_000;

const DAMAGED = "The file is damaged or was cut short: fetch or write it again";

/** Reads and checks the header. Throws {@linkcode FileError} naming the file, the tensor and the fault. */
export async function readHeader(source: ByteSource): Promise<Header> {
  const { name: file, size } = source;
  if (size === 0) throw new FileError(file, "is empty: it has 0 bytes", DAMAGED);
  if (size < 8) {
    throw new FileError(file, `has ${size} bytes, too few for a safetensors file`, DAMAGED);
  }
  const start = await source.read(0, 8);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(Math.min(LONGEST, size - 8)) || length < 2n) {
    const kind = await whatIs(source);
    if (kind) throw strange(source, kind, "file of weights");
    throw new FileError(
      file,
      "is no file of weights: neither a checkpoint of PyTorch, nor safetensors, " +
        `as which it claims a header of ${length} bytes in a file of ${size}`,
      DAMAGED,
    );
  }
  const bytes = await source.read(8, Number(length));
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FileError(file, "its header is not valid UTF-8", DAMAGED, { cause });
  }
  return checkHeader(text, file, 8 + Number(length), size);
}

/**
 * Checks a header's text against the file that it describes. Of a name that occurs twice the last counts, as for the
 * reference implementation, if what it says holds for the whole file; a field of a tensor must not occur twice.
 *
 * @param from offset in the file at which the tensors' bytes begin
 * @param to size of the file; the tensors must fill `from`..`to` exactly
 */
export function checkHeader(text: string, file: string, from: number, to: number): Header {
  const json = parseJsonObject(text, file, "its header");
  const twice = duplicateNames(text);
  const wrong = twice.find(({ within, name }) =>
    within === undefined ? name === METADATA : within !== METADATA
  );
  if (wrong) throw nameTwice(file, wrong.name);
  const metadata: Record<string, string> = Object.create(null);
  const list: [string, TensorEntry][] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === METADATA) Object.assign(metadata, checkMetadata(value, file));
    else list.push([name, checkEntry(name, value, file, from, to)]);
  }
  list.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let at = from;
  for (const [name, entry] of list) {
    if (entry.offset !== at) {
      if (twice.length) throw nameTwice(file, twice[0].name);
      const fault = entry.offset < at ? "overlaps the tensor before it" : "leaves a gap before it";
      throw new FileError(
        file,
        `tensor ${show(name)} ${fault} (data offset ${entry.offset - from}, expected ${at - from})`,
        DAMAGED,
      );
    }
    at += entry.bytes;
  }
  if (at !== to) {
    if (twice.length) throw nameTwice(file, twice[0].name);
    throw new FileError(
      file,
      `holds ${to - from} bytes of data where its header describes ${at - from}`,
      DAMAGED,
    );
  }
  return { tensors: new Map(list), metadata };
}

const nameTwice = (file: string, name: string): FileError =>
  new FileError(file, `its header has the name ${show(name)} twice`, DAMAGED);

/** What was noted; as for the reference implementation, null is nothing. */
function checkMetadata(value: unknown, file: string): Record<string, string> {
  if (value === null) return {};
  if (!isObject(value) || !Object.values(value).every((v) => typeof v === "string")) {
    throw new FileError(file, "its __metadata__ is not an object of strings", DAMAGED);
  }
  return value as Record<string, string>;
}

function checkEntry(
  name: string,
  value: unknown,
  file: string,
  from: number,
  to: number,
): TensorEntry {
  const fail = (fault: string, advice = DAMAGED): never => {
    throw new FileError(file, `tensor ${show(name)} ${fault}`, advice);
  };
  if (!isObject(value)) return fail("is not described by an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isFileDType(dtype)) {
    return fail(
      `has element type ${show(dtype)}`,
      `Known are ${Object.keys(FILE_BYTES).join(", ")}: convert the file`,
    );
  }
  if (!isCounts(shape)) return fail(`has shape ${show(shape)}, not a list of extents`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    return fail(`has data_offsets ${show(offsets)}, not two offsets`);
  }
  const [begin, end] = offsets;
  if (begin > end || end > to - from) {
    return fail(`lies at bytes ${begin} to ${end} of ${to - from} bytes of data`);
  }
  let bytes: number = FILE_BYTES[dtype];
  for (const extent of shape) bytes *= extent;
  // Beyond 2^53 the product is rounded, but then it is far from any file's size, so the comparison still tells.
  if (bytes !== end - begin) {
    return fail(
      `of shape [${shape.join(", ")}] and type ${dtype} needs ${bytes} bytes but has ${
        end - begin
      }`,
    );
  }
  return { dtype, shape, offset: from + begin, bytes };
}

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

/** A value from the file for a message: quoted, and cut to a length that a terminal can show. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
