// The one decoder of texts: encodings of Windows editors are read or refused by name, and nothing becomes U+FFFD.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FileError } from "../files/errors.ts";
import { readJsonObject } from "../files/json.ts";
import { decodeName, decodeText, linesIn, readLines } from "../files/text.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const utf16 = (text: string, little: boolean, mark: boolean) => {
  const bytes = new Uint8Array(2 * text.length);
  const view = new DataView(bytes.buffer);
  [...Array(text.length).keys()].forEach((i) => view.setUint16(2 * i, text.charCodeAt(i), little));
  return mark ? Uint8Array.of(...(little ? [0xff, 0xfe] : [0xfe, 0xff]), ...bytes) : bytes;
};
const latin = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

Deno.test("text: UTF-8 and UTF-16 with and without a mark, and cp1252, are the same text", () => {
  const texts = ["a café with a <new1> toy’s picture", "a dog", "x", "", "Größe: 5 €\r\nété …\n"];
  const western: Record<string, number> = { "’": 0x92, "€": 0x80, "…": 0x85 };
  for (const text of texts) {
    const forms = [
      utf8(text),
      utf8(`\ufeff${text}`),
      ...[true, false].flatMap((little) => [utf16(text, little, true), utf16(text, little, false)]),
      Uint8Array.from(text, (c) => western[c] ?? c.charCodeAt(0)),
    ];
    for (const [i, bytes] of forms.entries()) {
      assertEquals(decodeText(bytes, "a.txt"), text, `${i}`);
    }
  }
  for (const text of ["赤い おもちゃ の 写真, <new1>", "красная собака <new1>", "🐶 dog"]) {
    for (const little of [true, false]) {
      for (const mark of [true, false]) {
        assertEquals(decodeText(utf16(text, little, mark), "a.txt"), text);
      }
    }
    assertEquals(decodeText(utf8(text), "a.txt"), text);
  }
  assertEquals(decodeText(utf8("padded\0\0\0"), "a.txt"), "padded");
});

Deno.test("text: what is in another encoding, or no text, is refused by name", () => {
  const others: Record<string, Uint8Array> = {
    "cp1251": Uint8Array.fromHex("eaf0e0f1ede0ff20f1eee1e0eae0"),
    "KOI8-R": Uint8Array.fromHex("cbd2c1d3cec1d120d3cfc2c1cbc1"),
    "Shift-JIS": Uint8Array.fromHex("90d482a282a882e082bf82e1"),
    "EUC-JP": Uint8Array.fromHex("c0d6a4a4a4aaa4e2a4c1a4e3"),
    "GBK": Uint8Array.fromHex("baecc9abcde6bedf"),
    "cp1250": latin("\xb3adny \xbf\xf3\xb3ty pies"),
    "cut UTF-16": utf16("a dog", true, true).subarray(0, 9),
    "half a pair": Uint8Array.of(0xff, 0xfe, 0x3d, 0xd8),
    "UTF-32": Uint8Array.of(0xff, 0xfe, 0, 0, 0x61, 0, 0, 0),
    "broken UTF-8 with a mark": Uint8Array.of(0xef, 0xbb, 0xbf, 0xe9),
    "numbers": Uint8Array.of(0, 1, 2, 0, 0, 3, 255, 0),
    "names by zeros": utf8("abc\0de\0fghi\0j"),
  };
  for (const [name, bytes] of Object.entries(others)) {
    assertThrows(() => decodeText(bytes, name), FileError, name);
  }
  const png = Uint8Array.fromHex("89504e470d0a1a0a0000000d49484452");
  assertThrows(() => decodeText(png, "0.txt"), FileError, "0.txt: is a PNG picture where text is");
});

Deno.test("text: no bytes at all become U+FFFD, and nothing but a FileError is thrown", () => {
  const some = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.string().map((text) => utf16(text, true, false)),
    fc.string({ unit: "binary" }).map(latin),
  );
  fc.assert(
    fc.property(some, (bytes) => {
      try {
        const text = decodeText(bytes, "x");
        const given = new TextDecoder("utf-8", { fatal: false }).decode(bytes);
        assert(!text.includes("\ufffd") || given.includes("\ufffd") || text === given);
        if (bytes.every((byte) => byte < 0x80 && byte > 0)) assertEquals(text, given);
      } catch (error) {
        assert(error instanceof FileError, String(error));
      }
    }),
    { numRuns: 3000, seed: 11 },
  );
});

Deno.test("text: lines end as on any system; files go through the decoder, JSON too; a folder or a device is none", async () => {
  assertEquals(linesIn("a\rb\r\nc\nd"), ["a", "b", "c", "d"]);
  assertEquals(decodeName(Uint8Array.of(0x66, 0xfc, 0x72)), "für");
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/a.txt`, utf16(" a dog\r\n\r\na cat", true, true));
    assertEquals(await readLines(`${folder}/a.txt`), ["a dog", "a cat"]);
    await Deno.writeFile(`${folder}/a.json`, utf16('{"a": -Infinity}', false, true));
    assertEquals(await readJsonObject(`${folder}/a.json`), { a: -Infinity });
    await assertRejects(() => readLines(folder), FileError, "is a folder");
    await assertRejects(() => readLines("/dev/zero"), FileError, "is a device");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
