/**
 * The tables of `docs/memory.md`: what a training step of Stable Diffusion takes and what each budget chooses, planned
 * from shapes for the limits of a GPU. Nothing is allocated and no GPU is needed.
 *
 *     deno task memory            # prints them
 *     deno task memory --write    # puts them into docs/memory.md
 */
import {
  describeLayout,
  planTrainingMemory,
  type TrainingPlan,
  type TrainingShape,
} from "../concepts/training/memory.ts";
import { trainingMask } from "../concepts/training/trainable.ts";
import { MemoryError } from "../device/memory.ts";
import { type Precision, samplingDrafts } from "../diffusion/memory.ts";
import { type PipelineConfig, sketchParams, withActivations } from "../diffusion/pipeline.ts";
import { noiseSchedule } from "../diffusion/samplers/schedule.ts";
import { architectureNamed } from "../models/architectures.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { bytes, bytesNeeded } from "../numerics/quantities.ts";

/** The limits of NVIDIA's Vulkan driver as Deno reports them. */
export const GPU: AdapterProfile = {
  cpu: false,
  f16: true,
  workgroupStorage: 49152,
  maxInvocations: 1024,
  maxBinding: 2147483644,
  maxStorageBuffers: 16,
  maxBuffer: 4292870144,
};

/** The first new token of any Stable Diffusion. */
export const NEW_TOKEN = 49408;

/** A named Stable Diffusion that knows one new token. */
export function taught(name: "sd15" | "sd21" | "sdxl"): PipelineConfig {
  const config = architectureNamed(name) as unknown as PipelineConfig;
  const vocabulary = NEW_TOKEN + 1;
  const { text_encoder: one, text_encoder_2: other } = config;
  return {
    ...config,
    text_encoder: { ...one, vocabulary },
    ...(other && { text_encoder_2: { ...other, vocabulary } }),
  };
}

/** Custom Diffusion of one concept, at Stable Diffusion 1.5 by default. */
export function customDiffusion(
  batch: number,
  size: number,
  name: "sd15" | "sd21" | "sdxl" = "sd15",
): TrainingShape {
  const config = taught(name);
  return {
    config,
    schedule: noiseSchedule({
      beta_schedule: "scaled_linear",
      beta_start: 0.00085,
      beta_end: 0.012,
      num_train_timesteps: 1000,
    }, "scheduler_config.json"),
    trains: (params) => trainingMask({ config, params }, "kv", [NEW_TOKEN]),
    batch,
    targets: Math.ceil(batch / 2),
    encoded: Math.ceil(batch / 2),
    size,
  };
}

/** The same with activations in f16. */
export const halved = (shape: TrainingShape): TrainingShape => ({
  ...shape,
  config: withActivations(shape.config, "f16", GPU),
});

const GB = 1e9;

/** What is tabled for several budgets, in GB. */
const TABLED = [
  ["Stable Diffusion 1.5, batch of 1", customDiffusion(1, 512), [4, 6, 8, 12, 24]],
  ["Stable Diffusion 1.5, batch of 8", customDiffusion(8, 512), [4, 6, 8, 12, 24]],
  ["the same with activations in f16", halved(customDiffusion(8, 512)), [4, 6, 8, 12, 24]],
  ["SDXL at 1024×1024, batch of 1", customDiffusion(1, 1024, "sdxl"), [12, 16, 24]],
  ["the same with activations in f16", halved(customDiffusion(1, 1024, "sdxl")), [12, 16, 24]],
] as const;

const MiB = 2 ** 20;

/** Adapters that Stable Diffusion 1.5 is planned for, from wide to narrow. */
const ADAPTERS: readonly [string, AdapterProfile][] = [
  ["NVIDIA", GPU],
  ["without resizable BAR: buffers of 240 MiB", {
    ...GPU,
    maxBinding: 240 * MiB,
    maxBuffer: 240 * MiB,
  }],
  ["what WebGPU promises: buffers of 256 MiB, bindings of 128 MiB, 8 of them", {
    ...GPU,
    workgroupStorage: 16_384,
    maxInvocations: 256,
    maxStorageBuffers: 8,
    maxBinding: 128 * MiB,
    maxBuffer: 256 * MiB,
  }],
];

/** What of Stable Diffusion 1.5 at 512×512 such an adapter takes whole, and what it takes. */
function narrowed(): string {
  const rows = ADAPTERS.map(([name, profile]) => {
    const said = ({ total }: { readonly total: number }, pieces: boolean) =>
      `${bytes(total)}${pieces ? ", some of it in pieces" : ""}`;
    const [one, eight] = [1, 8].map((batch) =>
      planTrainingMemory(profile, customDiffusion(batch, 512))
    );
    const config = taught("sd15");
    const model = { config, params: sketchParams(config, "f32") };
    const { decoder } = samplingDrafts(profile, model, {
      batch: 1,
      cells: [64, 64],
      guided: true,
      image: false,
    });
    return [
      name,
      said(one.step, one.pieces),
      said(decoder.bytes, decoder.pieces),
      `${describeLayout(8, eight.layout)}: ${said(eight.step, eight.pieces)}`,
    ];
  });
  return table(
    ["in f32, beside weights", "a step of one", "decoding one", "a step of eight"],
    rows,
  );
}

/** A plan, or what is needed where none fits. */
function plan(shape: TrainingShape, budget: number, precisions: readonly Precision[]) {
  try {
    return planTrainingMemory(GPU, shape, budget, precisions);
  } catch (error) {
    if (error instanceof MemoryError) return error;
    throw error;
  }
}

const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
const table = (head: readonly string[], body: readonly string[][]) =>
  [row(head), row(head.map(() => "---")), ...body.map(row)].join("\n");

function chosen(batch: number, found: TrainingPlan | MemoryError): string[] {
  if (found instanceof MemoryError) return ["none", "", `at least ${bytesNeeded(found.needed)}`];
  return [found.precision, describeLayout(batch, found.layout), bytesNeeded(found.total)];
}

/** The tables, in Markdown. */
export function tables(): string {
  const shape = customDiffusion(1, 512);
  const both = [shape, halved(shape)].map((s) => plan(s, Infinity, ["f16"]) as TrainingPlan);
  const parts: [string, (p: TrainingPlan) => number][] = [
    ["frozen weights in f16 (UNet, text encoder, autoencoder)", (p) => p.weights],
    ["trained parameters and both moments, f32", (p) => p.trained],
    ["activations alive at the busiest dispatch", ({ step }) => step.activations],
    ["scratch of kernels there", ({ step }) => step.scratch],
    ["gaps between values", ({ step }) => step.gaps],
    ["the step's data and constants", ({ step }) => step.data],
    ["**in all**", (p) => p.total],
  ];
  const breakdown = table(
    ["one picture of 512×512", "activations in f32", "in f16"],
    parts.map(([name, of]) => [name, ...both.map((p) => bytes(of(p)))]),
  );
  const budgets = TABLED.map(([name, shape, sizes]) =>
    table(
      [`budget: ${name}`, "weights", "how", "planned"],
      sizes.map((gb) => [
        bytes(gb * GB),
        ...chosen(shape.batch, plan(shape, gb * GB, ["f32", "f16"])),
      ]),
    )
  );
  return [breakdown, ...budgets, narrowed()].join("\n\n");
}

const BEGIN = "<!-- deno task memory -->";
const END = "<!-- end -->";

if (import.meta.main) {
  const made = tables();
  console.log(made);
  if (Deno.args.includes("--write")) {
    const path = new URL("../docs/memory.md", import.meta.url);
    const before = await Deno.readTextFile(path);
    const [head, rest] = before.split(BEGIN);
    await Deno.writeTextFile(path, `${head}${BEGIN}\n\n${made}\n\n${END}${rest.split(END)[1]}`);
  }
}
