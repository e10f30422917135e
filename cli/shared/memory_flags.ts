/** The flags of every verb that runs a model: in which element types, and in how much memory. */
import { type Command, Option } from "npm:commander@15.1.0";
import { memory } from "../../terminal/parse.ts";

/** Adds the flags of what a model is held in, and of how much memory may be taken. */
export const withMemory = (command: Command): Command =>
  command
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
    .option("--memory <size>", 'GPU memory to stay within, "6GB" (default: no limit)', memory);
