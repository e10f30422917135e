/** What `moongate generate` writes and what it reads, so that all of it is claimed first. */
import { fileNames } from "../../files/file_names.ts";
import { claim } from "../../files/outputs.ts";
import { type Claims, folder, sampledReads, SHEET_FILE } from "../shared/outputs.ts";
import type { GenerateRequest } from "./request.ts";

/** Names of the pictures of a request, without their folder, in the order of prompts and seeds. */
export function pictureNames(
  { prompts, count, seed }: Pick<GenerateRequest, "prompts" | "count" | "seed">,
): string[] {
  return fileNames(prompts, "picture").flatMap((name) =>
    Array.from({ length: count }, (_, i) => `${name}-${seed + i}.png`)
  );
}

/** `moongate generate` */
export const claimGenerate: Claims<GenerateRequest> = (request) =>
  claim([folder(request.out, ...pictureNames(request), SHEET_FILE)], {
    ...sampledReads(request),
    overwrite: request.overwrite,
  });
