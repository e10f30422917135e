/** Tables as aligned columns of text. */
import { visibleLine } from "../files/visible.ts";
import { greatest } from "../numerics/greatest.ts";

/** Rows of cells as lines: each column as wide as its widest cell, the last one ragged. A cell stays in its line. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map((row) => row.map(visibleLine));
  const widths = cells[0].map((_, c) => greatest(cells.map((row) => row[c].length)));
  return cells.map((row) => row.map((text, c) => text.padEnd(widths[c])).join("  ").trimEnd());
}
