/**
 * The verbs' work: from a request to the library's functions.
 *
 * Each is loaded when it is called, so that `--help` and `doctor` start at once.
 */
import type {
  DemoRequest,
  EvaluateRequest,
  GenerateRequest,
  MergeRequest,
  TrainRequest,
  Ui,
} from "./requests.ts";

/** Teaches concepts; gives the path of the delta. */
export const train = async (request: TrainRequest, ui: Ui): Promise<string> =>
  (await import("./work_train.ts")).train(request, ui);

/** Samples pictures; gives their paths. */
export const generate = async (request: GenerateRequest, ui: Ui): Promise<string[]> =>
  (await import("./work_generate.ts")).generate(request, ui);

/** Merges deltas; gives the path of the merged one. */
export const merge = async (request: MergeRequest, ui: Ui): Promise<string> =>
  (await import("./work_merge.ts")).merge(request, ui);

/** Scores pictures; gives the path of the report. */
export const evaluate = async (request: EvaluateRequest, ui: Ui): Promise<string> =>
  (await import("./work_evaluate.ts")).evaluate(request, ui);

/** Teaches two concepts to the model that ships; gives the path of the picture. */
export const demo = async (request: DemoRequest, ui: Ui): Promise<string> =>
  (await import("./work_demo.ts")).demo(request, ui);
