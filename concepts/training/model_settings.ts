/**
 * What a model folder says about how it wants to be trained, sampled and merged in: its optional `moongate.json`.
 *
 *     {
 *       "training": { "rate": 1e-3, "steps": 250, "schedule": "linear" },
 *       "sampling": { "steps": 20, "guidance": 3, "eta": 0 },
 *       "methods": { "textual-inversion": { "rate": 5e-3 } },
 *       "merging": { "ridge": 1e-2 }
 *     }
 *
 * Why: the method's defaults are those of Stable Diffusion. A model a thousandth of its size takes larger steps, and the
 * folder that the model comes in is the one place that every user of it has.
 */
import { SAMPLER_NAMES, type SamplerChoice } from "../../diffusion/samplers/samplers.ts";
import { FileError } from "../../files/errors.ts";
import { isObject, type JsonObject, readJsonObject } from "../../files/json.ts";
import { isFile } from "../../files/paths.ts";
import { type Method, METHOD_NAMES, methodDefaults } from "./methods.ts";
import { RATE_SCHEDULES } from "./rates.ts";
import { MERGING, OVERRIDES_FILE, SAMPLING, TRAINING, type TrainingDefaults } from "../defaults.ts";

/** Hyper-parameters of sampling. */
export interface SamplingDefaults extends SamplerChoice {
  /** Steps of the walk from noise to a picture. */
  readonly steps: number;
  /** Classifier-free guidance. */
  readonly guidance: number;
}

/** Hyper-parameters of merging. */
export interface MergingDefaults {
  /** Keeps the change small where captions say little; features of a small text encoder are nearly dependent. */
  readonly ridge: number;
}

/** Hyper-parameters for one model. */
export interface ModelDefaults {
  /** Of teaching it concepts by Custom Diffusion. */
  readonly training: TrainingDefaults;
  /** Of teaching it concepts by each method. */
  readonly methods: Readonly<Record<Method, TrainingDefaults>>;
  /** Of sampling from it. */
  readonly sampling: SamplingDefaults;
  /** Of merging deltas. */
  readonly merging: MergingDefaults;
}

/** JSON has no infinity, but 1e999 is read as one. */
const number = (fits: (v: number) => boolean) => (v: unknown) =>
  typeof v === "number" && Number.isFinite(v) && fits(v);

/** What each value may be; what is not listed is not known. */
const RULES: Readonly<Record<string, Readonly<Record<string, (v: unknown) => boolean>>>> = {
  training: {
    steps: number((v) => Number.isInteger(v) && v >= 1),
    rate: number((v) => v > 0),
    // A warm-up is so many steps of one run: no number of a model's.
    schedule: (v) => v !== "constant_with_warmup" && RATE_SCHEDULES.some((name) => name === v),
    batch: number((v) => Number.isInteger(v) && v >= 1),
    decay: number((v) => v >= 0),
    template: (v) => typeof v === "string" && v.split("{}").length === 2,
  },
  sampling: {
    steps: number((v) => Number.isInteger(v) && v >= 1 && v <= 1000),
    guidance: number((v) => v >= 0),
    sampler: (v) => SAMPLER_NAMES.some((name) => name === v),
    eta: number((v) => v >= 0 && v <= 1),
  },
  merging: { ridge: number((v) => v >= 0) },
};

/**
 * The defaults for the model in a folder: the method's, with what its `moongate.json` says instead.
 *
 * @param first training numbers that go before the folder's
 * @throws FileError when the file is there and says something that is not understood
 */
export async function modelDefaults(
  folder: string,
  first: Partial<TrainingDefaults> = {},
): Promise<ModelDefaults> {
  const path = `${folder}/${OVERRIDES_FILE}`;
  const said = await isFile(path) ? await readJsonObject(path) : {};
  const { methods = {}, ...parts } = said;
  for (const [part, values] of Object.entries(parts)) checkPart(path, part, values);
  checkMethods(path, methods);
  const its = said.training as Partial<TrainingDefaults> | undefined;
  const training = { ...TRAINING, ...its, ...first };
  const own = methods as Partial<Record<Method, Partial<TrainingDefaults>>>;
  const of = METHOD_NAMES.map((name) => [name, methodDefaults(name, training, own[name])] as const);
  return {
    training,
    methods: Object.fromEntries(of) as Record<Method, TrainingDefaults>,
    sampling: { ...SAMPLING, ...said.sampling as Partial<SamplingDefaults> | undefined },
    merging: { ...MERGING, ...said.merging as Partial<MergingDefaults> | undefined },
  };
}

function checkMethods(path: string, methods: unknown): void {
  const known = `It takes ${METHOD_NAMES.join(", ")}`;
  if (!isObject(methods)) throw new FileError(path, 'has "methods", which says nothing', known);
  for (const [name, values] of Object.entries(methods)) {
    if (METHOD_NAMES.some((m) => m === name)) checkPart(path, `methods.${name}`, values);
    else throw new FileError(path, `names the method ${JSON.stringify(name)}`, known);
  }
}

function checkPart(path: string, part: string, values: unknown): void {
  const rules = part.startsWith("methods.") ? RULES.training : RULES[part];
  if (!rules || !isObject(values)) {
    const known = [...Object.keys(RULES), "methods"].join(", ");
    throw new FileError(
      path,
      `has ${JSON.stringify(part)}, which says nothing`,
      `It takes ${known}`,
    );
  }
  for (const [name, value] of Object.entries(values as JsonObject)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule?.(value)) continue;
    const known = rule
      ? "The value is out of range"
      : `${part} takes ${Object.keys(rules).join(", ")}`;
    throw new FileError(path, `sets ${part}.${name} to ${JSON.stringify(value)}`, known);
  }
}
