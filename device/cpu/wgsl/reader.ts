/** A place in the tokens: what every part of the parser looks at and moves on. */
import { WgslError } from "./error.ts";
import { type Token, tokens } from "./lexer.ts";

/** How deep parentheses, blocks and unary operators may lie in each other. */
const DEPTH = 200;

/** Reads tokens one by one. */
export class Reader {
  readonly #tokens: Token[];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  /** The token here. */
  get here(): Token {
    return this.#tokens[this.#at];
  }

  /** Its line. */
  get line(): number {
    return this.here.line;
  }

  /** Whether the token here, or one further on, is this word or symbol. */
  is(text: string, ahead = 0): boolean {
    const t = this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)];
    return t.text === text && (t.kind === "symbol" || t.kind === "name");
  }

  /** The token here; moves on. */
  take(): Token {
    const t = this.here;
    if (t.kind !== "end") this.#at++;
    return t;
  }

  /** Moves on if the token here is this one. */
  accept(text: string): boolean {
    const found = this.is(text);
    if (found) this.#at++;
    return found;
  }

  /** Moves on over this token, or says what stands in its place. */
  expect(text: string): void {
    if (!this.accept(text)) this.fail(`expected "${text}", found "${this.here.text}"`);
  }

  /** A name; moves on. */
  name(what: string): string {
    if (this.here.kind !== "name") this.fail(`expected ${what}, found "${this.here.text}"`);
    return this.take().text;
  }

  /** Closes a template list, where `>>` is two ends. */
  closeTemplate(): void {
    const t = this.here;
    if (t.kind === "symbol" && /^>[>=]/.test(t.text)) {
      this.#tokens[this.#at] = { ...t, text: t.text.slice(1) };
      return;
    }
    this.expect(">");
  }

  /** Runs `f` one level deeper. */
  nested<T>(f: () => T): T {
    if (++this.#depth > DEPTH) this.fail(`nested deeper than ${DEPTH} levels`);
    const result = f();
    this.#depth--;
    return result;
  }

  /** Throws what is wrong here. */
  fail(reason: string): never {
    throw new WgslError(this.line, reason);
  }
}
