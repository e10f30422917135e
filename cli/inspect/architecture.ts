/** The work of `moongate inspect --architecture`: which parameters a named architecture has. Nothing is loaded. */
import { architectureNamed, architectureNames } from "../../models/architectures.ts";
import type { ParameterSpecs } from "../../models/params.ts";
import { type ModelConfig, parameterSpecs } from "../../models/specs.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { ArchitectureRequest } from "./request.ts";
import type { Inspected } from "../shared/ui.ts";
import { columns } from "../../terminal/table.ts";

/** Lists the parameters of an architecture, by the checkpoint's names and in PyTorch's shapes. */
export function architecture({ architecture, component }: ArchitectureRequest): Inspected {
  const found = architectureNamed(architecture);
  if (!found) {
    throw new UsageError(
      `--architecture ${architecture} is not known: there are ${architectureNames.join(", ")}`,
    );
  }
  const parts: Record<string, ModelConfig> = { ...found };
  if (!Object.hasOwn(parts, component)) {
    throw new UsageError(
      `--component ${component}: ${architecture} has ${Object.keys(parts).join(", ")}`,
    );
  }
  const specs: ParameterSpecs = parameterSpecs(parts[component]);
  const tensors = Object.fromEntries([...specs].map(([name, { shape }]) => [name, shape]));
  const parameters = [...specs.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return {
    facts: { tensors },
    lines: [
      `${architecture} ${component}: ${specs.size} tensors, ${parameters} parameters`,
      "",
      ...columns([...specs].map(([name, { shape }]) => [name, shape.join("×")])),
    ],
  };
}
