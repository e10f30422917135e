/**
 * How strong adapters are: alpha / rank times what their factors give, and where alpha stands.
 *
 * It may be a tensor beside the factors (kohya), in the settings that diffusers writes into the header and PEFT into
 * `adapter_config.json` (where single layers may differ, and the root of the rank may stand in its place), or in kohya's
 * header. Where it stands nowhere, it is the rank.
 */
import { FileError } from "../../../../files/errors.ts";
import {
  isObject,
  type JsonObject,
  parseJsonObject,
  readJsonObject,
} from "../../../../files/json.ts";
import { isFile } from "../../../../files/paths.ts";
import type { AdapterKey, Component } from "./keys.ts";
import { type DeltaFile, isLeaf } from "../content.ts";

/** A layer whose scale is asked for. */
export interface ScaledLayer {
  readonly component: Component;
  /** As diffusers calls it. */
  readonly layer: string;
  /** The tensor that holds its alpha, if there is one. */
  readonly alpha?: AdapterKey;
  /** Of its factors; undefined where they are not of low rank. */
  readonly rank?: number;
  /** Whether its window is larger than 1×1. */
  readonly window: boolean;
  /** Whether it is spelled as kohya does, whose header says other things than PEFT's settings. */
  readonly kohya: boolean;
}

/** The settings of an adapter file. */
export interface AdapterScales {
  /** What the product of a layer's factors is multiplied by. */
  of(layer: ScaledLayer): Promise<number>;
  /** Whether the settings say that lengths (DoRA) belong to a component's adapters. */
  scaled(component: Component): boolean;
}

const HEADER = "lora_adapter_metadata", CONFIG = "adapter_config.json";

/** Settings of PEFT under which its factors mean something else. */
const OTHER_MEANING = [
  ..."layer_replication alora_invocation_tokens use_qalora use_bdlora arrow_config kasa_config"
    .split(" "),
  ..."monteclora_config velora_config target_parameters trainable_token_indices".split(" "),
];

/** Ways of PEFT to start an adapter that take something off the base's weights. */
const OTHER_BASE = /^(pissa|olora|corda|loftq|lora_ga)/i;

/**
 * Reads what a file, or the `adapter_config.json` beside it, says about its adapters.
 *
 * @throws FileError when it says what is not understood
 */
export async function adapterScales(file: DeltaFile): Promise<AdapterScales> {
  const said = await settingsOf(file);
  const settings = new Map<Component, JsonObject>();
  for (const component of ["unet", "text_encoder", "text_encoder_2"] as const) {
    const own = said && partOf(said.values, component);
    if (own) settings.set(component, checked(said.path, own));
  }
  const kohyas = kohyaAlphas(file);
  return {
    scaled: (component) => settings.get(component)?.use_dora === true,
    async of({ component, layer, alpha, rank, window, kohya }) {
      if (rank === 0) return 1; // Factors of nothing.
      if (alpha) return rank === undefined ? 1 : await alphaOf(file, alpha) / rank;
      if (kohya) {
        const given = window ? kohyas.window ?? kohyas.all : kohyas.all;
        return given === undefined || rank === undefined ? 1 : given / rank;
      }
      const own = settings.get(component);
      const given = own &&
        chosen(file.path, own, "alpha_pattern", layer, own.lora_alpha ?? own.alpha);
      if (own === undefined || given === undefined) return 1;
      const of = rank ?? chosen(file.path, own, "rank_pattern", layer, own.r) ?? given;
      return given / (own.use_rslora === true ? Math.sqrt(of) : of);
    },
  };
}

/** The settings in the header, or else in the file that PEFT writes beside. */
async function settingsOf(
  file: DeltaFile,
): Promise<{ path: string; values: JsonObject } | undefined> {
  const header = file.metadata[HEADER];
  if (header !== undefined) {
    return {
      path: file.path,
      values: parseJsonObject(header, file.path, `its header field ${HEADER}`),
    };
  }
  const path =
    file.path.slice(0, Math.max(file.path.lastIndexOf("/"), file.path.lastIndexOf("\\")) + 1) +
    CONFIG;
  return await isFile(path) ? { path, values: await readJsonObject(path) } : undefined;
}

/** The settings of one component; those that name none are of all. */
function partOf(values: JsonObject, component: Component): JsonObject | undefined {
  const entries = Object.entries(values);
  if (!entries.some(([name]) => /^(unet|text_encoder(_2)?)\./.test(name))) return values;
  const own = entries.filter(([name]) => name.startsWith(`${component}.`));
  return own.length
    ? Object.fromEntries(own.map(([name, value]) => [name.slice(component.length + 1), value]))
    : undefined;
}

function checked(path: string, settings: JsonObject): JsonObject {
  const isSet = (name: string) => {
    const value = settings[name];
    return value !== undefined && value !== null && value !== false &&
      !(typeof value === "object" && !Object.keys(value).length);
  };
  const other = OTHER_MEANING.find(isSet);
  if (other) throw new FileError(path, `says ${other}: adapters of that kind are not read`);
  const start = settings.init_lora_weights;
  if (typeof start === "string" && OTHER_BASE.test(start)) {
    throw new FileError(
      path,
      `says init_lora_weights "${start}": its factors are not a change of the model's own weights`,
      "PEFT's save_pretrained with path_initial_model_for_weight_conversion makes them one",
    );
  }
  for (const name of ["lora_alpha", "alpha", "r"]) {
    const value = settings[name];
    if (value === undefined || value === null || Number.isFinite(value)) continue;
    const said = typeof value === "number" ? value : JSON.stringify(value);
    throw new FileError(path, `says ${name} ${said}, which is no number`);
  }
  return settings;
}

/** A number of a layer: what the first pattern that fits gives, or else what all have. */
function chosen(
  path: string,
  settings: JsonObject,
  field: "alpha_pattern" | "rank_pattern",
  layer: string,
  rest: unknown,
): number | undefined {
  const patterns = settings[field] ?? {};
  if (!isObject(patterns)) throw new FileError(path, `its ${field} is no object`);
  for (const [pattern, value] of Object.entries(patterns)) {
    if (!matching(path, pattern).test(layer)) continue;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new FileError(path, `its ${field} of "${pattern}" is ${JSON.stringify(value)}`);
  }
  return typeof rest === "number" ? rest : undefined;
}

/** PEFT's rule: a regular expression for the end of a layer's name, which begins at a dot. */
function matching(path: string, pattern: string): RegExp {
  const refused = () =>
    new FileError(path, `has the pattern ${JSON.stringify(pattern)}, which is not understood`);
  // Groups that repeat can take for ever on a name.
  if (pattern.length > 500 || /\)[*+?{]/.test(pattern)) throw refused();
  try {
    return new RegExp(`^(?:.*\\.)?(?:${pattern})$`);
  } catch {
    throw refused();
  }
}

/** One number, whatever the extents and the type of the tensor that holds it: LyCORIS writes whole ones as such. */
async function alphaOf(file: DeltaFile, { key }: AdapterKey): Promise<number> {
  const content = file.root.get(key);
  if (!isLeaf(content)) throw new FileError(file.path, `holds no tensor under "${key}"`);
  const data = await content.readAny();
  if (data.length !== 1) {
    throw new FileError(
      file.path,
      `tensor "${key}" holds ${data.length} numbers, and an alpha is one`,
    );
  }
  if (Number.isFinite(data[0])) return data[0];
  throw new FileError(file.path, `tensor "${key}" holds NaN or infinity`);
}

/** What kohya's header says of all layers, and of those with a window. */
function kohyaAlphas({ metadata, path }: DeltaFile): { all?: number; window?: number } {
  const number = (text: unknown) => {
    const value = typeof text === "number" ? text : Number.parseFloat(String(text ?? ""));
    return Number.isFinite(value) ? value : undefined;
  };
  const more = metadata.ss_network_args;
  const args = /^\s*\{/.test(more ?? "")
    ? parseJsonObject(more, path, "its header field ss_network_args")
    : {};
  return { all: number(metadata.ss_network_alpha), window: number(args.conv_alpha) };
}
