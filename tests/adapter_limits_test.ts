// Every kernel of the models that people use fits the adapters that people have: planned for the limits of each kind, with no
// adapter there.
import { assert, assertEquals } from "@std/assert";
import { customDiffusion, GPU as NVIDIA, halved, NEW_TOKEN } from "../bench/memory.ts";
import type { Step } from "../compile/fuse.ts";
import { kernelsOf, type WrittenKernel } from "../compile/kernels.ts";
import { lowerAll } from "../compile/lower_all.ts";
import { bytesOf } from "../compile/pieces.ts";
import type { Blueprint } from "../compile/trace.ts";
import { planTrainingMemory } from "../concepts/training/memory.ts";
import { trainingMask } from "../concepts/training/trainable.ts";
import type { PipelineParams } from "../diffusion/pipeline.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { eachKernel, type ModelCase, modelCases, modelDrafts } from "./support/model_kernels.ts";

const KiB = 2 ** 10, MiB = 2 ** 20, GiB = 2 ** 30;

/** Limits of kinds of adapters, as browsers and Deno report them. */
const ADAPTERS: Readonly<Record<string, AdapterProfile>> = {
  "NVIDIA": NVIDIA,
  "Apple M": {
    ...NVIDIA,
    workgroupStorage: 32 * KiB,
    maxBinding: 4 * GiB - 4,
    maxStorageBuffers: 10,
    maxBuffer: 4 * GiB,
  },
  "Intel": {
    ...NVIDIA,
    workgroupStorage: 32 * KiB,
    maxBinding: GiB - 4,
    maxBuffer: GiB,
  },
  "AMD": {
    ...NVIDIA,
    workgroupStorage: 64 * KiB,
    maxBuffer: 2 * GiB - 1,
  },
  "AMD without resizable BAR": {
    ...NVIDIA,
    workgroupStorage: 64 * KiB,
    maxBinding: 240 * MiB,
    maxBuffer: 240 * MiB,
  },
  "a phone with Android": {
    ...NVIDIA,
    f16: false,
    workgroupStorage: 16 * KiB,
    maxInvocations: 256,
    maxStorageBuffers: 8,
    maxBinding: 512 * MiB,
    maxBuffer: GiB,
  },
  "what every WebGPU has": {
    ...NVIDIA,
    f16: false,
    workgroupStorage: 16 * KiB,
    maxInvocations: 256,
    maxStorageBuffers: 8,
    maxBinding: 128 * MiB,
    maxBuffer: 256 * MiB,
  },
};

/** Bytes of workgroup memory that a kernel declares. */
function workgroupBytes(code: string): number {
  return [...code.matchAll(/var<workgroup> \w+: (.*);/g)].reduce((sum, [, type]) => {
    const extents = [...type.matchAll(/, (\d+)>/g)].reduce((n, [, d]) => n * Number(d), 1);
    return sum + extents * (type.includes("vec4") ? 16 : type.includes("vec2") ? 8 : 4);
  }, 0);
}

/** What of a model's kernels an adapter cannot run. */
function tooMuch(one: ModelCase): string[] {
  const { profile } = one;
  const found = new Set<string>();
  const drafts = modelDrafts(one);
  for (const [name, { blueprint }] of Object.entries(drafts)) {
    for (const bytes of blueprint.memory.slabs) {
      if (bytes > profile.maxBuffer) found.add(`${name}: a buffer of ${bytes} bytes`);
    }
  }
  eachKernel(one, (kernel, where, { grid }) => {
    for (const what of beyond(kernel, grid, profile)) found.add(`${where}: ${what}`);
    for (const { window, memory } of kernel.bindings) {
      const bytes = window?.bytes ?? bytesOf(memory);
      if (bytes > profile.maxBinding) found.add(`${where}: a binding of ${bytes} bytes`);
    }
  }, drafts);
  return [...found];
}

/** What of a kernel is over the limits of an adapter, whatever it binds. */
function beyond(
  { code, bindings, sizes }: WrittenKernel,
  grid: readonly number[],
  profile: AdapterProfile,
): string[] {
  const [, invocations] = /@workgroup_size\((\d+)\)/.exec(code)!;
  const asked: [string, number, number][] = [
    ["bytes of workgroup memory", workgroupBytes(code), profile.workgroupStorage],
    ["invocations", Number(invocations), profile.maxInvocations],
    ["storage buffers", bindings.length, profile.maxStorageBuffers],
    ["workgroups along an axis", Math.max(...grid), 65_535],
    ["numbers in a uniform binding", sizes?.length ?? 0, 64],
  ];
  const over = asked.filter(([, much, limit]) => much > limit)
    .map(([what, much, limit]) => `${what} ${much}, of at most ${limit}`);
  return !profile.f16 && /\bf16\b/.test(code) ? [...over, "f16"] : over;
}

/**
 * A model whose layers that are all alike are there twice at most. Its kernels are those of the whole one (181 of SDXL in f32,
 * but for the one that adds up what each block says of the prompt), in a third of the dispatches.
 */
function thinned({ shape, ...one }: ModelCase): ModelCase {
  const { unet, text_encoder: text, text_encoder_2: second, ...rest } = shape.config;
  const few = <C extends { readonly layers: number }>(c: C) => ({
    ...c,
    layers: Math.min(3, c.layers),
  });
  const config = {
    ...rest,
    unet: { ...unet, depth: unet.depth.map((d) => Math.min(2, d)) },
    text_encoder: few(text),
    ...(second && { text_encoder_2: few(second) }),
  };
  const trains = (params: PipelineParams) => trainingMask({ config, params }, "kv", [NEW_TOKEN]);
  return { ...one, shape: { ...shape, config, trains } };
}

/** The steps of a model's programs: of those that become the same text in the same grid, one. */
function distinctSteps(one: ModelCase): Step[] {
  const texts = new Map<Step, string>();
  for (const { blueprint } of Object.values(modelDrafts(one))) {
    for (const { step, grid, body } of blueprint.dispatches) {
      texts.set(step, `${texts.get(step) ?? ""}${grid} ${body}`);
    }
  }
  return [...new Map([...texts].map(([step, text]) => [text, step])).values()];
}

// How large buffers and bindings are is for the plan, which cuts what is too large; here each step is lowered alone.
Deno.test("the kernels of Stable Diffusion 2.1 and SDXL fit every kind of adapter", async (t) => {
  // What is fused depends on how many buffers a kernel may bind, and on nothing else of an adapter.
  const kinds = Map.groupBy(
    Object.entries(ADAPTERS),
    ([, { f16, maxStorageBuffers }]) => `${f16} ${maxStorageBuffers}`,
  );
  for (const [kind, alike] of kinds) {
    const [, { f16, maxStorageBuffers }] = alike[0];
    const models = (await modelCases({ ...NVIDIA, f16, maxStorageBuffers }))
      .filter(({ name }) => /^(SD 2\.1|SDXL)/.test(name));
    assertEquals(models.length, 4);
    for (const one of models) {
      await t.step(`${one.name}, f16 and buffers: ${kind}`, () => {
        const steps = distinctSteps(thinned(one));
        assert(steps.length > 200, `${steps.length} steps`);
        for (const [name, profile] of alike) {
          const dispatches = lowerAll(steps, profile, new Set());
          const alone = { dispatches, memory: { inPlace: new Map() } } as unknown as Blueprint;
          const over = kernelsOf(alone, profile).flatMap((kernel, i) =>
            beyond(kernel, dispatches[i].grid, profile).map((what) =>
              `${name}: ${dispatches[i].label}: ${what}`
            )
          );
          assertEquals(over, []);
        }
      });
    }
  }
});

for (const [name, profile] of Object.entries(ADAPTERS)) {
  Deno.test(`the kernels of Stable Diffusion 1.5 and the miniature fit ${name}`, async () => {
    const cases = (await modelCases(profile)).filter(({ name }) =>
      /^(SD 1\.5, one picture|the miniature)/.test(name)
    );
    assert(cases.length > 0);
    assertEquals(cases.flatMap(tooMuch), []);
  });
}

Deno.test("no upsampled image is made, and what is larger than a binding are the decoder's widest pixels alone", () => {
  const profile = { ...NVIDIA, maxBinding: 128 * MiB, maxBuffer: 240 * MiB };
  for (const shape of [customDiffusion(1, 512), halved(customDiffusion(1, 512))]) {
    const precision = shape.config.unet.activations === "f16" ? "f16" : "f32";
    const drafts = modelDrafts({ name: "SD 1.5", shape, precision, profile });
    for (const [name, { blueprint: { memory } }] of Object.entries(drafts)) {
      const cut = [...memory.places].filter(([, pieces]) => pieces.length > 1);
      const shapes = cut.map(([m]) => m instanceof Tensor ? m.shape.join() : "scratch");
      const wide = name === "decoder" && precision === "f32";
      assertEquals([...new Set(shapes)], wide ? ["1,512,512,256"] : [], name);
    }
  }
});

Deno.test("a batch of eight is trained in parts that buffers of 240 MiB and bindings of 128 MiB hold whole", () => {
  const shape = customDiffusion(8, 512);
  for (const [maxBinding, parts] of [[240 * MiB, 2], [128 * MiB, 4]]) {
    const profile = { ...NVIDIA, maxBinding, maxBuffer: 240 * MiB };
    for (const one of [shape, halved(shape)]) {
      const plan = planTrainingMemory(profile, one, Infinity, ["f16"]);
      assertEquals(plan.layout.parts, one === shape ? parts : parts / 2);
      assertEquals(plan.pieces, false);
    }
  }
});

Deno.test("a training step of Stable Diffusion 1.5 takes fewer than 150 kernels", () => {
  for (const batch of [1, 8]) {
    const shape = customDiffusion(batch, 512);
    const one = { name: "SD 1.5", shape, precision: "f32", profile: NVIDIA } as const;
    const kernels = new Set<string>();
    eachKernel(
      one,
      ({ code }, _where, _dispatch, program) => program === "train" && kernels.add(code),
    );
    const characters = [...kernels].reduce((n, code) => n + code.length, 0);
    assert(kernels.size < 150, `${kernels.size} kernels`);
    assert(characters < 1_500_000, `${characters} characters`);
  }
});
