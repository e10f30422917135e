/** `moongate doctor`: what the machine has, and what will run on it. */
import type { Command } from "npm:commander@15.1.0";
import settings from "../../deno.json" with { type: "json" };
import { UsageError } from "../../terminal/errors.ts";
import { type AdapterFacts, type Facts, gatherFacts } from "./facts.ts";
import type { Needs } from "../shared/permissions.ts";
import { type Context, verb } from "../shared/verb.ts";
import { binaryBytes, bytes, duration } from "../../numerics/quantities.ts";

/** Whether one kind of work will run. */
export interface Verdict {
  /** The work. */
  what: string;
  /** Whether it will. */
  runs: "yes" | "slowly" | "no";
  /** Why, or what it needs. */
  why: string;
}

/** Bytes of the largest single tensors of Stable Diffusion 1.x in f32: conv 2560→1280 3×3, and the token embedding. */
const largest = { conv: 2560 * 1280 * 9 * 4, embedding: 49408 * 768 * 4 };

/** What it reads and writes. */
const NEEDS: Needs = { read: [], write: [] };

/** The command. */
export function doctorCommand(context: Context): Command {
  return verb("doctor", "Show the GPU adapter, its limits, and what will run on it.", [
    "moongate doctor",
    "moongate doctor --json > doctor.json",
  ], NEEDS)
    .option("--json", "everything that was found, as JSON")
    .action(async ({ json }: { json?: boolean }) => {
      const facts = await gatherFacts(settings.version);
      const verdicts = judge(facts.adapter, facts.device);
      if (json) context.out(JSON.stringify({ ...facts, verdicts }, null, 2));
      else for (const line of describe(facts, verdicts)) context.out(line);
      if (!facts.device) throw new UsageError(noAdapter());
      if (facts.adapter?.wrong) {
        throw new UsageError(
          `the adapter does not compute right (${facts.adapter.wrong}): update its driver, or let the ` +
            "CPU compute by MOONGATE_DEVICE=cpu",
        );
      }
    });
}

function noAdapter(): string {
  return Deno.build.os === "linux"
    ? "no GPU adapter answers: install your GPU's Vulkan driver, or the software one " +
      "(Debian, Ubuntu: apt-get install mesa-vulkan-drivers)"
    : "no GPU adapter answers: install your GPU's driver";
}

/**
 * What will run on an adapter, from its limits. WebGPU does not tell how much memory there is.
 *
 * @param device what computes where no adapter answers
 */
export function judge(adapter: AdapterFacts | undefined, device?: string): Verdict[] {
  const merge: Verdict = { what: "merge solver", runs: "yes", why: "float64 on the CPU, no GPU" };
  if (!adapter && device) {
    const why = `no adapter: ${device} computes`;
    return [
      { what: "demo (miniature model)", runs: "slowly", why },
      { what: "Stable Diffusion 1.x", runs: "slowly", why: `${why}, not yet tried at this size` },
      merge,
    ];
  }
  if (!adapter || adapter.wrong) {
    const why = adapter ? "the adapter computes wrong numbers" : "no adapter";
    return [
      { what: "demo (miniature model)", runs: "no", why },
      { what: "Stable Diffusion 1.x", runs: "no", why },
      merge,
    ];
  }
  const binding = adapter.limits.maxStorageBufferBindingSize ?? 0;
  const pace = adapter.software ? "slowly" : "yes";
  const cpu = "a software adapter: the CPU computes";
  const demo: Verdict = {
    what: "demo (miniature model)",
    runs: pace,
    why: adapter.software ? cpu : "fits everywhere",
  };
  const f16 = adapter.features.includes("shader-f16");
  const sd = "Stable Diffusion 1.x";
  if (binding < largest.conv) {
    const why = `its largest weight is ${binaryBytes(largest.conv)}, and the adapter binds ` +
      `${binaryBytes(binding)} at most`;
    return [demo, { what: sd, runs: "no", why }, merge];
  }
  const weights = `${bytes(2.13e9)} of weights in f16, ${bytes(4.27e9)} in f32` +
    (f16 ? "" : " (its shaders have no f16: activations are f32)");
  const split = binding < largest.embedding ? "; the token embedding is bound in parts" : "";
  const why = `${weights}${split}${adapter.software ? `; ${cpu}` : ""}`;
  return [demo, { what: sd, runs: pace, why }, merge];
}

function describe({ versions, backend, adapter, device }: Facts, verdicts: Verdict[]): string[] {
  const lines = [
    `moongate ${versions.moongate}, Deno ${versions.deno} (V8 ${versions.v8}), ${versions.platform}`,
    `backend   ${backend ?? "chosen by the runtime"}`,
    `device    ${device ?? "none"}`,
  ];
  if (adapter) {
    const { limits } = adapter;
    lines.push(
      `adapter   ${adapter.description || adapter.vendor || "unnamed"}${
        adapter.software ? " (software)" : ""
      }`,
      `computes  ${
        adapter.wrong
          ? `WRONG: ${adapter.wrong}`
          : `right, ${duration((adapter.roundTrip ?? NaN) / 1000)} there and back`
      }`,
    );
    if (adapter.loopLimit !== undefined) {
      lines.push(
        `          stops loops after ${adapter.loopLimit} iterations without a word (kernels here stay under it)`,
      );
    }
    lines.push(
      `features  ${adapter.features.join(", ") || "none"}`,
      "limits",
      ...[
        ["largest buffer", binaryBytes(limits.maxBufferSize)],
        ["largest binding", binaryBytes(limits.maxStorageBufferBindingSize)],
        ["storage buffers a stage", String(limits.maxStorageBuffersPerShaderStage)],
        ["workgroup memory", binaryBytes(limits.maxComputeWorkgroupStorageSize)],
        ["invocations a workgroup", String(limits.maxComputeInvocationsPerWorkgroup)],
      ].map(([name, value]) => `  ${name.padEnd(24)} ${value}`),
    );
  }
  lines.push("what will run");
  for (const { what, runs, why } of verdicts) {
    lines.push(`  ${what.padEnd(24)} ${runs.padEnd(6)} ${why}`);
  }
  return lines;
}
