/** What `moongate evaluate` writes and what it reads, so that all of it is claimed first. */
import { claim } from "../../files/outputs.ts";
import { pictureNames } from "../generate/claim.ts";
import {
  type Claims,
  folder,
  jsonAt,
  REPORT_FILE,
  sampledReads,
  SHEET_FILE,
} from "../shared/outputs.ts";
import type { EvaluateRequest } from "./request.ts";

/** Folder of the pictures that `evaluate` generates. */
export const PICTURES_FOLDER = "pictures";

/** `moongate evaluate` */
export const claimEvaluate: Claims<EvaluateRequest> = (request) => {
  const { out, json, generate, generated, targets, real, model, scorer, dino } = request;
  const pictures = generate ? [...pictureNames(generate), SHEET_FILE] : [];
  const outputs = [
    folder(out, REPORT_FILE, ...pictures.map((name) => `${PICTURES_FOLDER}/${name}`)),
    ...json === undefined ? [] : [jsonAt(json)],
  ];
  return claim(outputs, {
    reads: [model, scorer, dino, ...generate ? sampledReads(generate).reads : []],
    pictures: [generated, ...targets, real],
    overwrite: request.overwrite,
  });
};
