/** The work of `moongate evaluate`: pictures from a folder or fresh ones, their scores, and a report. */
import type { Device } from "../../device/device.ts";
import { withoutTokens } from "../../evaluate/alignment.ts";
import { type ClipFolder, openClip } from "../../evaluate/clip.ts";
import { inspectDino, openDino } from "../../evaluate/dino.ts";
import { type Score, scorePictures } from "../../evaluate/scores.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { FileError } from "../../files/errors.ts";
import { listPictures, type Picture, readPicture } from "../../files/pictures/image.ts";
import { readJsonObject } from "../../files/json.ts";
import { isFile } from "../../files/paths.ts";
import { readPngText } from "../../files/pictures/png.ts";
import { figures } from "../../numerics/quantities.ts";
import { UsageError } from "../../terminal/errors.ts";
import { openDevice } from "../shared/device.ts";
import { inspectScorer } from "../shared/model.ts";
import { PICTURES_FOLDER } from "./claim.ts";
import { REPORT_FILE, SHEET_FILE } from "../shared/outputs.ts";
import { counting, phases } from "../shared/phases.ts";
import { reportPage } from "../shared/report.ts";
import type { EvaluateRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { columns } from "../../terminal/table.ts";
import { run as generate } from "../generate/work.ts";

export { claimEvaluate as claim } from "./claim.ts";

/** Most pictures of a set that the report shows. */
const SHOWN = 48;

/** Scores pictures; gives the path of the report. */
export async function run(request: EvaluateRequest, ui: Ui): Promise<string> {
  const clip = await inspectScorer(request);
  const dino = request.dino === undefined ? undefined : await inspectDino(request.dino);
  const note = (text: string) => ui.progress.note(text);
  const targets = await readAll(request.targets, note);
  const real = await readAll(request.real === undefined ? [] : [request.real], note);
  const here = request.generated === undefined ? undefined : await madeBefore(request);
  checkCounts(request, here?.paths.length, real.length);
  const { paths, prompts } = here ?? await madeNow(request, ui);
  const generated = await Promise.all(paths.map(readPicture));
  using device = await openDevice(request, ui);
  const scorer = await openClip(device, clip, counting(ui, "load CLIP"));
  const encoders = dino ? [await openDino(device, dino, counting(ui, "load DINO"))] : [];
  const scores = await scorePictures(scorer, {
    generated,
    ...(prompts && { prompts }),
    ...(targets.length && { targets }),
    ...(real.length && { real }),
  }, {
    encoders,
    resamples: request.resamples,
    fidResamples: Math.min(100, request.resamples),
    seed: request.bootstrapSeed,
    onWarning: (line) => ui.progress.note(line),
    onProgress: phases(ui, (what) => what === "pictures" ? "encode pictures" : `${what}: draws`),
  });
  for (const encoder of [scorer, ...encoders]) encoder.free();
  const remarks = remarksOn(request, prompts, clip, Math.min(generated.length, real.length));
  const table = [...scoreTable(scores), ...remarks];
  for (const line of table) ui.say(line);
  const path = `${request.out}/${REPORT_FILE}`;
  const sets = { generated, targets, real };
  await writeFileAtomic(path, await page(table, sets, prompts, device));
  if (request.json !== undefined) {
    const pictures = Object.fromEntries(Object.entries(sets).map(([k, v]) => [k, v.length]));
    const { resamples, bootstrapSeed: seed } = request;
    const numbers = {
      device: device.facts.description,
      scorer: clip.path,
      dino: dino?.path,
      pictures,
      resamples,
      seed,
      level: 0.95,
      scores,
    };
    await writeFileAtomic(request.json, `${JSON.stringify(numbers, undefined, 2)}\n`);
  }
  return path;
}

async function readAll(folders: string[], note: (text: string) => void): Promise<Picture[]> {
  const listed = await Promise.all(folders.map((folder) => listPictures(folder, note)));
  return await Promise.all(listed.flat().map(readPicture));
}

/** Pictures and the prompts that they were made from, where that is known. */
interface Made {
  paths: string[];
  prompts?: string[];
}

async function madeBefore({ generated, prompt }: EvaluateRequest): Promise<Made> {
  const folder = generated!;
  // The overview that `moongate generate` writes beside its pictures is none of them.
  const paths = (await listPictures(folder)).filter((path) => !path.endsWith(`/${SHEET_FILE}`));
  if (!paths.length) throw new FileError(folder, "holds no pictures but a sheet");
  if (prompt !== undefined) return { paths, prompts: paths.map(() => prompt) };
  const list = `${folder}/prompts.json`;
  const named = await isFile(list) ? await readJsonObject(list) : {};
  const found = await Promise.all(paths.map(async (path) => {
    const stem = path.split("/").at(-1)!.replace(/\.[^.]*$/, "");
    if (typeof named[stem] === "string") return named[stem];
    return path.endsWith(".png") ? readPngText(await Deno.readFile(path), path).prompt : undefined;
  }));
  if (found.every((text) => text === undefined)) return { paths };
  const without = found.indexOf(undefined);
  if (without < 0) return { paths, prompts: found as string[] };
  throw new FileError(
    paths[without],
    "has no prompt, and other pictures beside it have one",
    "Name it in prompts.json, {file name without extension: prompt}, or give --prompt for all",
  );
}

async function madeNow({ generate: wish, out }: EvaluateRequest, ui: Ui): Promise<Made> {
  const paths = (await generate({ ...wish!, out: `${out}/${PICTURES_FOLDER}` }, ui)).slice(0, -1);
  return { paths, prompts: wish!.prompts.flatMap((text) => Array(wish!.count).fill(text)) };
}

function checkCounts(
  { generate: wish, generated, real, prompt }: EvaluateRequest,
  here: number | undefined,
  realCount: number,
): void {
  for (const text of wish?.prompts ?? (prompt === undefined ? [] : [prompt])) {
    if (withoutTokens(text)) continue;
    throw new UsageError(`the prompt "${text}" is empty without its taught words`);
  }
  if (real === undefined) return;
  const few = "KID and FID need two or more on each side";
  if (realCount < 2) throw new FileError(real, "holds one picture only", few);
  const count = here ?? wish!.prompts.length * wish!.count;
  if (count >= 2) return;
  if (generated !== undefined) throw new FileError(generated, "holds one picture only", few);
  throw new UsageError(`one picture would be generated, and ${few}: raise --count`);
}

function remarksOn(
  { targets, real }: EvaluateRequest,
  prompts: string[] | undefined,
  clip: ClipFolder,
  fewest: number,
): string[] {
  const size = clip.config.vision.projection;
  return [
    prompts ? "" : "no text alignment: the pictures name no prompts (--prompt gives one for all)",
    targets.length ? "" : "no image alignment: no --targets",
    real === undefined ? "no KID, no FID: no --real" : "KID and FID are of CLIP's features",
    real !== undefined && fewest <= size
      ? `FID of ${fewest} pictures is far too large for features of length ${size}: trust KID`
      : "",
  ].filter(Boolean);
}

/** Scores as aligned columns. */
export function scoreTable(scores: readonly Score[]): string[] {
  const digits = (x: number) => Number.isFinite(x) ? figures(x) : "?";
  return columns([
    ["score", "by", "value", "95 % interval"],
    ...scores.map(({ score, encoder, value, low, high }) => [
      score,
      encoder,
      digits(value),
      `${digits(low)} … ${digits(high)}`,
    ]),
  ]);
}

function page(
  table: readonly string[],
  sets: Readonly<Record<string, readonly Picture[]>>,
  prompts: readonly string[] = [],
  { facts }: Device,
): Promise<string> {
  const shown = Object.entries(sets).filter(([, pictures]) => pictures.length);
  return reportPage({
    title: "moongate evaluate",
    lead: `${
      shown.map(([name, pictures]) => `${pictures.length} ${name}`).join(", ")
    }; scored on ${facts.description}`,
    sections: [
      { title: "Scores", text: "", rows: [], pre: table.join("\n") },
      ...shown.map(([name, pictures]) => ({
        title: name,
        text: pictures.length > SHOWN ? `The first ${SHOWN} of ${pictures.length}.` : "",
        rows: [{
          title: "",
          pictures: pictures.slice(0, SHOWN),
          captions: name === "generated" ? prompts : [],
        }],
      })),
    ],
  });
}
