/** The work of `moongate compress`: read, cut, write. No GPU. */
import { needsBase } from "../../concepts/deltas/changes.ts";
import { compressDelta, leastEnergy } from "../../concepts/deltas/compress.ts";
import { openBase } from "../../concepts/deltas/formats/base.ts";
import { openDelta } from "../../concepts/deltas/formats/load.ts";
import { saveDeltaAs } from "../../concepts/deltas/formats/save.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { phrase } from "../../concepts/data/prompts.ts";
import { bytes, figures } from "../../numerics/quantities.ts";
import { UsageError } from "../../terminal/errors.ts";
import { nextAfterDelta } from "../shared/hints.ts";
import { counting } from "../shared/phases.ts";
import { spectrumPlot } from "../shared/plot.ts";
import type { CompressRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { columns } from "../../terminal/table.ts";

export { claimCompress as claim } from "./claim.ts";

/** Compresses a delta; gives the path of the new one. */
export async function run(request: CompressRequest, ui: Ui): Promise<string> {
  using base = request.model === undefined ? undefined : await openBase(request.model);
  const { path, delta: read } = await openDelta(request.from, base);
  const delta = base?.fit(path, read) ?? read;
  if (!base && [...delta.weights.values()].some(needsBase)) {
    throw new UsageError(
      `${path} holds trained weights: --model, the model it was trained on, says how they changed`,
    );
  }
  const made = await compressDelta(delta, request.target, {
    base: base?.read,
    onProgress: counting(ui, "compress"),
  }).catch((error) => {
    throw error instanceof RangeError ? new UsageError(error.message, { cause: error }) : error;
  });
  ui.progress.stop();
  const { ranks, spectra } = made, least = leastEnergy(spectra.values());
  if (least > 0 && [...ranks.values()].every((rank) => rank === 0)) {
    throw new UsageError(
      `nothing would be left of ${path}: --energy ${Math.ceil(least * 1000) / 1000} is the least ` +
        "that keeps a singular value",
    );
  }
  const { paths: [written] } = await saveDeltaAs(request.out, made.delta, "moongate");
  if (request.plot !== undefined) {
    await writeFileAtomic(
      request.plot,
      new TextEncoder().encode(await spectrumPlot(made.spectra, made.ranks)),
    );
  }
  const rows = [...made.ranks].map(([name, rank]) => [
    name,
    `${rank} of ${made.spectra.get(name)!.length}`,
    share(made.spectra.get(name)!, rank),
  ]);
  for (const line of columns([["matrix", "rank", "energy"], ...rows])) ui.say(line);
  ui.say(`${bytes(made.bytes)} of numbers`);
  if ([...ranks].every(([name, rank]) => rank === spectra.get(name)!.length)) {
    ui.say("nothing was cut: what was asked for has room for every singular value");
  }
  if (request.plot !== undefined) ui.say(`spectra: ${request.plot}`);
  ui.progress.note(nextAfterDelta(request.model, request.out, made.delta.tokens.map(phrase)));
  return written;
}

/** Which share of the singular values' sum is kept. */
function share(s: Float64Array, rank: number): string {
  const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0);
  const whole = sum(s);
  return whole === 0 ? "" : figures(sum(s.subarray(0, rank)) / whole);
}
