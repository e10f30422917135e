/** What `moongate doctor` asks for, and what it finds. */
import type { DeviceRequest } from "../shared/device.ts";
import type { Inspected } from "../shared/ui.ts";

/** `moongate doctor` */
export type DoctorRequest = DeviceRequest;

/** What was found: as data, as lines for people, and what keeps this machine from computing. */
export interface Diagnosis extends Inspected {
  /** Undefined where nothing does. */
  problem?: string;
}
