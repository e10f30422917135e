/** What `moongate evaluate` asks for. */
import type { GenerateRequest } from "../generate/request.ts";
import type { DeviceRequest } from "../shared/device.ts";

/** `moongate evaluate` */
export interface EvaluateRequest extends DeviceRequest {
  /** Pictures that are there already; undefined: they are generated. */
  generated?: string;
  /** What to generate; `out` is filled in. Undefined where `generated` is given. */
  generate?: Omit<GenerateRequest, "out">;
  /** A model folder whose own `clip/` scores, unless `scorer` is given. */
  model?: string;
  /** A CLIP folder. */
  scorer?: string;
  /** A DINO folder, to measure image alignment with, too. */
  dino?: string;
  /** One prompt for all pictures of `generated`; undefined: what their files say. */
  prompt?: string;
  /** Folders of the concept's pictures. */
  targets: string[];
  /** A folder of real pictures. */
  real?: string;
  /** Draws for intervals. */
  resamples: number;
  /** Random seed of the draws. */
  bootstrapSeed: number;
  /** The folder that the report, and generated pictures, go to. */
  out: string;
  /** A file for the numbers. */
  json?: string;
  /** Replace what is there already. */
  overwrite?: boolean;
}
