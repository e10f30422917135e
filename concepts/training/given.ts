/** What a training is given, looked at before work begins: those who write JavaScript have no types that would say it. */
import { what } from "../../tensor/what.ts";
import type { CaptionedPicture, Concept } from "../data/batches.ts";

/** @throws TypeError naming the option that is no list of what it should be */
export function expectGiven(
  { concepts, regularization }: {
    readonly concepts: readonly Concept[];
    readonly regularization: readonly CaptionedPicture[];
  },
): void {
  const refuse = (place: string, found: unknown, wanted: string) =>
    new TypeError(`trainConcepts: options.${place} is ${what(found)}, not ${wanted}`);
  const list = (place: string, found: unknown, wanted: string): readonly unknown[] => {
    if (Array.isArray(found)) return found;
    throw refuse(place, found, wanted);
  };
  const picture = (place: string, found: unknown) => {
    const { width, height, data } = (found ?? {}) as Record<string, unknown>;
    if (typeof width === "number" && typeof height === "number" && ArrayBuffer.isView(data)) return;
    throw refuse(place, found, "a picture: await readPicture(path)");
  };
  list("concepts", concepts, "a list of concepts");
  concepts.forEach((concept, i) => {
    const at = `concepts[${i}].pictures`;
    list(at, concept?.pictures, "a list of pictures").forEach((p, k) => picture(`${at}[${k}]`, p));
  });
  list("regularization", regularization, "a list of pictures with captions; it may be empty")
    .forEach((r, i) =>
      picture(`regularization[${i}].picture`, (r as { picture?: unknown })?.picture)
    );
}
