/** A picture from noise, timed: 50 steps of a walk with guidance, and the autoencoder behind. */
import { compile, evaluate } from "../../../compile/compile.ts";
import { profile } from "../../../compile/inspect/profile.ts";
import { encodersOf, idsShape } from "../../../diffusion/conditions.ts";
import { Denoiser, numbersFor, samplingStep } from "../../../diffusion/denoise.ts";
import { decoding, encoding } from "../../../diffusion/stages.ts";
import { promptKeys, unet } from "../../../models/unet/unet.ts";
import { tensor } from "../../../ops/leaf.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { flatten } from "../../../tensor/tree.ts";
import { samplingMemory } from "../../../diffusion/memory.ts";
import { kinds } from "./kinds.ts";
import { bitsOf, holding, inNanoseconds, plan, seconds, start } from "./program.ts";
import type { Sampling } from "./record.ts";
import { needMemory, type Put, secondsOf, type Stage } from "./stage.ts";

/** How much the prompt counts. */
const GUIDANCE = 6;
/** The fewest steps of a walk that are timed; steps that are taken beside the two walks: two to warm up, two to profile. */
const FEWEST = 2, BESIDE = 4;

/** Measures. */
export async function measureSampling(stage: Stage, put: Put<Sampling>): Promise<void> {
  const { lab, ceilings, extent: { samplingSteps, repeats: most }, whole, room } = stage;
  put({ wantedSteps: samplingSteps });
  const { inChannels, sampleSize } = lab.subject.config.unet;
  const shape = [sampleSize, sampleSize, inChannels] as const, latents = [1, ...shape];
  if (!lab.loaded) {
    // From shapes alone, so that a large model is not made in vain.
    const cells = [sampleSize, sampleSize] as const;
    const wanted = { batch: 1, cells, guided: true, image: false };
    const { work, total } = samplingMemory(lab.device.profile, lab.sketch, wanted);
    put({ flopPerStep: work.step });
    whole.need((2 * FEWEST + BESIDE) * secondsOf(stage, work.step), "sampling");
    needMemory(stage, lab.weights + total);
  }
  const { device, config, params, schedule } = await lab.model();
  const zeros = () => device.upload(new Float32Array(sizeOf(latents)), latents, "f32");
  const ids = idsShape(config, 2), words = config.text_encoder.vocabulary;
  const prompts = tensor(
    Uint32Array.from({ length: sizeOf(ids) }, (_, i) => 31 * i % words),
    ids,
  );
  const encode = compile(device, encoding(config)), decode = compile(device, decoding(config));
  // What `Denoiser` compiles, for its plan and its profile.
  const step = compile(device, samplingStep(config.unet, unet, true), { donate: [1] });
  const denoiser = new Denoiser(device, config.unet);
  const held: Tensor[] = [];
  await holding(async () => {
    const kept = tensor(Float32Array.of(1, 1), [2, 1]);
    const features = encode(encodersOf(params), prompts, kept).context;
    const context = evaluate(device, features), x = zeros();
    const keys = evaluate(device, promptKeys(config.unet, params.unet, context));
    held.push(context, x, ...flatten<Tensor>({ ...keys }).map(([, t]) => t));
    const numbers = tensor(new Float32Array(numbersFor(0)).fill(1));
    const noise = [tensor(Uint32Array.of(1, 2), [2])];
    const state = { x, slots: [], recorded: [] };
    const args: Parameters<typeof step> = [params.unet, state, keys, noise, numbers, {}, {}];
    const planned = plan(device, step, args, [noise, numbers]);
    const memory = {
      ...{ weights: lab.weights, trained: 0, program: planned.bytes },
      planned: lab.weights + planned.bytes.total,
    };
    put({ memory, flopPerStep: planned.flop });
    const { flop } = planned;
    whole.need((2 * FEWEST + BESIDE) * secondsOf(stage, flop), "sampling");
    const before = device.buffers.allocated;
    const ready = await start(device, step, args, planned);
    const allocated = lab.weights + device.buffers.allocated - before;
    step.free(); // The denoiser has its own, by the same kernels.
    const walk = (steps: number) =>
      denoiser.run(params.unet, context, schedule, {
        shape,
        seeds: [0],
        guidance: GUIDANCE,
        steps,
      });
    // The first walk compiles what surrounds the steps.
    const first = async () => {
      const z = await walk(FEWEST);
      held.push(z);
      decode.program(params.vae, z);
      await device.read(z);
    };
    const firstSeconds = await seconds(first);
    put({ memory: { ...memory, allocated }, start: { ...ready, firstSeconds } });
    const [z] = held.slice(-1);
    await device.read(decode(params.vae, z));
    const decodeSeconds = await seconds(() => device.read(decode(params.vae, z)));
    const one = await seconds(async () => {
      const again = await walk(FEWEST);
      held.push(again);
      await device.read(again);
    }) / FEWEST;
    // Both walks, and room for the profile.
    const fit = Math.floor((room.left - 4 * one - 2 * decodeSeconds) / 2 / one);
    const steps = Math.max(FEWEST, Math.min(samplingSteps, fit));
    whole.need(2 * steps * one, "sampling");
    const times: number[] = [], bits: string[] = [];
    for (let run = 0; run < 2; run++) {
      times.push(
        await seconds(async () => {
          const end = await walk(steps);
          held.push(end);
          await device.read(end);
        }) / steps,
      );
      const [end] = held.slice(-1);
      bits.push(await bitsOf(device, [end, decode(params.vae, end)]));
    }
    const secondsPerStep = Math.min(...times), pace = flop / secondsPerStep;
    const ofFlops = ceilings?.f32FlopPerSecond && pace / ceilings.f32FlopPerSecond;
    put({
      ...{ steps, secondsPerStep, decodeSeconds, sameBits: bits[0] === bits[1] },
      secondsPerPicture: samplingSteps * secondsPerStep + decodeSeconds,
      ...(ofFlops && { ofFlops }),
    });
    whole.need(2 * secondsPerStep, "a profile");
    const repeats = (most + 1) * secondsPerStep < room.left ? most : 1;
    const profiled = inNanoseconds(await profile(step, args, { repeats }), ceilings);
    put({ kinds: kinds(profiled, planned.blueprint.dispatches) });
  }, () => {
    for (const program of [encode, decode, step, denoiser]) program.free();
    device.free(...held);
  });
}
