/** A `concepts_list.json` as diffusers has it, as concepts to teach and their regularization. */
import { FileError, messageOf } from "../../files/errors.ts";
import { isObject } from "../../files/json.ts";
import { parseJson, readText } from "../../files/text.ts";
import { holdsPictures } from "../../files/collection.ts";
import { isFile, isFolder, namesIn } from "../../files/paths.ts";
import { UsageError } from "../../terminal/errors.ts";
import { concept, distinctConcepts } from "./parse_concept.ts";
import type { ConceptRequest, TrainRequest } from "./request.ts";

const KEYS = ["instance_prompt", "class_prompt", "instance_data_dir", "class_data_dir"] as const;
type Entry = Partial<Record<(typeof KEYS)[number], string>>;

/** What a list says. */
export type ListedConcepts = Pick<TrainRequest, "concepts" | "regularization">;

/**
 * Reads a list: `[{ "instance_prompt": "photo of a <new1> cat", "class_prompt": "cat", "instance_data_dir": "./cat",
 * "class_data_dir": "./cats" }]`. The instance prompt is the caption of all of a concept's pictures, the class prompt
 * that of its regularization pictures. As in diffusers, paths are relative to where the command runs (or, where there is
 * nothing, to the list), and a class folder
 * that has no pictures, or is not named, means that the model makes them. Other keys are passed over.
 *
 * @throws FileError naming the entry and what it lacks
 */
export async function readConceptsList(path: string): Promise<ListedConcepts> {
  const parsed = parseJson(await readText(path), path);
  if (!Array.isArray(parsed) || !parsed.length) {
    throw new FileError(path, "is no list of concepts", `It must look like [{ "${KEYS[0]}": … }]`);
  }
  const concepts: ConceptRequest[] = [];
  const regularization: TrainRequest["regularization"] = [];
  for (const [i, value] of parsed.entries()) {
    const entry = await placed(path, checked(path, i + 1, value));
    const one = conceptOf(path, i + 1, entry);
    concepts.push(one);
    const { category } = one, folder = entry.class_data_dir;
    if (folder === undefined || !await hasPictures(folder)) continue;
    const other = regularization.find(({ name }) => name === category);
    if (other && other.path !== folder) {
      const both = `"${other.path}" and "${folder}"`;
      throw new FileError(path, `gives the class "${category}" two folders, ${both}`);
    }
    if (!other) regularization.push({ name: category, path: folder });
  }
  distinctConcepts(concepts);
  return { concepts, regularization };
}

function checked(path: string, number: number, value: unknown): Entry {
  if (!isObject(value)) throw new FileError(path, `entry ${number} is no object`);
  for (const key of KEYS) {
    const needed = key === "instance_prompt" || key === "instance_data_dir";
    if (value[key] === undefined && !needed) continue;
    if (typeof value[key] === "string" && value[key].trim()) continue;
    throw new FileError(
      path,
      `entry ${number} has no "${key}"`,
      `An entry has ${KEYS.map((k) => `"${k}"`).join(", ")}`,
    );
  }
  return value as Entry;
}

/** An entry whose folders are where they are: from here, or else from where the list is. */
async function placed(path: string, entry: Entry): Promise<Entry> {
  const beside = path.replace(/[^/\\]*$/, "");
  const found = { ...entry };
  for (const key of ["instance_data_dir", "class_data_dir"] as const) {
    const folder = entry[key];
    if (folder === undefined || await exists(folder)) continue;
    if (await exists(beside + folder)) found[key] = beside + folder;
  }
  return found;
}

const exists = async (path: string): Promise<boolean> => await isFolder(path) || await isFile(path);

/**
 * The class word is what the class prompt ends in and the instance prompt has behind the new word: "dog" of "photo of a
 * dog" and "photo of a <new1> dog". Where they do not meet, the whole class prompt.
 */
function conceptOf(path: string, number: number, entry: Entry): ConceptRequest {
  const prompt = entry.instance_prompt!.trim(), classPrompt = entry.class_prompt?.trim();
  const [before, token = "", rest = ""] = /^([^]*?)(<[^<>\s]+>)([^]*)$/.exec(prompt)?.slice(1) ??
    [prompt];
  const after = rest.trim().split(/\s+/), named = (classPrompt ?? rest).trim().split(/\s+/);
  let category = named.join(" ");
  for (let from = 0; from < named.length; from++) {
    const tail = named.slice(from);
    if (!tail.every((word, i) => word === after[i])) continue;
    category = tail.join(" ");
    break;
  }
  if (!category || (!token && classPrompt === undefined)) {
    throw new FileError(
      path,
      `entry ${number} has no class: nothing follows the new word of "${before}${token}${rest}"`,
      'Give a "class_prompt"',
    );
  }
  try {
    const one = concept(`${token} ${category}=${entry.instance_data_dir}`);
    return { ...one, caption: prompt, ...(classPrompt !== undefined && { classPrompt }) };
  } catch (error) {
    throw new UsageError(`${path}: entry ${number}: ${messageOf(error)}`, { cause: error });
  }
}

const hasPictures = async (folder: string): Promise<boolean> =>
  await isFolder(folder) && (await namesIn(folder)).some(holdsPictures);
