/** The work of `moongate generate`: prompts to pictures, each in a file of its own as soon as it is made, and a sheet. */
import { Sampler } from "../../diffusion/sample.ts";
import { type Picture, readPicture } from "../../files/pictures/image.ts";
import { writePng } from "../../files/pictures/png.ts";
import { sheet } from "../../files/pictures/sheet.ts";
import { openDevice } from "../shared/device.ts";
import { describeSampling, planSamplingWithin } from "../shared/memory.ts";
import type { GenerateRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { pictureNames } from "./claim.ts";
import { SHEET_FILE } from "../shared/outputs.ts";
import { lookThrough, openSampled, stopped } from "../shared/sampled.ts";
import { samplingProgress } from "../shared/sampling_progress.ts";

export { claimGenerate as claim } from "./claim.ts";

/** One picture to make. */
interface Wish {
  prompt: string;
  seed: number;
  /** Name of its file. */
  name: string;
}

/** Samples pictures; gives their paths, and last that of the sheet. */
export async function run(request: GenerateRequest, ui: Ui): Promise<string[]> {
  const sampled = await lookThrough(request, request.prompts, request.plain, ui);
  const { facts, deltas, width, height, notes } = sampled;
  const { options, evaluations } = sampled.plan;
  const image = request.image === undefined ? undefined : await readPicture(request.image);
  using device = await openDevice(request, ui);
  await Deno.mkdir(request.out, { recursive: true });
  const plan = planSamplingWithin(device.profile, facts, {
    ...{ width, height, image: image !== undefined, guidance: options.guidance },
    deltas: deltas.map((d) => d.delta),
    batch: Math.min(request.batch, request.prompts.length * request.count),
  }, request);
  if (request.memory !== undefined) {
    ui.progress.note(describeSampling(plan));
  }
  const model = await openSampled(device, sampled, request, ui, {
    ...{ dtype: plan.precision, activations: request.activations },
  });
  const wishes = pictureNames(request).map((name, i) => ({
    name,
    prompt: request.prompts[Math.floor(i / request.count)],
    seed: request.seed + i % request.count,
  }));
  const sampler = new Sampler(model);
  const paths: string[] = [], pictures: Picture[] = [];
  const batches = Math.ceil(wishes.length / plan.batch);
  const shown = samplingProgress(ui.progress, plan, {
    ...{ batches, steps: evaluations },
    pictures: batches * Math.ceil(wishes.length / batches),
  });
  try {
    for (let b = 0; b < batches; b++) {
      const { part, used } = batchOf(wishes, b, batches);
      const made = await sampler.generate(part.map((w) => w.prompt), {
        seed: part.map((w) => w.seed),
        ...options,
        ...{ width, height, image, batch: part.length },
        negative: request.negative,
        ...shown(b),
        signal: ui.interrupt.signal,
      });
      for (const [i, picture] of made.slice(0, used).entries()) {
        const { prompt, seed, name } = part[i];
        const path = `${request.out}/${name}`;
        await writePng(path, picture, { prompt, seed: String(seed), ...notes });
        paths.push(path);
        pictures.push(picture);
      }
    }
  } catch (error) {
    throw stopped(error, ui, `${paths.length} of ${wishes.length} pictures are in ${request.out}`);
  }
  ui.progress.stop();
  const path = `${request.out}/${SHEET_FILE}`;
  await writePng(path, sheetOf(request, pictures, width), notes);
  return [...paths, path];
}

/** Batch `b`, filled up with its last wish to the size that all have, so that there is one program. */
function batchOf(wishes: Wish[], b: number, batches: number): { part: Wish[]; used: number } {
  const size = Math.ceil(wishes.length / batches);
  const own = wishes.slice(b * size, (b + 1) * size);
  const part = Array.from({ length: size }, (_, i) => own[i] ?? own.at(-1) ?? wishes.at(-1)!);
  return { part, used: own.length };
}

function sheetOf(request: GenerateRequest, pictures: Picture[], width: number): Picture {
  const rows = request.prompts.map((_, i) =>
    pictures.slice(i * request.count, (i + 1) * request.count)
  );
  const labels = rows.map((row) => row.map((_, i) => String(request.seed + i)));
  return sheet(rows, { titles: request.prompts, labels, zoom: width < 128 ? 3 : 1 });
}
