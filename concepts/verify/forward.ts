/** Everything of a golden file that needs no gradient: the encoders, the denoiser, the noising, and two walks. */
import { evaluate } from "../../compile/compile.ts";
import { Denoiser } from "../../diffusion/denoise.ts";
import { noisedLatents } from "../../diffusion/loss.ts";
import type { Pipeline } from "../../diffusion/pipeline.ts";
import { clipText } from "../../models/clip/text.ts";
import { unet } from "../../models/unet/unet.ts";
import { vaeDecode, vaeEncode, vaeFactor } from "../../models/vae/vae.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { tensor } from "../../ops/leaf.ts";
import { expand } from "../../ops/broadcast.ts";
import { concat } from "../../ops/concat.ts";
import { permute, slice } from "../../ops/movement.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Gold } from "./gold.ts";

/** How far forward values may be off. */
export const FORWARD = 1e-4;
/** How far gradients, trained values and trajectories may be off. */
export const DERIVED = 1e-3;

/** A result that a golden file may hold. */
export interface Check {
  /** Its name. */
  readonly name: string;
  /** What it is computed from. */
  readonly inputs: readonly string[];
  /** The largest error that passes. */
  readonly limit: number;
  /**
   * Reads and checks the inputs; what it gives computes the result, in the file's layout, as a tensor that the caller
   * frees.
   */
  prepare(model: Pipeline, gold: Gold): Promise<() => Tensor | Promise<Tensor>>;
  /** What the file's values stand for, where that is not themselves. */
  meant?(values: Float32Array, shape: readonly number[]): Float32Array;
}

const nchw = (t: Tensor) => permute(t, [0, 3, 1, 2]);
const grainOf = (model: Pipeline) => 2 ** (model.config.unet.channels.length - 1);

/** What the walks are asked for, and how. */
export const WALK = { prompt: "photo of a cat", steps: 20, guidance: 6 } as const;
/** The timestep of the picture that is not square. */
const WIDE_T = 250;

/** The results that need no gradient, in the order in which they are computed. */
export const FORWARD_CHECKS: readonly Check[] = [
  {
    name: "text_hidden",
    inputs: ["ids"],
    limit: FORWARD,
    async prepare({ device, config: { text_encoder: text }, params }, gold) {
      const ids = await gold.ids("ids", text.vocabulary, text.positions);
      gold.expect("text_hidden", [...ids.shape, text.width]);
      return () => evaluate(device, clipText(text, params.text_encoder, ids).hidden);
    },
  },
  {
    name: "unet_out",
    inputs: ["unet_x", "unet_t", "text_hidden"],
    limit: FORWARD,
    async prepare(model, gold) {
      const { device, config, params, schedule } = model;
      const x = await gold.maps("unet_x", config.unet.inChannels, grainOf(model));
      const [b, h, w] = x.shape;
      const t = await gold.timesteps("unet_t", b, schedule.trainSteps);
      const context = await gold.features("text_hidden", config.unet.contextWidth);
      if (context.shape[0] !== b) throw gold.misshapen("text_hidden", `${b} rows, as of unet_x`);
      gold.expect("unet_out", [b, config.unet.outChannels, h, w]);
      return () =>
        evaluate(device, nchw(unet(config.unet, params.unet, x, cast(t, "f32"), context)));
    },
  },
  {
    name: "wide_out",
    inputs: ["wide_x", "text_hidden"],
    limit: FORWARD,
    async prepare(model, gold) {
      const { device, config, params } = model;
      const x = await gold.maps("wide_x", config.unet.inChannels, grainOf(model));
      const [b, h, w] = x.shape;
      const context = await gold.features("text_hidden", config.unet.contextWidth);
      const first = expand(slice(context, 0, 0, 1), [b, ...context.shape.slice(1)]);
      gold.expect("wide_out", [b, config.unet.outChannels, h, w]);
      const t = tensor(new Float32Array(b).fill(WIDE_T), [b]);
      return () => evaluate(device, nchw(unet(config.unet, params.unet, x, t, first)));
    },
  },
  {
    name: "moments",
    inputs: ["image"],
    limit: FORWARD,
    async prepare({ device, config: { vae }, params }, gold) {
      const factor = vaeFactor(vae);
      const image = await gold.maps("image", vae.inChannels, factor);
      const [b, h, w] = image.shape;
      gold.expect("moments", [b, 2 * vae.latentChannels, h / factor, w / factor]);
      return () => {
        const { mean, logvar } = vaeEncode(vae, params.vae, image);
        return evaluate(device, nchw(concat([mean, logvar], 3)));
      };
    },
    // PyTorch gives the encoder's answer; the posterior keeps the logarithm of the variance within bounds.
    meant: (values, [, c, h, w]) =>
      values.map((v, i) =>
        Math.floor(i / (h * w)) % c < c / 2 ? v : Math.min(Math.max(v, -30), 20)
      ),
  },
  {
    name: "decoded",
    inputs: ["z"],
    limit: FORWARD,
    async prepare({ device, config: { vae }, params }, gold) {
      const factor = vaeFactor(vae);
      const z = await gold.maps("z", vae.latentChannels);
      const [b, h, w] = z.shape;
      gold.expect("decoded", [b, vae.outChannels, h * factor, w * factor]);
      return () => evaluate(device, nchw(vaeDecode(vae, params.vae, z)));
    },
  },
  {
    name: "xt",
    inputs: ["x0", "noise", "unet_t"],
    limit: FORWARD,
    async prepare({ device, config, schedule }, gold) {
      const clean = await gold.maps("x0", config.unet.inChannels);
      gold.expect("noise", gold.shape("x0"));
      gold.expect("xt", gold.shape("x0"));
      const noise = await gold.maps("noise", config.unet.inChannels);
      const t = await gold.timesteps("unet_t", clean.shape[0], schedule.trainSteps);
      return () => evaluate(device, nchw(noisedLatents(schedule, clean, noise, t)));
    },
  },
  walk("sample_out", "ddim"),
  walk("sample_pndm", "pndm"),
];

/** A walk from noise with guidance, to latents. */
function walk(name: string, sampler: "ddim" | "pndm"): Check {
  return {
    name,
    inputs: ["sample_latents"],
    limit: DERIVED,
    async prepare(model, gold) {
      const { device, config, params, schedule } = model;
      const noise = await gold.maps("sample_latents", config.unet.inChannels, grainOf(model));
      const [b, ...shape] = noise.shape as [number, number, number, number];
      gold.expect(name, gold.shape("sample_latents"));
      const prompts = ["", WALK.prompt].flatMap((p) => Array.from({ length: b }, () => p));
      const ids = model.tokenize(prompts);
      return async () => {
        const context = evaluate(
          device,
          clipText(config.text_encoder, params.text_encoder, ids).hidden,
        );
        const start = evaluate(device, noise);
        const denoiser = new Denoiser(device, config.unet);
        try {
          const x = await denoiser.run(params.unet, context, schedule, {
            ...{ sampler, shape, steps: WALK.steps, guidance: WALK.guidance, noise: start },
            ...(sampler === "ddim" && { eta: 0 }),
            seeds: Array.from({ length: b }, (_, i) => i),
          });
          const out = evaluate(device, nchw(x));
          device.free(x);
          return out;
        } finally {
          denoiser.free();
          device.free(context, start);
        }
      };
    },
  };
}
