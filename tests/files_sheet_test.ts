/** Contact sheets and the words on them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FONT_HEIGHT, typeset, wrap } from "../files/pictures/font.ts";
import { blank, crop, type Picture, zoom } from "../files/pictures/picture.ts";
import { sheet } from "../files/pictures/sheet.ts";

const red = blank(6, 4, [255, 0, 0]), blue = blank(3, 8, [0, 0, 255]);

const isPaper = ({ data }: Picture, value = 255) => data.every((v) => v === value);

/** Ink as text, to be looked at in the test. */
function drawn(text: string): string[] {
  const columns = typeset(text);
  return Array.from(
    { length: FONT_HEIGHT },
    (_, row) => columns.map((c) => c >> row & 1 ? "#" : ".").join(""),
  );
}

Deno.test("sheet: pictures lie where they should, untouched", () => {
  const out = sheet([[red, blue], [blue]], { gap: 5 });
  assertEquals([out.width, out.height], [5 + 6 + 5 + 3 + 5, 5 + 8 + 5 + 8 + 5]);
  assertEquals(crop(out, 5, 7, 6, 4), red);
  assertEquals(crop(out, 16, 5, 3, 8), blue);
  assertEquals(crop(out, 6, 18, 3, 8), blue);
  assert(isPaper(crop(out, 0, 0, out.width, 5)));
  assert(isPaper(crop(out, 11, 13, 13, 18)));
  const large = sheet([[red, blue], [blue]], { gap: 5, zoom: 3 });
  assertEquals(crop(large, 5, 11, 18, 12), zoom(red, 3));
  // Between two pixels there is a slope and no step.
  const edge: Picture = { width: 2, height: 1, data: Uint8Array.of(0, 0, 0, 255, 255, 255) };
  const middle = crop(sheet([[edge]], { gap: 0, zoom: 4 }), 0, 0, 8, 1).data.filter((_, i) =>
    i % 3 === 0
  );
  assert(middle.every((v, i) => i === 0 || v >= middle[i - 1]) && new Set(middle).size > 4);
});

Deno.test("sheet: words stand under and above the pictures, and never on them", () => {
  const options = { gap: 4, zoom: 20, titles: ["a row of two"], labels: [["left", "right"]] };
  const out = sheet([[red, blue]], options);
  const bare = sheet([[red, blue]], { gap: 4, zoom: 20 });
  assertEquals(out.width, bare.width);
  const title = out.height - bare.height;
  assert(title > 0);
  assertEquals(crop(out, 4 + 120 + 4, 4 + 20 + 4, 60, 160), zoom(blue, 20));
  assert(!isPaper(crop(out, 0, 4, out.width, 20)));
  assert(!isPaper(crop(out, 4, out.height - 4 - 20, 120, 20)));
  const dark = sheet([[blank(40, 1)]], { background: [0, 0, 0], labels: [["x"]] });
  assert(dark.data.some((v) => v > 200));
});

Deno.test("sheet: what makes no sense is refused", () => {
  assertThrows(() => sheet([]), RangeError, "at least one picture");
  assertThrows(() => sheet([[]]), RangeError, "at least one picture");
  assertThrows(() => sheet([[red]], { gap: -1 }), RangeError, "gap");
  assertThrows(() => sheet([[red]], { zoom: 1.5 }), RangeError, "zoom");
  assertThrows(() => sheet([[red]], { textScale: 0 }), RangeError, "textScale");
});

Deno.test("font: letters are legible, accents come off, the unknown is a box", () => {
  assertEquals(drawn("Hi g"), [
    "#...#..#...........",
    "#...#..............",
    "#...#.##.......####",
    "#####..#......#...#",
    "#...#..#......#...#",
    "#...#..#.......####",
    "#...#.###.........#",
    "...............###.",
  ]);
  assertEquals(typeset("café"), typeset("cafe"));
  assertEquals(typeset("“a” – b…"), typeset('"a" - b...'));
  assertEquals(typeset("京"), [0x7f, 0x41, 0x41, 0x41, 0x7f]);
  for (let c = 0x21; c < 0x7f; c++) {
    const columns = typeset(String.fromCharCode(c));
    assert(columns.length >= 1 && columns.length <= 5, String.fromCharCode(c));
    assert(columns[0] && columns.at(-1), String.fromCharCode(c));
  }
  const all = Array.from({ length: 94 }, (_, i) => typeset(String.fromCharCode(0x21 + i)).join());
  assertEquals(new Set(all).size, 94);
});

Deno.test("font: wrapped lines fit and lose nothing but spaces", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.integer({ min: 5, max: 100 }), (text, width) => {
      const lines = wrap(text, width);
      assert(lines.length >= 1);
      for (const line of lines) assert(typeset(line).length <= width, `${line} in ${width}`);
      assertEquals(lines.join("").replace(/\s/g, ""), text.replace(/\s/g, ""));
    }),
    { numRuns: 300, seed: 9 },
  );
});
