/**
 * A multi-layer perceptron learns which arm of a spiral a point lies on.
 *
 *     deno run -A examples/spiral_mlp.ts [--steps 400] [--points 100]
 *
 * Prints the loss, how many points it gets right, and the map that it drew of the plane.
 */
import * as mg from "../engine.ts";
import * as optim from "../optim/mod.ts";
import { numbers } from "./options.ts";

const { steps: STEPS, points: POINTS } = numbers(
  "A multi-layer perceptron learns the arms of a spiral.",
  {
    steps: [400, "steps of training"],
    points: [100, "points on each arm"],
  },
);
const ARMS = 3, WIDTH = 64;

const device = await mg.gpu();

// The data, written as functions of tensors: nothing is computed before `evaluate`.
const radius = mg.tile(mg.linspace(0, 1, POINTS), [ARMS]); // [ARMS · POINTS]
const arm = mg.repeat(mg.iota(ARMS), POINTS, 0);
const noise = mg.mul(mg.randomNormal(mg.randomKey(0), radius.shape), 0.1);
const turn = mg.mul(mg.cast(arm, "f32"), 2 * Math.PI / ARMS);
const angle = mg.add(mg.add(mg.mul(radius, 4), turn), noise);
const circle = mg.stack([mg.cos(angle), mg.sin(angle)], 1);
const data = mg.evaluate(device, { x: mg.mul(circle, mg.unsqueeze(radius, 1)), arm });

// The model is a function of its parameters, a tree of tensors.
const dense = optim.initializers.heNormal();
const start = {
  w1: dense(mg.randomKey(1), [WIDTH, 2]),
  b1: mg.zeros([WIDTH]),
  w2: dense(mg.randomKey(2), [WIDTH, WIDTH]),
  b2: mg.zeros([WIDTH]),
  w3: dense(mg.randomKey(3), [ARMS, WIDTH]),
  b3: mg.zeros([ARMS]),
};
type Params = typeof start;
function model(p: Params, x: mg.Tensor): mg.Tensor {
  const h1 = mg.silu(mg.linear(x, p.w1, p.b1));
  const h2 = mg.silu(mg.linear(h1, p.w2, p.b2));
  return mg.linear(h2, p.w3, p.b3); // [N, ARMS]
}

const optimizer = optim.adamw({ rate: 0.01 });
type State = { params: Params; moments: optim.OptimizerState };
// A step: loss, gradients and update become one program, which writes the new state over the old one.
const step = mg.compile(device, (state: State, x: mg.Tensor, arm: mg.Tensor) => {
  const loss = (p: Params) => mg.crossEntropy(model(p, x), arm);
  const { value, grads } = mg.valueAndGrad(loss)(state.params);
  const [updates, moments] = optimizer.update(grads, state.moments, state.params);
  return { state: { params: optim.applyUpdates(state.params, updates), moments }, loss: value };
}, { donate: [0] });

let state: State = mg.evaluate(device, { params: start, moments: optimizer.init(start) });
for (let i = 0; i < STEPS; i++) {
  const { state: next, loss } = step(state, data.x, data.arm);
  state = next;
  if (i % Math.ceil(STEPS / 8) === 0 || i === STEPS - 1) {
    console.log(`step ${i + 1}: loss ${(await device.item(loss)).toFixed(4)}`);
  }
}

const answers = (x: mg.Tensor) => mg.evaluate(device, mg.argmax(model(state.params, x), 1));
const right = mg.mean(mg.cast(mg.equal(answers(data.x), mg.cast(arm, "u32")), "f32"));
console.log(`right: ${(100 * await device.item(mg.evaluate(device, right))).toFixed(1)} %`);

// What it says of places that it has not seen.
const SIZE = 24;
const across = mg.linspace(-1, 1, 2 * SIZE), down = mg.linspace(1, -1, SIZE);
const grid = mg.stack([mg.tile(across, [SIZE]), mg.repeat(down, 2 * SIZE, 0)], 1);
const map = await device.read(answers(grid));
for (let row = 0; row < SIZE; row++) {
  const line = map.subarray(row * 2 * SIZE, (row + 1) * 2 * SIZE);
  console.log([...line].map((arm) => ".o#"[Number(arm)]).join(""));
}
device[Symbol.dispose]();
