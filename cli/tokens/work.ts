/** The work of `moongate tokens`: counts a vocabulary's entries in captions. No GPU is needed. */
import { rareTokens } from "../../concepts/training/rare_tokens.ts";
import { isCollection, listCaptioned } from "../../files/collection.ts";
import { FileError } from "../../files/errors.ts";
import { readLines } from "../../files/text.ts";
import { UsageError } from "../../terminal/errors.ts";
import { inspectModel } from "../shared/model.ts";
import type { Inspected } from "../shared/ui.ts";
import type { TokensRequest } from "./request.ts";
import { columns } from "../../terminal/table.ts";

/** Of how many captions the paper counted 5 to 10 occurrences. */
const PAPER = 200_000;

/** Lists rare entries. */
export async function run(request: TokensRequest): Promise<Inspected> {
  const { model, captions: path, low, high, count } = request;
  const { tokenizer } = await inspectModel(model);
  const captions = await captionsOf(path);
  const found = rareTokens(tokenizer, captions, { low, high });
  const range = low === high ? `${low} times` : `${low} to ${high} times`;
  if (!found.length) {
    throw new UsageError(
      `no entry of letters that is no part of another occurs ${range} in ${captions.length} captions: ` +
        "give more of them, or other --low and --high",
    );
  }
  const few = captions.length < PAPER
    ? [`the paper counted in ${PAPER} captions: of so few, a rare entry may be no rare word`]
    : [];
  return {
    facts: { captions: captions.length, low, high, tokens: found },
    lines: [
      ...columns([
        ["--initializer", "row", "count"],
        ...found.slice(0, count).map(({ initializer, id, count }) => [
          initializer,
          String(id),
          String(count),
        ]),
      ]),
      `${found.length} entries occur ${range} in ${captions.length} captions`,
      ...few,
    ],
  };
}

/** Captions of a text file, or of a collection of pictures. */
async function captionsOf(path: string): Promise<string[]> {
  const captions = await isCollection(path)
    ? (await listCaptioned(path)).flatMap(({ caption }) => caption ?? [])
    : await readLines(path);
  if (captions.length) return captions;
  throw new FileError(path, "holds no captions", "A caption a line is expected");
}
