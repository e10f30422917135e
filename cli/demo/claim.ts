/** What `moongate demo` writes and what it reads, so that all of it is claimed first. */
import { DELTA_FILE } from "../../concepts/deltas/delta.ts";
import { claim } from "../../files/outputs.ts";
import { ownFiles } from "../../files/own_files.ts";
import { type Claims, folder, REPORT_FILE } from "../shared/outputs.ts";
import type { DemoRequest } from "./request.ts";

/** Files of the demo in its folder; beside them a folder with a delta for each concept. */
export const DEMO = {
  sheet: "demo.png",
  report: REPORT_FILE,
  merged: "merged.safetensors",
  delta: (concept: string) => `${concept}/${DELTA_FILE}`,
} as const;

/** `moongate demo`: makes again what it made before, and nothing else. */
export const claimDemo: Claims<DemoRequest> = async (request) => {
  const { demoConcepts } = await import("../demo/plan.ts");
  const { isOwn: mayReplace } = await ownFiles(request.out, "demo");
  const { sheet, report, merged, delta } = DEMO;
  const deltas = demoConcepts(request).map(delta);
  return await claim([folder(request.out, sheet, report, merged, ...deltas)], {
    overwrite: request.overwrite,
    mayReplace,
  });
};
