// What a whole run of training leaves alone: everything but keys, values and the rows of new words, to the last bit.
import { assert, assertEquals } from "@std/assert";
import { withDelta } from "../concepts/deltas/apply.ts";
import { isTable, tokenRows } from "../concepts/deltas/from_parameters.ts";
import { trainConcepts } from "../concepts/training/train.ts";
import { loadPipeline } from "../diffusion/pipeline.ts";
import type { Picture } from "../files/pictures/picture.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatten } from "../tensor/tree.ts";
import { testDevice, uniform } from "./support/check.ts";

const SD1 = new URL("./golden/verify/sd1", import.meta.url).pathname;
const random = uniform(3);
const picture = (): Picture => ({
  width: 16,
  height: 16,
  data: Uint8Array.from({ length: 16 * 16 * 3 }, () => 127 + 100 * random()),
});

Deno.test("after 250 steps both of two new words have moved, and no bit of what is frozen", async () => {
  const device = await testDevice();
  const words = ["<new1>", "<new2>"];
  const model = await loadPipeline(device, SD1, {
    addTokens: { "<new1>": "ktn", "<new2>": "dog</w>" },
  });
  const bits = async (params: object) =>
    new Map(
      await Promise.all(
        flatten<Tensor>({ ...params }).map(async ([path, t]) =>
          [path, new Uint32Array((await device.read(t) as Float32Array).slice().buffer)] as const
        ),
      ),
    );
  const before = await bits(model.params), ids = words.flatMap((w) => model.tokenIds(w));
  const starts = await tokenRows(model, ids);
  const delta = await trainConcepts(model, {
    concepts: words.map((token) => ({ token, className: "dog", pictures: [picture(), picture()] })),
    regularization: [{ picture: picture(), caption: "photo of a dog" }],
    ...{ steps: 250, batch: 4, rate: 1e-3, reportEvery: 250, template: "{}" },
  });
  assertEquals(delta.notes.steps, 250);
  const after = await bits(model.params);
  for (const [path, was] of before) assertEquals(after.get(path), was, path);
  const taught = withDelta(model, delta);
  let trained = 0;
  for (const [path, now] of await bits(taught.params)) {
    const was = before.get(path)!;
    if (isTable(path)) {
      const width = starts.length / ids.length;
      const rows = was.length / width;
      const changed = Array.from({ length: rows }, (_, r) => r).filter((r) =>
        now.subarray(r * width, (r + 1) * width).some((v, c) => v !== was[r * width + c])
      );
      assertEquals(changed, ids, "rows that changed");
    } else if (/\.attn2\.to_[kv]\.weight$/.test(path)) {
      assert(now.some((v, i) => v !== was[i]), `${path} trains`);
      trained++;
    } else assertEquals(now, was, path);
  }
  assertEquals(trained, delta.weights.size);
  for (const [i, row] of delta.embeddings.entries()) {
    const start = starts.subarray(i * row.length, (i + 1) * row.length);
    // AdamW's steps are about as long as the rate: a row that trains goes further than weight decay takes it.
    const moved = Math.hypot(...row.map((v, c) => v - start[c]));
    const decayed = Math.hypot(...start) * 1e-3 * 0.01 * 250;
    assert(moved > 10 * decayed, `${words[i]} moved by ${moved}, decay alone takes ${decayed}`);
  }
  taught.free();
});
