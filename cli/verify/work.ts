/** The work of `moongate verify`: a golden file computed again, as a table. */
import { Gold } from "../../concepts/verify/gold.ts";
import { type Verification, verifyModel } from "../../concepts/verify/verify.ts";
import { loadPipeline } from "../../diffusion/pipeline.ts";
import { figures } from "../../numerics/quantities.ts";
import { Interrupted } from "../../terminal/interrupt.ts";
import { openDevice } from "../shared/device.ts";
import { inspectModel } from "../shared/model.ts";
import { counting, loading } from "../shared/phases.ts";
import type { Findings, VerifyRequest } from "./request.ts";
import type { Ui } from "../shared/ui.ts";
import { columns } from "../../terminal/table.ts";

/** Computes a golden file again and says how far off each tensor is. */
export async function run(request: VerifyRequest, ui: Ui): Promise<Findings> {
  const { model, gold } = request;
  const { folder, base } = await inspectModel(model);
  // What is no golden file should show before a model is loaded.
  (await Gold.open(gold))[Symbol.dispose]();
  using device = await openDevice(request, ui);
  const pipeline = await loadPipeline(device, folder, { onProgress: loading(ui) });
  try {
    const found = await verifyModel(pipeline, gold, {
      signal: ui.interrupt.signal,
      onProgress: counting(ui, "verify"),
    });
    ui.progress.stop();
    const adapter = device.facts.description;
    return {
      facts: { model, base, gold, adapter, ...found },
      lines: linesOf(found, adapter),
      wrong: found.tensors.filter((t) => !t.passed).map((t) => t.name),
    };
  } catch (error) {
    if (ui.interrupt.requested && (error as Error).name === "AbortError") throw new Interrupted();
    throw error;
  }
}

function linesOf(found: Verification, adapter: string): string[] {
  const { tensors, skipped, unknown, startToken } = found;
  const off = tensors.filter((t) => !t.passed).length;
  const lines = columns([
    ["tensor", "error", "limit", ""],
    ...tensors.map(({ name, error, limit, passed }) => [
      name,
      figures(error),
      limit.toExponential(0),
      passed ? "ok" : "WRONG",
    ]),
  ]);
  lines.push("");
  if (startToken) lines.push(`gradients of keys and values from the start token: ${startToken}`);
  if (skipped.length) lines.push(`skipped, since the file does not hold it: ${listed(skipped)}`);
  if (unknown.length) lines.push(`not known, and not compared: ${listed(unknown)}`);
  lines.push(
    off
      ? `${off} of ${tensors.length} tensors differ from PyTorch's on ${adapter}`
      : `${tensors.length} tensors agree with PyTorch's on ${adapter}`,
  );
  return lines;
}

/** Names as a list that no terminal drowns in. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 12);
  return shown.join(", ") + (names.length > shown.length ? `, … (${names.length} in all)` : "");
}
