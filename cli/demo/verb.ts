/** `moongate demo`: teaches the small model that ships two concepts it has never seen, and shows before and after. */
import type { Command } from "npm:commander@15.1.0";
import { repeated, whole } from "../../terminal/parse.ts";
import type { DemoRequest } from "./request.ts";
import { type Needs, PACKAGES, WORLD } from "../shared/permissions.ts";
import { withDevice } from "../shared/running_flags.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type * as work from "./work.ts";

/** What it reads and writes. */
const NEEDS: Needs = { read: [WORLD, "--out", PACKAGES], write: ["--out"] };

/** The command. */
export function demoCommand(context: Context, run: typeof work.run): Command {
  const command = verb(
    "demo",
    "Teach the model that ships two new concepts, and show before and after.",
    [
      "moongate demo",
      "moongate demo --steps 100 --seed 7 --out demo-7",
    ],
    NEEDS,
  )
    .option(
      "--concept <name>",
      "one of the concepts that ship; give two",
      repeated((text) => text),
    )
    .option("--steps <n>", "optimizer steps for each (default: the model's own)", whole(1))
    .option("--seed <n>", "random seed", whole(0), 42);
  return withDevice(command)
    .option("--out <folder>", "where the picture and the report go", "out/demo")
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async ({ quiet = false, concept, ...flags }: Flags) => {
      const request: DemoRequest = { ...flags, ...(concept && { concepts: concept }) };
      context.out(await withUi(context, quiet, (ui) => run(request, ui)));
    });
}

/** What commander gives. */
type Flags = Omit<DemoRequest, "concepts"> & { concept?: string[]; quiet?: boolean };
