/** What `moongate convert` asks for. */
import type { DeltaFormatName } from "../../concepts/deltas/formats/format.ts";

/** `moongate convert` */
export interface ConvertRequest {
  /** A delta file or folder, of any format. */
  from: string;
  /** The format to write. */
  to: DeltaFormatName;
  /** A file, or a folder for the names that the ecosystem has. */
  out: string;
  /** Rank of the factors that changes are cut to; undefined: as they are, or the format's default. */
  rank?: number;
  /** The folder of the model that it was trained on. */
  model?: string;
  /** Names of the new tokens, for files that do not have them, in order. */
  tokens?: string[];
  /** Replace what is there already. */
  overwrite?: boolean;
}
