/** The work of `moongate analyse`: two models, or a model and a delta, read a parameter at a time. No GPU. */
import {
  groupChanges,
  LAYER_GROUPS,
  layerChanges,
  type ParameterPair,
} from "../../concepts/deltas/analyse.ts";
import { trainedWeight } from "../../concepts/deltas/changes.ts";
import { openBase } from "../../concepts/deltas/formats/base.ts";
import { openDelta } from "../../concepts/deltas/formats/load.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { FileError } from "../../files/errors.ts";
import { openModelFolder } from "../../files/models/folder.ts";
import type { TensorSource } from "../../files/safetensors/read.ts";
import { UNET } from "../../concepts/deltas/formats/names.ts";
import { kindOf } from "../inspect/work.ts";
import { changesPlot } from "../shared/plot.ts";
import { counting } from "../shared/phases.ts";
import type { AnalyseRequest } from "./request.ts";
import type { Inspected, Ui } from "../shared/ui.ts";
import { columns } from "../../terminal/table.ts";
import { figures } from "../../numerics/quantities.ts";

export { claimAnalyse as claim } from "./claim.ts";

/** How many layers the table shows. */
const SHOWN = 12;

/** Compares; gives every layer's change, and a table of groups and of what changed most. */
export async function run(
  { before, after, plot }: AnalyseRequest,
  ui: Ui,
): Promise<Inspected> {
  const folder = await openModelFolder(before);
  using source = await folder.weights("unet");
  const { read, close } = await reader(before, after, source);
  try {
    const layers = await layerChanges(source.tensors.keys(), read, counting(ui, "compare"));
    const groups = groupChanges(layers);
    if (plot !== undefined) await writeFileAtomic(plot, await changesPlot(layers));
    const most = layers.toSorted((a, b) => b.change - a.change).filter((l) => l.change > 0);
    return {
      facts: { before, after, groups, layers },
      lines: [
        ...columns([
          ["group", "layers", "parameters", "mean change"],
          ...LAYER_GROUPS.map((g) => [
            g,
            String(groups[g].layers),
            String(groups[g].parameters),
            figures(groups[g].change),
          ]),
        ]),
        "",
        ...columns([
          ["what changed most", "change"],
          ...most.slice(0, SHOWN).map(({ layer, change }) => [layer, figures(change)]),
        ]),
        ...most.length > SHOWN ? [`and ${most.length - SHOWN} more`] : [],
        ...plot === undefined ? [] : ["", `every layer: ${plot}`],
      ],
    };
  } finally {
    close();
  }
}

/** Reads parameters of the UNet before and after, from a delta or from another model. */
async function reader(before: string, after: string, source: TensorSource) {
  if (await kindOf(after) !== "model") {
    using base = await openBase(before);
    const { path, delta: loaded } = await openDelta(after, base);
    const delta = base.fit(path, loaded);
    const read = async (name: string): Promise<ParameterPair> => {
      const from = await source.readFloat32(name), w = delta.weights.get(UNET + name);
      return [from, w && trainedWeight(w, from).data];
    };
    return { read, close: () => {} };
  }
  const tuned = await (await openModelFolder(after)).weights("unet");
  const read = async (name: string): Promise<ParameterPair> => {
    if (tuned.tensors.has(name)) {
      return [await source.readFloat32(name), await tuned.readFloat32(name)];
    }
    throw new FileError(after, `has no parameter "${name}"`, "It is another kind of model");
  };
  return { read, close: () => tuned.close() };
}
