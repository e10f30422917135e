/** Tables as aligned columns of text. */

/** Rows of cells as lines: each column as wide as its widest cell, the last one ragged. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  return rows.map((row) => row.map((text, c) => text.padEnd(widths[c])).join("  ").trimEnd());
}
