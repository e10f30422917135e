// Archives in memory, as a test wants them.
import { ZipWriter } from "../../files/archives/zip_write.ts";

/** Files by their paths. */
export type Files = Readonly<Record<string, Uint8Array>>;

const encoder = new TextEncoder();

/** A ustar archive. */
export function tarOf(files: Files): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  for (const [name, content] of Object.entries(files)) {
    const header = new Uint8Array(512);
    const put = (text: string, at: number) => header.set(encoder.encode(text), at);
    put(name, 0);
    put("0000644\0", 100);
    put(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    put(" ".repeat(8), 148);
    put("0", 156);
    put("ustar\x0000", 257);
    const sum = header.reduce((a, b) => a + b, 0);
    put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    parts.push(header, content, new Uint8Array((512 - content.length % 512) % 512));
  }
  return joined([...parts, new Uint8Array(1024)]);
}

/** A zip archive of stored entries. */
export async function zipOf(files: Files): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  const zip = new ZipWriter("x.zip", (bytes) => Promise.resolve(void parts.push(bytes.slice())));
  for (const [name, content] of Object.entries(files)) await zip.add(name, content);
  await zip.end();
  return joined(parts);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
