/**
 * File names made of what people write: one for each text, and none twice.
 *
 * Why not the text alone: cut to a length, or without its punctuation, two texts may be one, and the second file would
 * take the first one's place.
 */
import { crc32 } from "./archives/crc32.ts";

/** Most bytes of a text's own characters in a name: systems take 255, and endings and numbers come on top. */
const MOST_BYTES = 120, MOST = 60;

/**
 * Names without endings, in the order of the texts: their letters and digits in lower case, dashes between, at most 60
 * characters. Where that is another text's name already, eight digits of the text's checksum follow, or a count.
 *
 * @param otherwise the name of a text without letters and digits
 */
export function fileNames(texts: readonly string[], otherwise: string): string[] {
  const taken = new Set<string>();
  return texts.map((text) => {
    const plain = plainName(text) || otherwise;
    const marked = `${plain}-${
      crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0")
    }`;
    let name = taken.has(plain) ? marked : plain;
    for (let n = 2; taken.has(name); n++) name = `${marked}-${n}`;
    taken.add(name);
    return name;
  });
}

function plainName(text: string): string {
  const dashed = text.normalize("NFC").toLowerCase().replace(/[^\p{L}\p{N}\p{M}]+/gu, "-");
  let name = "", bytes = 0;
  for (const character of [...dashed.replace(/^-|-$/g, "")].slice(0, MOST)) {
    bytes += new TextEncoder().encode(character).length;
    if (bytes > MOST_BYTES) break;
    name += character;
  }
  return name.replace(/-$/, "");
}
