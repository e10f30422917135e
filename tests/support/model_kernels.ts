/**
 * Every kernel of the models that people use, from shapes alone: the training step and sampling are planned for the limits
 * of some adapter, which need not be there, and nothing is allocated.
 */
import { customDiffusion, GPU, halved } from "../../bench/memory.ts";
import { stepDrafts, type TrainingShape } from "../../concepts/training/memory.ts";
import { trainingMask } from "../../concepts/training/trainable.ts";
import type { Draft } from "../../compile/estimate.ts";
import { kernelsOf, type WrittenKernel } from "../../compile/kernels.ts";
import type { LoweredDispatch } from "../../compile/lower.ts";
import { samplingDrafts } from "../../diffusion/memory.ts";
import { pipelineConfig, sketchParams } from "../../diffusion/pipeline.ts";
import { openModelFolder } from "../../files/models/folder.ts";
import { vaeFactor } from "../../models/vae/vae.ts";
import type { AdapterProfile } from "../../tensor/kernel.ts";

/** One model as it is trained and sampled. */
export interface ModelCase {
  readonly name: string;
  readonly shape: TrainingShape;
  /** Element type of the frozen weights. */
  readonly precision: "f32" | "f16";
  /** Limits that it is planned for. */
  readonly profile: AdapterProfile;
}

/** The programs of a model: a training step (with its blocks kept), and sampling from a picture with guidance. */
export function modelDrafts(
  { shape, precision, profile }: ModelCase,
): Readonly<Record<string, Draft>> {
  const { config, schedule, size } = shape;
  const params = sketchParams(config, precision);
  const model = { config, schedule, params };
  const { step, before } = stepDrafts(profile, model, shape.trains(params), shape, {});
  const cells = size / vaeFactor(config.vae);
  const sampling = samplingDrafts(profile, model, {
    batch: 1,
    cells: [cells, cells],
    guided: true,
    image: true,
  });
  const { text, reader, denoisers: [denoiser], decoder, encoder } = sampling;
  return {
    train: step[0],
    ...Object.fromEntries(before.map((d, i) => [`before training ${i}`, d])),
    text,
    reader,
    denoiser,
    decoder,
    encoder: encoder!,
  };
}

/** Calls `use` with every dispatch of a model's programs, as it is compiled, and where it is. */
export function eachKernel(
  one: ModelCase,
  use: (kernel: WrittenKernel, where: string, dispatch: LoweredDispatch, program: string) => void,
  drafts = modelDrafts(one),
): void {
  for (const [program, { blueprint }] of Object.entries(drafts)) {
    kernelsOf(blueprint, one.profile).forEach((kernel, i) => {
      const dispatch = blueprint.dispatches[i];
      use(kernel, `${one.name}, ${program}: ${dispatch.label}`, dispatch, program);
    });
  }
}

/** The miniature that is shipped, as it would be trained. */
async function miniature(): Promise<TrainingShape> {
  const config = pipelineConfig(
    await openModelFolder(new URL("../../world/miniature", import.meta.url).pathname),
  );
  return {
    ...customDiffusion(8, config.unet.sampleSize * vaeFactor(config.vae)),
    config,
    trains: (params) =>
      trainingMask({ config, params }, "kv", [config.text_encoder.vocabulary - 1]),
  };
}

/** Stable Diffusion 1.5, 2.1, XL and the miniature, with f32 and with f16 throughout. */
export async function modelCases(profile: AdapterProfile = GPU): Promise<ModelCase[]> {
  const shapes: [string, TrainingShape][] = [
    ["SD 1.5", customDiffusion(8, 512)],
    ["SD 1.5, one picture", customDiffusion(1, 512)],
    ["SD 2.1", customDiffusion(1, 768, "sd21")],
    ["SDXL", customDiffusion(1, 1024, "sdxl")],
    ["the miniature", await miniature()],
  ];
  return shapes.flatMap(([name, shape]): ModelCase[] => [
    { name: `${name}, f32`, shape, precision: "f32", profile },
    // Without f16 in shaders only weights are f16, read as halves of words.
    { name: `${name}, f16`, shape: profile.f16 ? halved(shape) : shape, precision: "f16", profile },
  ]);
}
