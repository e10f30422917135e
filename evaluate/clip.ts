/** CLIP as a scorer of pictures and prompts: looked through without a GPU first, then opened. */
import { DEVICE } from "../diffusion/given.ts";
import { expectKinds, FUNCTION } from "../tensor/kinds.ts";
import { FOLDER, PATH } from "../files/given.ts";
import { compile } from "../compile/compile.ts";
import type { Device } from "../device/device.ts";
import { FileError } from "../files/errors.ts";
import { readJsonObject } from "../files/json.ts";
import { isFile } from "../files/paths.ts";
import { openWeights } from "../files/models/weights.ts";
import { weightsFile } from "../files/models/weights_file.ts";
import { type ClipConfig, clipConfig, embedImages, embedPrompts } from "../models/clip/vision.ts";
import { loadComponent } from "../models/load.ts";
import { checkTexts, type OnWarning } from "../models/text_window.ts";
import { loadTokenizer, type Tokenizer } from "../models/clip/tokenizer.ts";
import { tensor } from "../ops/leaf.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { featuresBy, type ImageEncoder, type Look, lookOf } from "./encoder.ts";
import type { Features } from "./features.ts";

/** Scores pictures against pictures, and pictures against prompts. Holds device memory until `free`. */
export interface ClipScorer extends ImageEncoder {
  /** One vector a prompt, not normalized; prompts longer than CLIP reads are cut, of which `onWarning` hears. */
  prompts(texts: readonly string[], options?: PromptOptions): Promise<Features>;
}

/** Who hears of texts that are encoded. */
export interface PromptOptions {
  /** Hears of texts that are longer than CLIP reads. */
  readonly onWarning?: OnWarning;
  /** Called with how many distinct texts are encoded. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Texts that go through together where there are many. */
const TOGETHER = 16;

/** A CLIP folder that was looked through. */
export interface ClipFolder {
  /** Its path. */
  readonly path: string;
  /** Its sizes. */
  readonly config: ClipConfig;
  /** Its words. */
  readonly tokenizer: Tokenizer;
  /** How it takes pictures. */
  readonly look: Look;
}

/**
 * Looks through a folder with a whole CLIP as transformers writes it: `config.json`, weights,
 * `preprocessor_config.json`, and the tokenizer's files there or in `tokenizer/` beside it.
 *
 * @throws FileError naming what is missing or wrong
 */
export async function inspectClip(folder: string): Promise<ClipFolder> {
  expectKinds("inspectClip", { folder: [folder, PATH] });
  const path = folder.replace(/(?<=[^/\\])[/\\]+$/, "");
  const config = clipConfig(await readJsonObject(`${path}/config.json`), `${path}/config.json`);
  const look = await lookOf(path, config.vision.imageSize);
  // Opening reads the headers: a truncated file shows here.
  (await openWeights(await weightsFile(path)))[Symbol.dispose]();
  const places = [path, `${path}/../tokenizer`];
  for (const place of places) {
    if (!await isFile(`${place}/vocab.json`) && !await isFile(`${place}/tokenizer.json`)) continue;
    const tokenizer = await loadTokenizer(place);
    if (tokenizer.size <= config.text.vocabulary) return { path, config, tokenizer, look };
    throw new FileError(
      place,
      `holds ${tokenizer.size} tokens, and the CLIP in ${path} knows ${config.text.vocabulary}`,
      "The files are of different models: fetch the folder again",
    );
  }
  throw new FileError(
    path,
    "holds no tokenizer (vocab.json and merges.txt, or tokenizer.json)",
    "Put the tokenizer's files of this CLIP into it",
  );
}

/**
 * Loads a CLIP onto a device.
 *
 * @param folder a path, or what {@linkcode inspectClip} gave
 * @param onProgress called with how many tensors are loaded
 * @throws FileError naming what is missing or wrong
 */
export async function openClip(
  device: Device,
  folder: string | ClipFolder,
  onProgress?: (done: number, total: number) => void,
): Promise<ClipScorer> {
  expectKinds("openClip", {
    device: [device, DEVICE],
    folder: [folder, FOLDER],
    "onProgress?": [onProgress, FUNCTION],
  });
  const { path, config, tokenizer, look } = typeof folder === "string"
    ? await inspectClip(folder)
    : folder;
  using source = await openWeights(await weightsFile(path));
  const params = await loadComponent(device, source, config, { onProgress });
  const pictures = compile(device, (x: Tensor) => ({ rows: embedImages(config, params, x) }));
  const words = compile(device, (x: Tensor) => ({ rows: embedPrompts(config, params, x) }));
  const { projection: size } = config.vision;
  const length = config.text.positions;
  return {
    name: "CLIP",
    features: (all, onPictures) => featuresBy(device, pictures, size, all, look, onPictures),
    async prompts(texts, { onWarning, onProgress } = {}) {
      checkTexts({ tokenizer, length }, texts, "text to compare by CLIP", onWarning);
      const data = new Float64Array(texts.length * size);
      const known = new Map<string, Float32Array>();
      const distinct = [...new Set(texts)];
      // A list of prompts has few distinct ones; captions of a collection are many.
      const some = distinct.length < TOGETHER ? 1 : TOGETHER;
      for (let at = 0; at < distinct.length; at += some) {
        const part = distinct.slice(at, at + some);
        const ids = part.flatMap((text) => tokenizer.encodePadded(text, length));
        const all = new Uint32Array(some * length);
        all.set(ids); // The last part is filled up with ids of 0, whose rows nobody reads.
        const rows = await device.read(words(tensor(all, [some, length])).rows) as Float32Array;
        part.forEach((text, i) => known.set(text, rows.slice(i * size, (i + 1) * size)));
        onProgress?.(known.size, distinct.length);
      }
      texts.forEach((text, i) => data.set(known.get(text)!, i * size));
      return { count: texts.length, size, data };
    },
    free() {
      pictures.free();
      words.free();
      device.free(...flatten<Tensor>(params).map(([, leaf]) => leaf));
    },
  };
}
