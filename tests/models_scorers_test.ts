/** Encoders that score pictures, and text encoders of the OpenCLIP kind, against transformers: every gradient too. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { vjp } from "../autograd/grad.ts";
import { interpret } from "../compile/interpret.ts";
import { toEngine } from "../models/layout.ts";
import { clipText, clipTextConfig, clipTextSpecs, projectText } from "../models/clip/text.ts";
import { clipVision, clipVisionConfig, clipVisionSpecs } from "../models/clip/vision.ts";
import type { ParameterSpecs, ParameterTree } from "../models/params.ts";
import { vit, vitConfig, vitFeatures, vitSpecs } from "../models/vit.ts";
import { tensor } from "../ops/leaf.ts";
import { ShapeError } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import * as gold from "./models_golden.ts";

/** A model over a golden's parameters: results by name, and which of them the golden's gradients are of. */
interface Traced {
  readonly specs: ParameterSpecs;
  readonly params: ParameterTree;
  readonly results: Readonly<Record<string, Tensor>>;
  readonly upstream: Readonly<Record<string, string>>;
}

const MODELS: Readonly<Record<string, (golden: gold.Golden) => Traced>> = {
  clip_text(golden) {
    const config = clipTextConfig(golden.config);
    const specs = clipTextSpecs(config);
    const params = gold.goldenParams(golden, specs);
    const { shape, data } = golden.get("in.ids");
    const features = clipText(config, params, tensor(Uint32Array.from(data), shape));
    const { hidden, penultimate, pooled } = features;
    const projected = projectText(config, params, pooled);
    const results = { hidden, penultimate, projected };
    return { specs, params, results, upstream: { penultimate: "in.u", projected: "in.u_pooled" } };
  },
  clip_vision(golden) {
    const config = clipVisionConfig(golden.config);
    const specs = clipVisionSpecs(config);
    const params = gold.goldenParams(golden, specs);
    const { pooled } = clipVision(config, params, gold.goldenTensor(golden, "in.pixels"));
    return { specs, params, results: { pooled }, upstream: { pooled: "in.u" } };
  },
  vit(golden) {
    const config = vitConfig(golden.config);
    const specs = vitSpecs(config);
    const params = gold.goldenParams(golden, specs);
    const hidden = vit(config, params, gold.goldenTensor(golden, "in.pixels"));
    return { specs, params, results: { hidden }, upstream: { hidden: "in.u" } };
  },
};

for (const [name, trace] of Object.entries(MODELS)) {
  for (const [engine, run] of Object.entries(gold.ENGINES)) {
    Deno.test(`${name}: forward and gradients are those of transformers ${engine}`, async () => {
      const golden = await gold.openGolden(name);
      const { specs, params, results, upstream } = trace(golden);
      const leaves = new Map(flatten<Tensor>(params));
      assertEquals(golden.names("grad.").toSorted(), [...leaves.keys()].toSorted());
      const wanted = [...leaves.keys()];
      const outputs = Object.entries(upstream).map(([result, u]) =>
        [results[result], gold.goldenTensor(golden, u)] as const
      );
      const grads = vjp(outputs, wanted.map((n) => leaves.get(n)!)) as Tensor[];
      const values = await run([...Object.values(results), ...grads]);
      Object.keys(results).forEach((result) =>
        gold.assertNear(values.shift()!, golden.get(`out.${result}`).data, 1e-4, result)
      );
      wanted.forEach((parameter, i) => {
        const { shape, data } = golden.get(`grad.${parameter}`);
        const expected = specs.get(parameter)!.layout === "conv" ? toEngine(data, shape) : data;
        // The gradient of a key's bias is 0 but for rounding: a softmax sees differences only.
        if (/\bkey\.bias$|k_proj\.bias$/.test(parameter)) {
          assert(Array.from(values[i]).every((v) => Math.abs(v) < 1e-4));
        } else gold.assertNear(values[i], expected, 1e-3, `the gradient of ${parameter}`);
      });
    });
  }
}

Deno.test("vit: the feature of a picture is its class token", async () => {
  const golden = await gold.openGolden("vit");
  const config = vitConfig(golden.config);
  const params = gold.goldenParams(golden, vitSpecs(config));
  const pixels = gold.goldenTensor(golden, "in.pixels");
  const [rows] = interpret([vitFeatures(config, params, pixels)]);
  const { data, shape: [, tokens, width] } = golden.get("out.hidden");
  const first = [0, tokens * width].flatMap((at) => [...data.subarray(at, at + width)]);
  gold.assertNear(rows, first, 1e-4, "the class tokens");
  assertThrows(() => vit(config, params, gold.symbolic([1, 4, 8, 3])), ShapeError, "[B,8,8,3]");
});
