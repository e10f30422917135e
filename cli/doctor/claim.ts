/** What `moongate doctor --measure` writes, so that all of it is claimed first. */
import { claim } from "../../files/outputs.ts";
import { ownFiles } from "../../files/own_files.ts";
import { type Claims, folder } from "../shared/outputs.ts";
import type { DoctorRequest } from "./request.ts";

/** Files in the folder, made again by the next run. */
export const MEASURED = { record: "measured.json", page: "measured.html" } as const;

/** By whom files are noted to be made. */
export const MAKER = "doctor";

/** `moongate doctor` writes nothing; with `--measure` what it made before is made again, and nothing else. */
export const claimDoctor: Claims<DoctorRequest> = async ({ measure }) => {
  if (!measure) return new AsyncDisposableStack();
  const { out, overwrite } = measure;
  const { isOwn: mayReplace } = await ownFiles(out, MAKER);
  return await claim([folder(out, MEASURED.record, MEASURED.page)], { overwrite, mayReplace });
};
