/** What `moongate merge` writes and what it reads, so that all of it is claimed first. */
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { claim } from "../../files/outputs.ts";
import { type Claims, folder } from "../shared/outputs.ts";
import type { MergeRequest } from "./request.ts";

/** `moongate merge` */
export const claimMerge: Claims<MergeRequest> = ({ out, deltas, model, captions, overwrite }) =>
  claim([folder(out, DELTA_FILE)], { reads: [...deltas, model, captions], overwrite });
