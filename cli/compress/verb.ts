/** `moongate compress`: a delta with the small singular values of its changes left out. */
import type { Command } from "npm:commander@15.1.0";
import { ENERGY } from "../../concepts/deltas/compress.ts";
import { UsageError } from "../../terminal/errors.ts";
import { memory, real, whole } from "../../terminal/parse.ts";
import type { CompressRequest } from "./request.ts";
import { beside, type Needs, PATH } from "../shared/permissions.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = {
  read: ["<delta>", "--model", PATH, beside("--plot")],
  write: [PATH, beside("--plot")],
};

/** The command. */
export function compressCommand(context: Context, run: typeof work.run): Command {
  return verb(
    "compress",
    "Make a delta smaller: only the largest singular values stay.",
    [
      "moongate compress my-dog --model ./sd --out my-dog-small",
      "moongate compress my-dog --model ./sd --energy 0.4 --plot spectrum.svg --out my-dog-smaller",
      "moongate compress my-dog --model ./sd --size 1MB --out my-dog-1mb",
    ],
    NEEDS,
    ["out"],
  )
    .argument("<delta>", "a file or folder, of any format")
    .option("--model <folder>", "the model it was trained on, for deltas that hold trained weights")
    .option(
      "--energy <share>",
      `of the singular values' sum, more than 0, to 1 (default: ${ENERGY}, a fifth of the size)`,
      real(0, 1, true),
    )
    .option("--rank <n>", "this many singular values of each matrix instead", whole(1))
    .option("--size <size>", 'as many as fit into a file of this size instead: "5MB"', memory)
    .option("--plot <file>", "draw the singular values of all matrices as SVG")
    .option("--out <path>", "the file; or a folder, if it has no ending .safetensors")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async (from: string, flags: Flags) => {
      const request = compressRequest(from, flags);
      const quiet = flags.quiet ?? false;
      context.out(await withUi(context, quiet, (ui) => run(request, ui)));
    });
}

/** What commander gives beside the delta. */
interface Flags extends Omit<CompressRequest, "from" | "target"> {
  energy?: number;
  rank?: number;
  size?: number;
  quiet?: boolean;
}

function compressRequest(
  from: string,
  { energy, rank, size, quiet: _, ...flags }: Flags,
): CompressRequest {
  const given = [energy, rank, size].filter((x) => x !== undefined).length;
  if (given > 1) {
    throw new UsageError("--energy, --rank and --size each say how much to keep: give one of them");
  }
  const target = rank !== undefined
    ? { rank }
    : size !== undefined
    ? { bytes: size }
    : { energy: energy ?? ENERGY };
  return { from, ...flags, target };
}
