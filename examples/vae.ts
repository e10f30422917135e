/**
 * A variational autoencoder (Kingma & Welling, 2014) finds out that pictures of a disc have two numbers to them: its place.
 *
 *     deno run -A examples/vae.ts [--steps 600] [--batch 64]
 *
 * Prints the loss (nats a picture: what is wrong with it, and what its code costs), and pictures of codes side by side, between
 * which the disc moves.
 */
import * as mg from "../engine.ts";
import * as optim from "../optim/mod.ts";
import { numbers } from "./options.ts";

const { steps: STEPS, batch: BATCH } = numbers("A variational autoencoder finds where a disc is.", {
  steps: [600, "steps of training"],
  batch: [64, "pictures of a step"],
});
const SIZE = 12, PIXELS = SIZE * SIZE, WIDTH = 128, CODE = 2;

const device = await mg.gpu();

/** Pictures `[n, PIXELS]` of a disc somewhere, from 0 to 1. Part of the program: nothing is uploaded but a key. */
function discs(key: mg.Tensor, n: number): mg.Tensor {
  const places = mg.add(mg.mul(mg.randomUniform(key, [n, 2, 1]), SIZE - 6), 2.5);
  const pixels = mg.stack([
    mg.tile(mg.iota(SIZE, "f32"), [SIZE]),
    mg.repeat(mg.iota(SIZE, "f32"), SIZE, 0),
  ]);
  const distance = mg.sqrt(mg.sum(mg.square(mg.sub(pixels, places)), 1));
  return mg.clamp(mg.sub(3, distance), 0, 1);
}

const dense = (seed: number, ...shape: number[]) =>
  optim.initializers.lecunNormal()(mg.randomKey(seed), shape);
const start = {
  encode1: dense(1, WIDTH, PIXELS),
  encode2: dense(2, 2 * CODE, WIDTH),
  decode1: dense(3, WIDTH, CODE),
  decodeBias: mg.zeros([WIDTH]),
  decode2: dense(4, WIDTH, WIDTH),
  decode3: dense(5, PIXELS, WIDTH),
};
type Params = typeof start;
type State = { params: Params; moments: optim.OptimizerState };
/** Mean and logarithm of the variance of the codes of pictures, `[n, CODE]` each. */
function encode(p: Params, x: mg.Tensor): mg.Tensor[] {
  return mg.split(mg.linear(mg.silu(mg.linear(x, p.encode1)), p.encode2), 2, -1);
}
/** Logits of the pixels of codes. */
function decode(p: Params, code: mg.Tensor): mg.Tensor {
  const h = mg.silu(mg.linear(mg.silu(mg.linear(code, p.decode1, p.decodeBias)), p.decode2));
  return mg.linear(h, p.decode3);
}

const optimizer = optim.adamw({ rate: 2e-3 });
const step = mg.compile(device, (state: State, key: mg.Tensor) => {
  const x = discs(key, BATCH);
  const loss = (p: Params) => {
    const [mean, logVariance] = encode(p, x);
    // A code is drawn so that its derivative by mean and variance is known.
    const noise = mg.randomNormal(key, mean.shape, { stream: 1 });
    const code = mg.add(mean, mg.mul(mg.exp(mg.mul(logVariance, 0.5)), noise));
    const wrong = mg.bceWithLogits(decode(p, code), x, { reduction: "sum" });
    // KL divergence of N(mean, variance) from N(0, 1).
    const surprise = mg.sub(mg.add(mg.square(mean), mg.exp(logVariance)), mg.add(logVariance, 1));
    return mg.div(mg.add(wrong, mg.mul(mg.sum(surprise), 0.5)), BATCH);
  };
  const { value, grads } = mg.valueAndGrad(loss)(state.params);
  const [updates, moments] = optimizer.update(grads, state.moments, state.params);
  return { state: { params: optim.applyUpdates(state.params, updates), moments }, loss: value };
}, { donate: [0] });

let state: State = mg.evaluate(device, { params: start, moments: optimizer.init(start) });
for (let i = 0; i < STEPS; i++) {
  const { state: next, loss } = step(state, mg.randomKey(100 + i));
  state = next;
  if (i % Math.ceil(STEPS / 8) === 0 || i === STEPS - 1) {
    console.log(`step ${i + 1}: loss ${(await device.item(loss)).toFixed(2)}`);
  }
}

// Pictures that it has never seen, by way of their codes.
const x = discs(mg.randomKey(1), 200),
  seen = mg.sigmoid(decode(state.params, encode(state.params, x)[0]));
const error = mg.evaluate(device, mg.mean(mg.abs(mg.sub(seen, x))));
console.log(
  `a pixel that went through its code is off by ${(await device.item(error)).toFixed(3)}`,
);

// Codes in a square from −1.5 to 1.5, and what they mean.
const across = mg.tile(mg.linspace(-1.5, 1.5, 6), [3]);
const down = mg.repeat(mg.linspace(-1.5, 1.5, 3), 6, 0);
const pictures = mg.sigmoid(decode(state.params, mg.stack([across, down], 1))); // [18, PIXELS]
const rows = mg.permute(mg.reshape(pictures, [3, 6, SIZE, SIZE]), [0, 2, 1, 3]);
const shown = await device.read(mg.evaluate(device, mg.reshape(rows, [3 * SIZE, 6 * SIZE])));
for (let at = 0; at < shown.length; at += 6 * SIZE) {
  const line = Array.from(shown.subarray(at, at + 6 * SIZE), (v) => " .:o#"[Number(v) * 4.99 | 0]);
  console.log(line.join(""));
}
device[Symbol.dispose]();
