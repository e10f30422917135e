// --device and --threads: on every verb that computes and no other, the same everywhere, and before the environment.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { needs } from "../cli/main.ts";
import { deviceLine, openDevice } from "../cli/shared/device.ts";
import type { Ui } from "../cli/shared/ui.ts";
import { adapter, type Offer, withMachine } from "./support/machines.ts";
import { run } from "./support/command.ts";

const answer = { facts: {}, lines: [], wrong: [] };
/** What each verb takes at least; work.ts of the others opens no device. */
const COMPUTING: Record<string, { args: string[]; gives?: unknown }> = {
  train: { args: ["--model", "sd", "--out", "o", "--concept", "<new1> dog=./dog"] },
  generate: { args: ["--model", "sd", "a dog"], gives: [] },
  edit: { args: ["--model", "sd", "--from", "a dog", "--to", "a cat"], gives: [] },
  attention: { args: ["--model", "sd", "a dog"] },
  merge: { args: ["--model", "sd", "--out", "o", "a", "b"] },
  evaluate: { args: ["--scorer", "clip", "--generated", "pictures"] },
  verify: { args: ["--model", "sd", "--gold", "g"], gives: answer },
  demo: { args: [] },
  doctor: { args: [], gives: answer },
};

/** The request that these flags make, and what was said. */
async function asked(verb: string, flags: string[]) {
  const { args, gives = "" } = COMPUTING[verb];
  const requests: { device?: string; threads?: number; generate?: unknown }[] = [];
  const work = { [verb]: (request: never) => Promise.resolve((requests.push(request), gives)) };
  return { ...await run([verb, ...args, ...flags], work), request: requests[0] };
}

Deno.test("every verb that opens a device takes --device and --threads, says so in its help, and refuses what there is not", async () => {
  for (const verb of Object.keys(needs())) {
    const source = await Deno.readTextFile(`cli/${verb}/work.ts`);
    assertEquals(/\bopenDevice\(|\bgpu\(/.test(source), verb in COMPUTING, verb);
    const { out } = await run([verb, "--help"]);
    const wanted =
      /--device <name> +what computes[^]*MOONGATE_DEVICE[^]*"cpu",\s+"webgpu"[^]*--threads <n>[^]*MOONGATE_THREADS/;
    assertEquals(wanted.test(out), verb in COMPUTING, verb);
  }
  for (const verb of Object.keys(COMPUTING)) {
    const plain = await asked(verb, []);
    assertEquals([plain.code, plain.request.device, plain.request.threads], [
      0,
      undefined,
      undefined,
    ]);
    const cpu = await asked(verb, ["--device", "cpu", "--threads", "2"]);
    assertEquals([cpu.request.device, cpu.request.threads], ["cpu", 2], verb);
    assertEquals((await asked(verb, ["--device=webgpu"])).request.device, "webgpu", verb);
    const refusals: [string[], RegExp][] = [
      [["--device", "gpu"], /'gpu' is invalid\. Allowed choices are cpu, webgpu/],
      [["--device", ""], /Allowed choices are cpu, webgpu/],
      [["--threads", "0"], /whole number, 1 to 256/],
      [["--threads", "many"], /whole number, 1 to 256/],
      [["--device", "webgpu", "--threads", "2"], /--threads are the CPU's/],
    ];
    for (const [flags, said] of refusals) {
      const { code, err, request } = await asked(verb, flags);
      assertEquals([code, request], [1, undefined], `${verb} ${flags.join(" ")}`);
      assertMatch(err, said);
      assert(!/\n\s+at /.test(err), err);
    }
  }
});

Deno.test("evaluate generates on the device that it scores on", async () => {
  COMPUTING.evaluate.args = ["--scorer", "clip", "--model", "sd", "a dog"];
  const { request } = await asked("evaluate", ["--device", "cpu", "--threads", "1"]);
  const { device, threads } = request.generate as { device: string; threads: number };
  assertEquals([device, threads], ["cpu", 1]);
});

/** What a verb says of the device that it opens on such a machine. */
async function said(offer: Offer, request: Parameters<typeof openDevice>[0], variables = {}) {
  const notes: string[] = [];
  const progress = { note: (line: string) => notes.push(line), compiling: () => {} };
  await withMachine(offer, variables, async () => {
    using device = await openDevice(request, { progress } as unknown as Ui);
    assertEquals(notes, [deviceLine(device)]);
  });
  return notes[0];
}

Deno.test("a verb says on what it computes and, where that is the CPU, why; the flag comes before the variable", async () => {
  const card = adapter({ description: "A Card 9000" }), cpu = "on CPU (WebAssembly, 1 thread): ";
  const one = { threads: 1 };
  assertEquals(await said(card, {}), "on A Card 9000");
  assertEquals(await said(null, one), `${cpu}no adapter of WebGPU answers`);
  assertEquals(await said(card, { device: "cpu", ...one }), `${cpu}asked for`);
  assertEquals(await said(card, one, { MOONGATE_DEVICE: "cpu" }), `${cpu}MOONGATE_DEVICE=cpu`);
  assertEquals(
    await said(card, { device: "webgpu" }, { MOONGATE_DEVICE: "cpu" }),
    "on A Card 9000",
  );
  const software = adapter({ description: "llvmpipe" });
  assertEquals(await said(software, one), `${cpu}no GPU answers, only software (llvmpipe)`);
  assertMatch(await said(software, { device: "webgpu" }), /^on llvmpipe, a program.*--device cpu/);
});
