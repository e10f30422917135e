/** What `moongate analyse` writes and what it reads, so that all of it is claimed first. */
import { claim } from "../../files/outputs.ts";
import { type Claims, plotOf } from "../shared/outputs.ts";
import type { AnalyseRequest } from "./request.ts";

/** `moongate analyse` */
export const claimAnalyse: Claims<AnalyseRequest> = (request) =>
  claim(plotOf(request), {
    reads: [request.before, request.after],
    overwrite: request.overwrite,
  });
