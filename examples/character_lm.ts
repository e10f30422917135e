/**
 * A small transformer learns a nursery rhyme letter by letter, and goes on with it by itself.
 *
 *     deno run -A examples/character_lm.ts [--steps 200] [--context 64]
 *
 * Prints the loss in nats a letter (log of the number of letters at first) and a text that it wrote.
 */
import { parseArgs } from "node:util";
import * as mg from "../engine.ts";

const string = { type: "string" } as const;
const { values: given } = parseArgs({ options: { steps: string, context: string } });
const STEPS = Number(given.steps ?? 200), CONTEXT = Number(given.context ?? 64);
const BATCH = 16, WIDTH = 64, HEADS = 4, BLOCKS = 2;

const device = await mg.gpu();
const key = (seed: number) => mg.tensor(Uint32Array.of(seed, 2));

// The text: every verse says all that came before.
const LINES = `the house that Jack built.|the malt that lay in|the rat that ate|the cat that killed
the dog that worried|the cow with the crumpled horn that tossed|the maiden all forlorn that milked
the man all tattered and torn that kissed|the priest all shaven and shorn that married
the cock that crowed in the morn that woke|the farmer sowing his corn that kept`.split(/[|\n]/);
const TEXT = LINES.map((_, n) => `This is ${LINES.slice(0, n + 1).reverse().join(" ")}\n`).join("");
const LETTERS = [...new Set(TEXT)].sort();
const text = Uint32Array.from(TEXT, (letter) => LETTERS.indexOf(letter));

// Parameters by name; those of a block begin with its number.
let seed = 0;
const scaled = (...shape: number[]) =>
  mg.mul(mg.randomNormal(key(seed++), shape), 1 / Math.sqrt(shape.at(-1)!));
const start: Record<string, mg.Tensor> = {
  letters: scaled(LETTERS.length, WIDTH),
  places: scaled(CONTEXT, WIDTH),
};
for (let b = 0; b < BLOCKS; b++) {
  start[`${b}.qkv`] = scaled(3 * WIDTH, WIDTH);
  start[`${b}.out`] = scaled(WIDTH, WIDTH);
  start[`${b}.up`] = scaled(4 * WIDTH, WIDTH);
  start[`${b}.down`] = scaled(WIDTH, 4 * WIDTH);
}
const norm = (x: mg.Tensor) => mg.layerNorm(x, mg.ones([WIDTH]), mg.zeros([WIDTH]));

/** Letters `[B, CONTEXT]` → what comes after each of them, as logits `[B, CONTEXT, letters]`. */
function model(p: mg.Named, ids: mg.Tensor): mg.Tensor {
  const heads = [ids.shape[0], CONTEXT, HEADS, WIDTH / HEADS];
  let x = mg.add(mg.embedding(p.letters, ids), p.places);
  for (let b = 0; b < BLOCKS; b++) {
    const qkv = mg.split(mg.linear(norm(x), p[`${b}.qkv`]), 3, -1);
    const [q, k, v] = qkv.map((t) => mg.reshape(t, heads));
    const seen = mg.reshape(mg.attention(q, k, v, { causal: true }), x.shape);
    x = mg.add(x, mg.linear(seen, p[`${b}.out`]));
    x = mg.add(x, mg.linear(mg.gelu(mg.linear(norm(x), p[`${b}.up`])), p[`${b}.down`]));
  }
  return mg.linear(norm(x), p.letters);
}

const step = mg.compile(device, (state: mg.AdamState, ids: mg.Tensor, next: mg.Tensor) => {
  const loss = (p: mg.Named) => mg.crossEntropy(model(p, ids), next);
  const { value, grads } = mg.valueAndGrad(loss)(state.params);
  return { state: mg.adamw(state, grads, { rate: 3e-3 }), loss: value };
}, { donate: [0] });

let state = mg.evaluate(device, mg.adamInit(start));
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

// Writing: the letter after the last CONTEXT ones, drawn by its probability (the Gumbel trick), again and again.
const write = mg.compile(device, (p: mg.Named, ids: mg.Tensor, key: mg.Tensor) => {
  const logits = mg.index(model(p, ids), [0, -1]);
  const gumbel = mg.neg(mg.log(mg.neg(mg.log(mg.add(mg.randomUniform(key, logits.shape), 1e-9)))));
  return mg.argmax(mg.add(mg.div(logits, 0.5), gumbel), 0);
});
const written = [...text.slice(0, CONTEXT)];
for (let i = 0; i < 200; i++) {
  const ids = mg.tensor(Uint32Array.from(written.slice(-CONTEXT)), [1, CONTEXT]);
  written.push(await device.item(write(state.params, ids, key(1000 + i))));
}
console.log(written.map((id) => LETTERS[id]).join(""));
device[Symbol.dispose]();
