/** The flags of every verb that computes: on what, in which element types, and in how much memory. */
import { type Command, Option } from "npm:commander@15.1.0";
import { BACKENDS, MOST_THREADS, VARIABLES } from "../../device/environment.ts";
import { UsageError } from "../../terminal/errors.ts";
import { memory, whole } from "../../terminal/parse.ts";

/** Adds the flags of what computes, by which `device.ts` opens it. */
export const withDevice = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--device <name>",
        `what computes (default: ${VARIABLES.device}, else a GPU, else the CPU)`,
      ).choices(BACKENDS),
    )
    .option(
      "--threads <n>",
      `of the CPU, where it computes (default: ${VARIABLES.threads}, else one a core)`,
      whole(1, MOST_THREADS),
    )
    .hook("preAction", (_, command) => {
      const { device, threads } = command.opts();
      if (device !== "webgpu" || threads === undefined) return;
      throw new UsageError(
        "--threads are the CPU's: leave them out, or compute there by --device cpu",
      );
    });

/** Adds the flags of a verb that runs a model: those, what it is held in, and how much memory may be taken. */
export const withMemory = (command: Command): Command =>
  withDevice(command)
    .addOption(
      new Option(
        "--precision <type>",
        "of weights that do not train (default: f32; f16 where --memory asks for it)",
      ).choices(["f32", "f16"]),
    )
    .addOption(
      new Option("--activations <type>", "what is computed in between (default: f32)")
        .choices(["f32", "f16"]),
    )
    .option("--memory <size>", 'memory to stay within, "6GB" (default: no limit)', memory);
