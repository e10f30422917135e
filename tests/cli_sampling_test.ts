/** Which sampler a command takes: its flags, the model folder's `moongate.json`, its scheduler's class. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { UsageError } from "../terminal/errors.ts";
import type { ModelFacts } from "../cli/shared/model.ts";
import type { GenerateRequest } from "../cli/generate/request.ts";
import { samplingPlan } from "../cli/shared/sampling.ts";
import { modelDefaults } from "../concepts/training/model_settings.ts";
import type { SamplerChoice } from "../diffusion/samplers/samplers.ts";
import { noiseSchedule } from "../diffusion/samplers/schedule.ts";
import { FileError } from "../files/errors.ts";

Deno.test("generate: flags go before moongate.json, and that before the scheduler's class", () => {
  const schedule = noiseSchedule({
    _class_name: "EulerDiscreteScheduler",
    ...{ num_train_timesteps: 1000, beta_schedule: "linear", beta_start: 1e-4, beta_end: 0.02 },
  });
  const plan = (own: SamplerChoice, flags: Partial<GenerateRequest>) => {
    const defaults = { sampling: { steps: 10, guidance: 3, ...own } };
    const facts = { schedule, defaults } as unknown as ModelFacts;
    const { evaluations, notes } = samplingPlan(facts, flags as GenerateRequest);
    return [evaluations, notes.sampler, notes.eta];
  };
  assertEquals(plan({}, {}), [10, "euler", undefined]);
  assertEquals(plan({ eta: 0 }, {}), [10, "ddim", "0"]);
  assertEquals(plan({ sampler: "pndm" }, {}), [11, "pndm", undefined]);
  assertEquals(plan({ sampler: "pndm" }, { eta: 0.5 }), [10, "ddim", "0.5"]);
  assertEquals(plan({ eta: 0.3 }, { sampler: "ddpm", steps: 7 }), [7, "ddpm", undefined]);
  assertEquals(plan({ eta: 0.3 }, { sampler: "ddim" }), [10, "ddim", "0.3"]);
  assertEquals(plan({}, { sampler: "ddim" }), [10, "ddim", "0"]);
  assertEquals(plan({}, { image: "a", imageStrength: 0.5 }), [5, "euler", undefined]);
  assertEquals(plan({}, { image: "a" }), [8, "euler", undefined]);
  const refused = (flags: Partial<GenerateRequest>, message: string) =>
    assertThrows(() => plan({}, flags), UsageError, message);
  refused({ sampler: "euler", eta: 1 }, "only ddim takes one");
  refused({ image: "a", imageStrength: 0.05 }, "less than one step");
});

Deno.test("moongate.json: a sampler is one of those there are, other words are refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const say = (sampling: unknown) =>
      Deno.writeTextFile(`${folder}/moongate.json`, JSON.stringify({ sampling }));
    assertEquals((await modelDefaults(folder)).sampling, { steps: 50, guidance: 6 });
    await say({ sampler: "dpm++2m", steps: 20 });
    const { sampling } = await modelDefaults(folder);
    assertEquals(sampling, { steps: 20, guidance: 6, sampler: "dpm++2m" });
    const wrong: [object, RegExp][] = [
      [{ sampler: "heun" }, /sampling\.sampler to "heun"/],
      [{ eta: 2 }, /out of range/],
      [{ constructor: 1 }, /sampling takes steps, guidance, sampler, eta/],
    ];
    for (const [said, message] of wrong) {
      await say(said);
      const error = await modelDefaults(folder).catch((e) => e);
      assert(error instanceof FileError);
      assertMatch(error.message, message);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
