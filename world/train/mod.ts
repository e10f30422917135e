/**
 * Training of the miniature model by moongate itself, stage by stage; each reads from the folder what the stages before
 * it wrote there. `world/train.ts` is the command.
 */
import type { Device } from "../../device/device.ts";
import { loadTokenizer } from "../../models/clip/tokenizer.ts";
import { trainClassifier } from "./classifier.ts";
import { trainClip } from "./clip.ts";
import { readConfigs, writeConfigs } from "./folder.ts";
import type { RunOptions } from "./loop.ts";
import type { Pictures } from "./pictures.ts";
import { SETTINGS, type Settings, type Stage, STAGES } from "./settings.ts";
import { drawPictures, type Workplace } from "./stage.ts";
import { trainUnet } from "./unet.ts";
import { trainVae } from "./vae.ts";
import { worldVocabulary, writeTokenizer } from "./vocabulary.ts";

export { WRITES } from "./folder.ts";
export {
  SETTINGS,
  type Settings,
  type Stage,
  STAGES,
  type StageSettings,
  type UnetSettings,
} from "./settings.ts";

/** What to train, and where to. */
export interface TrainWorldOptions extends RunOptions {
  /** Folder with the configs of all parts. */
  readonly template: string;
  /** Stages to run, in their order. Default: all. */
  readonly stages?: readonly Stage[];
  /** How much of everything. */
  readonly settings?: Settings;
}

const TRAIN: Record<Exclude<Stage, "tokenizer">, (place: Workplace) => Promise<void>> = {
  vae: trainVae,
  clip: trainClip,
  classifier: trainClassifier,
  unet: trainUnet,
};

/**
 * Trains the miniature into a folder in the layout of diffusers.
 *
 * @throws FileError when the template lacks a config, or a stage that must come first has not been run
 * @throws DOMException AbortError after saving a checkpoint, when the signal was aborted
 */
export async function trainWorld(device: Device, options: TrainWorldOptions): Promise<void> {
  const { out, template, stages = STAGES, settings = SETTINGS } = options;
  let pictures: Pictures | undefined;
  for (const stage of STAGES) {
    if (!stages.includes(stage)) continue;
    options.signal?.throwIfAborted();
    if (stage === "tokenizer") {
      const vocabulary = worldVocabulary();
      await writeTokenizer(`${out}/tokenizer`, vocabulary);
      await writeConfigs(template, out, vocabulary);
      continue;
    }
    const configs = await readConfigs(out);
    const { sampleSize: size } = configs.vae;
    pictures ??= await drawPictures(options, { count: settings.pictures, size });
    const tokenizer = await loadTokenizer(`${out}/tokenizer`);
    await TRAIN[stage]({ ...options, device, configs, pictures, settings, tokenizer });
  }
}
