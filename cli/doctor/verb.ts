/** `moongate doctor`: what the machine has, what computes on it and how fast, and what will run; with `--measure`, everything. */
import { type Command, Option } from "npm:commander@15.1.0";
import type { ModelName } from "../../bench/cases/miniature.ts";
import { UsageError } from "../../terminal/errors.ts";
import { real } from "../../terminal/parse.ts";
import type { DeviceRequest } from "../shared/device.ts";
import { type Needs, WORLD } from "../shared/permissions.ts";
import { withDevice } from "../shared/running_flags.ts";
import { type Context, overwrite, verb, withUi } from "../shared/verb.ts";
import type { Diagnosis, DoctorRequest } from "./request.ts";
import type * as work from "./work.ts";

/** Where it writes. */
const OUT = "--out (with --measure)";
/** What it reads and writes. */
const NEEDS: Needs = { read: [`${WORLD} (with --model miniature)`, OUT], write: [OUT] };

/** Models that `--measure` knows. */
const MODELS: readonly ModelName[] = ["sd15", "miniature"];

/** The command. */
export function doctorCommand(context: Context, run: typeof work.run): Command {
  const command = verb(
    "doctor",
    "Show what computes here and why, how fast it is, and what will run on it.",
    [
      "moongate doctor",
      "moongate doctor --device cpu --threads 1",
      "moongate doctor --json > doctor.json",
      "moongate doctor --measure --out out/measured",
      "moongate doctor --measure --model miniature --minutes 2",
    ],
    NEEDS,
  );
  return withDevice(command)
    .option("--json", "everything that was found, as JSON")
    .option("--measure", "measure and check everything that matters on a GPU, and write it down")
    .addOption(
      new Option("--model <name>", "with --measure: what is trained and sampled (default: sd15)")
        .choices(MODELS),
    )
    .option(
      "--minutes <n>",
      "with --measure: the time that there is (default: 10)",
      real(0, 1e5, true),
    )
    .option("--out <folder>", "with --measure: where record and page go (default: out/measured)")
    .option(
      "--python <program>",
      "with --measure: one that has PyTorch and diffusers, to compare with",
    )
    .option(...overwrite)
    .option("-q, --quiet", "no progress")
    .action(async ({ json = false, quiet = false, ...flags }: Flags) => {
      const request = requestOf(flags);
      const { facts, lines, problem }: Diagnosis = request.measure
        ? await withUi(context, quiet, (ui) => run(request, ui))
        : await run(request);
      if (json) context.out(JSON.stringify(facts, null, 2));
      else for (const line of lines) context.out(line);
      if (problem !== undefined) throw new UsageError(problem);
    });
}

/** What commander gives, but for what is about words alone. */
interface Wanted extends DeviceRequest {
  measure?: boolean;
  model?: ModelName;
  minutes?: number;
  out?: string;
  python?: string;
  overwrite?: boolean;
}

type Flags = Wanted & { json?: boolean; quiet?: boolean };

/** The request. @throws UsageError for options that say nothing without `--measure` */
function requestOf({ measure, device, threads, ...how }: Wanted): DoctorRequest {
  const on = { ...(device && { device }), ...(threads !== undefined && { threads }) };
  const [without] = Object.entries(how).filter(([, value]) => value !== undefined);
  if (!measure && without) {
    throw new UsageError(`--${without[0]} is of --measure: say that too, or leave it out`);
  }
  if (!measure) return on;
  return { ...on, measure: { model: "sd15", minutes: 10, out: "out/measured", ...how } };
}
