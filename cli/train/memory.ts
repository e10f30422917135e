/** What `--memory` makes of a training run: precision and layout, planned before the model is loaded. */
import { targetsOf } from "../../concepts/data/batches.ts";
import { encodedCaptions } from "../../concepts/training/caption_features.ts";
import {
  describeLayout,
  planTrainingMemory,
  type TrainingPlan,
} from "../../concepts/training/memory.ts";
import { conceptMask, trainedWords } from "../../concepts/training/trainable.ts";
import type { PipelineParams } from "../../diffusion/pipeline.ts";
import { bytesNeeded } from "../../numerics/quantities.ts";
import type { AdapterProfile } from "../../tensor/kernel.ts";
import { configOf, deltaBytes, type MemoryRequest, orUsage, precisions } from "../shared/memory.ts";
import type { TrainPlan } from "./plan.ts";

/**
 * How to train: in what precision, and in which layout.
 *
 * @throws UsageError saying what would be needed
 */
export function planTrainingWithin(
  profile: AdapterProfile,
  { model, concepts, settings, classes, start }: TrainPlan,
  request: MemoryRequest,
): TrainingPlan {
  const { batch, size, cutStartToken, accumulate, clip } = settings;
  const config = configOf(model, profile, request);
  const tokenIds = (word: string) => model.tokenizer.idsOf(word);
  const targets = targetsOf(batch, classes.length);
  const captions = classes.flatMap(({ prompt, pictures, collection }) =>
    (pictures ?? collection ?? [{}]).map(({ caption = prompt }: { caption?: string }) => caption)
  );
  const shape = {
    ...{ config, schedule: model.schedule },
    trains: (params: PipelineParams) =>
      conceptMask({ config, params, tokenIds }, concepts, settings),
    ...{ batch, targets, size, cutStartToken, accumulate, clip },
    encoded: encodedCaptions(trainedWords(concepts, settings), captions, batch, targets),
    latentsKnown: !settings.augment,
    held: start ? deltaBytes(config, [start.delta]) : 0,
  };
  return orUsage(
    "Lower --batch or --size, or allow --precision f16",
    () => planTrainingMemory(profile, shape, request.memory, precisions(request)),
  );
}

/** A training plan in words. */
export const describePlan = (batch: number, { precision, layout, total }: TrainingPlan): string =>
  `memory: ${bytesNeeded(total)} planned, weights in ${precision}, ${
    describeLayout(batch, layout)
  }`;
