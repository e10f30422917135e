/** What `moongate compress` asks for. */
import type { CompressTarget } from "../../concepts/deltas/compress.ts";

/** `moongate compress` */
export interface CompressRequest {
  /** A delta file or folder, of any format. */
  from: string;
  /** The folder of the model that it was trained on. */
  model?: string;
  /** How much is kept. */
  target: CompressTarget;
  /** A file for the plot of the singular values. */
  plot?: string;
  /** A file, or a folder. */
  out: string;
  /** Replace what is there already. */
  overwrite?: boolean;
}
