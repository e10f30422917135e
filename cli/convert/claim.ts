/** What `moongate convert` writes and what it reads, so that all of it is claimed first. */
import { claim, refuseInputs } from "../../files/outputs.ts";
import { type Claims, deltaAt, file, WEIGHTS } from "../shared/outputs.ts";
import type { ConvertRequest } from "./request.ts";

/** `moongate convert`; files that a format keeps beside are claimed by {@linkcode claimBeside}. */
export const claimConvert: Claims<ConvertRequest> = ({ out, to, from, model, overwrite }) =>
  claim([deltaAt(out, ...to === "moongate" ? [] : [WEIGHTS])], { reads: [from, model], overwrite });

/**
 * Files with words beside the converted delta, whose names are known once it is read.
 *
 * @param paths all that is written
 * @param reads what is read beside what the request names
 */
export async function claimBeside(
  { out, from, model, overwrite }: ConvertRequest,
  paths: readonly string[],
  reads: readonly string[],
): Promise<AsyncDisposable> {
  const options = { reads: [from, model, ...reads], overwrite };
  await refuseInputs(paths.map((path) => file(path)), options);
  const beside = WEIGHTS.test(out) ? paths.filter((path) => path !== out) : [];
  return await claim(beside.map((path) => file(path)), options);
}
