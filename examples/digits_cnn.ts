/**
 * A convolutional network reads digits that this program draws: strokes, moved, stretched, thickened and in noise.
 *
 *     deno run -A examples/digits_cnn.ts [--steps 150] [--batch 64]
 *
 * Prints the loss, how many digits it reads right that it was never shown, and some of them.
 */
import * as mg from "../engine.ts";
import * as optim from "../optim/mod.ts";
import { numbers } from "./options.ts";

const { steps: STEPS, batch: BATCH } = numbers("A convolutional network reads drawn digits.", {
  steps: [150, "steps of training"],
  batch: [64, "pictures of a step"],
});
const SIZE = 16;
const device = await mg.gpu();

// Digits as on a pocket calculator: seven strokes from (x, y) to (x, y), and which of them a digit has.
// deno-fmt-ignore
const STROKES = [[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 1, 2], [0, 2, 1, 2], [0, 1, 0, 2], [0, 0, 0, 1], [0, 1, 1, 1]];
const DIGITS = "012345 12 01346 01236 1256 02356 023456 012 0123456 012356".split(" ");

/** Pictures `[n, SIZE, SIZE, 1]` and their digits, drawn at random by a seed. */
async function draw(n: number, seed: number) {
  const numbers = mg.evaluate(device, mg.randomUniform(mg.randomKey(seed), [n, 6 + SIZE * SIZE]));
  const random = await device.read(numbers) as Float32Array;
  const x = new Float32Array(n * SIZE * SIZE), digits = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const own = random.subarray(i * (6 + SIZE * SIZE)), [which, left, top, w, h, thick] = own;
    digits[i] = Math.floor(which * 10);
    for (let p = 0; p < SIZE * SIZE; p++) {
      const u = p % SIZE - 3 - 3 * left, v = Math.floor(p / SIZE) - 2 - 2 * top;
      let ink = 0;
      for (const stroke of DIGITS[digits[i]]) {
        const [x0, y0, x1, y1] = STROKES[Number(stroke)];
        const along = (at: number, a: number, b: number) => at - Math.min(b, Math.max(a, at));
        const near = Math.hypot(
          along(u, x0 * (4 + 4 * w), x1 * (4 + 4 * w)),
          along(v, y0 * (4 + 2 * h), y1 * (4 + 2 * h)),
        );
        ink = Math.max(ink, Math.min(1, 1.2 + thick - near));
      }
      x[i * SIZE * SIZE + p] = 0.7 * ink + 0.3 * own[6 + p];
    }
  }
  return { x: mg.tensor(x, [n, SIZE, SIZE, 1]), digits: mg.tensor(digits), values: x };
}

const scaled = optim.initializers.heNormal();
const start = {
  conv1: scaled(mg.randomKey(1), [3, 3, 1, 16]), // [height, width, in, out]
  bias1: mg.zeros([16]),
  conv2: scaled(mg.randomKey(2), [3, 3, 16, 32]),
  bias2: mg.zeros([32]),
  out: scaled(mg.randomKey(3), [10, 4 * 4 * 32]),
  biasOut: mg.zeros([10]),
};
type Params = typeof start;
type State = { params: Params; moments: optim.OptimizerState };
function model(p: Params, x: mg.Tensor): mg.Tensor {
  const h1 = mg.relu(mg.add(mg.conv2d(x, p.conv1, { padding: 1 }), p.bias1));
  const h2 = mg.relu(
    mg.add(mg.conv2d(mg.maxPool(h1, { window: 2 }), p.conv2, { padding: 1 }), p.bias2),
  );
  const features = mg.reshape(mg.maxPool(h2, { window: 2 }), [x.shape[0], 4 * 4 * 32]);
  return mg.linear(features, p.out, p.biasOut); // [n, 10]
}

const optimizer = optim.adamw({ rate: 3e-3 });
const step = mg.compile(device, (state: State, x: mg.Tensor, digits: mg.Tensor) => {
  const loss = (p: Params) => mg.crossEntropy(model(p, x), digits);
  const { value, grads } = mg.valueAndGrad(loss)(state.params);
  const [updates, moments] = optimizer.update(grads, state.moments, state.params);
  return { state: { params: optim.applyUpdates(state.params, updates), moments }, loss: value };
}, { donate: [0] });

let state: State = mg.evaluate(device, { params: start, moments: optimizer.init(start) });
for (let i = 0; i < STEPS; i++) {
  const { x, digits } = await draw(BATCH, 100 + i); // new pictures at every step
  const { state: next, loss } = step(state, x, digits);
  state = next;
  if (i % Math.ceil(STEPS / 8) === 0 || i === STEPS - 1) {
    console.log(`step ${i + 1}: loss ${(await device.item(loss)).toFixed(4)}`);
  }
}

const test = await draw(200, 99);
const answers = mg.argmax(model(state.params, test.x), 1);
const right = mg.mean(mg.cast(mg.equal(answers, mg.cast(test.digits, "u32")), "f32"));
const [read, share] = mg.evaluate(device, [answers, right]);
console.log(`right: ${(100 * await device.item(share)).toFixed(1)} % of new digits`);
const some = [0, 1, 2, 3], said = await device.read(read);
for (let y = 0; y < SIZE; y++) {
  const line = (i: number) => test.values.subarray((i * SIZE + y) * SIZE).subarray(0, SIZE);
  console.log(some.map((i) => Array.from(line(i), (v) => " .:o#@"[v * 6 | 0]).join("")).join(" "));
}
console.log(some.map((i) => `read as ${said[i]}`.padEnd(SIZE)).join(" "));
device[Symbol.dispose]();
