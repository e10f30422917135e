/** The work of `moongate generate`: prompts to pictures, each in a file of its own as soon as it is made, and a sheet. */
import { withDeltas } from "../concepts/apply.ts";
import { gpu } from "../device/adapter.ts";
import { showSize } from "../device/memory.ts";
import { Sampler } from "../diffusion/sample.ts";
import { FileError } from "../files/errors.ts";
import { type Picture, readPicture } from "../files/image.ts";
import { isFile } from "../files/paths.ts";
import { writePng } from "../files/png.ts";
import { sheet } from "../files/sheet.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import { checkPrompts, openDeltas, overlap, tokensOf } from "./deltas.ts";
import { Interrupted } from "./interrupt.ts";
import { planSamplingWithin } from "./memory.ts";
import { inspectModel, sideFor } from "./model.ts";
import type { DeltaRequest, GenerateRequest, Ui } from "./requests.ts";
import { samplingPlan } from "./sampling.ts";
import { loading } from "./work_train.ts";

/** One picture to make. */
interface Wish {
  prompt: string;
  seed: number;
}

/** Samples pictures; gives their paths, and last that of the sheet. */
export async function generate(request: GenerateRequest, ui: Ui): Promise<string[]> {
  const facts = await inspectModel(request.model);
  const deltas = await openDeltas(request.deltas.map((d) => d.path), facts);
  checkPrompts(request.prompts, deltas, facts, request.plain);
  const both = overlap(deltas);
  if (both) {
    ui.progress.note(
      `${both[0]} and ${
        both[1]
      } change the same weights: the changes are added. \`moongate merge\` ` +
        "makes one delta of them that keeps what each does to its own words",
    );
  }
  const size = sideFor(facts, request.size);
  const width = sideFor(facts, request.width ?? size, "--width");
  const height = sideFor(facts, request.height ?? size, "--height");
  const { options, evaluations, notes: how } = samplingPlan(facts, request);
  const image = request.image === undefined ? undefined : await readPicture(request.image);
  await prepareOut(request.out);
  using device = await gpu();
  const addTokens = tokensOf(deltas, facts);
  const plan = planSamplingWithin(device.profile, facts, {
    ...{ width, height, image: image !== undefined, guidance: options.guidance },
    deltas: deltas.map((d) => d.delta),
    batch: Math.min(request.batch, request.prompts.length * request.count),
  }, request);
  if (request.memory !== undefined) {
    ui.progress.note(
      `memory: ${
        showSize(plan.total)
      } planned, weights in ${plan.precision}, ${plan.batch} at a time`,
    );
  }
  const base = await loadPipeline(device, facts.folder, {
    addTokens,
    dtype: plan.precision,
    onProgress: loading(ui),
  });
  const stack = deltas.map(({ path, delta }, i) => ({
    delta,
    name: path,
    strength: request.deltas[i].strength,
  }));
  const model = withDeltas(base, stack);
  const notes = {
    ...how,
    ...(request.negative && { negative: request.negative }),
    ...(deltas.length && { delta: request.deltas.map(nameOf).join(", ") }),
  };
  const wishes = request.prompts.flatMap((prompt) =>
    Array.from({ length: request.count }, (_, i) => ({ prompt, seed: request.seed + i }))
  );
  const sampler = new Sampler(model);
  const paths: string[] = [], pictures: Picture[] = [];
  const batches = Math.ceil(wishes.length / plan.batch);
  ui.progress.start("sample", batches * evaluations);
  try {
    for (let b = 0; b < batches; b++) {
      const { part, used } = batchOf(wishes, b, batches);
      const made = await sampler.generate(part.map((w) => w.prompt), {
        seed: part.map((w) => w.seed),
        ...options,
        ...{ width, height, image, batch: part.length },
        negative: request.negative,
        onStep: (done) => ui.progress.update(b * evaluations + done),
        signal: ui.interrupt.signal,
      });
      for (const [i, picture] of made.slice(0, used).entries()) {
        const { prompt, seed } = part[i];
        const path = `${request.out}/${slug(prompt)}-${seed}.png`;
        await writePng(path, picture, { prompt, seed: String(seed), ...notes });
        paths.push(path);
        pictures.push(picture);
      }
    }
  } catch (error) {
    if (!ui.interrupt.requested || (error as Error).name !== "AbortError") throw error;
    ui.progress.note(`stopped: ${paths.length} of ${wishes.length} pictures are in ${request.out}`);
    throw new Interrupted();
  }
  ui.progress.stop();
  const path = `${request.out}/sheet.png`;
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

async function prepareOut(out: string): Promise<void> {
  if (await isFile(out)) throw new FileError(out, "is a file where a folder is expected");
  try {
    await Deno.mkdir(out, { recursive: true });
  } catch (error) {
    throw FileError.from(error, out, "making it");
  }
}

/** A delta's name for notes: the folder's or file's, and its strength where it is another than 1. */
const nameOf = ({ path, strength }: DeltaRequest): string =>
  path.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1)! + (strength === 1 ? "" : ` × ${strength}`);

/** A prompt as a file name. */
const slug = (prompt: string): string =>
  prompt.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) ||
  "picture";
