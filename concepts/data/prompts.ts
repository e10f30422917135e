/** How concepts are named in captions and prompts. */

/** A concept by its words: the token V* (or none) and the class it belongs to. */
export interface ConceptName {
  /** `<new1>`; empty when only the key and value matrices are to carry the concept. */
  readonly token: string;
  /** "dog"; empty for a style. */
  readonly className: string;
}

/** "<new1> dog". */
export const phrase = ({ token, className }: ConceptName): string =>
  [token, className].filter(Boolean).join(" ");

/** Puts words into a template with one `{}`. Throws when the template has no place for them. */
export function fill(template: string, words: string): string {
  if (template.split("{}").length !== 2) {
    throw new TypeError(
      `the template "${template}" must hold {} exactly once, where the concept goes`,
    );
  }
  return template.replace("{}", words);
}

/** Tokens like `<new1>` that occur in a prompt. */
export const tokensIn = (
  prompt: string,
): string[] => [...new Set(prompt.match(/<[^<>\s]+>/g) ?? [])];
