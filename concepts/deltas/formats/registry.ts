/** All file formats of deltas, in the order in which a file is compared with them. */
import { FileError } from "../../../files/errors.ts";
import { a1111 } from "./a1111.ts";
import { adobe } from "./adobe.ts";
import { compvis } from "./compvis.ts";
import type { DeltaFile } from "./content.ts";
import { customDiffusion } from "./custom_diffusion.ts";
import { diffusers } from "./diffusers.ts";
import type { DeltaFormat, DeltaFormatName } from "./format.ts";
import { kohya, lora } from "./adapters/lora.ts";
import { moongate } from "./moongate.ts";
import { embedding } from "./tokens.ts";

/** What is read and written. */
export const deltaFormats: readonly DeltaFormat[] = [
  moongate,
  a1111,
  compvis,
  adobe,
  customDiffusion,
  diffusers,
  lora,
  kohya,
  embedding,
];

/** The format of an opened file, by its content; undefined where it is no delta. */
export const formatOf = (file: DeltaFile): DeltaFormat | undefined =>
  deltaFormats.find((format) => format.matches(file));

/** A format by its name. */
export function formatNamed(name: DeltaFormatName): DeltaFormat {
  const found = deltaFormats.find((format) => format.name === name);
  if (found) return found;
  throw new FileError(
    name,
    "is no format",
    `Formats are ${deltaFormats.map((f) => f.name).join(", ")}`,
  );
}
