/**
 * What a model folder says about how it wants to be trained, sampled and merged in: its optional `moongate.json`.
 *
 *     {
 *       "training": { "rate": 1e-3, "steps": 250 },
 *       "sampling": { "steps": 20, "guidance": 3, "eta": 0 },
 *       "merging": { "ridge": 1e-2 }
 *     }
 *
 * Why: the method's defaults are those of Stable Diffusion. A model a thousandth of its size takes larger steps, and the
 * folder that the model comes in is the one place that every user of it has.
 */
import { SAMPLER_NAMES, type SamplerChoice } from "../diffusion/samplers.ts";
import { FileError } from "../files/errors.ts";
import { isObject, type JsonObject, readJsonObject } from "../files/json.ts";
import { isFile } from "../files/paths.ts";
import { MERGING, OVERRIDES_FILE, SAMPLING, TRAINING, type TrainingDefaults } from "./defaults.ts";

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
  /** Of teaching it concepts. */
  readonly training: TrainingDefaults;
  /** Of sampling from it. */
  readonly sampling: SamplingDefaults;
  /** Of merging deltas. */
  readonly merging: MergingDefaults;
}

const number = (fits: (v: number) => boolean) => (v: unknown) => typeof v === "number" && fits(v);

/** What each value may be; what is not listed is not known. */
const RULES: Readonly<Record<string, Readonly<Record<string, (v: unknown) => boolean>>>> = {
  training: {
    steps: number((v) => Number.isInteger(v) && v >= 1),
    rate: number((v) => v > 0),
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
  merging: { ridge: number((v) => v >= 0 && Number.isFinite(v)) },
};

/**
 * The defaults for the model in a folder: the method's, with what its `moongate.json` says instead.
 *
 * @throws FileError when the file is there and says something that is not understood
 */
export async function modelDefaults(folder: string): Promise<ModelDefaults> {
  const path = `${folder}/${OVERRIDES_FILE}`;
  const said = await isFile(path) ? await readJsonObject(path) : {};
  for (const [part, values] of Object.entries(said)) checkPart(path, part, values);
  return {
    training: { ...TRAINING, ...said.training as Partial<TrainingDefaults> | undefined },
    sampling: { ...SAMPLING, ...said.sampling as Partial<SamplingDefaults> | undefined },
    merging: { ...MERGING, ...said.merging as Partial<MergingDefaults> | undefined },
  };
}

function checkPart(path: string, part: string, values: unknown): void {
  const rules = RULES[part];
  if (!rules || !isObject(values)) {
    const known = Object.keys(RULES).join(", ");
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
