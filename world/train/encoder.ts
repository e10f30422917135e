/**
 * The autoencoder's encoder in closed form: principal components of patches, computed by the weights of an ordinary
 * `AutoencoderKL`.
 *
 * Why: a narrow encoder trained from nothing spends its time on losing colours; the best linear code costs seconds, and
 * the UNet can be trained on it while the decoder is still learning to draw sharp edges from it. Residual branches are
 * zero; the strided convolutions gather 2×2 neighbours; and the way through the last group norm and SiLU is linear,
 * because large constant channels fix the norm's scale, and silu(a) − silu(−a) = a.
 */
import type { Named } from "../../autograd/optimizer.ts";
import { FileError } from "../../files/errors.ts";
import { engineShape } from "../../models/params.ts";
import { type VaeConfig, vaeFactor, vaeSpecs } from "../../models/vae/vae.ts";
import { tensor } from "../../ops/leaf.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Code, encodeAll, principalComponents } from "./components.ts";

/** Deviation of the posterior, in units of a latent's own. */
const NOISE = 0.1;
/** Size of the signal beside the constants in the last group norm. */
const SMALL = 0.15, CONSTANT = 3;

/**
 * The encoder's weights (`encoder.…`, `quant_conv.…`), on the host in the engine's layout.
 *
 * @param drawn weights at random, of which those stay that the code does not use
 * @param pictures `[n, size, size, 3]` in [−1, 1], size a multiple of the autoencoder's factor
 * @throws FileError when the config leaves no room for the code
 */
export function closedFormEncoder(
  config: VaeConfig,
  drawn: Named,
  pictures: Float32Array,
  size: number,
): Named {
  const { channels, latentChannels: latents } = config;
  const top = channels.length - 1;
  checkRoom(config, size);
  const weights = new Weights(config);
  for (const path of weights.paths) {
    if (/\.conv2\.|\.to_out\.|conv_shortcut/.test(path)) weights.clear(path);
  }
  weights.clear("encoder.conv_in.weight", "encoder.conv_in.bias");
  for (let c = 0; c < 3; c++) weights.set("encoder.conv_in.weight", [1, 1, c, c], 1);
  let x = pictures, side = size, have = 3, last = { spread: [] as number[] };
  for (let level = 0; level < top; level++) {
    const at = `encoder.down_blocks.${level}`;
    const shortcut = `${at}.resnets.0.conv_shortcut.weight`;
    if (weights.paths.includes(shortcut)) {
      for (let c = 0; c < have; c++) weights.set(shortcut, [0, 0, c, c], 1);
    }
    x = gather(x, side, have);
    side /= 2;
    const code = level === top - 1
      ? last = latentCode(x, 4 * have, latents)
      : 4 * have <= channels[level]
      ? identity(4 * have)
      : principalComponents(x, 4 * have, channels[level]);
    writeGather(weights, `${at}.downsamplers.0.conv`, code, have);
    x = encodeAll(x, code);
    have = code.rows.length;
  }
  writeLinearEnd(config, weights, last.spread);
  return weights.over(drawn);
}

/**
 * Deviations that the latent channels get, from those of the components in grey levels, largest first: a component that
 * moves many grey levels gets a larger latent, so that noise covers details before it covers form, and form is learnt
 * and drawn before details; less so than in the picture itself, where details drown in any noise.
 */
const spread = (deviations: readonly number[]): number[] =>
  deviations.map((d) => 1.6 * (d / deviations[0]) ** 0.4);

/** The code that gives the latents, and their deviations. */
function latentCode(x: Float32Array, d: number, latents: number): Code & { spread: number[] } {
  const components = principalComponents(x, d, latents);
  const deviations = components.deviations.map((deviation) => Math.max(deviation, 1e-6));
  const wanted = spread(deviations);
  return {
    mean: components.mean,
    rows: components.rows.map((row, i) => row.map((v) => v * wanted[i] / deviations[i])),
    spread: wanted,
  };
}

/** The last level: the signal and its negative beside constants, through norm and SiLU, and taken apart again. */
function writeLinearEnd(config: VaeConfig, weights: Weights, spread: readonly number[]): void {
  const { channels, latentChannels: latents } = config;
  const top = channels.length - 1, half = channels[top] / 2;
  const shortcut = `encoder.down_blocks.${top}.resnets.0.conv_shortcut`;
  const end = "encoder.conv_out";
  const power = (half - latents) / half * CONSTANT ** 2 + latents / half * SMALL ** 2;
  const gain = Math.sqrt(power) / SMALL;
  weights.clear(`${end}.weight`, `${end}.bias`);
  for (let c = 0; c < latents; c++) {
    weights.set(`${shortcut}.weight`, [0, 0, c, c], SMALL);
    weights.set(`${shortcut}.weight`, [0, 0, c, half + c], -SMALL);
    weights.set(`${end}.weight`, [1, 1, c, c], gain);
    weights.set(`${end}.weight`, [1, 1, half + c, c], -gain);
  }
  for (let c = latents; c < half; c++) {
    // Of both signs in equal number, so that the mean over the channels stays 0.
    const value = c % 2 ? CONSTANT : -CONSTANT;
    weights.set(`${shortcut}.bias`, [c], value);
    weights.set(`${shortcut}.bias`, [half + c], value);
  }
  if (config.quantConv) {
    weights.clear("quant_conv.weight", "quant_conv.bias");
    for (let c = 0; c < 2 * latents; c++) weights.set("quant_conv.weight", [0, 0, c, c], 1);
  }
  const bias = config.quantConv ? "quant_conv.bias" : `${end}.bias`;
  spread.forEach((deviation, c) => {
    weights.set(bias, [latents + c], 2 * Math.log(NOISE * deviation));
  });
}

/** Makes a convolution of stride 2 compute a code of 2×2 neighbours with `have` channels each. */
function writeGather(weights: Weights, path: string, { rows, mean }: Code, have: number): void {
  weights.clear(`${path}.weight`, `${path}.bias`);
  rows.forEach((row, out) => {
    row.forEach((value, i) => {
      const dy = Math.floor(i / (2 * have)), dx = Math.floor(i / have) % 2;
      weights.set(`${path}.weight`, [dy, dx, i % have, out], value);
    });
    weights.set(`${path}.bias`, [out], -row.reduce((s, v, i) => s + v * mean[i], 0));
  });
}

/** 2×2 neighbours to channels: `[n, side, side, c]` → `[n, side/2, side/2, (dy, dx, c)]`. */
function gather(x: Float32Array, side: number, c: number): Float32Array {
  const out = new Float32Array(x.length);
  const half = side / 2;
  for (let i = 0; i < x.length; i++) {
    const column = Math.floor(i / c) % side, row = Math.floor(i / (c * side));
    const cell = (row >> 1) * half + (column >> 1);
    out[cell * 4 * c + ((row & 1) * 2 + (column & 1)) * c + i % c] = x[i];
  }
  return out;
}

const identity = (d: number): Code => ({
  mean: new Array<number>(d).fill(0),
  rows: Array.from({ length: d }, (_, i) => Array.from({ length: d }, (_, j) => i === j ? 1 : 0)),
});

/** Weights being written; those never touched stay as they were drawn. */
class Weights {
  readonly #values = new Map<string, Float32Array>();
  readonly #specs;
  constructor(config: VaeConfig) {
    this.#specs = vaeSpecs(config);
  }

  get paths(): string[] {
    return [...this.#specs.keys()].filter((path) => /^(encoder|quant_conv)\./.test(path));
  }

  clear(...paths: string[]): void {
    for (const path of paths) {
      this.#values.set(path, new Float32Array(sizeOf(engineShape(this.#specs.get(path)!))));
    }
  }

  set(path: string, index: readonly number[], value: number): void {
    const shape = engineShape(this.#specs.get(path)!);
    this.#values.get(path)![index.reduce((at, i, axis) => at * shape[axis] + i, 0)] = value;
  }

  over(drawn: Named): Named {
    return Object.fromEntries(this.paths.map((path) => {
      const values = this.#values.get(path);
      return [path, values ? tensor(values, engineShape(this.#specs.get(path)!)) : drawn[path]];
    }));
  }
}

function checkRoom(config: VaeConfig, size: number): void {
  const { channels, latentChannels: latents, groups, inChannels } = config;
  const top = channels.length - 1, half = channels[top] / 2;
  const fits = top > 0 && inChannels === 3 && size % vaeFactor(config) === 0 && groups <= 2 &&
    channels[0] >= 3 && channels[top - 1] >= latents && channels[top] !== channels[top - 1] &&
    half > latents && (half - latents) % 2 === 0;
  if (fits) return;
  throw new FileError(
    "vae/config.json",
    "leaves no room for an encoder in closed form",
    "It takes at most 2 norm groups, a last level of another width than the one before, that one at least as wide " +
      "as the latents, and half of the last level an even number of channels wider than the latents",
  );
}
