/** Kernels by their text: every place where a buffer's elements are read or written, put in other words. */

/** What becomes of an access, whose index is WGSL. */
export interface Accesses {
  /** An expression in place of `name[index]`. */
  read(index: string): string;
  /** A statement, without its semicolon, in place of `name[index] = value`. */
  write(index: string, value: string): string;
}

/** What follows an element that is written: which part of it, and how. */
const WRITTEN = /^((?:\.\w+|\[[^\]]*\])*)\s*(=(?!=)|[-+*/%&|^]=|<<=|>>=|\+\+|--)/;

/** The text without remarks, in which brackets need not match; lines stay where they are. */
const withoutRemarks = (text: string): string =>
  text.replace(/\/\/[^\n]*/g, "").replace(
    /\/\*[^]*?\*\//g,
    (remark) => remark.replace(/[^\n]/g, ""),
  );

/** Where a bracket that opens before `at` is closed. */
function closing(text: string, at: number): number {
  for (let depth = 1; depth > 0; at++) {
    if (at >= text.length) throw new Error("a bracket of a kernel is not closed");
    depth += "([{".includes(text[at]) ? 1 : ")]}".includes(text[at]) ? -1 : 0;
  }
  return at;
}

/** Where the statement at `at` ends. */
function semicolon(text: string, at: number): number {
  while (at < text.length && text[at] !== ";") {
    at = "([{".includes(text[at]) ? closing(text, at + 1) : at + 1;
  }
  return at;
}

/**
 * The text with all accesses of a buffer put in other words. What writes a part of an element, or changes one, reads it,
 * changes that, and writes it.
 *
 * @param type WGSL type of an element, which changed ones are converted to
 */
export function withAccesses(
  text: string,
  { name, type }: { readonly name: string; readonly type: string },
  by: Accesses,
): string {
  const start = new RegExp(`\\b${name}\\[`, "g");
  const rewritten = (part: string): string => {
    let out = "";
    let from = 0;
    start.lastIndex = 0;
    for (let found = start.exec(part); found; found = start.exec(part)) {
      const open = found.index + found[0].length;
      const close = closing(part, open);
      const index = rewritten(part.slice(open, close - 1));
      const [written, inside, how] = WRITTEN.exec(part.slice(close)) ?? [];
      out += part.slice(from, found.index);
      if (written === undefined) {
        out += by.read(index);
        from = close;
      } else if (!inside && how === "=") {
        from = semicolon(part, close);
        out += by.write(index, rewritten(part.slice(close + written.length, from)).trim());
      } else {
        const end = semicolon(part, close);
        out +=
          `{ var element_ = ${by.read(index)}; element_${rewritten(part.slice(close, end))}; ` +
          `${by.write(index, `${type}(element_)`)}; }`;
        from = end + 1;
      }
      start.lastIndex = from;
    }
    return out + part.slice(from);
  };
  return rewritten(withoutRemarks(text));
}
