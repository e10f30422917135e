/**
 * Contact sheets: pictures side by side in rows, with words.
 *
 * Why: "before, after" is looked at, not read; the first thing that the command shows a user is one of these.
 */
import { PICTURE } from "../given.ts";
import { expectKinds, listOf } from "../../tensor/kinds.ts";
import { greatest } from "../../numerics/greatest.ts";
import { FONT_HEIGHT, typeset, wrap } from "./font.ts";
import { blank, paste, type Picture } from "./picture.ts";
import { resize } from "./resize.ts";

/** How a sheet is laid out. All lengths are in pixels of the sheet. */
export interface SheetOptions {
  /** Space between pictures and around the sheet; 8 unless given. */
  readonly gap?: number;
  /** Colour of the paper, RGB 0 to 255; white unless given. The ink is black or white, whichever is seen better. */
  readonly background?: readonly [number, number, number];
  /** Words under each picture, by row and column; broken into lines as wide as the column. */
  readonly labels?: readonly (readonly (string | undefined)[])[];
  /** Words above each row, as wide as the sheet. */
  readonly titles?: readonly (string | undefined)[];
  /** Enlarges the pictures by a whole factor, smoothly: in blocks, small ones look worse than they are. 1 unless given. */
  readonly zoom?: number;
  /** Size of a pixel of the font; 2 unless given, which makes letters 14 pixels high. */
  readonly textScale?: number;
}

interface Line {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

/**
 * Lays pictures out in rows. Columns are as wide as their widest picture, rows as high as their highest; smaller ones
 * are centred.
 *
 * @throws RangeError if there are no pictures, or a length makes no sense
 */
export function sheet(rows: readonly (readonly Picture[])[], options: SheetOptions = {}): Picture {
  expectKinds("sheet", { rows: [rows, listOf(listOf(PICTURE))] });
  const { gap = 8, background = [255, 255, 255], labels = [], titles = [], textScale = 2 } =
    options;
  const factor = options.zoom ?? 1;
  for (
    const [name, value, least] of [["gap", gap, 0], ["zoom", factor, 1], [
      "textScale",
      textScale,
      1,
    ]] as const
  ) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(
        `sheet: options.${name} is ${value}: it must be a whole number from ${least}`,
      );
    }
  }
  if (!rows.some((row) => row.length)) throw new RangeError("sheet: it needs at least one picture");

  const columns = greatest(rows.map((row) => row.length));
  const widths = Array.from(
    { length: columns },
    (_, c) => factor * greatest(rows.map((row) => row[c]?.width ?? 0)),
  );
  const lefts = widths.map((_, c) => gap + widths.slice(0, c).reduce((a, w) => a + w + gap, 0));
  const width = lefts[columns - 1] + widths[columns - 1] + gap;
  const lineHeight = (FONT_HEIGHT + 2) * textScale;

  const lines: Line[] = [];
  const places: { picture: Picture; x: number; y: number }[] = [];
  /** Sets words from `y` down; gives the y below them. */
  const set = (
    text: string | undefined,
    x: number,
    y: number,
    room: number,
    centred: boolean,
  ): number => {
    if (!text) return y;
    const broken = wrap(text, Math.max(1, Math.floor(room / textScale)));
    broken.forEach((line, i) => {
      const rest = centred ? Math.max(0, room - typeset(line).length * textScale) : 0;
      lines.push({
        text: line,
        x: x + Math.floor(rest / 2),
        y: y + 2 * textScale + i * lineHeight,
      });
    });
    return y + (broken.length * (FONT_HEIGHT + 2) + 2) * textScale;
  };

  let y = gap;
  rows.forEach((row, r) => {
    const top = set(titles[r], gap, y, width - 2 * gap, false);
    const height = factor * greatest(row.map((picture) => picture.height));
    row.forEach((picture, c) => {
      const x = lefts[c] + Math.floor((widths[c] - picture.width * factor) / 2);
      places.push({ picture, x, y: top + Math.floor((height - picture.height * factor) / 2) });
    });
    const bottoms = row.map((_, c) => set(labels[r]?.[c], lefts[c], top + height, widths[c], true));
    y = greatest(bottoms, top + height) + gap;
  });

  const out = blank(width, y, background);
  for (const { picture, x, y } of places) {
    const { width, height } = picture;
    paste(out, factor === 1 ? picture : resize(picture, factor * width, factor * height), x, y);
  }
  const bright = background[0] * 0.3 + background[1] * 0.6 + background[2] * 0.1 > 128;
  for (const line of lines) write(out, line, textScale, bright ? 24 : 235);
  return out;
}

function write(out: Picture, { text, x, y }: Line, scale: number, ink: number): void {
  typeset(text).forEach((column, i) => {
    for (let row = 0; row < FONT_HEIGHT; row++) {
      if (column >> row & 1) {
        paste(out, blank(scale, scale, [ink, ink, ink]), x + i * scale, y + row * scale);
      }
    }
  });
}
