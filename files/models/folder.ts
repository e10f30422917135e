/**
 * A model folder in the layout that diffusers writes: `model_index.json`, and a folder for each component with its
 * configuration and weights.
 *
 * Why everything but the weights is read at once: a folder that lacks something should say so before a GPU is asked
 * for, not after an hour.
 */
import { expectKinds, RECORD } from "../../tensor/kinds.ts";
import { PATH } from "../given.ts";
import { openCompVis } from "./compvis_checkpoint.ts";
import { FileError } from "../errors.ts";
import { type JsonObject, readJsonObject } from "../json.ts";
import { canList, isFile, isFolder, namesIn } from "../paths.ts";
import type { ModelFolder } from "./model_folder.ts";
import { readTokenizerParts, TOKENIZER_FILES } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";
import { weightsFile } from "./weights_file.ts";

export type { ModelFolder } from "./model_folder.ts";

const CONFIGS = [
  "config.json",
  "scheduler_config.json",
  "tokenizer_config.json",
  "preprocessor_config.json",
];

/** Files of which a component has one. */
const SIGNS = [...CONFIGS, ...TOKENIZER_FILES];

/** Components that a pipeline may name and that nobody needs for training or sampling. */
const DISPENSABLE = new Set(["safety_checker", "feature_extractor", "image_encoder"]);

/**
 * Opens a model: a folder in the diffusers layout, or a single-file checkpoint (`.ckpt`, `.safetensors`), which is given
 * out as if it were one: see `docs/models.md`.
 *
 * @param options.variant which copy of the weights to prefer where a folder holds several, e.g. `"fp16"`
 * @throws FileError saying what is missing or damaged, where, and what to do
 */
export async function openModelFolder(
  path: string,
  options: { variant?: string } = {},
): Promise<ModelFolder> {
  expectKinds("openModelFolder", { path: [path, PATH], options: [options, RECORD] });
  const root = path.replace(/(?<=[^/\\])[/\\]+$/, "");
  if (await isFile(root)) return await openCompVis(root);
  await mustBeModel(root);
  const index = await readJsonObject(`${root}/model_index.json`);
  const configs = new Map<string, JsonObject | undefined>();
  const named = Object.entries(index)
    .filter(([, value]) => Array.isArray(value) && value.length === 2 && value[0] !== null)
    .map(([name]) => name);
  for (const name of await foldersIn(root, named)) {
    const file = await firstFile(CONFIGS.map((config) => `${root}/${name}/${config}`));
    configs.set(name, file ? await readJsonObject(file) : undefined);
  }
  for (const name of named) {
    if (DISPENSABLE.has(name) || configs.has(name)) continue;
    throw new FileError(
      root,
      `holds no folder ${name}/, which its model_index.json names`,
      "The download is incomplete: fetch the model again",
    );
  }
  const components = [...configs.keys()];
  const folder = (component: string): string => {
    if (configs.has(component)) return `${root}/${component}`;
    throw new FileError(
      root,
      `holds no component ${component}/`,
      `It has ${components.join(", ") || "none"}: is it the right kind of model?`,
    );
  };
  return {
    path: root,
    index,
    components,
    folder,
    config(component) {
      const config = folder(component) && configs.get(component);
      if (config) return config;
      throw new FileError(
        `${root}/${component}`,
        `holds no configuration (none of ${CONFIGS.join(", ")})`,
        "The download is incomplete: fetch the model again",
      );
    },
    async weights(component) {
      return await openWeights(await weightsFile(folder(component), options.variant));
    },
    async tokenizer(component = "tokenizer") {
      return await readTokenizerParts(folder(component));
    },
  };
}

/** Folders of a model, sorted; on a server, which does not list them, those of them that are named. */
async function foldersIn(root: string, named: readonly string[]): Promise<string[]> {
  const listed = await canList(root), found: string[] = [];
  for (const name of (listed ? await namesIn(root) : named).toSorted()) {
    if (!name.startsWith(".") && await isFolder(`${root}/${name}`, SIGNS)) found.push(name);
  }
  return found;
}

async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await isFile(path)) return path;
}

/** Tells the usual mistakes apart. */
async function mustBeModel(root: string): Promise<void> {
  if (await isFile(`${root}/model_index.json`)) return;
  const names = await namesIn(root, []);
  const fault = "is no model folder in the diffusers layout: it holds no model_index.json";
  if (names.includes("snapshots")) {
    const [first] = await namesIn(`${root}/snapshots`);
    throw new FileError(root, fault, `Name the snapshot in it: ${root}/snapshots/${first ?? "…"}`);
  }
  const inner = await firstFile(names.map((name) => `${root}/${name}/model_index.json`));
  throw new FileError(
    root,
    fault,
    inner
      ? `Did you mean ${inner.slice(0, -"/model_index.json".length)}?`
      : "Name the folder that holds unet/, text_encoder/, vae/ and model_index.json",
  );
}
