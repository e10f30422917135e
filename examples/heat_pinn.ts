/**
 * A network solves the heat equation ∂u/∂t = α ∂²u/∂x² of a rod without having seen a solution: it is only told how far it is
 * from one (a physics-informed neural network; Raissi et al., 2019).
 *
 *     deno run -A examples/heat_pinn.ts [--steps 2000] [--points 256]
 *
 * Prints the loss, how far it ends from the solution, which is known here, and how the rod cools.
 */
import * as mg from "../engine.ts";
import * as optim from "../optim/mod.ts";
import { numbers } from "./options.ts";

const { steps: STEPS, points: POINTS } = numbers("A network solves the heat equation of a rod.", {
  steps: [2000, "steps of training"],
  points: [256, "places and times of a step"],
});
const WIDTH = 48, ALPHA = 0.1;

const device = await mg.gpu();

// The rod lies from x = 0 to 1. Its ends are held at 0 degrees; at t = 0 it is warm in two places.
const warmth = (x: mg.Tensor) =>
  mg.add(mg.sin(mg.mul(x, Math.PI)), mg.mul(mg.sin(mg.mul(x, 3 * Math.PI)), 0.5));
const solution = (x: mg.Tensor, t: mg.Tensor) => {
  const wave = (k: number) =>
    mg.mul(mg.sin(mg.mul(x, k * Math.PI)), mg.exp(mg.mul(t, -ALPHA * (k * Math.PI) ** 2)));
  return mg.add(wave(1), mg.mul(wave(3), 0.5));
};

const { lecunNormal } = optim.initializers;
const dense = (seed: number, ...shape: number[]) => lecunNormal()(mg.randomKey(seed), shape);
const start = {
  w1: dense(1, WIDTH, 2),
  b1: mg.zeros([WIDTH]),
  w2: dense(2, WIDTH, WIDTH),
  b2: mg.zeros([WIDTH]),
  w3: dense(3, 1, WIDTH),
};
type Params = typeof start;
type State = { params: Params; moments: optim.OptimizerState };
/** The temperature at places and times `[n, 1]`. The ends are 0 by construction. */
function temperature(p: Params, x: mg.Tensor, t: mg.Tensor): mg.Tensor {
  const h1 = mg.tanh(mg.linear(mg.concat([mg.mul(x, 3), t], 1), p.w1, p.b1));
  const h2 = mg.tanh(mg.linear(h1, p.w2, p.b2));
  return mg.mul(mg.linear(h2, p.w3), mg.mul(mg.mul(x, mg.sub(1, x)), 4));
}

// The rate falls along half a cosine.
const optimizer = optim.adam({ rate: optim.cosineSchedule(5e-3, STEPS) });
const step = mg.compile(device, (state: State, key: mg.Tensor) => {
  const draw = (stream: number) => mg.randomUniform(key, [POINTS, 1], { stream });
  const x = draw(0), t = draw(1), one = mg.ones([POINTS, 1]);
  const loss = (p: Params) => {
    // Derivatives by place and time are forward mode: every point's own, all at once.
    const byPlace = (x: mg.Tensor) => mg.jvp((x) => temperature(p, x, t), [x], [one]).tangent;
    const uxx = mg.jvp(byPlace, [x], [one]).tangent;
    const ut = mg.jvp((t) => temperature(p, x, t), [t], [one]).tangent;
    const equation = mg.mseLoss(ut, mg.mul(uxx, ALPHA));
    const beginning = mg.mseLoss(temperature(p, x, mg.zeros([POINTS, 1])), warmth(x));
    return mg.add(equation, mg.mul(beginning, 10));
  };
  // The derivative by the parameters of all of that is reverse mode.
  const { value, grads } = mg.valueAndGrad(loss)(state.params);
  const [updates, moments] = optimizer.update(grads, state.moments, state.params);
  return { state: { params: optim.applyUpdates(state.params, updates), moments }, loss: value };
}, { donate: [0] });

let state: State = mg.evaluate(device, { params: start, moments: optimizer.init(start) });
for (let i = 0; i < STEPS; i++) {
  const { state: next, loss } = step(state, mg.randomKey(100 + i));
  state = next;
  if (i % Math.ceil(STEPS / 8) === 0 || i === STEPS - 1) {
    console.log(`step ${i + 1}: loss ${(await device.item(loss)).toFixed(4)}`);
  }
}

// All of the rod at all times: a row is a time.
const COLUMNS = 60, ROWS = 12;
const x = mg.reshape(mg.tile(mg.linspace(0, 1, COLUMNS), [ROWS]), [ROWS * COLUMNS, 1]);
const t = mg.reshape(mg.repeat(mg.linspace(0, 1, ROWS), COLUMNS, 0), [ROWS * COLUMNS, 1]);
const found = temperature(state.params, x, t), known = solution(x, t);
const off = mg.max(mg.abs(mg.sub(found, known)));
console.log(
  `at most ${(await device.item(mg.evaluate(device, off))).toFixed(3)} from the solution`,
);
const values = await device.read(mg.evaluate(device, found));
for (let row = 0; row < ROWS; row++) {
  const line = Array.from(values.subarray(row * COLUMNS, (row + 1) * COLUMNS), Number);
  const drawn = line.map((u) => " .:-=+*#%@"[Math.min(9, Math.max(0, Math.floor(u * 9)))]);
  console.log(`t = ${(row / (ROWS - 1)).toFixed(2)} |${drawn.join("")}|`);
}
device[Symbol.dispose]();
