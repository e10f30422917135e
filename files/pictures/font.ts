/**
 * A small bitmap font for the labels of contact sheets: printable ASCII, seven pixels high, proportional.
 *
 * Why: a sheet of pictures without words tells nobody what was asked for; a real font is a megabyte and an engine.
 */

/** Rows of a line of text, with one for descenders. */
export const FONT_HEIGHT = 8;

/** Five columns for each character from space to ~, two hexadecimal digits a column, its lowest bit on top. */
const COLUMNS = `
0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0000070000
001c224100 0041221c00 14083e0814 08083e0808 00e0600000 0808080808 0060600000 2010080402
3e5149453e 00427f4000 4261514946 2141454b31 1814127f10 2745454539 3c4a494930 0171090503
3649494936 064949291e 0066660000 00e6660000 0008142241 1414141414 4122140800 0201510906
3e415d554e 7e1111117e 7f49494936 3e41414122 7f4141221c 7f49494941 7f09090901 3e4149497a
7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f020c027f 7f0408107f 3e4141413e
7f09090906 3e4151215e 7f09192946 4649494931 01017f0101 3f4040403f 1f2040201f 3f4038403f
6314081463 0708700807 6151494543 00007f4141 0204081020 41417f0000 0402010204 4040404040
0001020400 2054545478 7f48444438 3844444420 384444487f 3854545418 00087e0902 18a4a4a47c
7f08040478 00447d4000 4080847d00 007f102844 00417f4000 7c04180478 7c08040478 3844444438
fc24242418 18242424fc 7c08040408 4854545420 00043f4420 3c4040207c 1c2040201c 3c4030403c
4428102844 1ca0a0a07c 4464544c44 0008364100 00007f0000 0041360800 0804081008
`.trim().split(/\s+/);

const FIRST = 0x20;

/** For characters that the font lacks. */
const MISSING = [0x7f, 0x41, 0x41, 0x41, 0x7f];

/** Punctuation that writing systems for prompts are full of. */
const ALIKE: Readonly<Record<string, string>> = {
  "‘": "'",
  "’": "'",
  "“": '"',
  "”": '"',
  "–": "-",
  "—": "-",
  "…": "...",
  "×": "x",
  "ß": "ss",
  "ø": "o",
  "Ø": "O",
  "æ": "ae",
  "œ": "oe",
  "ł": "l",
  "\u00a0": " ",
};

/** The columns of one character, each a number whose lowest bit is the top pixel; without the empty ones around. */
function glyph(char: string): readonly number[] {
  if (char === " ") return [0, 0, 0];
  const hex = COLUMNS[char.charCodeAt(0) - FIRST];
  if (char.length !== 1 || !hex) return MISSING;
  const columns = [0, 2, 4, 6, 8].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const first = columns.findIndex((c) => c), last = columns.findLastIndex((c) => c);
  return columns.slice(first, last + 1);
}

/** Text as the font can show it: accents are taken off, a few signs replaced. */
const plain = (text: string): string[] =>
  [...text.normalize("NFD").replace(/\p{M}/gu, "")].flatMap((c) => [...ALIKE[c] ?? c]);

/**
 * The columns of a line of text, one pixel of space between characters; a bit set is ink, the lowest bit is on top.
 * The width of the text in pixels is their number.
 */
export function typeset(text: string): number[] {
  return plain(text).flatMap((char, i) => i === 0 ? glyph(char) : [0, ...glyph(char)]);
}

/** Breaks text into lines of at most `width` pixels, at spaces where there are any. At least one line. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (typeset(longer).length <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = "";
    for (const char of word) {
      if (line !== "" && typeset(line + char).length > width) {
        lines.push(line);
        line = "";
      }
      line += char;
    }
  }
  return line !== "" || lines.length === 0 ? [...lines, line] : lines;
}
