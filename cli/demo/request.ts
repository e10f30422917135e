/** What `moongate demo` asks for. */
import type { DeviceRequest } from "../shared/device.ts";

/** `moongate demo` */
export interface DemoRequest extends DeviceRequest {
  /** Two concepts to teach, by their folder names among those that ship; undefined: the demo's own. */
  concepts?: string[];
  /** Optimizer steps for each; undefined: the model's own. */
  steps?: number;
  /** Random seed. */
  seed: number;
  /** The folder that the picture and the report go to. */
  out: string;
  /** Replace what is there already, whoever made it. */
  overwrite?: boolean;
}
