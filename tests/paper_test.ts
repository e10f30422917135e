/** The paper in miniature: the whole of it on a tiny model, resumed, and the arithmetic of its conclusions. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { modelDefaults } from "../concepts/training/model_settings.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { UsageError } from "../terminal/errors.ts";
import { FileError } from "../files/errors.ts";
import { createProgress } from "../terminal/progress.ts";
import { CLAIMS, verdictOf } from "../paper/claims.ts";
import { EXPERIMENTS, TABLES } from "../paper/experiments.ts";
import { paper, requestOf } from "../paper/main.ts";
import { correlation } from "../paper/maps.ts";
import type { Measured } from "../paper/measuring.ts";
import { planOf } from "../paper/plan.ts";
import { pageOf, writePage } from "../paper/page.ts";
import { difference, overRuns, type Run, scored, scoreOf } from "../paper/scores.ts";
import { FULL, QUICK, type Settings } from "../paper/settings.ts";
import { promptsOf, subjectOf } from "../paper/subjects.ts";
import { written } from "../paper/tables.ts";
import { CONCEPTS } from "../world/mod.ts";
import { CONCEPT_CLASSIFIER } from "../world/measure/judge.ts";
import { MINIATURE, randomWeights } from "./models_folder.ts";
import { testDevice } from "./support/check.ts";
import { tinyTemplate } from "./world_train_folder.ts";

/** A whole model of a handful of channels, which trains two steps a method. */
async function tinyModel(): Promise<string> {
  const folder = await tinyTemplate();
  await Deno.mkdir(`${folder}/tokenizer`);
  for (const { name } of Deno.readDirSync(`${MINIATURE}/tokenizer`)) {
    await Deno.copyFile(`${MINIATURE}/tokenizer/${name}`, `${folder}/tokenizer/${name}`);
  }
  const captions = (await Deno.readTextFile(`${MINIATURE}/captions.txt`)).split("\n").slice(0, 20);
  await Deno.writeTextFile(`${folder}/captions.txt`, captions.join("\n"));
  await Deno.mkdir(`${folder}/${CONCEPT_CLASSIFIER}`);
  for (const file of ["config.json", "preprocessor_config.json"]) {
    const config = JSON.parse(await Deno.readTextFile(`${folder}/classifier/${file}`));
    const labels = ["absent", "present"];
    const heads = Object.fromEntries(CONCEPTS.map(({ name }) => [name, { labels }]));
    const own = { ...config, ...(config.heads && { heads }) };
    await Deno.writeTextFile(`${folder}/${CONCEPT_CLASSIFIER}/${file}`, JSON.stringify(own));
  }
  const parts = ["clip", "classifier", CONCEPT_CLASSIFIER] as const;
  await randomWeights(folder, ["unet", "vae", "text_encoder", ...parts]);
  for (const part of parts) {
    const file = `${folder}/${part}/preprocessor_config.json`;
    const config = JSON.parse(await Deno.readTextFile(file));
    const sized = { ...config, size: 16, crop_size: 16 };
    await Deno.writeTextFile(file, JSON.stringify(sized));
  }
  const two = { steps: 2, rate: 1e-2 };
  const methods = { "custom-all": two, "dreambooth": two, "textual-inversion": two };
  const sampling = { steps: 2, guidance: 4, eta: 0 };
  await Deno.writeTextFile(
    `${folder}/moongate.json`,
    JSON.stringify({ training: two, methods, sampling, merging: { ridge: 1e-2 } }),
  );
  return folder;
}

const TINY: Settings = {
  ...QUICK,
  name: "tiny",
  concepts: ["moongate"],
  training: {},
  batch: 2,
  shorter: FULL.shorter,
  ...{ regularization: 2, prompts: 2, samples: 1, pairPrompts: 2, pairSamples: 1 },
  ...{ ofClass: 2, real: 2, guidances: [2], shares: [0.5] },
};

Deno.test("every table and figure on a tiny model; the second time from what lies there", async () => {
  const model = await tinyModel(), out = await Deno.makeTempDir();
  const lines: string[] = [];
  const progress = createProgress({ terminal: false, write: (line) => lines.push(line) });
  const request = { settings: TINY, model, out, progress, device: await testDevice() };
  try {
    const results = (await paper(request))!;
    assertEquals(results.missing, 0);
    for (const { id, variants, scores } of TABLES) {
      assertEquals(results.tables[id].map((r) => r.variant), variants);
      for (const row of results.tables[id]) {
        // Random scorers may not tell a trade-off's ends apart.
        for (const score of scores.filter((name) => name !== "tradeoff")) {
          assert(Number.isFinite(row.scores[score]!.value), `${id} ${row.variant} ${score}`);
        }
      }
    }
    assertEquals(results.points.figure8.length, 2 * 4);
    assertEquals(results.points.figure17.length, 2 * 4);
    assertEquals(results.points.figure13.length, 6);
    assertEquals(results.overlap.length, 2);
    assert(results.changes!.groups["cross-attention"].value > 0);
    assert(results.spectra!.sizes["rank-1"].value < 1);
    assertEquals(results.conclusions.length, CLAIMS.length + 2);
    const html = await Deno.readTextFile(`${out}/report.html`);
    for (const text of ["Conclusions", "<svg", "data:image/png", "Figure 16", "undecided"]) {
      assert(html.includes(text), text);
    }
    // A training that several tables show is done once: ours is in three of them.
    const trained = lines.filter((line) => /^moongate, kv, seed 0 0\/2/.test(line));
    assertEquals(trained.length, 5, "ours, and four ablations of it");
    assert(lines.some((line) => /^about .* in all/.test(line)), "says how long it will take");

    // Killed before the last rows were measured: only those are done again, and give the same.
    const before = await Deno.readTextFile(`${out}/paper.json`);
    const kept = [...Deno.readDirSync(`${out}/rows`)].map((e) => e.name);
    const lost = kept.filter((name) => /joint|random/.test(name));
    assert(lost.length >= 3);
    for (const name of lost) await Deno.remove(`${out}/rows/${name}`);
    lines.length = 0;
    await paper(request);
    assertEquals(lines.filter((line) => /, kv, seed/.test(line)), []);
    assertEquals(await Deno.readTextFile(`${out}/paper.json`), before);

    const page = `${out}/page.md`;
    await Deno.writeTextFile(page, "# P\n\n<!-- deno task paper -->\n<!-- end -->\n\nafter\n");
    await writePage(page, results);
    await writePage(page, results);
    const text = await Deno.readTextFile(page);
    assert(text.startsWith("# P\n") && text.endsWith("<!-- end -->\n\nafter\n"));
    assertEquals(text.split("### Conclusions").length, 2);
    assert(text.includes(pageOf(results)));
  } finally {
    await Deno.remove(model, { recursive: true });
    await Deno.remove(out, { recursive: true });
  }
});

Deno.test("a training run that was killed goes on from its checkpoint, and ends in the same bytes", async () => {
  const model = await tinyModel(), out = await Deno.makeTempDir();
  const lines: string[] = [];
  const progress = createProgress({ terminal: false, write: (line) => lines.push(line) });
  const settings = { ...TINY, shorter: { ...TINY.shorter, custom: 1 / 6 } };
  const device = await testDevice(), only = ["figure12"];
  const request = { settings, only, model, out: `${out}/a`, progress, device, saveEvery: 0 };
  const deltas = async (folder: string) => {
    const names = [...Deno.readDirSync(`${out}/${folder}/deltas`)].map((e) => e.name);
    return [names, await Deno.readFile(`${out}/${folder}/deltas/${names[0]}`)] as const;
  };
  try {
    await paper(request);
    const killed = {
      ...progress,
      update(done: number) {
        if (done === 12) throw new Error("killed");
      },
    };
    await assertRejects(
      () => paper({ ...request, out: `${out}/b`, progress: killed }),
      Error,
      "killed",
    );
    assertMatch((await deltas("b"))[0].join(), /^[^,]*\.checkpoint$/);
    lines.length = 0;
    await paper({ ...request, out: `${out}/b` });
    assert(lines.includes("moongate, kv, seed 0 10/12"), lines.join("\n"));
    assertEquals(await deltas("b"), await deltas("a"));

    const other = { ...request, out: `${out}/c` };
    await assertRejects(() => paper({ ...other, progress: killed }), Error, "killed");
    await Deno.truncate(`${out}/c/deltas/${(await deltas("c"))[0][0]}`, 300);
    lines.length = 0;
    await paper(other);
    assert(lines.some((line) => line.endsWith(": training from the start")), lines.join("\n"));
    assertEquals(await deltas("c"), await deltas("a"));

    // Its own results are made anew; what somebody put in their place is not.
    await paper(other);
    await Deno.writeTextFile(`${out}/c/report.html`, "mine");
    await assertRejects(() => paper(other), FileError, "holds report.html already");
    assertEquals(await Deno.readTextFile(`${out}/c/report.html`), "mine");
    await paper({ ...other, overwrite: true });
  } finally {
    await Deno.remove(model, { recursive: true });
    await Deno.remove(out, { recursive: true });
  }
});

Deno.test("a part of a run whose rate falls is that run, stopped: the same bytes on the way and by itself", async () => {
  const model = await tinyModel(), out = await Deno.makeTempDir(), lines: string[] = [];
  const progress = createProgress({ terminal: false, write: (line) => lines.push(line) });
  const settings = {
    ...TINY,
    shorter: { ...TINY.shorter, custom: 1 / 6 },
    ...{ shares: [0.25, 0.26, 0.5], prompts: 1 },
  };
  const device = await testDevice();
  const request = { settings, only: ["figure17"], model, out, progress, device };
  const deltas = async () => {
    const found = new Map<string, Uint8Array>();
    for (const { name } of Deno.readDirSync(`${out}/deltas`)) {
      found.set(name, await Deno.readFile(`${out}/deltas/${name}`));
    }
    return found;
  };
  const began = () => lines.filter((line) => /, kv, seed 0 0\//.test(line)).map((l) => l.slice(-4));
  try {
    const json = `${model}/moongate.json`, own = JSON.parse(await Deno.readTextFile(json));
    const falling = { ...own.training, schedule: "linear" };
    await Deno.writeTextFile(json, JSON.stringify({ ...own, training: falling }));
    // The whole is there already, as another figure left it: its parts are still one run, the longest.
    await paper({ ...request, only: ["figure12"] });
    lines.length = 0;
    await paper(request);
    assertEquals(began(), [" 0/6"], "a quarter lies on the way to a half");
    const all = await deltas(), [three] = [...all.keys()].filter((name) => /kv-s0-3-/.test(name));
    // Ours at 12, 6 and 3 steps. The others take one: a part that is all of a run is the run itself.
    const steps = [...all.keys()].map((name) => name.split("-s0-")[1].split("-")[0]);
    assertEquals(steps.map(Number).sort((a, b) => a - b), [1, 1, 1, 3, 6, 12]);
    const { notes } = await loadDelta(`${out}/deltas/${three}`);
    assertEquals([notes.steps, notes.ofSteps, notes.schedule], [3, 12, "linear"]);

    await Deno.remove(`${out}/deltas/${three}`);
    lines.length = 0;
    await paper(request);
    assertEquals(began(), [" 0/3"], "whatever passes it is there");
    assertEquals(await deltas(), all);
  } finally {
    await Deno.remove(model, { recursive: true });
    await Deno.remove(out, { recursive: true });
  }
});

const measured = (text: number[], image: number[], more: Partial<Measured> = {}): Measured => ({
  ...{
    text,
    image: [image],
    seen: text.map(() => 1),
    pictures: [],
    prompts: [],
    classPictures: [],
    device: "",
  },
  ...more,
});
const anchors = { idealText: 1, idealImage: [0.6], targetText: 0.2 };
const runOf = (run: string, row: Measured): Run => ({
  ...{ run, row, anchors, untouched: measured([1, 1], [0.1, 0.1]) },
});

Deno.test("the trade-off: 1 for the picture that was asked for, 0 for the untouched model and for one that repeats", () => {
  const tradeoff = (text: number, image: number) =>
    scoreOf(runOf("a", measured([text], [image])), "tradeoff");
  assertEquals(tradeoff(1, 0.6), 1);
  assertEquals(tradeoff(2, 0.1), 0, "untouched");
  assertEquals(tradeoff(0.2, 0.9), 0, "repeats what it was taught");
  assertEquals(tradeoff(1.7, 0.9), 1, "no more than right");
  assertAlmostEquals(tradeoff(0.6, 0.35), 0.5);
  assert(tradeoff(0.5, 0.3) < tradeoff(0.6, 0.3) && tradeoff(0.5, 0.3) < tradeoff(0.5, 0.4));
  const blind = { ...runOf("a", measured([1], [0.5])), anchors: { ...anchors, idealText: 0.2 } };
  assert(Number.isNaN(scoreOf(blind, "tradeoff")), "nothing to measure between equal ends");
});

Deno.test("differences: over runs that both have by Student's t, and of one run over its pictures, drawn together", () => {
  const many = (shift: number) =>
    ["a", "b", "c"].map((run, i) => runOf(run, measured([i + shift], [0.5])));
  const d = difference([...many(1), runOf("d", measured([9], [9]))], many(0), "text");
  assertEquals([d.value, d.low, d.high, d.runs], [1, 1, 1, 3], "constant shifts have no spread");
  assertEquals(verdictOf(d), "as in the paper");
  assertEquals(verdictOf(difference(many(0), many(1), "text")), "not as in the paper");
  const noisy = overRuns([1, 2, 3]);
  assertAlmostEquals(noisy.high - noisy.value, 4.3 / Math.sqrt(3));
  assertEquals(verdictOf(overRuns([-1, 2, 1])), "undecided");
  assertEquals(verdictOf(overRuns([])), "not measured");

  const pictures = Array.from({ length: 20 }, (_, i) => Math.sin(9 * i));
  const one = [runOf("a", measured(pictures.map((x) => x + 0.1), pictures))];
  const other = [runOf("a", measured(pictures, pictures))];
  const paired = difference(one, other, "text");
  assertAlmostEquals(paired.low, 0.1, 1e-9);
  assertAlmostEquals(paired.high, 0.1, 1e-9);
  const alone = scored(one, "text");
  assert(alone.low < alone.value - 0.1 && alone.runs === 1);

  const kid = (value: number) => [runOf(
    "a",
    measured([1], [1], {
      kid: { value, low: value - 3, high: value + 4 },
    }),
  )];
  const apart = difference(kid(10), kid(2), "kid");
  assertEquals([apart.value, apart.low, apart.high], [8, 3, 13]);
});

Deno.test("prompts ask for what is drawn beside them, by class, by V* and class, or by V* alone", async () => {
  const one = await subjectOf(["moongate"], 20);
  assertEquals([one.captions.length, new Set(one.captions).size, one.targets.length], [20, 20, 1]);
  assertEquals(promptsOf(one, "both")[0], "photo of a <new1> gate on a beach");
  assertEquals(promptsOf(one, "token")[0], "photo of a <new1> on a beach");
  for (const word of ["pencil", "watercolour", "cartoon", "wearing", "next to", "in front of"]) {
    assert(one.captions.some((text) => text.includes(word)), word);
  }
  const two = await subjectOf(["robot", "jackolantern"], 8);
  const prompts = promptsOf(two, "both");
  for (const text of prompts) {
    assertMatch(text, /<new1> toy (next to|in front of) a <new2> lantern/);
  }
  assertEquals(new Set(prompts).size, 8);
});

Deno.test("the plans: every claim has its rows, and the full run differs in counts alone", () => {
  for (const { experiment, above, below } of CLAIMS) {
    assert(EXPERIMENTS.includes(experiment), experiment);
    const table = TABLES.find((t) => t.id === experiment);
    for (const id of table ? [above, below] : []) assert(table!.variants.includes(id), id);
  }
  const { settings, only } = requestOf(["--only=table1,figure8", "--seeds=2", "--concepts=zebra"]);
  assertEquals(only, ["table1", "figure8"]);
  assertEquals(settings, { ...FULL, seeds: [0, 1], concepts: ["zebra"] });
  assertEquals(requestOf(["--quick"]).settings, QUICK);
  assertThrows(() => requestOf(["--only=table2"]), UsageError, "there are table1, pairs, table3");
  assertEquals(requestOf(["--device=cpu", "--threads", "2"]).choose, {
    backend: "cpu",
    threads: 2,
  });
  assertThrows(() => requestOf(["--device=gpu"]), UsageError, "there are cpu and webgpu");
  assertThrows(() => requestOf(["--threads=many"]), UsageError, "from 1 to 256");
  assertThrows(() => requestOf(["--fast"]), UsageError, "There are --quick, --plan");
  assertThrows(() => requestOf(["--seeds=0"]), UsageError, "whole number from 1");
  assertThrows(() => requestOf(["--concepts=dragon"]), UsageError, "dragon");
});

Deno.test("another number of moongate.json is another plan: what was made by the one is not taken for the other's", async () => {
  const folder = await Deno.makeTempDir();
  const plan = async (own: unknown) => {
    await Deno.writeTextFile(`${folder}/moongate.json`, JSON.stringify(own));
    const planned = planOf(TINY, await modelDefaults(folder), ["pairs"]).rows.map((r) => r.recipe);
    return JSON.stringify(planned);
  };
  try {
    const plain = await plan({});
    const training = { steps: 7, rate: 0.5, schedule: "cosine", decay: 0.5, template: "a {}" };
    const others = Object.entries(training).map(([name, value]) => ({
      training: { [name]: value },
    }));
    for (const own of [...others, { merging: { ridge: 0.5 } }]) {
      assert(await plan(own) !== plain, JSON.stringify(own));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("numbers are written with their intervals, and correlations are Pearson's", () => {
  const scored = { value: 0.5, low: 0.4, high: 0.6, runs: 3 };
  assertEquals(written(scored, 2), "0.50 ± 0.10");
  assertEquals(written({ ...scored, low: 0.3 }, 2), "0.50 (0.30 … 0.60)");
  assertEquals(written({ ...scored, low: -Infinity, high: Infinity }, 1), "0.5");
  assertEquals(written({ ...scored, value: NaN }, 2), "–");
  assertAlmostEquals(correlation([1, 2, 3], [2, 4, 6]), 1);
  assertAlmostEquals(correlation([1, 2, 3], [3, 2, 1]), -1);
  assertAlmostEquals(correlation([1, -1, 1, -1], [1, 1, -1, -1]), 0);
});
