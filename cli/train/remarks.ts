/** What is to be said of a run before it begins: nothing of it is wrong, and all of it may surprise. */
import type { Concept } from "../../concepts/data/batches.ts";
import { checkCaptions } from "../../concepts/data/captions.ts";
import { tokensIn } from "../../concepts/data/prompts.ts";
import { checkTexts } from "../../models/text_window.ts";
import type { ModelFacts } from "../shared/model.ts";
import type { ConceptRequest } from "./request.ts";
import type { ClassSet } from "./pictures.ts";

/** A run that is planned, as far as there may be something to say. */
export interface Remarkable {
  readonly model: Pick<ModelFacts, "window" | "tokenizer">;
  readonly concepts: readonly Concept[];
  readonly classes: readonly ClassSet[];
  readonly samplePrompts: readonly string[];
  /** By new word. */
  readonly addTokens: Readonly<Record<string, string>>;
  readonly settings: { readonly template: string; readonly augment: boolean };
}

/**
 * The remarks on a plan, a line each.
 *
 * @throws TokenError where a new word of a caption or sample prompt lies behind what the model reads
 */
export function trainRemarks(
  plan: Remarkable,
  requests: readonly ConceptRequest[],
): string[] {
  const { model: { window, tokenizer }, concepts, classes, samplePrompts, addTokens } = plan;
  const lines: string[] = [];
  const remark = (line: string) => void lines.push(line);
  const given = classes.flatMap(({ prompt, pictures }) =>
    pictures?.map((p) => p.caption) ?? prompt
  );
  checkCaptions(window, concepts, plan.settings, remark);
  checkTexts(window, given, "regularization caption", remark);
  checkTexts(window, samplePrompts, "sample prompt", remark);

  const taught = Object.keys(addTokens).map((token) => token.toLowerCase());
  const has = (text: string, token: string) => text.toLowerCase().includes(token.toLowerCase());
  for (const [i, { token, pictures, captions = [] }] of concepts.entries()) {
    const { words, photos } = requests[i];
    if (pictures.length === 1) {
      remark(
        `${photos} holds one picture: what stands around the ${words} will be learnt with it. ` +
          "Four or more, in different places, are better",
      );
    }
    const without = token ? captions.filter((text) => !has(text, token)).length : 0;
    if (without) {
      remark(
        `${without} of ${captions.length} captions of ${photos} ${
          without === 1 ? "has" : "have"
        } no ${token}: those pictures do not teach it`,
      );
    }
    const unknown = captions.flatMap(tokensIn).find((word) =>
      !taught.includes(word.toLowerCase()) && tokenizer.rawId(word) === undefined
    );
    if (unknown !== undefined) {
      remark(
        `captions of ${photos} have ${unknown}, which is no new word of this run: it is read as letters`,
      );
    }
  }
  const marked = taught.find((token) => given.some((text) => has(text, token)));
  if (marked) {
    remark(`regularization captions have ${marked}: they should show the class without it`);
  }
  const plain = taught.length
    ? samplePrompts.filter((text) => !taught.some((token) => has(text, token))).length
    : 0;
  if (plain) remark(`${plain} of ${samplePrompts.length} sample prompts have no new word`);
  return lines;
}
