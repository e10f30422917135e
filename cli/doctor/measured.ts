/** The work of `moongate doctor --measure`: what it asks for is measured, and written down after every section. */
import { expectPython } from "../../bench/peers/python.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { ownFiles } from "../../files/own_files.ts";
import { duration, figures, scale, share } from "../../numerics/quantities.ts";
import { UsageError } from "../../terminal/errors.ts";
import { Interrupted } from "../../terminal/interrupt.ts";
import { openDevice } from "../shared/device.ts";
import { reportPage } from "../shared/report.ts";
import type { Ui } from "../shared/ui.ts";
import type { AdapterFacts } from "./adapter.ts";
import { MAKER, MEASURED } from "./claim.ts";
import { subjectOf } from "./full/lab.ts";
import { pageOf } from "./full/page.ts";
import type { MeasuredRecord, Outcome } from "./full/record.ts";
import { measureAll, problems } from "./full/run.ts";
import type { Diagnosis, DoctorRequest, MeasureRequest } from "./request.ts";

/** What is known of the machine. */
interface Machine {
  readonly versions: Readonly<Record<string, string>>;
  readonly processor?: string;
  readonly adapter?: AdapterFacts;
}

/** Measures. */
export async function measureFully(
  request: DoctorRequest,
  wanted: MeasureRequest,
  machine: Machine,
  ui: Ui,
): Promise<Diagnosis> {
  const { model, minutes, out, python } = wanted;
  if (python !== undefined) {
    await expectPython(python).catch((e: Error) => {
      throw new UsageError(
        `--python "${python}": ${e.message}. It takes a Python with PyTorch and diffusers`,
      );
    });
  }
  const subject = await subjectOf(model);
  const own = await ownFiles(out, MAKER);
  const keep = async (record: MeasuredRecord) => {
    const page = await reportPage(pageOf(record)), text = JSON.stringify(record, null, 2);
    await own.make(MEASURED.record, (path) => writeFileAtomic(path, `${text}\n`));
    await own.make(MEASURED.page, (path) => writeFileAtomic(path, page));
  };
  const day = new Date().toISOString().slice(0, 10);
  const record = await measureAll(
    subject,
    { minutes, ...(python !== undefined && { python }) },
    { format: 1, day, ...machine, request: { model, minutes } },
    {
      keep,
      open: () => openDevice(request, ui),
      note: ui.progress.note,
      signal: ui.interrupt.signal,
    },
  );
  ui.progress.stop();
  const page = `${out}/${MEASURED.page}`;
  if (ui.interrupt.requested) {
    ui.say(`stopped; what was measured until then is in ${page}`);
    throw new Interrupted();
  }
  const found = problems(record);
  return {
    facts: { ...record },
    lines: [...summary(record), page],
    problem: found.length ? `${found.join("; ")}. See ${page}` : undefined,
  };
}

/** A record in lines. */
export function summary(
  { device, ceilings, training, kernels, sampling, pytorch }: MeasuredRecord,
) {
  const row = (name: string, value: string) => `${name.padEnd(24)} ${value}`;
  const of = <T>(name: string, section: Outcome<T> | undefined, say: (s: Outcome<T>) => string) =>
    section ? [row(name, say(section))] : [];
  const short = ({ why = "not measured" }: Outcome<unknown>) => why.split("\n")[0];
  return [
    row("device", device.description),
    ...of(
      "multiply-adds in f32",
      ceilings,
      (c) => c.f32FlopPerSecond ? scale(c.f32FlopPerSecond, "FLOP/s") : short(c),
    ),
    ...of(
      "copy",
      ceilings,
      (c) => c.bytesPerSecond ? `${scale(c.bytesPerSecond, "B/s")}, read and written` : short(c),
    ),
    ...Object.entries(training).flatMap(([batch, step]) =>
      of(`training step of ${batch}`, step, (t) => {
        if (!t.secondsPerStep) return short(t);
        const ratio = pytorch?.steps?.find((s) => s.batch === Number(batch))?.ratio;
        const parts = [
          duration(t.secondsPerStep),
          ...t.ofFlops ? [`${share(t.ofFlops)} of multiply-adds`] : [],
          t.sameBits ? "the same bits twice" : "OTHER BITS the second time",
          ...ratio ? [`PyTorch takes ${figures(ratio)} times as long`] : [],
        ];
        return parts.join(", ");
      })
    ),
    ...of(
      "kernels",
      kernels,
      (k) => k.hot ? `${k.checked} of ${k.hot.length} checked, ${k.wrong} wrong` : short(k),
    ),
    ...of(
      "a picture",
      sampling,
      (s) =>
        s.secondsPerPicture
          ? `${duration(s.secondsPerPicture)}, ${s.sameBits ? "the same" : "OTHER"} bits twice`
          : short(s),
    ),
    ...of("PyTorch", pytorch, (p) => p.library ?? short(p)),
  ];
}
