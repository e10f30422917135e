// `moongate doctor --measure`: what it writes down on both devices, and that a section that fails or finds no time leaves the
// others and what it had found itself.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { subjectOf } from "../cli/doctor/full/lab.ts";
import { pageOf } from "../cli/doctor/full/page.ts";
import type { MeasuredRecord, Training } from "../cli/doctor/full/record.ts";
import { measureAll, problems } from "../cli/doctor/full/run.ts";
import { summary } from "../cli/doctor/measured.ts";
import { reportPage } from "../cli/shared/report.ts";
import { gpu } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import { onlyBackend } from "./support/backend.ts";
import { webgpuAnswers } from "./support/adapters.ts";
import { inFolder, run } from "./support/command.ts";
import { ABOUT, LEAST } from "./support/measure.ts";

/** A whole measurement on a device of its own, which what measures destroys; and how often it was written down. */
async function measured(open: () => Promise<Device>, extent = LEAST) {
  const kept: MeasuredRecord[] = [], notes: string[] = [];
  const record = await measureAll(
    await subjectOf("miniature"),
    { minutes: 30, extent },
    ABOUT,
    {
      open,
      keep: (r) => Promise.resolve(void kept.push(structuredClone(r))),
      note: (line) => notes.push(line),
    },
  );
  return { record, kept, notes };
}

/** What holds of every record that came to its end, whatever became of its ceilings. */
async function checkWhole(record: MeasuredRecord, kept: readonly MeasuredRecord[]) {
  const { training, kernels, sampling, device } = record;
  const sections = [training[1], kernels, sampling];
  assertEquals(sections.map((s) => [s?.state, s?.why]), Array(3).fill(["measured", undefined]));
  assert(record.complete);
  // Written from the beginning on, one section more each time; everything is plain JSON.
  const known = (r: MeasuredRecord) =>
    [r.ceilings, r.training[1], r.kernels, r.sampling].filter((s) => s).length;
  assertEquals(kept.map(known), [0, 1, 2, 3, 4, 4]);
  assertEquals(JSON.parse(JSON.stringify(record)), JSON.parse(JSON.stringify(kept.at(-1))));

  const t = training[1] as Training;
  assert(t.sameBits && sampling!.sameBits);
  assertEquals(t.losses.length > 0 && t.losses.every(Number.isFinite), true);
  // What was planned is what was allocated.
  assertEquals(t.memory.allocated, t.memory.planned);
  assertEquals(sampling!.memory!.allocated, sampling!.memory!.planned);
  assertEquals(t.memory.planned, t.memory.weights + t.memory.trained + t.memory.program.total);
  assert(t.start.kernels > 20 && t.start.compiled > 20 && t.start.compiled <= t.start.kernels);
  assert(t.secondsPerStep > 0 && t.medianSeconds >= t.secondsPerStep);
  for (const kinds of [t.kinds, sampling!.kinds!]) {
    const names = kinds.map(({ kind }) => kind);
    assertEquals(new Set(names).size, names.length);
    for (const kind of ["conv2d", "matmul", "groupNorm", "elementwise"]) {
      assert(names.includes(kind));
    }
    assert(kinds.every(({ milliseconds, dispatches }) => milliseconds >= 0 && dispatches > 0));
  }
  assert(t.kinds.some(({ kind }) => kind === "conv2dInputGrad"));

  const { hot, checked, wrong, milliseconds } = kernels!;
  assertEquals([hot!.length, wrong], [LEAST.hotKernels, 0]);
  // A software adapter's kernels are checked every one; of the CPU's those that float64 is soon done with.
  assert(checked! >= (device.backend === "cpu" ? 6 : 12), `${checked} kernels are checked`);
  for (const { share, milliseconds: each, dispatches, answer, shapes } of hot!) {
    assert(Math.abs(share - each * dispatches / milliseconds!) < 1e-6);
    assert(!answer || answer.right && answer.error! < 1e-4);
    assertMatch(shapes, /^f32\[.* → f32\[/);
  }
  const page = await reportPage(pageOf(record));
  for (const part of [device.description, "Training step, batch 1", "conv2d", "the same bits"]) {
    assert(page.includes(part), part);
  }
  assert(summary(record).some((line) => /training step of 1 .*the same bits twice/.test(line)));
}

/** A first device that goes while its ceilings are measured, after a figure and before the next; then others, which stay. */
function opener(open: () => Promise<Device>) {
  const opened: Device[] = [];
  return {
    opened,
    open: async () => {
      const device = await open();
      opened.push(device);
      if (opened.length > 1) return device;
      const { buffers } = device, allocate = buffers.allocate.bind(buffers);
      buffers.allocate = (bytes, label, hangsOn) => {
        if (label === "a copy") device.destroy();
        return allocate(bytes, label, hangsOn);
      };
      return device;
    },
  };
}

Deno.test({
  name: "everything is measured on the CPU, and written down section by section; one that fails " +
    "leaves what it found and the others, on a device that is opened anew",
  ignore: onlyBackend === "webgpu",
  async fn() {
    const { opened, open } = opener(() => gpu({ backend: "cpu", threads: 2 }));
    const { record, kept, notes } = await measured(open);
    const { ceilings } = record;
    assertEquals(ceilings!.state, "failed");
    assertMatch(ceilings!.why!, /destroyed/);
    assert(ceilings!.f32FlopPerSecond! > 0, "the figure before stays");
    assertEquals([opened.length, ceilings!.bytesPerSecond], [2, undefined]);
    assert(notes.includes("the device was lost, and opened anew"));
    assertEquals(problems(record).length, 1);
    assertMatch(problems(record)[0], /^ceilings failed: /);
    await checkWhole(record, kept);
    assertEquals(record.device.backend, "cpu");
  },
});

Deno.test({
  name: "everything is measured on WebGPU, and kernels' answers are those of the definitions",
  ignore: onlyBackend === "cpu" || !await webgpuAnswers(),
  async fn() {
    const { record, kept } = await measured(() => gpu({ backend: "webgpu" }));
    await checkWhole(record, kept);
    const { ceilings, device } = record;
    assertEquals([ceilings!.state, device.backend, problems(record)], ["measured", "webgpu", []]);
    assertEquals(ceilings!.f16FlopPerSecond !== undefined, record.profile.f16);
  },
});

Deno.test("the command: its flags, and folders that hold others' files", async () => {
  const asked: unknown[] = [];
  const doctor = (request: unknown) => {
    asked.push(request);
    return Promise.resolve({ facts: {}, lines: [] });
  };
  const command = (...flags: string[]) => run(["doctor", ...flags], { doctor });
  assertEquals((await command("--measure")).code, 0);
  assertEquals(asked.pop(), { measure: { model: "sd15", minutes: 10, out: "out/measured" } });
  await command(
    ...["--measure", "--model", "miniature", "--minutes", "0.5", "--out", "o", "--python", "py"],
    ...["--device", "cpu", "--overwrite", "-q"],
  );
  assertEquals(asked.pop(), {
    device: "cpu",
    measure: { model: "miniature", minutes: 0.5, out: "o", python: "py", overwrite: true },
  });
  for (
    const [flags, said] of [
      [["--minutes", "5"], /--minutes is of --measure/],
      [["--python", "py"], /--python is of --measure/],
      [["--measure", "--minutes", "0"], /must be a number, more than 0/],
      [["--measure", "--model", "sdxl"], /Allowed choices are sd15, miniature/],
    ] as const
  ) {
    const { code, err } = await command(...flags);
    assertEquals(code, 1);
    assertMatch(err, said);
  }
  assertEquals(asked, []);
  await inFolder(async (folder) => {
    const path = `${folder}/measured.json`;
    await Deno.writeTextFile(path, "mine");
    const { code, err } = await run(["doctor", "--measure", "--out", folder]);
    assertEquals([code, await Deno.readTextFile(path)], [1, "mine"]);
    assertMatch(err, /measured\.json already/);
  });
});

Deno.test("without time a record is written all the same, again by a second run, and says what was not measured", async () => {
  await inFolder(async (folder) => {
    const out = `${folder}/measured`;
    const args = ["doctor", "--measure", "--model", "miniature", "--minutes", "1e-6", "--out", out];
    for (let i = 0; i < 2; i++) {
      const { code, out: said } = await run([...args, "--device", "cpu", "--threads", "1", "-q"]);
      assertEquals(code, 0);
      assertMatch(said, /training step of 8 +no time is left: give more --minutes/);
      assert(said.endsWith(`${out}/measured.html`));
    }
    const record: MeasuredRecord = JSON.parse(await Deno.readTextFile(`${out}/measured.json`));
    const sections = [record.ceilings, record.kernels, ...Object.values(record.training)];
    assertEquals(sections.map((s) => s!.state), Array(5).fill("skipped"));
    assertEquals([record.format, record.complete, record.pytorch], [1, true, undefined]);
    // What somebody else put in its place is theirs.
    await Deno.writeTextFile(`${out}/measured.html`, "mine");
    assertEquals((await run([...args, "-q"])).code, 1);
  });
});
