/**
 * What the verbs that write have in common: the names of what they write, and how it is claimed before a model is looked at.
 * What each of them writes and reads stands in its own `claim.ts`, told by its request alone.
 */
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import type { Output } from "../../files/outputs.ts";
import type { SampledRequest } from "./sampled_request.ts";

/** Claims what a verb writes. */
export type Claims<R> = (request: R) => Promise<AsyncDisposable>;

/** Name of the sheet beside pictures. */
export const SHEET_FILE = "sheet.png";

/** Name of the report of `evaluate`. */
export const REPORT_FILE = "report.html";

/** Files of weights: a folder with two deltas in other formats is none any more, and one's words would be the other's. */
export const WEIGHTS = /\.(safetensors|bin|ckpt|pt|pth)$/i;

/** A folder, and what is written into it. */
export const folder = (path: string, ...holds: (string | RegExp)[]): Output => (
  { path, flag: "--out", holds }
);
/** A file, by the option that names it. */
export const file = (path: string, flag = "--out"): Output => ({ path, flag });

/** A picture. */
export const pictureAt = (path: string): Output => (
  { ...file(path), is: { what: "a PNG picture", ending: ".png" } }
);
/** Numbers. */
export const jsonAt = (path: string): Output => (
  { ...file(path, "--json"), is: { what: "JSON", ending: ".json" } }
);

/** A plot, where one was asked for. */
export const plotOf = ({ plot }: { plot?: string }): Output[] =>
  plot === undefined
    ? []
    : [{ ...file(plot, "--plot"), is: { what: "an SVG drawing", ending: ".svg" } }];

/** A delta: a file, or a folder for it, which may have to be without `more`. */
export const deltaAt = (out: string, ...more: RegExp[]): Output =>
  WEIGHTS.test(out) ? file(out) : folder(out, DELTA_FILE, ...more);

/** What verbs that sample read. */
export function sampledReads(
  { model, deltas, image, promptsFrom }: Pick<SampledRequest, "model" | "deltas"> & {
    image?: string;
    promptsFrom?: string;
  },
): { reads: (string | undefined)[] } {
  return { reads: [model, ...deltas.map(({ path }) => path), image, promptsFrom] };
}
