/**
 * Deltas as the command takes them: several at once, checked against the model and against each other before anything
 * is loaded.
 */
import { checkBase, type Delta } from "../../concepts/deltas/delta.ts";
import { loadDelta } from "../../concepts/deltas/formats/load.ts";
import { isFile, isFolder } from "../../files/paths.ts";
import { phrase, tokensIn } from "../../concepts/data/prompts.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { ModelFacts } from "./model.ts";

/** A delta and the path that the user gave for it. */
export interface NamedDelta {
  /** As typed. */
  path: string;
  /** What is in it. */
  delta: Delta;
}

/** Reads deltas; refuses those of another model, and two that teach the same word. */
export async function openDeltas(paths: string[], model: ModelFacts): Promise<NamedDelta[]> {
  const opened: NamedDelta[] = [];
  const teachers = new Map<string, string>();
  for (const path of paths) {
    await refuseSuffix(path);
    const delta = await loadDelta(path, { layers: model.layers });
    checkBase(path, delta, model.base);
    for (const { token } of delta.tokens) {
      const other = teachers.get(token);
      if (other !== undefined) {
        throw new UsageError(
          `${other} and ${path} both teach ${token}. Give one of them another word: ` +
            `moongate convert ${path} --to moongate --token "<new2>" --out renamed`,
        );
      }
      teachers.set(token, path);
    }
    opened.push({ path, delta });
  }
  return opened;
}

/** Answers `--delta my-dog:0.8`, as other programs have it, with how that is said here. */
async function refuseSuffix(path: string): Promise<void> {
  const [, head, strength] = /^(.+):(-?\d*\.?\d+)$/.exec(path) ?? [];
  if (!head || await isFile(path) || await isFolder(path)) return;
  if (!await isFile(head) && !await isFolder(head)) return;
  throw new UsageError(
    `${path} does not exist. Did you mean --delta ${head} --strength ${strength}?`,
  );
}

/** Two deltas that change the same weights, or undefined: their changes are added, which is not the same as merging. */
export function overlap(deltas: NamedDelta[]): [string, string] | undefined {
  const owner = new Map<string, string>();
  for (const { path, delta } of deltas) {
    for (const name of delta.weights.keys()) {
      const other = owner.get(name);
      if (other !== undefined) return [other, path];
      owner.set(name, path);
    }
  }
}

/** New words and what their rows start from, for loading the model: the deltas' own rows replace those at once. */
export function tokensOf(deltas: NamedDelta[], model: ModelFacts): Record<string, string> {
  const { tokenizer } = model;
  const [any] = tokenizer.entries([tokenizer.eos]);
  return Object.fromEntries(
    deltas.flatMap(({ delta }) => delta.tokens).map(({ token, initializer }) => [
      token,
      tokenizer.rawId(initializer) === undefined ? any : initializer,
    ]),
  );
}

/** Teaches a model's tokenizer the words of deltas: prompts are then cut where the model will cut them. */
export function learnWords({ tokenizer }: ModelFacts, deltas: NamedDelta[]): void {
  for (const { token } of deltas.flatMap(({ delta }) => delta.tokens)) {
    if (token && tokenizer.rawId(token) === undefined) tokenizer.addToken(token);
  }
}

/**
 * Refuses prompts with a word in angle brackets that nobody taught, and prompts without any word of the deltas that were
 * given for them, unless `plain`.
 *
 * @param model that has learnt the deltas' words
 * @returns what there is to remark on prompts that are taken
 */
export function checkPrompts(
  prompts: string[],
  deltas: NamedDelta[],
  model: ModelFacts,
  plain: boolean,
): string[] {
  const taught = deltas.flatMap(({ delta }) => delta.tokens);
  const words = taught.map(({ token }) => token).filter(Boolean);
  // As the tokenizer takes them: in any case.
  const known = new Set(words.map((word) => word.toLowerCase()));
  const taughtIn = (text: string) => tokensIn(text).some((t) => known.has(t.toLowerCase()));
  for (const prompt of prompts) {
    const unknown = tokensIn(prompt).find((t) =>
      !known.has(t.toLowerCase()) && model.tokenizer.rawId(t) === undefined
    );
    if (unknown !== undefined) {
      throw new UsageError(
        `the prompt "${prompt}" has ${unknown}, which ${
          deltas.length
            ? `no --delta teaches: they teach ${words.join(", ") || "no new word"}`
            : "the model does not know. Give the --delta that teaches it"
        }`,
      );
    }
    if (plain || !words.length || taughtIn(prompt)) continue;
    const example = taught.find(({ token }) => token)!;
    throw new UsageError(
      `the prompt "${prompt}" has none of the taught words (${words.join(", ")}): say ` +
        `"${phrase(example)}", or add --plain to see what the model makes of other prompts now`,
    );
  }
  if (!words.length || prompts.some(taughtIn)) return [];
  return [
    `no prompt has a taught word (${
      words.join(", ")
    }): the pictures show what the model makes of other words`,
  ];
}
