/**
 * The captions of a training run, before any is encoded: which there are, and whether the model reads them to their new
 * words. Augmentation puts words before a caption; where those would push the new word out, they are left out.
 */
import { checkTexts, cutText, type OnWarning, type TextWindow } from "../../models/text_window.ts";
import { TokenError } from "../../models/clip/tokenizer.ts";
import { CAPTION_PREFIXES } from "./augment.ts";
import { type BatchOptions, type CaptionedPicture, captionOf, type Concept } from "./batches.ts";

type Captioning = Pick<BatchOptions, "template" | "augment">;

/** Every caption that a run can see, once: those of the concepts with all that may be put before them. */
export function captionsSeen(
  concepts: readonly Concept[],
  regularization: readonly CaptionedPicture[],
  { template, augment = true }: Captioning,
): string[] {
  const targets = concepts.flatMap((concept) =>
    concept.pictures.flatMap((_, i) =>
      (augment ? CAPTION_PREFIXES : [""]).map((prefix) => prefix + captionOf(concept, i, template))
    )
  );
  return [...new Set([...targets, ...regularization.map((r) => r.caption)])];
}

/** Whether a model reads a caption to the last of its new words. */
export function readsTokens(window: TextWindow, caption: string): boolean {
  try {
    cutText(window, caption);
    return true;
  } catch (error) {
    if (error instanceof TokenError) return false;
    throw error;
  }
}

/**
 * Warns of concepts' captions that are longer than the model reads, as they are or behind what augmentation puts before
 * them.
 *
 * @throws TokenError where a new word of a caption, as it is, lies behind what the model reads
 */
export function checkCaptions(
  window: TextWindow,
  concepts: readonly Concept[],
  options: Captioning,
  onWarning?: OnWarning,
): void {
  const own = captionsSeen(concepts, [], { ...options, augment: false });
  checkTexts(window, own, "caption", onWarning);
  if (options.augment === false) return;
  const full = own.filter((caption) =>
    CAPTION_PREFIXES.some((prefix) => !readsTokens(window, prefix + caption))
  );
  if (!full.length) return;
  onWarning?.(
    `${full.length} of ${own.length} captions leave no room for the words that augmentation puts before them ` +
      `("a far away"): they stay without, so that their new word is read`,
  );
}
