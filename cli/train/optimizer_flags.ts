/** The flags of `moongate train` that say how each step is taken: the rate over time, and what of a batch it sees. */
import { type Command, Option } from "npm:commander@15.1.0";
import { RATE_SCHEDULES } from "../../concepts/training/rates.ts";
import { real, whole } from "../../terminal/parse.ts";

/** Adds them. */
export const optimizerFlags = (command: Command): Command =>
  command
    .option(
      "--learning-rate <x>",
      "for each example; multiplied by all that a step sees (default: the model's, else 1e-5, or the method's)",
      real(0, 1, true),
    )
    .option("--scale-rate", "multiply it by batch and accumulation (default)")
    .option("--no-scale-rate", "take the rate as it is, and the method's as for batches of 8")
    .addOption(
      new Option(
        "--schedule <name>",
        "how the rate runs over the steps, as in diffusers (default: constant, or the model's)",
      ).choices(RATE_SCHEDULES),
    )
    .option("--warm-up <steps>", "in which the rate rises from 0 (default: 0)", whole(0))
    .option(
      "--accumulate <n>",
      "batches that make up one step, in the memory of one (default: 1)",
      whole(1),
    )
    .option(
      "--clip <norm>",
      "shorten all gradients together to this norm (default: never; diffusers: 1)",
      real(0, Infinity, true),
    );
