// Checkpoints: each way in which a file is none to go on from is refused by its name, and the newest that is whole is found.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { keepNewest, removeRun, states } from "../cli/train/checkpoints.ts";
import type { Ui } from "../cli/shared/ui.ts";
import { findCheckpoint } from "../cli/train/resume.ts";
import { loadCheckpoint, OtherRunError, saveCheckpoint } from "../concepts/training/checkpoints.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { type TensorToWrite, writeSafetensors } from "../files/safetensors/write.ts";
import { UsageError } from "../terminal/errors.ts";
import { evaluate } from "../compile/compile.ts";
import { tensor } from "../ops/leaf.ts";
import { testDevice } from "./support/check.ts";
import { inside } from "./support/kept.ts";

const RUN = JSON.stringify({ seed: 1, rate: 0.5, words: "dog" });
const named = (a: number) => ({ w: tensor([a, a + 1, a + 2, a + 3], [2, 2]), b: tensor([a], [1]) });

/** Writes a checkpoint of a step. */
async function save(path: string, step = 7, run = RUN): Promise<void> {
  const corrections = [tensor([0.1], []), tensor([0.2], [])] as const;
  const state = { params: named(1), m: named(2), v: named(3), corrections, average: named(4) };
  const device = await testDevice();
  await saveCheckpoint(path, device, step, run, evaluate(device, state));
}

/** The same file with other tensors or another header. */
async function changed(
  path: string,
  change: (tensors: Map<string, TensorToWrite>, metadata: Record<string, string>) => void,
): Promise<string> {
  const tensors = new Map<string, TensorToWrite>();
  using source = await openSafetensors(path);
  for (const [name, { shape }] of source.tensors) {
    tensors.set(name, { shape, data: await source.readFloat32(name) });
  }
  const metadata = { ...source.metadata };
  change(tensors, metadata);
  await writeSafetensors("changed.safetensors", tensors, metadata);
  return "changed.safetensors";
}

Deno.test("a checkpoint gives back what was saved, by its run", async () => {
  await inside(async () => {
    const device = await testDevice();
    await save("a.safetensors");
    const { step, run, state: read } = await loadCheckpoint("a.safetensors", RUN);
    const state = evaluate(device, { ...read });
    assertEquals([step, run], [7, RUN]);
    for (const [part, a] of [["params", 1], ["m", 2], ["v", 3], ["average", 4]] as const) {
      assertEquals([...await device.read(state[part]!.w)], [a, a + 1, a + 2, a + 3]);
      assertEquals(state[part]!.b.shape, [1]);
    }
    assertEquals(await device.read(state.corrections[1]), Float32Array.of(0.2));
  });
});

Deno.test("a checkpoint of another run is refused, and what differs is named", async () => {
  await inside(async () => {
    await save("a.safetensors");
    const others: [run: string, message: string][] = [
      [JSON.stringify({ seed: 2, rate: 0.5, words: "dog" }), "seed 1, and this run has 2"],
      [JSON.stringify({ seed: 1, rate: 0.5, words: "cat" }), 'words "dog", and this run has "cat"'],
      [JSON.stringify({ seed: 1, rate: 0.5 }), 'words "dog", and this run has none'],
      [
        JSON.stringify({ seed: 1, rate: 0.5, words: "dog", flip: true }),
        "flip none, and this run has true",
      ],
      [JSON.stringify({ words: "dog", rate: 0.5, seed: 1 }), "other settings"],
      ["", "other settings"],
      ["[]", "other settings"],
    ];
    for (const [run, message] of others) {
      const error = await assertRejects(() => loadCheckpoint("a.safetensors", run), OtherRunError);
      assert(error.message.includes(message), error.message);
    }
  });
});

Deno.test("what is no checkpoint, and one that is not whole, is refused for what it lacks", async () => {
  await inside(async () => {
    await save("a.safetensors");
    type Change = Parameters<typeof changed>[1];
    const cases: [message: string, change: Change][] = [
      ["no training checkpoint", (_, m) => delete m.format],
      ["no training checkpoint", (_, m) => m.format = "moongate-delta"],
      ...["", "x", "1.5", "-1"].map((step): [string, Change] => [
        "no training checkpoint",
        (_, m) => m.step = step,
      ]),
      ["no training checkpoint", (_, m) => delete m.step],
      ['holds "extra"', (t) => t.set("extra", t.get("params:b")!)],
      ['holds "other:b"', (t) => t.set("other:b", t.get("params:b")!)],
      ['holds "toString:b"', (t) => t.set("toString:b", t.get("params:b")!)],
      ['holds "correction:2"', (t) => t.set("correction:2", t.get("correction:1")!)],
      ["lacks the optimizer's corrections", (t) => t.delete("correction:0")],
      ["lacks the optimizer's corrections", (t) => t.delete("correction:1")],
      ['no m that fits "w"', (t) => t.delete("m:w")],
      ['no v that fits "b"', (t) => t.delete("v:b")],
      ['no m that fits "w"', (t) => t.delete("params:w")],
      ['no average that fits "w"', (t) => t.delete("average:w")],
      ['no v that fits "w"', (t) => t.set("v:w", { ...t.get("v:w")!, shape: [4] })],
      ["not those that were written", (t) => (t.get("v:w")!.data as Float32Array)[3] += 1e-6],
      ["not those that were written", (t) => (t.get("params:b")!.data as Float32Array)[0] = NaN],
      ["not those that were written", (_, m) => delete m.checksum],
    ];
    for (const [message, change] of cases) {
      const path = await changed("a.safetensors", change);
      const error = await assertRejects(() => loadCheckpoint(path, RUN), FileError);
      assert(error.message.includes(message), `${error.message}, not ${message}`);
      assert(!(error instanceof OtherRunError), message);
    }
    assertEquals((await loadCheckpoint(await changed("a.safetensors", () => {}), RUN)).step, 7);
    const bytes = await Deno.readFile("a.safetensors");
    for (const length of [0, 7, 100, bytes.length - 1]) {
      await Deno.writeFile("cut.safetensors", bytes.subarray(0, length));
      await assertRejects(() => loadCheckpoint("cut.safetensors", RUN), FileError);
    }
    await Deno.writeFile("torn.safetensors", new Uint8Array(bytes).fill(0, bytes.length - 16));
    await assertRejects(() => loadCheckpoint("torn.safetensors", RUN), FileError, "not those");
    await assertRejects(() => loadCheckpoint("none.safetensors", RUN), FileError, "does not exist");
  });
});

/** What is said while a checkpoint is looked for. */
function ui() {
  const said: string[] = [], note = (line: string) => void said.push(line);
  return { said, ui: { warn: note, progress: { note } } as unknown as Ui };
}

Deno.test("a run goes on from the newest checkpoint that is whole, and says which were passed over", async () => {
  await inside(async () => {
    const at = (step: number) => `out/checkpoint-${step}/checkpoint.safetensors`;
    for (const step of [9, 10, 100]) {
      await Deno.mkdir(`out/checkpoint-${step}`, { recursive: true });
      await save(at(step), step);
    }
    await Deno.mkdir("out/checkpoint-101"); // Of one that a kill cut short.
    const find = async (run = RUN, steps = 200) => {
      const { said, ui: u } = ui();
      return { step: (await findCheckpoint("out", run, steps, u))?.step, said };
    };
    assertEquals(await find(), { step: 100, said: [] });
    await assertRejects(() => find(RUN, 99), UsageError, "is at step 100 already");
    const whole = await Deno.readFile(at(100));
    for (
      const damaged of [
        new Uint8Array(),
        whole.subarray(0, 500),
        new Uint8Array(whole).fill(0, 600),
      ]
    ) {
      await Deno.writeFile(at(100), damaged);
      const { step, said } = await find();
      assertEquals([step, said.length], [10, 2], said.join("\n"));
      assert(said[0].includes(at(100)) && said[1].includes(`going on from ${at(10)}, at step 10`));
    }
    await Deno.writeTextFile(at(10), "x");
    assertEquals((await find()).step, 9);
    // A newest one of another run is no damage.
    await save(at(100), 100, "{}");
    await assertRejects(() => find(), OtherRunError);
    await Deno.writeTextFile(at(100), "");
    await Deno.writeTextFile(at(9), "");
    await assertRejects(() => find(), FileError, "holds no checkpoint that is whole");
    await Deno.remove("out", { recursive: true });
    assertEquals(await find(), {
      step: undefined,
      said: ["out holds no checkpoint: starting at step 0"],
    });
  });
});

Deno.test("old checkpoints go, but none for the sake of a damaged later one, and nothing that is not ours", async () => {
  await inside(async () => {
    for (const step of [1, 2, 3, 9]) {
      await Deno.mkdir(`out/checkpoint-${step}`, { recursive: true });
      for (const file of ["checkpoint", "delta"]) {
        await Deno.writeTextFile(`out/checkpoint-${step}/${file}.safetensors`, "");
      }
    }
    await Deno.writeTextFile("out/checkpoint-1/notes.md", "mine");
    const steps = async () => (await states("out")).map((path) => Number(/-(\d+)/.exec(path)![1]));
    await keepNewest("out", 1, 3);
    assertEquals(await steps(), [9, 3]);
    assertEquals([...Deno.readDirSync("out/checkpoint-1")].map((e) => e.name), ["notes.md"]);
    await Deno.mkdir("out/samples");
    for (const name of ["5-1.png", "mine.png"]) await Deno.writeTextFile(`out/samples/${name}`, "");
    await Deno.writeTextFile("out/delta.safetensors", "");
    await removeRun("out");
    assertEquals([...Deno.readDirSync("out")].map((e) => e.name).sort(), [
      "checkpoint-1",
      "samples",
    ]);
    assertEquals([...Deno.readDirSync("out/samples")].map((e) => e.name), ["mine.png"]);
    await removeRun("out");
  });
});
