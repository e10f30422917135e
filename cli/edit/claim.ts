/** What `moongate edit` writes and what it reads, so that all of it is claimed first. */
import { claim } from "../../files/outputs.ts";
import { type Claims, folder, sampledReads, SHEET_FILE } from "../shared/outputs.ts";
import type { EditRequest } from "./request.ts";

/** `moongate edit` */
export const claimEdit: Claims<EditRequest> = (request) => {
  const { out, seed, count, overwrite } = request;
  const seeds = Array.from({ length: count }, (_, i) => seed + i);
  const names = seeds.flatMap((n) => [`source-${n}.png`, `edited-${n}.png`]);
  return claim([folder(out, ...names, SHEET_FILE)], { ...sampledReads(request), overwrite });
};
