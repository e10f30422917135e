/**
 * The verbs' work: from a request to the library's functions.
 *
 * Each is loaded when it is called, so that `--help` and `doctor` start at once. Those that write hold what they write to
 * from the first moment to the last: see `outputs.ts`.
 */
import type {
  AnalyseRequest,
  ArchitectureRequest,
  AttentionRequest,
  CompressRequest,
  ConvertRequest,
  DemoRequest,
  EditRequest,
  EvaluateRequest,
  Findings,
  GenerateRequest,
  Inspected,
  InspectRequest,
  MergeRequest,
  TokensRequest,
  TrainRequest,
  Ui,
  VerifyRequest,
} from "./requests.ts";

const claims = () => import("./shared/outputs.ts");

/** Teaches concepts; gives the path of the delta. */
export const train = async (request: TrainRequest, ui: Ui): Promise<string> => {
  await using _ = await (await claims()).claimTrain(request);
  return await (await import("./train/work.ts")).train(request, ui);
};

/** Samples pictures; gives their paths. */
export const generate = async (request: GenerateRequest, ui: Ui): Promise<string[]> => {
  await using _ = await (await claims()).claimGenerate(request);
  return await (await import("./generate/work.ts")).generate(request, ui);
};

/** Edits pictures by their prompts; gives their paths. */
export const edit = async (request: EditRequest, ui: Ui): Promise<string[]> => {
  await using _ = await (await claims()).claimEdit(request);
  return await (await import("./edit/work.ts")).edit(request, ui);
};

/** Shows where pictures attend to each word; gives the sheet's path. */
export const attention = async (request: AttentionRequest, ui: Ui): Promise<string> => {
  await using _ = await (await claims()).claimAttention(request);
  return await (await import("./attention/work.ts")).attention(request, ui);
};

/** Merges deltas; gives the path of the merged one. */
export const merge = async (request: MergeRequest, ui: Ui): Promise<string> => {
  await using _ = await (await claims()).claimMerge(request);
  return await (await import("./merge/work.ts")).merge(request, ui);
};

/** Writes a delta in another format; gives the paths. */
export const convert = async (request: ConvertRequest, ui: Ui): Promise<string[]> => {
  await using _ = await (await claims()).claimConvert(request);
  return await (await import("./convert/work.ts")).convert(request, ui);
};

/** Says how much each layer changed. */
export const analyse = async (request: AnalyseRequest, ui: Ui): Promise<Inspected> => {
  await using _ = await (await claims()).claimAnalyse(request);
  return await (await import("./analyse/work.ts")).analyse(request, ui);
};

/** Cuts the small singular values of a delta; gives the path of the new one. */
export const compress = async (request: CompressRequest, ui: Ui): Promise<string> => {
  await using _ = await (await claims()).claimCompress(request);
  return await (await import("./compress/work.ts")).compress(request, ui);
};

/** Says what a file or folder is. */
export const inspect = async (request: InspectRequest): Promise<Inspected> =>
  (await import("./inspect/work.ts")).inspect(request);

/** Lists the parameters of an architecture. */
export const architecture = async (request: ArchitectureRequest): Promise<Inspected> =>
  (await import("./inspect/architecture.ts")).architecture(request);

/** Lists rare vocabulary entries. */
export const tokens = async (request: TokensRequest): Promise<Inspected> =>
  (await import("./tokens/work.ts")).tokens(request);

/** Scores pictures; gives the path of the report. */
export const evaluate = async (request: EvaluateRequest, ui: Ui): Promise<string> => {
  await using _ = await (await claims()).claimEvaluate(request);
  return await (await import("./evaluate/work.ts")).evaluate(request, ui);
};

/** Computes what PyTorch computed again. */
export const verify = async (request: VerifyRequest, ui: Ui): Promise<Findings> =>
  (await import("./verify/work.ts")).verify(request, ui);

/** Teaches two concepts to the model that ships; gives the path of the picture. */
export const demo = async (request: DemoRequest, ui: Ui): Promise<string> => {
  await using _ = await (await claims()).claimDemo(request);
  return await (await import("./demo/work.ts")).demo(request, ui);
};
