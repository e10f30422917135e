// How steps are taken: rates, accumulation, clipping; starting from an earlier delta; what is known before the first step.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { concept } from "../cli/train/parse_concept.ts";
import type { TrainRequest } from "../cli/train/request.ts";
import { planTraining } from "../cli/train/plan.ts";
import { describeRun } from "../cli/train/resume.ts";
import { evaluate } from "../compile/compile.ts";
import { drawTarget } from "../concepts/data/batches.ts";
import { knownCaptions } from "../concepts/training/caption_features.ts";
import { loadCheckpoint, saveCheckpoint } from "../concepts/training/checkpoints.ts";
import type { Delta, TrainedWeight } from "../concepts/deltas/delta.ts";
import { saveDelta } from "../concepts/deltas/formats/save.ts";
import { knownBefore, stepBatches } from "../concepts/training/precomputed.ts";
import { planTrainingMemory } from "../concepts/training/memory.ts";
import { rateFactor, type RateSchedule } from "../concepts/training/rates.ts";
import { stepLoss } from "../concepts/training/step.ts";
import { trainConcepts, type TrainOptions } from "../concepts/training/train.ts";
import { conceptMask } from "../concepts/training/trainable.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { FileError } from "../files/errors.ts";
import { writePng } from "../files/pictures/png.ts";
import { vaeFactor } from "../models/vae/vae.ts";
import { hostRandom } from "../numerics/random.ts";
import { tensor } from "../ops/leaf.ts";
import { slice } from "../ops/movement.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { longerTexts } from "./support/longer_texts.ts";
import { ownDevice, relativeError, testDevice, uniform } from "./support/check.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const SD1 = `${ROOT}tests/golden/verify/sd1`;

let loaded: Promise<Pipeline> | undefined;
/** A tiny model that knows two new words. */
const model = () =>
  loaded ??= testDevice().then((d) =>
    loadPipeline(d, SD1, { addTokens: { "<new1>": "ktn", "<new2>": "q</w>" } })
  );

const random = uniform(8);
const picture = () => ({
  width: 16,
  height: 16,
  data: Uint8Array.from({ length: 16 * 16 * 3 }, () => 127 + 100 * random()),
});
const named = (token: string) => ({ token, className: "dog", pictures: [picture(), picture()] });
const [ONE, TWO] = [named("<new1>"), named("<new2>")];
const DOGS = ["photo of a dog", "a dog"].map((caption) => ({ picture: picture(), caption }));
const RUN = { concepts: [ONE], regularization: DOGS, rate: 1e-2, seed: 4 };

/** Trains, and tells what the optimizer holds after the last step. */
async function train(options: Partial<TrainOptions>, from?: Pipeline) {
  const pipeline = from ?? await model();
  const { device } = pipeline;
  const moments: number[] = [];
  const losses: number[] = [];
  const delta = await trainConcepts(pipeline, {
    ...{ ...RUN, reportEvery: 1 },
    ...options,
    async onReport(report) {
      losses.push(report.loss);
      moments.length = 0;
      for (const t of Object.values(report.state.m)) {
        for (const v of await device.read(t) as Float32Array) moments.push(v);
      }
      return await options.onReport?.(report);
    },
  });
  return { delta, moments, losses, norm: Math.hypot(...moments) };
}

const weightsOf = ({ weights, embeddings }: Delta) => [
  ...[...weights].map(([path, w]) => [path, [...(w as TrainedWeight).data]] as const),
  ...embeddings.map((row, i) => [`row ${i}`, [...row]] as const),
];

Deno.test("rates run over the steps as diffusers' schedules do; what does not go together is refused", async () => {
  const { steps, cases } = JSON.parse(await Deno.readTextFile(`${ROOT}tests/golden/rates.json`));
  assertEquals(cases.length, 7);
  for (const { schedule, warmUp, factors } of cases) {
    factors.forEach((want: number, done: number) => {
      const got = rateFactor({ schedule, warmUp }, done, steps);
      assert(Math.abs(got - want) < 1e-12, `${schedule}, ${warmUp}, step ${done}: ${got}`);
    });
  }
  assertEquals([0, 1, 2, 9].map((done) => rateFactor({ warmUp: 2 }, done, 10)), [0, 0.5, 1, 1]);
  assertThrows(
    () => rateFactor({ schedule: "constant", warmUp: 2 }, 0, 10),
    RangeError,
    'take "constant_with_warmup"',
  );
  assertThrows(() => rateFactor({ warmUp: 0.5 }, 0, 10), RangeError, "whole number");
});

Deno.test("accumulated batches are one batch as large: losses and gradients, whole and in parts; clipping bounds both", async () => {
  const whole = await train({ batch: 4, steps: 2 });
  for (const layout of [{}, { parts: 2 }]) {
    const pieces = await train({ batch: 2, accumulate: 2, steps: 2, layout });
    const off = relativeError(pieces.moments, whole.moments);
    assert(off < 1e-5, `gradients ${off}`);
    assert(relativeError(pieces.losses, whole.losses) < 1e-6, `${pieces.losses}, ${whole.losses}`);
  }
  assertEquals(whole.delta.notes.rate, 1e-2);
  const other = await train({ batch: 4, steps: 1, seed: 5 });
  const first = await train({ batch: 4, steps: 1 });
  assert(relativeError(other.moments, first.moments) > 0.1, "other draws give other gradients");
  // After one step the first moment is (1 − β₁) times the gradient.
  const clip = first.norm / 0.1 / 2;
  for (const batch of [{ batch: 4 }, { batch: 2, accumulate: 2 }]) {
    const { norm } = await train({ ...batch, steps: 1, clip });
    assert(Math.abs(norm / (0.1 * clip) - 1) < 1e-4, `${norm} of ${0.1 * clip}`);
  }
  const loose = await train({ batch: 4, steps: 1, clip: 4 * clip });
  assert(relativeError(loose.moments, first.moments) < 1e-6);
  await assertRejects(() => train({ accumulate: 0 }), RangeError, "accumulate is 0");
  await assertRejects(() => train({ clip: 0 }), RangeError, "clipped at 0");
});

Deno.test("schedule, accumulation and clipping resume to the same bytes, and a falling rate changes the result", async () => {
  const device = await testDevice();
  const folder = await Deno.makeTempDir();
  const path = `${folder}/checkpoint.safetensors`;
  const settings = { batch: 2, accumulate: 2, clip: 0.5, steps: 4, warmUp: 1 };
  const run = (schedule: RateSchedule, more: Partial<TrainOptions> = {}) =>
    train({ ...settings, schedule, ...more });
  try {
    const { delta } = await run("cosine", {
      async onReport({ step, state }) {
        if (step === 2) await saveCheckpoint(path, device, step, "run", state);
      },
    });
    const resume = await loadCheckpoint(path, "run");
    const again = await run("cosine", { resume });
    assertEquals(again.losses.length, 2);
    assertEquals(weightsOf(again.delta), weightsOf(delta));
    const level = await run("constant_with_warmup", { resume });
    assert(weightsOf(level.delta).join() !== weightsOf(delta).join());
    const { schedule, warmUp, accumulate, clip, steps, ofSteps } = delta.notes;
    const noted = [schedule, warmUp, accumulate, clip, steps, ofSteps];
    assertEquals(noted, ["cosine", 1, 2, 0.5, 4, undefined]);
    // What was stopped under way has not seen the end of its schedule; an even rate has none.
    const stop = async (schedule: RateSchedule) => {
      const onReport = ({ step }: { step: number }) => step === 2 ? "stop" as const : undefined;
      const { delta: { notes } } = await run(schedule, { onReport });
      return [notes.steps, notes.ofSteps];
    };
    assertEquals(await stop("cosine"), [2, 4]);
    assertEquals(await stop("constant_with_warmup"), [2, undefined]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("on top of an earlier delta: its words and weights are kept to the last bit, and what trains again goes on", async () => {
  const pipeline = await model();
  const { delta: earlier } = await train({ batch: 2, steps: 1 });
  const { delta: still } = await train({ concepts: [TWO], start: earlier, batch: 2, steps: 0 });
  const fresh = weightsOf(still).at(-1)!;
  assertEquals(still.tokens.map(({ token }) => token), ["<new1>", "<new2>"]);
  assertEquals(weightsOf(still).slice(0, -1), weightsOf(earlier));
  assertEquals((still.notes.start as Delta["notes"]).steps, 1);

  const word = { trains: "token", concepts: [TWO], start: earlier, batch: 2, steps: 1 } as const;
  const after = weightsOf((await train(word)).delta);
  assertEquals(after.slice(0, -1), weightsOf(earlier), "neither weights nor the other word");
  assert(after.at(-1)![1].some((v, i) => v !== fresh[1][i]), "the new word trains");

  const both = await train({ start: earlier, batch: 2, steps: 1 });
  assertEquals(both.delta.tokens, earlier.tokens);
  const moved = weightsOf(both.delta), before = weightsOf(earlier);
  moved.forEach(([name, values], i) =>
    assert(values.some((v, k) => v !== before[i][1][k]), `${name} goes on`)
  );
  const alien = { ...earlier, base: "0".repeat(64) };
  await assertRejects(() => train({ start: alien }, pipeline), FileError, "another model");
  const stranger = { ...earlier, tokens: [{ ...earlier.tokens[0], token: "<new3>" }] };
  await assertRejects(() => train({ start: stranger }, pipeline), FileError, "loaded without");
});

Deno.test("what is known beforehand is what a step would compute: latents of whole pictures, features of captions", async () => {
  const pipeline = await model(), { config, params } = pipeline;
  const factor = vaeFactor(config.vae), size = config.unet.sampleSize * factor;
  const options = { seed: 2, size, factor, batch: 4, template: "a {}", augment: false };
  const data = { concepts: [ONE, TWO], regularization: DOGS, options };
  const device = await testDevice();
  const loss = async (batch: Parameters<typeof stepLoss>[2]) => {
    const value = evaluate(device, stepLoss(pipeline, params, batch));
    return await device.item(value);
  };
  const targets = [0, 1].map((i) =>
    drawTarget([ONE, TWO][i], hostRandom(options.seed, 0, i), options)
  );
  const pixels = new Float32Array(targets.flatMap((t) => [...t.pixels]));
  const want: number[] = [], got: number[] = [];
  for (const encoded of [0, 2, 4]) {
    const known = await knownBefore(pipeline, { ...data, encoded });
    const [batch] = [...stepBatches(pipeline, { ...data, encoded }, known, 0)];
    assertEquals([batch.pixels, batch.ids?.shape[0] ?? 0], [undefined, encoded]);
    got.push(await loss(batch));
    if (encoded < 4) continue;
    // The same with targets as pixels, and posteriors of the others alone.
    const half = (t: Tensor) => slice(t, 0, 2, 4);
    const own = tensor(pixels, [2, size, size, 3]);
    const { mean, logvar } = batch;
    want.push(
      await loss({ ...batch, pixels: own, mean: half(mean!), logvar: half(logvar!) }),
    );
  }
  for (const one of got) assert(Math.abs(one / want[0] - 1) < 1e-6, `${got}, ${want}`);
  assertEquals(
    knownCaptions([ONE], DOGS, 0, { batch: 4, template: "a {}" }).length,
    5 + DOGS.length,
    "with every prefix",
  );
  assertEquals(knownCaptions([ONE], DOGS, 2, { batch: 4, template: "a {}" }).length, 2);
});

Deno.test("accumulating, with latents and captions known, takes the memory that was planned", async () => {
  // Of its own: what earlier tests dropped comes back to theirs at any time.
  using device = await ownDevice();
  const before = device.buffers.allocated;
  const pipeline = await loadPipeline(device, SD1, { addTokens: { "<new1>": "ktn" } });
  const { config, schedule, tokenIds } = pipeline;
  const size = config.unet.sampleSize * vaeFactor(config.vae);
  const plan = planTrainingMemory(device.profile, {
    ...{ config, schedule, batch: 2, targets: 1, size, encoded: 1, latentsKnown: true },
    ...{ accumulate: 3, clip: 1 },
    trains: (params) => conceptMask({ config, params, tokenIds }, [ONE], {}),
  });
  let held = 0;
  await train({
    ...{ batch: 2, accumulate: 3, clip: 1, steps: 1, augment: false, layout: plan.layout },
    onReport: ({ memory }) => void (held = memory - before),
  }, pipeline);
  pipeline.free();
  assertEquals(held, plan.total);
});

Deno.test("presets, rates and classes of a plan; a checkpoint tells every setting but a level run's length", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const i of [1, 2]) await writePng(`${folder}/${i}.png`, picture(), {});
    await longerTexts(SD1, `${folder}/sd`, 40);
    const base: TrainRequest = {
      ...{
        model: `${folder}/sd`,
        out: `${folder}/out`,
        concepts: [concept(`<new1> dog=${folder}`)],
      },
      ...{ regularization: [], method: "custom" },
      ...{ saveEvery: 1, keep: 1, logEvery: 1, seed: 1, resume: false },
    };
    const plan = (more: Partial<TrainRequest>) => planTraining({ ...base, ...more });
    const of = async (more: Partial<TrainRequest>) => {
      const { settings: s, classes, concepts } = await plan(more);
      const numbers = [Number(s.rate.toPrecision(6)), s.steps];
      return [s.trains, s.augment, s.flip, ...numbers, concepts[0].captions![0], classes[0].prompt];
    };
    const photo = ["photo of a <new1> dog", "photo of a dog"];
    assertEquals(await of({}), ["kv", true, true, 8e-5, 250, ...photo]);
    assertEquals(await of({ preset: "object" }), ["kv", true, true, 8e-5, 250, ...photo]);
    const style = ["painting in the style of <new1> dog", "dog"];
    assertEquals(await of({ preset: "style" }), ["kv", true, true, 8e-5, 250, ...style]);
    assertEquals(await of({ preset: "face" }), ["attention", false, false, 4e-5, 750, ...photo]);
    const said = { flip: true, augment: true, trains: "kv", steps: 9, learningRate: 1e-5 } as const;
    assertEquals(await of({ preset: "face", ...said }), ["kv", true, true, 8e-5, 9, ...photo]);
    await assertRejects(
      () => plan({ preset: "face", method: "dreambooth" }),
      Error,
      "is of --method custom",
    );
    const rate = async (more: Partial<TrainRequest>) =>
      Number((await plan(more)).settings.rate.toPrecision(6));
    assertEquals(await rate({ batch: 1, accumulate: 8 }), 1.6e-4);
    assertEquals(await rate({ batch: 1, learningRate: 2e-5, accumulate: 3 }), 1.2e-4);
    const plain = { scaleRate: false, batch: 1, accumulate: 3 };
    assertEquals([await rate(plain), await rate({ ...plain, learningRate: 2e-5 })], [8e-5, 2e-5]);
    await assertRejects(() => plan({ warmUp: 9, steps: 9 }), Error, "leaves nothing of 9 steps");
    await assertRejects(() => plan({ schedule: "constant", warmUp: 1 }), Error, "has no warm-up");

    const own = async (schedule: string, more: Partial<TrainRequest> = {}) => {
      const path = `${folder}/sd/moongate.json`;
      await Deno.writeTextFile(path, JSON.stringify({ training: { schedule } }));
      try {
        const { settings } = await plan(more);
        return [settings.schedule, settings.warmUp];
      } finally {
        await Deno.remove(path);
      }
    };
    assertEquals(await own("linear"), ["linear", 0]);
    assertEquals(await own("linear", { method: "dreambooth", warmUp: 2 }), ["linear", 2]);
    assertEquals(await own("linear", { preset: "face", schedule: "constant" }), ["constant", 0]);
    assertEquals(await own("constant", { warmUp: 2 }), ["constant_with_warmup", 2]);

    const word = { ...concept(`moongate=${folder}`), category: "dog" };
    const { classes, concepts, addTokens } = await plan({ concepts: [word] });
    assertEquals([classes[0].prompt, concepts[0].captions![0]], [
      "photo of a dog",
      "photo of a moongate",
    ]);
    assertEquals(addTokens, {});

    const run = async (more: Partial<TrainRequest> = {}) =>
      await describeRun({ ...base, ...more }, await plan(more), "f32");
    const mine = await run();
    assertEquals(await run({ steps: 500 }), mine);
    const falling = await run({ schedule: "linear", steps: 250 });
    assert(falling !== await run({ schedule: "linear", steps: 500 }));
    const { delta } = await train({ batch: 2, steps: 0 });
    const from = `${folder}/earlier.safetensors`;
    await saveDelta(from, { ...delta, base: "" });
    const others = [
      ...[{ accumulate: 2 }, { clip: 1 }, { warmUp: 2 }, { scaleRate: false, batch: 1 }],
      ...[{ schedule: "cosine" }, { preset: "face" }, { from }] as const,
    ];
    for (const more of others) assert(await run(more) !== mine, JSON.stringify(more));
    // Where pictures lie says nothing; which picture is whose, and what stands beside it, does.
    const copied = `${folder}/copied`,
      pictures = [...Deno.readDirSync(folder)].filter((e) => e.isFile);
    await Deno.mkdir(copied);
    for (const { name } of pictures) await Deno.copyFile(`${folder}/${name}`, `${copied}/${name}`);
    assertEquals(await run({ concepts: [concept(`<new1> dog=${copied}`)] }), mine);
    const { width, height } = picture(), data = new Uint8Array(3 * width * height).fill(255);
    const masked = async (i: number) => {
      await writePng(`${copied}/${i}.mask.png`, { width, height, data }, {});
      const told = await run({ concepts: [concept(`<new1> dog=${copied}`)] });
      await Deno.remove(`${copied}/${i}.mask.png`);
      return told;
    };
    assert(await masked(1) !== await masked(2), "which picture has the mask");
    const split = async (first: number[], second: number[]) => {
      for (const [name, numbers] of [["a", first], ["b", second]] as const) {
        await Deno.mkdir(`${folder}/${name}`);
        for (const n of numbers) {
          await Deno.copyFile(`${folder}/1.png`, `${folder}/${name}/${n}.png`);
        }
      }
      const concepts = ["a", "b"].map((name, i) => concept(`<new${i + 1}> dog=${folder}/${name}`));
      const told = await run({ concepts, caption: "{}", initializers: ["ktn", "q</w>"], steps: 9 });
      for (const name of ["a", "b"]) await Deno.remove(`${folder}/${name}`, { recursive: true });
      return JSON.parse(told);
    };
    const [one, two] = [await split([1], [2, 3]), await split([1, 2], [3])];
    assert(one["pictures' contents"] !== two["pictures' contents"], "whose pictures they are");
    // What an earlier delta teaches is known already, and its initializer is used up.
    const next = [concept(`<new2> dog=${folder}`)];
    await assertRejects(() => plan({ from, concepts: next }), Error, 'can\'t start from "pll"');
    const given = await plan({ from, concepts: next, initializers: ["q</w>"] });
    assertEquals(given.addTokens, { "<new1>": "ktn", "<new2>": "q</w>" });
    assertMatch(await run({ from }), /start's contents/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what is taught, and by which pictures, is looked at before anything is made", async () => {
  const pipeline = await model();
  // deno-lint-ignore no-explicit-any
  const refused = (given: any, said: string) =>
    assertRejects(() => trainConcepts(pipeline, { ...RUN, ...given }), TypeError, said);
  await refused({ regularization: undefined }, "options.regularization is undefined, not a list");
  await refused({ concepts: undefined }, "options.concepts is undefined");
  await refused({ concepts: [{ ...ONE, pictures: ["a.png"] }] }, "readPicture(path)");
  await refused(
    { concepts: [{ ...ONE, pictures: undefined }] },
    "concepts[0].pictures is undefined",
  );
  await refused(
    { regularization: [{ caption: "a dog" }] },
    "regularization[0].picture is undefined",
  );
});
