/** `moongate convert`: a delta from any format into any other. */
import { type Command, Option } from "npm:commander@15.1.0";
import { deltaFormats } from "../../concepts/deltas/formats/registry.ts";
import { repeated, whole } from "../../terminal/parse.ts";
import type { ConvertRequest } from "./request.ts";
import { type Needs, PATH } from "../shared/permissions.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: ["<delta>", "--model", PATH], write: [PATH] };

/** The command. */
export function convertCommand(context: Context, run: typeof work.run): Command {
  const formats = deltaFormats.map(({ name }) => name);
  const widest = Math.max(...formats.map((name) => name.length));
  return verb(
    "convert",
    "Write a taught concept in another program's format.",
    [
      "moongate convert delta_epoch=000004.ckpt --to moongate --out my-dog",
      "moongate convert my-dog --to lora --rank 32 --model ./sd --out my-dog-lora",
      "moongate convert delta.bin --to compvis --rank 8 --model ./sd --out compressed.ckpt",
      'moongate convert delta.bin --to moongate --token "<new2> chair" --out my-chair',
    ],
    NEEDS,
    ["to", "out"],
  )
    .argument("<delta>", "a file or folder; its format is told by its content")
    .addOption(new Option("--to <format>", "the format to write").choices(formats))
    .option(
      "--out <path>",
      "the file; or a folder, if it has no ending such as .safetensors or .bin",
    )
    .option("--rank <n>", "cut each change to this rank (default: as it is; LoRA: 64)", whole(1))
    .option(
      "--model <folder>",
      "the model it was trained on, for formats that hold differences to it",
    )
    .option(
      "--token <words>",
      'rename the new words, in order, with their class: "<new2> dog"',
      repeated((text) => text),
    )
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .addHelpText(
      "after",
      `\nFormats:\n${deltaFormats.map((f) => `  ${f.name.padEnd(widest)}  ${f.title}`).join("\n")}`,
    )
    .action(async (from: string, { quiet = false, token, ...flags }: Flags) => {
      const request: ConvertRequest = { from, ...flags, ...(token && { tokens: token }) };
      const paths = await withUi(context, quiet, (ui) => run(request, ui));
      for (const path of paths) context.out(path);
    });
}

type Flags = Omit<ConvertRequest, "from" | "tokens"> & { quiet?: boolean; token?: string[] };
