/** What `moongate verify` asks for, and what it finds. */
import type { DeviceRequest } from "../shared/device.ts";
import type { Inspected } from "../shared/ui.ts";

/** `moongate verify` */
export interface VerifyRequest extends DeviceRequest {
  /** The model's folder. */
  model: string;
  /** What PyTorch computed with it. */
  gold: string;
}

/** What `verify` found: as data, as lines for people, and the tensors that are too far off. */
export interface Findings extends Inspected {
  /** Their names. */
  wrong: string[];
}
