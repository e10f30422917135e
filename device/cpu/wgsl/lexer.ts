/** WGSL text → tokens. Each knows its line, since every later error names one. */
import { WgslError } from "./error.ts";

/** A word of the language. */
export interface Token {
  readonly kind: "name" | "number" | "symbol" | "end";
  readonly text: string;
  readonly line: number;
}

const SPACE = /(?:\s+|\/\/[^\n]*)+/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER =
  /0[xX][0-9a-fA-F]+[iu]?(?![\w.])|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[fhiu]?(?![\w.])/y;
const SYMBOL = /<<=|>>=|->|\+\+|--|&&|\|\||[=!<>+\-*/%&|^]=|<<|>>|[-+*/%&|^~!<>=(){}[\],;:.@]/y;

/** The longest text that is read: beyond it nothing was meant to be a kernel. */
const MOST = 4 << 20;

/** Splits a text; the last token is "end". */
export function tokens(text: string): Token[] {
  if (text.length > MOST) {
    throw new WgslError(1, `a text of ${text.length} characters is no kernel`);
  }
  const found: Token[] = [];
  let at = 0;
  let line = 1;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(text)?.[0];
    if (match !== undefined) at += match.length;
    return match;
  };
  const count = (passed: string) => {
    for (const c of passed) if (c === "\n") line++;
  };
  while (at < text.length) {
    const space = take(SPACE);
    if (space !== undefined) {
      count(space);
      continue;
    }
    if (text.startsWith("/*", at)) {
      const from = at;
      at = endOfComment(text, at, line);
      count(text.slice(from, at));
      continue;
    }
    const name = take(NAME);
    if (name !== undefined) {
      found.push({ kind: "name", text: name, line });
      continue;
    }
    const number = take(NUMBER);
    if (number !== undefined) {
      found.push({ kind: "number", text: number, line });
      continue;
    }
    const symbol = take(SYMBOL);
    if (symbol === undefined) {
      throw new WgslError(line, `"${text.slice(at, at + 12).split("\n")[0]}" is no word of WGSL`);
    }
    found.push({ kind: "symbol", text: symbol, line });
  }
  found.push({ kind: "end", text: "the end of the text", line });
  return found;
}

/** Comments of this kind nest. */
function endOfComment(text: string, from: number, line: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  let depth = 0;
  for (let m = mark.exec(text); m; m = mark.exec(text)) {
    depth += m[0] === "/*" ? 1 : -1;
    if (depth === 0) return m.index + 2;
  }
  throw new WgslError(line, "a comment does not end");
}
