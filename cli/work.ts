/**
 * The verbs' work: from a request to the library's functions.
 *
 * Each function loads what it needs when it is called, so that `--help` and `doctor` start at once.
 */
import { NotBuiltError } from "./errors.ts";
import type { DemoRequest, GenerateRequest, MergeRequest, TrainRequest, Ui } from "./requests.ts";

/** Teaches concepts; gives the path of the delta. */
export function train(_request: TrainRequest, _ui: Ui): Promise<string> {
  return Promise.reject(new NotBuiltError("train"));
}

/** Samples pictures; gives their paths. */
export function generate(_request: GenerateRequest, _ui: Ui): Promise<string[]> {
  return Promise.reject(new NotBuiltError("generate"));
}

/** Merges deltas; gives the path of the merged one. */
export function merge(_request: MergeRequest, _ui: Ui): Promise<string> {
  return Promise.reject(new NotBuiltError("merge"));
}

/** Teaches a concept to the model that ships; gives the path of the picture. */
export function demo(_request: DemoRequest, _ui: Ui): Promise<string> {
  return Promise.reject(new NotBuiltError("demo"));
}
