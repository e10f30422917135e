/** DINO as a scorer of pictures: looked through without a GPU first, then opened. */
import { DEVICE } from "../diffusion/given.ts";
import { expectKinds, FUNCTION } from "../tensor/kinds.ts";
import { FOLDER, PATH } from "../files/given.ts";
import { compile } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { readJsonObject } from "../files/json.ts";
import { openWeights } from "../files/models/weights.ts";
import { weightsFile } from "../files/models/weights_file.ts";
import { loadComponent } from "../models/load.ts";
import { type VitConfig, vitConfig, vitFeatures } from "../models/vit.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { featuresBy, type ImageEncoder, type Look, lookOf } from "./encoder.ts";

/** A DINO folder that was looked through. */
export interface DinoFolder {
  /** Its path. */
  readonly path: string;
  /** Its sizes. */
  readonly config: VitConfig;
  /** How it takes pictures. */
  readonly look: Look;
}

/**
 * Looks through a folder with a `ViTModel` as transformers writes it (`facebook/dino-vits16`): `config.json`, weights,
 * `preprocessor_config.json`.
 *
 * @throws FileError naming what is missing or wrong
 */
export async function inspectDino(folder: string): Promise<DinoFolder> {
  expectKinds("inspectDino", { folder: [folder, PATH] });
  const path = folder.replace(/(?<=[^/\\])[/\\]+$/, "");
  const config = vitConfig(await readJsonObject(`${path}/config.json`), `${path}/config.json`);
  const look = await lookOf(path, config.imageSize, { stretched: true, filter: "bilinear" });
  // Opening reads the headers: a truncated file shows here.
  (await openWeights(await weightsFile(path)))[Symbol.dispose]();
  return { path, config, look };
}

/**
 * Loads a DINO onto a device. A picture's vector is that of its class token after the last norm.
 *
 * @param folder a path, or what {@linkcode inspectDino} gave
 * @param onProgress called with how many tensors are loaded
 * @throws FileError naming what is missing or wrong
 */
export async function openDino(
  device: Device,
  folder: string | DinoFolder,
  onProgress?: (done: number, total: number) => void,
): Promise<ImageEncoder> {
  expectKinds("openDino", {
    device: [device, DEVICE],
    folder: [folder, FOLDER],
    "onProgress?": [onProgress, FUNCTION],
  });
  const { path, config, look } = typeof folder === "string" ? await inspectDino(folder) : folder;
  using source = await openWeights(await weightsFile(path));
  const params = await loadComponent(device, source, config, { onProgress });
  const program = compile(device, (x: Tensor) => ({ rows: vitFeatures(config, params, x) }));
  return {
    name: "DINO",
    features: (pictures, onPictures) =>
      featuresBy(device, program, config.width, pictures, look, onPictures),
    free() {
      program.free();
      device.free(...flatten<Tensor>(params).map(([, leaf]) => leaf));
    },
  };
}
