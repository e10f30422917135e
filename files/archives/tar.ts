/**
 * Members of a tar archive: one pass over its headers, their contents left where they are.
 *
 * Why our own: sets of pictures are gigabytes of which a few hundred are wanted, and libraries stream all of it through.
 * POSIX.1-1988 and 2001 (pax), and GNU's long names and sizes: what `tar`, Python and webdataset write.
 */
import { latin1 } from "../bytes.ts";
import { FileError } from "../errors.ts";
import type { ByteSource } from "../source.ts";
import { decodeName } from "../text.ts";

/** A regular file in an archive. */
export interface TarMember {
  /** Its path in the archive, "./" in front left out. */
  readonly name: string;
  /** Where its bytes begin. */
  readonly offset: number;
  /** How many there are. */
  readonly size: number;
}

const BLOCK = 512;

/** Names and pax records are short; a header that claims more lies. */
const LONGEST_NAME = 1 << 20;

/**
 * The regular files of an archive, in its order.
 *
 * @throws FileError where the archive is damaged, cut short or compressed
 */
export async function* tarMembers(source: ByteSource): AsyncGenerator<TarMember> {
  let at = 0, name: string | undefined, size: number | undefined;
  while (at + BLOCK <= source.size) {
    const header = await source.read(at, BLOCK);
    if (header.every((byte) => byte === 0)) return;
    checkHeader(header, at, source.name);
    const kind = String.fromCharCode(header[156]);
    const long = kind === "L" || kind === "x" || kind === "g";
    const length = long ? sizeOf(header) : size ?? sizeOf(header);
    const begin = at + BLOCK;
    if (!(length >= 0) || begin + length > source.size) {
      throw new FileError(
        source.name,
        `holds ${nameOf(header)} of ${length} bytes at ${begin}, and ends at ${source.size}`,
        "It is cut short: fetch it again",
      );
    }
    at = begin + Math.ceil(length / BLOCK) * BLOCK;
    if (long) {
      // What these say holds for the next member alone ("g" for all: nothing that is needed here).
      const said = length > LONGEST_NAME ? new Uint8Array(0) : await source.read(begin, length);
      if (kind === "L") name = decodeName(said).replace(/\0+$/, "");
      if (kind !== "x") continue;
      name = paxValue(said, "path") ?? name;
      const own = paxValue(said, "size");
      if (own !== undefined) size = Number(own);
      continue;
    }
    if (kind === "0" || kind === "\0") {
      const path = (name ?? nameOf(header)).replace(/^(\.\/)+/, "");
      yield { name: path, offset: begin, size: length };
    }
    name = size = undefined;
  }
  // Some writers leave out the two blocks of zeros that end an archive, but none ends within a block.
  if (at === source.size) return;
  const short = at > 0 ? "is cut short" : "is no tar archive";
  throw new FileError(source.name, short, at > 0 ? "Fetch it again" : undefined);
}

/** A field that ends at its first zero byte. */
const field = (header: Uint8Array, from: number, to: number): string =>
  decodeName(header.subarray(from, to)).replace(/\0[^]*$/, "");

function nameOf(header: Uint8Array): string {
  const prefix = field(header, 257, 262) === "ustar" ? field(header, 345, 500) : "";
  const name = field(header, 0, 100);
  // GNU's own format keeps times where POSIX has the prefix, and marks itself by two spaces.
  const posix = header[263] === 0x30 && header[264] === 0x30;
  return prefix && posix ? `${prefix}/${name}` : name;
}

/** Octal digits, or GNU's 256-ary number where those do not suffice. */
function sizeOf(header: Uint8Array): number {
  if (header[124] === 0x80) {
    return header.subarray(125, 136).reduce((n, byte) => n * 256 + byte, 0);
  }
  const digits = field(header, 124, 136).trim();
  return /^[0-7]*$/.test(digits) ? parseInt(digits || "0", 8) : NaN;
}

function checkHeader(header: Uint8Array, at: number, file: string): void {
  const sum = header.reduce((n, byte, i) => n + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  if (parseInt(field(header, 148, 156).trim(), 8) === sum) return;
  if (at > 0) {
    throw new FileError(file, `is damaged at byte ${at}`, "It is no whole tar archive");
  }
  const packed = (header[0] === 0x1f && header[1] === 0x8b) ||
    latin1(header, 0, 3) === "BZh";
  throw new FileError(
    file,
    packed ? "is compressed" : "is no tar archive",
    packed ? "Unpack it to a plain .tar first: it is read in places" : undefined,
  );
}

/** The value of a key among pax records, `length key=value\n`; lengths count bytes, so values may hold anything. */
function paxValue(bytes: Uint8Array, key: string): string | undefined {
  let found: string | undefined;
  for (let at = 0; at < bytes.length;) {
    const digits = /^\d+/.exec(latin1(bytes, at, at + 20))?.[0];
    const length = Number(digits);
    if (!digits || length <= digits.length || at + length > bytes.length) return found;
    const record = decodeName(bytes.subarray(at + digits.length + 1, at + length - 1));
    const cut = record.indexOf("=");
    if (record.slice(0, cut) === key) found = record.slice(cut + 1);
    at += length;
  }
  return found;
}
