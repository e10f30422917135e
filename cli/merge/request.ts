/** What `moongate merge` asks for. */
import type { DeviceRequest } from "../shared/device.ts";

/** `moongate merge` */
export interface MergeRequest extends DeviceRequest {
  /** The model's folder: the weights before any concept, and the text encoder. */
  model: string;
  /** Two deltas or more, files or folders. */
  deltas: string[];
  /** Where the merged delta goes. */
  out: string;
  /** Replace what is there already. */
  overwrite?: boolean;
  /** A text file with a caption a line; undefined: the model folder's own `captions.txt`. */
  captions?: string;
  /** At most this many captions. */
  captionCount: number;
  /** See `mergeConcepts`. */
  ridge?: number;
}
