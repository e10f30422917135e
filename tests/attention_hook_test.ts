/** The attention hook against diffusers with attention processors (golden/attention.py), and against no hook. */
import { assert, assertEquals } from "@std/assert";
import { evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import type { AttentionHook } from "../models/unet/attention_hook.ts";
import { unet, unetConfig, unetSpecs } from "../models/unet/unet.ts";
import { promptToPrompt } from "../diffusion/editing/prompt_edit.ts";
import { refinementMap } from "../diffusion/editing/token_alignment.ts";
import { tensor } from "../ops/leaf.ts";
import { expand } from "../ops/broadcast.ts";
import { slice } from "../ops/movement.ts";
import { tapeOf, type Tensor } from "../tensor/tensor.ts";
import { assertNear, goldenParams, goldenTensor, openGolden, toNHWC } from "./models_golden.ts";
import { testDevice } from "./support/check.ts";

const model = await openGolden("unet_conv");
const gold = await openGolden("attention");
const config = unetConfig(model.config);

function ask(attention?: AttentionHook): Tensor {
  const inputs = ["sample", "timesteps", "context"].map((n) => goldenTensor(model, `in.${n}`));
  const params = goldenParams(model, unetSpecs(config));
  return unet(config, params, inputs[0], inputs[1], inputs[2], { attention });
}

const ops = (y: Tensor) => tapeOf([y]).map((node) => node.op.name);

Deno.test("a hook sees the probabilities that diffusers' processors see, in every layer", async () => {
  const seen = new Map<string, Tensor>();
  const y = ask(({ path, kind, cells: [h, w] }) => (p) => {
    assertEquals(p.shape[2], h * w);
    seen.set(`${kind}.${path}`, p);
    return p;
  });
  const names = [...gold.names("self.").map((n) => `self.${n}`)];
  names.push(...gold.names("cross.").map((n) => `cross.${n}`));
  assertEquals([...seen.keys()].toSorted(), names.toSorted());
  const device = await testDevice();
  const results = [y, ...names.map((n) => seen.get(n)!)];
  const exact = interpret(results), made = evaluate(device, results);
  const { shape, data } = model.get("out.y");
  for (const values of [exact, await Promise.all(made.map((t) => device.read(t)))]) {
    assertNear(values[0] as ArrayLike<number>, toNHWC(data, shape), 1e-4, "the result");
    names.forEach((n, i) => {
      const { shape, data } = gold.get(n);
      assertEquals(results[i + 1].shape, shape);
      assertNear(values[i + 1] as ArrayLike<number>, data, 1e-4, n);
      for (let row = 0; row < data.length; row += shape[3]) {
        const own = Array.from(values[i + 1] as ArrayLike<number>).slice(row, row + shape[3]);
        assert(own.every((v) => v >= 0));
        assert(Math.abs(own.reduce((a, b) => a + b) - 1) < 1e-5);
      }
    });
  }
  device.free(...made);
});

Deno.test("probabilities that a hook puts in their place are used as in diffusers", () => {
  const y = ask(() => (p) => expand(slice(p, 0, 0, 1), p.shape));
  // The same by the hook of an edit: the first picture is the source, the second the edited one, of the same words.
  const map = refinementMap([[1, 2], [3]], [[1, 2], [3]], 5);
  const on = tensor([1]);
  const edit = promptToPrompt({
    given: {
      ...{ cross: on, self: on, from: tensor(map.from, [5, 5]), own: tensor(map.own) },
      weights: tensor([1, 1, 1, 1, 1]),
    },
    ...{ pictures: 2, latent: [4, 8], record: () => {} },
  });
  const { shape, data } = gold.get("injected");
  for (const answer of interpret([y, ask(edit)])) {
    assertNear(answer, toNHWC(data, shape), 1e-4, "the result");
  }
});

Deno.test("without a hook, or where it gives nothing, a model is the same operations", () => {
  const plain = ops(ask());
  assert(plain.includes("attention"));
  assert(!plain.includes("softmax"));
  assertEquals(ops(ask(() => undefined)), plain);
  const cross = ops(ask(({ kind }) => kind === "cross" ? (p) => p : undefined));
  const count = (names: string[], name: string) => names.filter((n) => n === name).length;
  assertEquals(count(cross, "attention"), count(plain, "attention") / 2);
  assertEquals(count(cross, "softmax"), count(plain, "attention") / 2);
});
