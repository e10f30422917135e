/**
 * Names of the transformers' parameters in CompVis checkpoints and in diffusers.
 *
 * CompVis counts the blocks of all levels through: on the way down a first convolution, then for each level its layers
 * and a downsampling; on the way up a layer more for each level. So the layers per block are all that must be known, and
 * the names of a whole delta tell them.
 */
import { FileError } from "../../../files/errors.ts";
import { COMPVIS, unetFromCompVis } from "../../../files/models/compvis_names.ts";
import type { FormatContext } from "./format.ts";
import { UNET, unetName } from "./names.ts";

const ATTENTION =
  /^(down_blocks|up_blocks)\.(\d+)\.attentions\.(\d+)\.(.+)$|^mid_block\.attentions\.0\.(.+)$/;
const COMPVIS_ATTENTION = /^(input_blocks|output_blocks)\.(\d+)\.1\.(.+)$|^middle_block\.1\.(.+)$/;

/** Whether a parameter of a CompVis checkpoint is in one of the UNet's transformers. */
export const isInTransformer = (name: string): boolean =>
  name.startsWith(COMPVIS) && COMPVIS_ATTENTION.test(name.slice(COMPVIS.length));

/**
 * The CompVis name (without `model.diffusion_model.`) of a parameter of a transformer.
 *
 * @param name as diffusers has it
 * @param layers `layers_per_block` of the UNet's config; the middle block needs none
 * @returns undefined for a parameter that lies in no transformer, or whose place the layers would tell
 */
export function toCompVis(name: string, layers?: number): string | undefined {
  const [, way, block, attention, rest, middle] = ATTENTION.exec(name) ?? [];
  if (middle) return `middle_block.1.${middle}`;
  if (!way || layers === undefined) return undefined;
  return way === "down_blocks"
    ? `input_blocks.${1 + Number(block) * (layers + 1) + Number(attention)}.1.${rest}`
    : `output_blocks.${Number(block) * (layers + 1) + Number(attention)}.1.${rest}`;
}

/** The other way round: see {@linkcode toCompVis}. */
export function fromCompVis(name: string, layers?: number): string | undefined {
  const [, way] = COMPVIS_ATTENTION.exec(name) ?? [];
  // The middle block lies in the same place whatever the layers are.
  if (!COMPVIS_ATTENTION.test(name) || way && layers === undefined) return undefined;
  return unetFromCompVis(name, layers ?? 1);
}

/**
 * The layers per block of a UNet, from the names of parameters in CompVis style. Where all transformers are there, as many
 * blocks follow each other on the way down as there are layers, and up there is one more for each of these. Where some are
 * missing, only one number of layers may be left for which every name has its place.
 *
 * @returns undefined where the names do not tell, or tell two things: then the model's config must
 */
export function layersOfCompVis(names: Iterable<string>): number | undefined {
  const all = [...names], down = new Set<number>(), up = new Set<number>();
  for (const name of all) {
    const [, way, index] = COMPVIS_ATTENTION.exec(name) ?? [];
    if (way) (way === "input_blocks" ? down : up).add(Number(index));
  }
  const runs = new Set<number>();
  for (const first of down) {
    if (down.has(first - 1)) continue;
    let end = first;
    while (down.has(end)) end++;
    runs.add(end - first);
  }
  const [run] = runs;
  if (runs.size === 1 && down.size * (run + 1) === up.size * run) return run;
  const possible = MOST_LAYERS.filter((layers) => all.every((name) => hasPlace(name, layers)));
  return possible.length === 1 ? possible[0] : undefined;
}

/** Layers per block that there may be. */
const MOST_LAYERS = [1, 2, 3, 4];

/** Whether a parameter can be where its name says, with so many layers in a block. */
function hasPlace(name: string, layers: number): boolean {
  const [, way, index, slot, rest] = /^(input|output)_blocks\.(\d+)\.([012])\.(.+)$/.exec(name) ??
    [];
  if (!way || way === "input" && index === "0") return true;
  const last = (Number(index) - (way === "input" ? 1 : 0)) % (layers + 1) === layers;
  // Down, the last of a block makes the picture smaller; up, it may have a convolution behind it that makes it larger.
  if (way === "input") return last === (slot === "0" && rest.startsWith("op."));
  return last || slot === "0" || !rest.startsWith("conv.");
}

/** The same from names in diffusers style, where blocks on the way up have one layer more than those on the way down. */
export function layersOf(names: Iterable<string>): number | undefined {
  const most = { down_blocks: 0, up_blocks: 0 };
  for (const name of names) {
    const [, way, , attention] = ATTENTION.exec(name) ?? [];
    if (way === "down_blocks" || way === "up_blocks") {
      most[way] = Math.max(most[way], Number(attention) + 1);
    }
  }
  return most.down_blocks && most.up_blocks === most.down_blocks + 1 ? most.down_blocks : undefined;
}

/** CompVis name by path of a delta's weights. Throws FileError for those that can't be placed. */
export function compVisNames(
  format: string,
  paths: Iterable<string>,
  context: FormatContext,
): Map<string, string> {
  const all = [...paths], names = all.map((path) => unetName(format, path, context));
  const layers = context.layers ?? layersOf(names);
  return new Map(all.map((path, i) => {
    const name = toCompVis(names[i], layers);
    if (name !== undefined) return [path, COMPVIS + name];
    throw unplaced(context.name ?? "the delta", names[i], ATTENTION.test(names[i]));
  }));
}

/** Path by CompVis name of a file's weights. Throws FileError for those that can't be placed. */
export function pathsOfCompVis(
  file: string,
  names: Iterable<string>,
  context: FormatContext,
): Map<string, string> {
  const all = [...names];
  const inner = all.map((n) => n.startsWith(COMPVIS) ? n.slice(COMPVIS.length) : n);
  const layers = context.layers ?? layersOfCompVis(inner);
  return new Map(all.map((name, i) => {
    const path = fromCompVis(inner[i], layers);
    if (path !== undefined) return [name, UNET + path];
    throw unplaced(file, name, COMPVIS_ATTENTION.test(inner[i]));
  }));
}

function unplaced(file: string, name: string, known: boolean): FileError {
  return known
    ? new FileError(
      file,
      `holds "${name}", and too few others to tell where in the UNet that is`,
      "Name the model, too (--model)",
    )
    : new FileError(file, `holds "${name}", which is in none of a UNet's transformers`);
}
