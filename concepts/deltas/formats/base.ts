/** The base model under a delta, read a parameter at a time from its folder: what differences are differences to. */
import { FileError } from "../../../files/errors.ts";
import { fingerprint } from "../../../files/models/fingerprint.ts";
import { type ModelFolder, openModelFolder } from "../../../files/models/folder.ts";
import type { TensorSource } from "../../../files/safetensors/read.ts";
import { unetConfig } from "../../../models/unet/unet.ts";
import { fitted } from "../changes.ts";
import { checkBase, type Delta, type DeltaWeight } from "../delta.ts";
import type { BaseWeights } from "./save.ts";

/** An opened base model. */
export interface BaseModel {
  /** Its fingerprint. */
  readonly fingerprint: string;
  /** Layers per block of its UNet. */
  readonly layers: number;
  /** Reads a parameter by its path in a delta, as f32. */
  readonly read: BaseWeights;
  /**
   * The delta with its weights under the extents that they have in this model.
   *
   * @throws FileError when it was trained on another model, or changes what this one does not have
   */
  fit(path: string, delta: Delta): Delta;
  /** Gives the file handles back. */
  [Symbol.dispose](): void;
}

/**
 * Opens a model folder as the base of deltas. Only the UNet has to be in it.
 *
 * @throws FileError when it is no model folder, or damaged
 */
export async function openBase(path: string): Promise<BaseModel> {
  const folder = await openModelFolder(path);
  const unet = unetConfig(folder.config("unet"), `${folder.folder("unet")}/config.json`);
  const sources = new Map<string, TensorSource>();
  const close = () => sources.forEach((source) => source.close());
  try {
    for (const part of folder.components.filter((c) => /^(unet|text_encoder(_\d)?)$/.test(c))) {
      sources.set(part, await folder.weights(part));
    }
    const own = await fingerprint(folder);
    const found = (parameter: string) => locate(sources, parameter);
    return {
      fingerprint: own,
      layers: unet.layersPerBlock,
      async read(parameter) {
        const at = found(parameter);
        if (at) return await at.source.readFloat32(at.name);
        throw new FileError(folder.path, `has no parameter "${parameter}"`);
      },
      fit(path, delta) {
        checkBase(path, delta, own);
        return { ...delta, weights: fitShapes(path, delta, folder, found) };
      },
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Where a parameter lies; text encoders have theirs with or without `text_model.` before them. */
function locate(sources: ReadonlyMap<string, TensorSource>, parameter: string) {
  const cut = parameter.indexOf(".");
  const source = sources.get(parameter.slice(0, cut));
  const rest = parameter.slice(cut + 1);
  for (const name of [rest, `text_model.${rest}`, rest.replace(/^text_model\./, "")]) {
    const info = source?.tensors.get(name);
    if (info) return { source: source!, name, shape: info.shape };
  }
}

function fitShapes(
  path: string,
  delta: Delta,
  folder: ModelFolder,
  found: (parameter: string) => { shape: readonly number[] } | undefined,
): Map<string, DeltaWeight> {
  return new Map([...delta.weights].map(([parameter, w]) => {
    const shape = found(parameter)?.shape, held = shape && fitted(w, shape);
    if (held) return [parameter, held];
    throw new FileError(
      path,
      `changes "${parameter}" [${w.shape}], ` +
        (shape ? `which is [${shape}] in ${folder.path}` : `which ${folder.path} does not have`),
      "It is of another model",
    );
  }));
}
