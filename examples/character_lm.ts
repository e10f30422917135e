/**
 * A small transformer learns a nursery rhyme letter by letter, and goes on with it by itself.
 *
 *     deno run -A examples/character_lm.ts [--steps 300] [--context 64]
 *
 * Prints the loss in nats a letter (log of the number of letters at first) and a text that it wrote.
 */
import * as mg from "../engine.ts";
import * as optim from "../optim/mod.ts";
import { numbers } from "./options.ts";

// The text: every verse says all that came before.
const LINES = `the house that Jack built.|the malt that lay in|the rat that ate|the cat that killed
the dog that worried|the cow with the crumpled horn that tossed|the maiden all forlorn that milked
the man all tattered and torn that kissed|the priest all shaven and shorn that married
the cock that crowed in the morn that woke|the farmer sowing his corn that kept`.split(/[|\n]/);
const TEXT = LINES.map((_, n) => `This is ${LINES.slice(0, n + 1).reverse().join(" ")}\n`).join("");
const { steps: STEPS, context: CONTEXT } = numbers(
  "A small transformer learns a nursery rhyme by letters.",
  {
    steps: [300, "steps of training"],
    context: [64, "letters that it sees before the next", TEXT.length - 1],
  },
);
const BATCH = 16, WIDTH = 64, HEADS = 4, BLOCKS = 2;

const device = await mg.gpu();

const LETTERS = [...new Set(TEXT)].sort();
const text = Uint32Array.from(TEXT, (letter) => LETTERS.indexOf(letter));

// Parameters are a tree of tensors.
let seed = 0;
const { lecunNormal } = optim.initializers;
const scaled = (...shape: number[]) => lecunNormal()(mg.randomKey(seed++), shape);
const start = {
  letters: scaled(LETTERS.length, WIDTH),
  places: scaled(CONTEXT, WIDTH),
  blocks: Array.from({ length: BLOCKS }, () => ({
    qkv: scaled(3 * WIDTH, WIDTH),
    out: scaled(WIDTH, WIDTH),
    up: scaled(4 * WIDTH, WIDTH),
    down: scaled(WIDTH, 4 * WIDTH),
  })),
};
type Params = typeof start;
type State = { params: Params; moments: optim.OptimizerState };
const norm = (x: mg.Tensor) => mg.layerNorm(x, mg.ones([WIDTH]), mg.zeros([WIDTH]));

/** Letters `[B, CONTEXT]` → what comes after each of them, as logits `[B, CONTEXT, letters]`. */
function model(p: Params, ids: mg.Tensor): mg.Tensor {
  const heads = [ids.shape[0], CONTEXT, HEADS, WIDTH / HEADS];
  let x = mg.add(mg.embedding(p.letters, ids), p.places);
  for (const block of p.blocks) {
    const qkv = mg.split(mg.linear(norm(x), block.qkv), 3, -1);
    const [q, k, v] = qkv.map((t) => mg.reshape(t, heads));
    const seen = mg.reshape(mg.attention(q, k, v, { causal: true }), x.shape);
    x = mg.add(x, mg.linear(seen, block.out));
    x = mg.add(x, mg.linear(mg.gelu(mg.linear(norm(x), block.up)), block.down));
  }
  return mg.linear(norm(x), p.letters);
}

const optimizer = optim.adamw({ rate: 3e-3 });
const step = mg.compile(device, (state: State, ids: mg.Tensor, next: mg.Tensor) => {
  const loss = (p: Params) => mg.crossEntropy(model(p, ids), next);
  const { value, grads } = mg.valueAndGrad(loss)(state.params);
  const [updates, moments] = optimizer.update(grads, state.moments, state.params);
  return { state: { params: optim.applyUpdates(state.params, updates), moments }, loss: value };
}, { donate: [0] });

let state: State = mg.evaluate(device, { params: start, moments: optimizer.init(start) });
for (let i = 0; i < STEPS; i++) {
  // Pieces of the text from places that hop through all of it.
  const from = Array.from(
    { length: BATCH },
    (_, k) => (i * BATCH + k) * 7919 % (text.length - CONTEXT),
  );
  const pieces = (shift: number) =>
    mg.tensor(from.map((at) => text.slice(at + shift, at + shift + CONTEXT)));
  const { state: now, loss } = step(state, pieces(0), pieces(1));
  state = now;
  if (i % Math.ceil(STEPS / 8) === 0 || i === STEPS - 1) {
    console.log(`step ${i + 1}: loss ${(await device.item(loss)).toFixed(4)}`);
  }
}

// Writing: the letter after the last CONTEXT ones, drawn by its probability, again and again.
const write = mg.compile(device, (p: Params, ids: mg.Tensor, key: mg.Tensor) => {
  const logits = mg.index(model(p, ids), [0, -1]);
  return mg.randomCategorical(key, mg.div(logits, 0.5));
});
const written = [...text.slice(0, CONTEXT)];
for (let i = 0; i < 200; i++) {
  const ids = mg.tensor(Uint32Array.from(written.slice(-CONTEXT)), [1, CONTEXT]);
  written.push(await device.item(write(state.params, ids, mg.randomKey(1000 + i))));
}
console.log(written.map((id) => LETTERS[id]).join(""));
device[Symbol.dispose]();
