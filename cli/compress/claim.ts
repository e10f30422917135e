/** What `moongate compress` writes and what it reads, so that all of it is claimed first. */
import { claim } from "../../files/outputs.ts";
import { type Claims, deltaAt, plotOf } from "../shared/outputs.ts";
import type { CompressRequest } from "./request.ts";

/** `moongate compress` */
export const claimCompress: Claims<CompressRequest> = (request) =>
  claim([deltaAt(request.out), ...plotOf(request)], {
    reads: [request.from, request.model],
    overwrite: request.overwrite,
  });
