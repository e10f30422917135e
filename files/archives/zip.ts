/**
 * Zip archives, read an entry (or a part of one) at a time.
 *
 * Why our own: what is wanted of an archive is where an entry's bytes lie in the file, so that a few rows of a tensor of
 * gigabytes can be read; and whatever the directory claims has to be checked before a byte is allocated.
 * Format: PKWARE's APPNOTE 6.3, with zip64; entries stored or deflated.
 */
import { FileError } from "../errors.ts";
import type { ByteSource } from "../source.ts";
import { decodeName } from "../text.ts";

/** What the directory says of an entry. */
export interface ZipEntry {
  /** Its path in the archive. */
  readonly name: string;
  /** How many bytes it holds. */
  readonly bytes: number;
  /** How many bytes it takes in the file. */
  readonly packed: number;
  /** Whether it is deflated or stored as it is. */
  readonly deflated: boolean;
  /** Offset of its local header in the file. */
  readonly header: number;
}

/** An opened archive. */
export interface Zip {
  /** Entries by name, in the order of the directory. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** `length` bytes of an entry from `offset`. Throws as {@linkcode readEntry} does. */
  read(entry: ZipEntry, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

const DAMAGED = "The file is damaged or was cut short: fetch or write it again";
/** Largest directory that is looked at: enough for half a million entries. */
const LARGEST = 64 * 2 ** 20;
/** Deflate makes nothing smaller than by this factor. */
const DENSEST = 1032;
/** Compressed bytes that are inflated at a time: they become at most 32 MB. */
const STRETCH = 32 * 1024;

const END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50;
const ENTRY = 0x02014b50, LOCAL = 0x04034b50;

/** Reads and checks an archive's directory. Throws {@linkcode FileError} naming the file, the entry and the fault. */
export async function openZip(source: ByteSource): Promise<Zip> {
  const { name: file } = source;
  const { count, offset, length } = await findDirectory(source);
  if (length > LARGEST || offset + length > source.size) {
    throw new FileError(file, `claims a directory of ${length} bytes at ${offset}`, DAMAGED);
  }
  const entries = new Map<string, ZipEntry>();
  const bytes = await source.read(offset, length);
  for (let at = 0, i = 0; i < count; i++) {
    const { entry, end } = entryAt(bytes, at, file);
    if (entries.has(entry.name)) {
      throw new FileError(file, `holds the entry ${JSON.stringify(entry.name)} twice`, DAMAGED);
    }
    entries.set(entry.name, entry);
    at = end;
  }
  return {
    entries,
    read: (entry, first, count) => readEntry(source, entry, first, count),
  };
}

/** `count` bytes of an entry from `first`. Throws {@linkcode FileError} where there are none, or they are damaged. */
export async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  first: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const fault = (text: string) =>
    new FileError(source.name, `entry "${entry.name}" ${text}`, DAMAGED);
  if (!(first >= 0 && count >= 0 && first + count <= entry.bytes)) {
    throw fault(`has ${entry.bytes} bytes, so ${count} from ${first} can't be read`);
  }
  const start = await dataOffset(source, entry, fault);
  return entry.deflated
    ? await inflate(source, start, entry, first, count, fault)
    : await source.read(start + first, count);
}

/** Where the directory is, by the record at the end of the file. */
async function findDirectory(source: ByteSource) {
  const { name: file, size } = source;
  const tail = Math.min(size, 22 + 0xffff);
  const view = viewOf(await source.read(size - tail, tail));
  for (let at = tail - 22; at >= 0; at--) {
    if (view.getUint32(at, true) !== END || at + 22 + view.getUint16(at + 20, true) !== tail) {
      continue;
    }
    const disks = view.getUint16(at + 4, true);
    const found = {
      count: view.getUint16(at + 10, true),
      length: view.getUint32(at + 12, true),
      offset: view.getUint32(at + 16, true),
    };
    const wide = at >= 20 && view.getUint32(at - 20, true) === LOCATOR64;
    if (disks !== 0 && disks !== 0xffff) {
      throw new FileError(file, "is one part of an archive in several files", "Join them first");
    }
    return wide ? await findDirectory64(source, uint64(view, at - 12, file)) : found;
  }
  throw new FileError(file, "is a zip archive without its directory, which is at the end", DAMAGED);
}

async function findDirectory64(source: ByteSource, at: number) {
  const view = viewOf(await source.read(at, 56));
  if (view.getUint32(0, true) !== END64) {
    throw new FileError(source.name, `has no zip64 directory at byte ${at}`, DAMAGED);
  }
  const [count, length, offset] = [32, 40, 48].map((o) => uint64(view, o, source.name));
  return { count, length, offset };
}

function entryAt(bytes: Uint8Array<ArrayBuffer>, at: number, file: string) {
  const view = viewOf(bytes);
  if (at + 46 > bytes.length || view.getUint32(at, true) !== ENTRY) {
    throw new FileError(file, "has a broken zip directory", DAMAGED);
  }
  const [flags, method] = [8, 10].map((o) => view.getUint16(at + o, true));
  const [nameLength, extraLength, noteLength] = [28, 30, 32].map((o) =>
    view.getUint16(at + o, true)
  );
  const extra = at + 46 + nameLength, note = extra + extraLength, end = note + noteLength;
  if (end > bytes.length) throw new FileError(file, "has a zip directory cut short", DAMAGED);
  const name = decodeName(bytes.subarray(at + 46, extra));
  const refuse = (fault: string, advice = DAMAGED) => {
    throw new FileError(file, `entry ${JSON.stringify(name)} ${fault}`, advice);
  };
  if (flags & 1) refuse("is encrypted", "Decrypt it first");
  if (method !== 0 && method !== 8) {
    refuse(`is compressed by method ${method}`, "Stored and deflated ones are read: zip it again");
  }
  // In this order, those that do not fit into 32 bits stand in a field of their own.
  const narrow = [24, 20, 42].map((o) => view.getUint32(at + o, true));
  const wide = wideField(view, extra, note);
  const [size, packed, header] = narrow.map((value) => {
    if (value !== 0xffffffff) return value;
    const next = wide.shift();
    return next === undefined ? value : uint64(view, next, file);
  });
  if (method === 0 ? packed !== size : size > packed * DENSEST) {
    refuse(`claims that its ${packed} bytes are ${size} bytes`);
  }
  return { entry: { name, bytes: size, packed, deflated: method === 8, header }, end };
}

/** Offsets of the 64-bit numbers in an entry's zip64 field. */
function wideField(view: DataView, from: number, to: number): number[] {
  for (let at = from; at + 4 <= to;) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && at + 4 + length <= to) {
      return Array.from({ length: Math.floor(length / 8) }, (_, i) => at + 4 + 8 * i);
    }
    at += 4 + length;
  }
  return [];
}

/** Where an entry's bytes begin: its local header may be longer than the directory's. */
async function dataOffset(
  source: ByteSource,
  entry: ZipEntry,
  fault: (text: string) => FileError,
): Promise<number> {
  const view = entry.header + 30 <= source.size && viewOf(await source.read(entry.header, 30));
  if (!view || view.getUint32(0, true) !== LOCAL) {
    throw fault(`is not at byte ${entry.header}, where the directory says`);
  }
  const start = entry.header + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + entry.packed > source.size) throw fault("reaches beyond the end of the file");
  return start;
}

/** A part of a deflated entry: what comes before it is inflated too, and dropped. */
async function inflate(
  source: ByteSource,
  start: number,
  entry: ZipEntry,
  first: number,
  count: number,
  fault: (text: string) => FileError,
): Promise<Uint8Array<ArrayBuffer>> {
  const wanted = new Uint8Array(count);
  let taken = 0, at = 0;
  const packed = new ReadableStream<BufferSource>({
    async pull(stream) {
      const length = Math.min(STRETCH, entry.packed - taken);
      if (length > 0) stream.enqueue(await source.read(start + taken, length));
      taken += length;
      if (taken >= entry.packed) stream.close();
    },
  }, { highWaterMark: 0 });
  try {
    for await (const chunk of packed.pipeThrough(new DecompressionStream("deflate-raw"))) {
      const from = Math.max(first, at), to = Math.min(first + count, at + chunk.length);
      if (from < to) wanted.set(chunk.subarray(from - at, to - at), from - first);
      at += chunk.length;
      if (at >= first + count) break;
    }
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw fault("can't be inflated");
  }
  if (at < first + count) throw fault(`holds ${at} bytes where ${entry.bytes} are named`);
  return wanted;
}

function uint64(view: DataView, at: number, file: string): number {
  const value = Number(view.getBigUint64(at, true));
  if (Number.isSafeInteger(value)) return value;
  throw new FileError(file, `claims a size or place of ${value} bytes`, DAMAGED);
}

const viewOf = (bytes: Uint8Array<ArrayBuffer>): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
