/** The work of `moongate convert`: read, rename, write. No GPU. */
import type { Delta } from "../../concepts/deltas/delta.ts";
import { type BaseModel, openBase } from "../../concepts/deltas/formats/base.ts";
import { openDelta } from "../../concepts/deltas/formats/load.ts";
import { saveDeltaAs } from "../../concepts/deltas/formats/save.ts";
import { phrase } from "../../concepts/data/prompts.ts";
import { identityOf, isFile, parentOf } from "../../files/paths.ts";
import { UsageError } from "../../terminal/errors.ts";
import { nextAfterDelta } from "../shared/hints.ts";
import { claimBeside } from "./claim.ts";
import { counting } from "../shared/phases.ts";
import type { ConvertRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";

export { claimConvert as claim } from "./claim.ts";

/** Converts a delta; gives the paths of what was written. */
export async function run(request: ConvertRequest, ui: Ui): Promise<string[]> {
  using base = request.model === undefined ? undefined : await openBase(request.model);
  const { path, format, delta } = await openDelta(request.from, base);
  const named = rename(base?.fit(path, delta) ?? delta, request.tokens ?? []);
  const converted = format.name === request.to ? {} : { convertedFrom: format.name };
  const whole = { ...based(named, base), notes: { ...named.notes, ...converted } };
  await using held = new AsyncDisposableStack();
  const { paths, lost } = await saveDeltaAs(request.out, whole, request.to, {
    base: base?.read,
    layers: base?.layers,
    rank: request.rank,
    name: path,
    onFiles: async (paths) => {
      const reads = format.tokens === "inside" ? [] : await wordsBeside(path, paths);
      held.use(await claimBeside(request, paths, reads));
    },
    onProgress: counting(ui, "convert"),
  });
  ui.progress.stop();
  if (lost.length) {
    ui.progress.note(
      `left out, since ${request.to} has no place for it: ${lost[0]}` +
        (lost.length > 1 ? ` and ${lost.length - 1} more` : ""),
    );
  }
  ui.progress.note(nextAfterDelta(request.model, request.out, whole.tokens.map(phrase)));
  return [...paths];
}

/** Those of some files that are read with a delta, since they hold words and lie beside it. */
async function wordsBeside(delta: string, paths: readonly string[]): Promise<string[]> {
  const folder = await identityOf(parentOf(delta)), found: string[] = [];
  for (const path of paths) {
    if (!await isFile(path) || await identityOf(parentOf(path)) !== folder) continue;
    const there = await openDelta(path).catch(() => undefined);
    if (there?.format.name === "embedding") found.push(path);
  }
  return found;
}

/** A delta that says which model it is of. */
const based = (delta: Delta, base: BaseModel | undefined): Delta => ({
  ...delta,
  base: delta.base || (base?.fingerprint ?? ""),
});

/** A delta with other words for its tokens, each as in "<new2> dog". */
function rename(delta: Delta, words: readonly string[]): Delta {
  if (words.length > delta.tokens.length) {
    throw new UsageError(
      `--token is given ${words.length} times, and the delta has ${delta.tokens.length} new words`,
    );
  }
  const tokens = delta.tokens.map((old, i) => {
    if (words[i] === undefined) return old;
    const [, token, className] = /^\s*(<[^<>\s]+>)\s*([^<>]*?)\s*$/.exec(words[i]) ?? [];
    if (!token) {
      throw new UsageError(`--token "${words[i]}": it must look like "<new2>" or "<new2> dog"`);
    }
    return { ...old, token, className: className || old.className };
  });
  const twice = tokens.find(({ token }, i) => tokens.findIndex((t) => t.token === token) !== i);
  if (twice) throw new UsageError(`two new words would be called ${twice.token}`);
  return { ...delta, tokens };
}
