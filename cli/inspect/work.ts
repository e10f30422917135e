/** The work of `moongate inspect`: told by content what a path is, and what is in it. No GPU, and no weights in memory but a delta's. */
import {
  type Content,
  type DeltaFile,
  isDict,
  isLeaf,
  openContent,
} from "../../concepts/deltas/formats/content.ts";
import { openBase } from "../../concepts/deltas/formats/base.ts";
import { openDelta } from "../../concepts/deltas/formats/load.ts";
import { formatOf } from "../../concepts/deltas/formats/registry.ts";
import { otherModel } from "../../files/models/compvis_others.ts";
import { fingerprint } from "../../files/models/fingerprint.ts";
import { openModelFolder } from "../../files/models/folder.ts";
import { decodePicture } from "../../files/pictures/image.ts";
import { isPictureName, pictureKind } from "../../files/kinds.ts";
import { isFile, isFolder } from "../../files/paths.ts";
import { readPngText } from "../../files/pictures/png.ts";
import { fileSource, readBytes } from "../../files/source.ts";
import { visibleLine } from "../../files/visible.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { architecture } from "./architecture.ts";
import { inspectDelta } from "./delta.ts";
import type { Inspected } from "../shared/ui.ts";
import type { ArchitectureRequest, InspectRequest } from "./request.ts";
import { columns } from "../../terminal/table.ts";

/** Says what a file or folder is, or which parameters an architecture has. */
export async function run(request: InspectRequest | ArchitectureRequest): Promise<Inspected> {
  if ("architecture" in request) return architecture(request);
  const { path, model } = request;
  const kind = await kindOf(path);
  if (kind === "model") return await inspectModel(path);
  if (kind === "picture") return await inspectPicture(path);
  if (kind === "tensors") {
    using file = await openContent(path);
    return inspectTensors(file);
  }
  using base = model === undefined ? undefined : await openBase(model);
  return await inspectDelta(await openDelta(path, base), base);
}

/** What a path is, told by content: a whole model in a folder or file, a delta, a picture, or tensors of no known kind. */
export async function kindOf(path: string): Promise<"model" | "delta" | "picture" | "tensors"> {
  if (await isFolder(path)) return await isFile(`${path}/model_index.json`) ? "model" : "delta";
  // A damaged picture may be one by its name alone.
  if (isPictureName(path) || pictureKind(await firstBytes(path))) return "picture";
  using file = await openContent(path);
  if (formatOf(file)) return "delta";
  return isModel(file) ? "model" : "tensors";
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const source = await fileSource(path);
  try {
    return await source.read(0, Math.min(source.size, 512));
  } finally {
    source.close();
  }
}

/** Whether a file is a whole model: it has a UNet, under a name of its own, and is none of those that are not read. */
function isModel(file: DeltaFile): boolean {
  const names = namesIn(file);
  return names.some((name) => SINGLE_FILE.test(name)) && otherModel(names) === undefined;
}

/** Names of all tensors, as they are in the weights of a model. */
const namesIn = (file: DeltaFile): string[] =>
  [...flat(file.root)].map(([name]) => name.replace(/^state_dict\./, ""));

/** A picture, and the notes that `moongate generate` leaves in it. */
async function inspectPicture(path: string): Promise<Inspected> {
  const bytes = await readBytes(path);
  const { width, height } = await decodePicture(bytes, path);
  const format = pictureKind(bytes)!;
  const notes = format === "PNG" ? readPngText(bytes, path) : {};
  return {
    facts: { path, kind: "picture", format, width, height, notes },
    lines: [`${path}: ${format} picture, ${width}×${height}`, ...noteLines(notes)],
  };
}

const noteLines = (notes: Readonly<Record<string, string>>): string[] =>
  Object.entries(notes).map(([k, v]) =>
    visibleLine(`${k}: ${v.length > 100 ? `${v.slice(0, 99)}…` : v}`)
  );

async function inspectModel(path: string): Promise<Inspected> {
  const folder = await openModelFolder(path);
  const components: Record<string, unknown> = {};
  const rows = [["component", "class", "tensors", "parameters", "types"]];
  for (const name of folder.components) {
    const held = await weightsOf(folder, name);
    const kind = String((folder.index[name] as unknown[] | undefined)?.[1] ?? "");
    components[name] = { class: kind || null, ...held };
    rows.push([
      name,
      kind,
      String(held?.tensors ?? ""),
      String(held?.parameters ?? ""),
      held?.types.join(", ") ?? "",
    ]);
  }
  const base = await fingerprint(folder);
  const single = await isFile(path);
  const facts = { path, kind: "model", class: folder.index._class_name ?? null, base, components };
  return {
    facts,
    lines: [
      `${path}: ${single ? "single-file model" : "model folder"}, ${
        facts.class ?? "of no named class"
      }`,
      `fingerprint ${base.slice(0, 12)}`,
      "",
      ...columns(rows),
    ],
  };
}

/** What a component holds; undefined where it has no weights (a scheduler, a tokenizer). */
async function weightsOf(folder: Awaited<ReturnType<typeof openModelFolder>>, component: string) {
  if (/^(scheduler|tokenizer(_\d)?|feature_extractor|safety_checker)$/.test(component)) {
    return undefined;
  }
  using weights = await folder.weights(component);
  return summary([...weights.tensors.values()]);
}

function summary(tensors: readonly { dtype: string; shape: readonly number[] }[]) {
  return {
    tensors: tensors.length,
    parameters: tensors.reduce((sum, t) => sum + sizeOf(t.shape), 0),
    types: [...new Set(tensors.map((t) => t.dtype))].sort(),
  };
}

/** The UNet's first convolution in single-file checkpoints. */
const SINGLE_FILE = /^model\.diffusion_model\.input_blocks\.0\.0\.weight$/;

/** What files without a format of ours are known by: a name that occurs in them. */
const KINDS: [name: RegExp, kind: string][] = [
  [/^model\.diffusion_model\./, "part of a single-file checkpoint (CompVis)"],
  [/^params:unet\./, "moongate training checkpoint"],
  [/^(down_blocks|up_blocks)\.\d+\.resnets\./, "UNet weights (diffusers)"],
  [/^(encoder|decoder)\.(down|up)_blocks\./, "autoencoder weights (diffusers)"],
  [/^(text_model\.)?encoder\.layers\.0\.self_attn\./, "text encoder weights"],
  [/^vision_model\./, "CLIP weights"],
];

function inspectTensors(file: DeltaFile): Inspected {
  const leaves = [...flat(file.root)];
  const names = namesIn(file);
  const kind = otherModel(names) ??
    KINDS.find(([name]) => names.some((n) => name.test(n)))?.[1] ?? "tensors";
  const tensors = Object.fromEntries(
    leaves.map(([name, { dtype, shape }]) => [name, { dtype, shape }]),
  );
  const held = summary(leaves.map(([, leaf]) => leaf));
  const { path, container, metadata } = file;
  return {
    facts: { path, kind, container, metadata, ...held, contents: tensors },
    lines: [
      `${path}: ${kind}, ${container}`,
      `${held.tensors} tensors, ${held.parameters} parameters, ${held.types.join(", ")}`,
      ...noteLines(metadata),
      "",
      ...columns([
        ["tensor", "shape", "type"],
        ...leaves.map(([name, { dtype, shape }]) => [name, shape.join("×"), dtype]),
      ]),
    ],
  };
}

/** All tensors of a tree, by dotted path. */
function* flat(
  content: Content,
  path = "",
): Generator<[string, { dtype: string; shape: readonly number[] }]> {
  if (isLeaf(content)) yield [path, content];
  if (!isDict(content)) return;
  for (const [name, inner] of content) yield* flat(inner, path ? `${path}.${name}` : name);
}
