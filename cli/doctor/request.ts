/** What `moongate doctor` asks for, and what it finds. */
import type { ModelName } from "../../bench/cases/miniature.ts";
import type { DeviceRequest } from "../shared/device.ts";
import type { Inspected } from "../shared/ui.ts";

/** `moongate doctor` */
export interface DoctorRequest extends DeviceRequest {
  /** Everything is measured, and written down; undefined: a look, in seconds. */
  measure?: MeasureRequest;
}

/** `moongate doctor --measure` */
export interface MeasureRequest {
  /** Whose training step and sampling are measured. */
  model: ModelName;
  /** The time that there is. */
  minutes: number;
  /** The folder that the record and its page go to. */
  out: string;
  /** A Python with PyTorch and diffusers, which takes the same step. */
  python?: string;
  /** Replace what is there already, whoever made it. */
  overwrite?: boolean;
}

/** What was found: as data, as lines for people, and what keeps this machine from computing. */
export interface Diagnosis extends Inspected {
  /** Undefined where nothing does. */
  problem?: string;
}
