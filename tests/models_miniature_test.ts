/** The miniature model end to end: its folder loads, pictures survive the autoencoder, prompts become pictures. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { isFile } from "../files/paths.ts";
import { blank, type Picture } from "../files/pictures/picture.ts";
import { compile } from "../compile/compile.ts";
import { Sampler } from "../diffusion/sample.ts";
import type { SamplerName } from "../diffusion/samplers/names.ts";
import { loadPipeline, type Pipeline } from "../diffusion/pipeline.ts";
import { vaeDecode, vaeEncode } from "../models/vae/vae.ts";
import { tensor } from "../ops/leaf.ts";
import { testDevice } from "./support/check.ts";
import { MINIATURE, randomFolder } from "./models_folder.ts";

const PARTS = ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"];
const shipped = (await Promise.all(PARTS.map((p) => isFile(`${MINIATURE}/${p}.safetensors`))))
  .every((found) => found);

/** A picture with colours, edges and slopes: a disc over a gradient. */
function scene(size: number): Picture {
  const data = new Uint8Array(size * size * 3);
  for (let i = 0; i < size * size; i++) {
    const x = (i % size) / size - 0.5, y = Math.floor(i / size) / size - 0.5;
    data.set(Math.hypot(x, y) < 0.25 ? [210, 40, 40] : [90, 150 + 80 * y, 220 - 120 * y], 3 * i);
  }
  return { width: size, height: size, data };
}

async function reconstructed(model: Pipeline, picture: Picture): Promise<Float32Array> {
  const { device, config } = model;
  const run = compile(
    device,
    (params: Pipeline["params"], x: ReturnType<typeof tensor>) =>
      vaeDecode(config.vae, params.vae, vaeEncode(config.vae, params.vae, x).mean),
  );
  const pixels = Float32Array.from(picture.data, (v) => v / 127.5 - 1);
  const y = run(model.params, tensor(pixels, [1, picture.height, picture.width, 3]));
  const values = await device.read(y) as Float32Array;
  run.free();
  return values;
}

const spread = (p: Picture): number => {
  const mean = p.data.reduce((a, b) => a + b) / p.data.length;
  return Math.sqrt(p.data.reduce((s, v) => s + (v - mean) ** 2, 0) / p.data.length);
};

Deno.test("a model of random weights makes a picture for each prompt, the same for a seed in any batch", async () => {
  const device = await testDevice();
  const folder = await randomFolder();
  const before = device.buffers.allocated;
  const model = await loadPipeline(device, folder, { dtype: "f16" });
  const sampler = new Sampler(model);
  const steps: number[] = [];
  const options = { steps: 2, guidance: 20, width: 32, height: 16, seed: 7, batch: 2 };
  const prompts = ["photo of a red mug", "photo of a cat", "a pencil drawing"];
  const all = await sampler.generate(prompts, {
    ...options,
    onStep: (done, total) => steps.push(done / total),
  });
  assertEquals(steps, [0.25, 0.5, 0.75, 1]);
  assertEquals(all.map((p) => [p.width, p.height, p.data.length]), Array(3).fill([32, 16, 1536]));
  assert(all.every((p) => spread(p) > 1), "the pictures are not blank");
  const [last, middle] = await sampler.generate([prompts[2], prompts[1]], {
    ...options,
    seed: [9, 8],
  });
  assertEquals(last, all[2]);
  assertEquals(middle, all[1]);
  const [other] = await sampler.generate([prompts[0], prompts[1]], { ...options, seed: [9, 8] });
  assert(other.data.some((v, i) => Math.abs(v - last.data[i]) > 1), "the prompt matters");
  const [negative] = await sampler.generate([prompts[2], prompts[1]], {
    ...options,
    seed: [9, 8],
    negative: "cat",
  });
  assert(negative.data.some((v, i) => v !== last.data[i]), "the negative prompt matters");

  const image = scene(40);
  const from = (more: object) => sampler.generate(["a"], { ...options, image, ...more });
  const [low] = await from({ strength: 0.5, sampler: "euler" });
  assertEquals([low.width, low.height], [32, 16]);
  assertEquals(await from({ strength: 0.5, sampler: "euler" }), [low]);
  const [dark] = await from({ strength: 0.5, sampler: "euler", image: blank(8, 8) });
  assert(dark.data.some((v, i) => v !== low.data[i]), "the picture matters");
  await from({ sampler: "pndm", steps: 4 });
  await assertRejects(() => from({ strength: 0.1 }), RangeError, "less than one step");
  await assertRejects(() => from({ image: undefined, strength: 0.1 }), RangeError, "no image");
  await assertRejects(() => from({ sampler: "euler", eta: 0 }), RangeError, "only ddim");

  await assertRejects(() => sampler.generate(["a"], { width: 20 }), RangeError, "multiple of 16");
  await assertRejects(() => sampler.generate(["a"], { batch: 0 }), RangeError, "batch");
  sampler.free();
  model.free();
  assertEquals(device.buffers.allocated, before, "all memory is given back");
  await Deno.remove(folder, { recursive: true });
});

Deno.test({
  name: "the model that ships: a picture survives the autoencoder",
  ignore: !shipped,
  async fn() {
    const model = await loadPipeline(await testDevice(), MINIATURE);
    const picture = scene(model.config.vae.sampleSize);
    const values = await reconstructed(model, picture);
    let error = 0;
    values.forEach((v, i) => error += (v - (picture.data[i] / 127.5 - 1)) ** 2);
    const psnr = 10 * Math.log10(4 / (error / values.length));
    assert(psnr > 20, `the reconstruction has a PSNR of ${psnr} dB, over 20 expected`);
    model.free();
  },
});

Deno.test({
  name: "the model that ships: prompts for a red and for a blue thing differ in the right channels",
  ignore: !shipped,
  async fn() {
    const model = await loadPipeline(await testDevice(), MINIATURE);
    const sampler = new Sampler(model);
    const prompts = ["photo of a red balloon", "photo of a blue balloon"];
    const [red, blue] = await sampler.generate(prompts, {
      steps: 20,
      guidance: 3,
      seed: [1, 1],
      eta: 0,
    });
    assert(spread(red) > 10 && spread(blue) > 10, "the pictures are not blank");
    const redness = (p: Picture) => {
      let sum = 0;
      for (let i = 0; i < p.data.length; i += 3) sum += p.data[i] - p.data[i + 2];
      return sum / (p.data.length / 3);
    };
    assert(redness(red) > redness(blue), `red ${redness(red)}, blue ${redness(blue)}`);
    sampler.free();
    model.free();
  },
});

Deno.test({
  name: "the model that ships: from a picture, little strength keeps more of it than much",
  ignore: !shipped,
  async fn() {
    const model = await loadPipeline(await testDevice(), MINIATURE);
    const sampler = new Sampler(model);
    const image = scene(model.config.vae.sampleSize);
    const apart = async (strength: number, name: SamplerName) => {
      const [made] = await sampler.generate(["photo of a blue balloon"], {
        ...{ image, strength, sampler: name, steps: 10, guidance: 1 },
      });
      const error = made.data.reduce((sum, v, i) => sum + (v - image.data[i]) ** 2, 0);
      return Math.sqrt(error / made.data.length);
    };
    for (const name of ["ddim", "euler"] as const) {
      const [little, much] = [await apart(0.1, name), await apart(1, name)];
      assert(
        little < 0.7 * much,
        `${name}: ${little} of 255 with little strength, ${much} with all`,
      );
    }
    sampler.free();
    model.free();
  },
});
