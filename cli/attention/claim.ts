/** What `moongate attention` writes and what it reads, so that all of it is claimed first. */
import { claim } from "../../files/outputs.ts";
import { type Claims, pictureAt, sampledReads } from "../shared/outputs.ts";
import type { AttentionRequest } from "./request.ts";

/** `moongate attention` */
export const claimAttention: Claims<AttentionRequest> = (request) =>
  claim([pictureAt(request.out)], { ...sampledReads(request), overwrite: request.overwrite });
