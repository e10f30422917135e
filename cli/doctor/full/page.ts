/** A record of measurements as a page, for people. */
import {
  binaryBytes,
  bytes,
  count,
  duration,
  figures,
  scale,
  share,
} from "../../../numerics/quantities.ts";
import { alignColumns } from "../../../compile/inspect/explain.ts";
import type { Report, ReportSection } from "../../shared/report.ts";
import type {
  Ceilings,
  Ended,
  HotKernel,
  Kind,
  MeasuredRecord,
  Memory,
  Outcome,
  Sampling,
  Start,
  Training,
} from "./record.ts";

type Rows = readonly (readonly string[])[];

/** The page, to be made HTML of. */
export function pageOf(record: MeasuredRecord): Report {
  const { device, request, versions, processor, day, seconds, complete } = record;
  const model = request.model === "sd15"
    ? "Stable Diffusion 1.5 at 512 × 512, random weights"
    : "the miniature that ships";
  const on = [
    `moongate ${versions.moongate}`,
    `Deno ${versions.deno}`,
    versions.platform,
    ...processor ? [processor] : [],
  ];
  return {
    title: device.description,
    lead: `What moongate does on it: ${model}. ${on.join(", ")}; ${day}, in ${duration(seconds)}${
      complete ? "" : ", not finished"
    }.`,
    sections: [
      machine(record),
      ...titled("Ceilings", record.ceilings, CEILINGS, ceilings),
      ...Object.entries(record.training).flatMap(([batch, of]) =>
        titled(`Training step, batch ${batch}`, of, "", training)
      ),
      ...titled("Kernels of the training step", record.kernels, KERNELS, ({ hot }) => ({
        table: hot && kernelRows(hot),
      })),
      ...titled("A picture from noise", record.sampling, "", sampling),
      ...titled("PyTorch", record.pytorch, PYTORCH, ({ library, steps }) => ({
        table: steps && [
          ["batch", library ?? "PyTorch", "with TF32", "its time over ours"],
          ...steps.map((s) => [
            String(s.batch),
            duration(s.secondsPerStep),
            s.tf32SecondsPerStep === undefined ? "–" : duration(s.tf32SecondsPerStep),
            `${figures(s.ratio)}×`,
          ]),
        ],
      })),
    ],
  };
}

const CEILINGS = "What kernels reach that do nothing else.";
const KERNELS = "Those that make up most of the time, at each of their shapes. Parts are of the " +
  "ceilings. An answer is beside the op's definition in float64, or beside the CPU's in f32; its " +
  "error is relative to the largest value.";
const PYTORCH = "The same step in the same run, in full f32.";

/** A section where something was measured or ended: its words say how. */
function titled<T>(
  title: string,
  of: Outcome<T> | undefined,
  text: string,
  show: (of: Partial<T>) => { table?: Rows; pre?: string },
): ReportSection[] {
  if (!of) return [];
  return [{ title, text: [text, ended(of)].filter(Boolean).join(" "), rows: [], ...show(of) }];
}

const ended = ({ state, why, seconds }: Ended): string =>
  state === "measured"
    ? `Took ${duration(seconds)}.`
    : `${state === "failed" ? "Failed" : "Not measured to its end"}: ${why}.`;

function machine({ device, adapter, profile }: MeasuredRecord): ReportSection {
  return {
    title: "Device",
    text: device.why,
    rows: [],
    table: [
      ["", ""],
      ["backend", device.backend + (device.software ? ", a software adapter" : "")],
      ["vendor", device.vendor],
      ["features", device.features.join(", ") || "none"],
      ["f16 in shaders", profile.f16 ? "yes" : "no"],
      ["largest buffer", binaryBytes(profile.maxBuffer)],
      ["largest binding", binaryBytes(profile.maxBinding)],
      ["storage buffers a stage", String(profile.maxStorageBuffers)],
      ["workgroup memory", binaryBytes(profile.workgroupStorage)],
      ["invocations a workgroup", String(profile.maxInvocations)],
      ...(adapter?.wrong ? [["computes", `WRONG: ${adapter.wrong}`]] : []),
    ],
  };
}

function ceilings(
  { f32FlopPerSecond: f32, f16FlopPerSecond: f16, ...of }: Partial<Ceilings>,
): { table: Rows } {
  const { bytesPerSecond, copiedBytes, nanosecondsPerTimestamp: ns } = of;
  return {
    table: [
      ["", ""],
      ...f32 ? [["multiply-adds in f32", scale(f32, "FLOP/s")]] : [],
      ...f16 ? [["multiply-adds in f16", scale(f16, "FLOP/s")]] : [],
      ...bytesPerSecond
        ? [[`copy of ${binaryBytes(copiedBytes!)}`, scale(bytesPerSecond, "B/s")]]
        : [],
      ...ns ? [["a timestamp is", `${figures(ns)} ns`]] : [],
    ],
  };
}

function kernelRows(hot: readonly HotKernel[]): Rows {
  const part = (of: number | undefined) => of === undefined ? "–" : share(of);
  return [
    ["kernel", "shapes", "times", "each", "share", "pace", "part", "traffic", "part", "error"],
    ...hot.map((k) => [
      k.kernel,
      k.shapes,
      String(k.dispatches),
      duration(k.milliseconds / 1000),
      share(k.share),
      pace(k.flop, k.milliseconds, "FLOP/s"),
      part(k.ofFlops),
      pace(k.bytes, k.milliseconds, "B/s"),
      part(k.ofBytes),
      k.answer
        ? `${k.answer.right ? "" : "WRONG: "}${
          k.answer.error === null ? "not finite" : figures(k.answer.error)
        } (${k.answer.reference})`
        : "–",
    ]),
  ];
}

function startRows(start: Start | undefined): Rows {
  if (!start) return [];
  return [
    ["traced and planned in", duration(start.planSeconds)],
    [`${start.compiled} of ${start.kernels} kernels compiled in`, duration(start.compileSeconds)],
    ["first run", duration(start.firstSeconds)],
  ];
}

function memoryRows(memory: Memory | undefined): Rows {
  if (!memory) return [];
  const { weights, trained, program: p, planned, allocated } = memory;
  return [
    [
      "memory planned",
      `${bytes(planned)}: weights ${bytes(weights)}, trained ${bytes(trained)}, activations ${
        bytes(p.activations)
      }, scratch ${bytes(p.scratch)}, gaps ${bytes(p.gaps)}, data ${bytes(p.data)}`,
    ],
    ...allocated === undefined ? [] : [["memory allocated", bytes(allocated)]],
  ];
}

const sameBits = (same: boolean | undefined): Rows =>
  same === undefined ? [] : [["a second run", same ? "the same bits" : "OTHER BITS"]];

function training(of: Partial<Training>): { table: Rows; pre?: string } {
  const { secondsPerStep, medianSeconds, steps, flopPerSecond, ofFlops, flop } = of;
  return {
    table: [
      ["", ""],
      ...secondsPerStep
        ? [[
          "a step",
          `${duration(secondsPerStep)}, the fastest of ${steps} (median ${
            duration(medianSeconds!)
          })`,
        ]]
        : [],
      ...flop ? [["work", `${scale(flop, "FLOP")} in ${count(of.dispatches!)} dispatches`]] : [],
      ...flopPerSecond
        ? [[
          "pace",
          scale(flopPerSecond, "FLOP/s") + (ofFlops ? `, ${share(ofFlops)} of multiply-adds` : ""),
        ]]
        : [],
      ...sameBits(of.sameBits),
      ...memoryRows(of.memory),
      ...startRows(of.start),
    ],
    pre: of.kinds && kindLines(of.kinds),
  };
}

function sampling(of: Partial<Sampling>): { table: Rows; pre?: string } {
  const { wantedSteps, steps, secondsPerStep, decodeSeconds, secondsPerPicture, ofFlops } = of;
  return {
    table: [
      ["", ""],
      ...secondsPerStep
        ? [
          [`a picture of ${wantedSteps} steps`, duration(secondsPerPicture!)],
          ["a step", `${duration(secondsPerStep)}, in walks of ${steps}`],
          ["decoding", duration(decodeSeconds!)],
          ...ofFlops ? [["pace of a step", `${share(ofFlops)} of multiply-adds`]] : [],
        ]
        : [],
      ...sameBits(of.sameBits),
      ...memoryRows(of.memory),
      ...startRows(of.start),
    ],
    pre: of.kinds && kindLines(of.kinds),
  };
}

/** Time by kind of kernel, in columns. */
function kindLines(kinds: readonly Kind[]): string {
  const all = kinds.reduce((n, k) => n + k.milliseconds, 0) || 1;
  const rows = kinds.map(({ kind, dispatches, milliseconds, flop, bytes }) => [
    kind,
    String(dispatches),
    duration(milliseconds / 1000),
    share(milliseconds / all),
    flop ? pace(flop, milliseconds, "FLOP/s") : "",
    pace(bytes, milliseconds, "B/s"),
  ]);
  return alignColumns(rows, [1, 2, 3, 4, 5]).join("\n");
}

const pace = (much: number, milliseconds: number, unit: string): string =>
  milliseconds ? scale(1000 * much / milliseconds, unit) : "–";
