// The loader: every example once an epoch, by key; positions from which a run goes on with the very same batches; threads that end.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { loader, type LoaderOptions, type LoaderState, stackExamples } from "../optim/mod.ts";
import { randomKey } from "../ops/random.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { constantValues, tensor } from "../ops/leaf.ts";
import { interpret } from "../compile/interpret.ts";

const numbers = (n: number) => Array.from({ length: n }, (_, i) => i);
async function read<B>(from: AsyncIterable<B>, most = Infinity): Promise<B[]> {
  const all: B[] = [];
  if (most === 0) return all;
  for await (const batch of from) {
    all.push(batch);
    if (all.length === most) break;
  }
  return all;
}
/** Batches of some epochs of a loader, from its beginning. */
async function epochs<B>(from: AsyncIterable<B>, count: number): Promise<B[]> {
  const all: B[] = [];
  for (let i = 0; i < count; i++) all.push(...await read(from));
  return all;
}

const settings = fc.record({
  n: fc.nat(40),
  batch: fc.integer({ min: 1, max: 12 }),
  shuffle: fc.boolean(),
  dropLast: fc.boolean(),
  prefetch: fc.nat(4),
  seed: fc.nat(),
});

Deno.test("an epoch has every example once, in batches that are full but for the last", async () => {
  await fc.assert(
    fc.asyncProperty(settings, async ({ n, seed, ...options }) => {
      const batches = loader(numbers(n), { ...options, key: seed });
      for (let epoch = 0; epoch < 2; epoch++) {
        const all = await read(batches), flat = all.flat();
        assertEquals(all.length, batches.length);
        const kept = options.dropLast ? n - n % options.batch : n;
        assertEquals(flat.length, kept);
        assertEquals(new Set(flat).size, kept);
        assert(all.slice(0, -1).every((b) => b.length === options.batch));
        if (!options.shuffle) assertEquals(flat, numbers(kept));
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("a loader that goes on from a position gives the very same batches, whatever was made ahead", async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.nat(30), fc.nat(4), async (s, taken, prefetch) => {
      const { n, seed, ...options } = s;
      const of = { ...options, key: seed, epochs: 3 };
      const whole = await read(loader(numbers(n), of));
      const first = loader(numbers(n), of);
      const begun = await read(first, taken);
      const state: LoaderState = JSON.parse(JSON.stringify(first.state));
      const rest = await read(loader(numbers(n), { ...of, prefetch, state }));
      assertEquals([...begun, ...rest], whole);
      // The loader itself goes on, too.
      assertEquals(await read(first), rest);
      first.state = state;
      assertEquals(await read(first), rest);
    }),
    { numRuns: 60 },
  );
});

Deno.test("orders differ from epoch to epoch and from key to key, and are the same by the same key", async () => {
  const of = (options: Partial<LoaderOptions<number>>) =>
    read(loader(numbers(50), { batch: 50, shuffle: true, ...options }));
  const [first] = await of({ key: 7 });
  assertEquals((await of({ key: randomKey(7) }))[0], first);
  assertEquals((await of({ key: [7, 0] }))[0], first);
  const others = [
    ...await of({ key: 8 }),
    ...(await of({ key: 7, epochs: 3 })).slice(1),
    numbers(50),
  ];
  for (const other of others) assert(String(other) !== String(first));
});

Deno.test("examples are mapped ahead, in their order however long each takes, with keys of their own", async () => {
  let under = 0, most = 0;
  const epochs = new Set<number>();
  const seen: number[] = [];
  const batches = loader(numbers(12), {
    batch: 3,
    prefetch: 1,
    map: async (x, { index, epoch, key }) => {
      assertEquals(index, x);
      epochs.add(epoch);
      seen.push(x);
      most = Math.max(most, ++under);
      await new Promise((done) => setTimeout(done, (12 - x) % 4));
      under--;
      return { x, key: key.join() };
    },
  });
  const all: { x: number; key: string }[] = [];
  for await (const batch of batches) {
    // One batch ahead of the one in use, and no more.
    assert(seen.length <= all.length + 6, `${seen.length} after ${all.length}`);
    all.push(...batch);
  }
  assertEquals(all.map(({ x }) => x), numbers(12));
  assertEquals(most, 6);
  assertEquals(new Set(all.map(({ key }) => key)).size, 12);
  const again = (await read(batches)).flat();
  assertEquals([...epochs], [0, 1]);
  assert(again.length === 12 && again.every(({ key }, i) => key !== all[i].key));
});

const worker = new URL("support/serve_examples.ts", import.meta.url);

Deno.test("threads give what one gives, and end with the batches, at a break, and when something throws", async () => {
  type Out = { square: number; key: [number, number]; epoch: number };
  const of = { batch: 4, shuffle: true, key: 3, worker, workers: 3 } as const;
  const here = loader(numbers(12), {
    batch: 4,
    shuffle: true,
    key: 3,
    map: (x, { key, epoch }): Out => ({ square: x * x, key, epoch }),
  });
  const threads = loader<number, Out>(numbers(12), of);
  // Deno's test would fail for a thread that is left.
  assertEquals(await epochs(threads, 2), await epochs(here, 2));
  assertEquals((await read(loader<number, Out>(numbers(12), of), 1)).length, 1);
  const unlucky = loader<number, Out>(numbers(20), { ...of, shuffle: false });
  await assertRejects(() => read(unlucky), Error, "example 13 of epoch 0: 13 is unlucky");
  // What was given out before that stays given out, and the loader can be read again.
  assertEquals(unlucky.state.batch, 3);
  await assertRejects(() => read(unlucky), Error, "13 is unlucky");
  const uncopied = loader([() => 1], { batch: 1, worker });
  await assertRejects(() => read(uncopied), Error, "example 0 of epoch 0");
  const missing = loader([1], { batch: 1, worker: new URL("nowhere.ts", worker) });
  await assertRejects(() => read(missing), Error, "a worker failed");
});

Deno.test("errors name the example, from where it is fetched to where batches are made", async () => {
  const broken = { length: 5, get: (i: number) => i === 3 ? Promise.reject(new Error("gone")) : i };
  const batches = loader(broken, { batch: 2 });
  const error = await assertRejects(() => read(batches), Error, "example 3 of epoch 0: gone");
  assertEquals((error.cause as Error).message, "gone");
  assertEquals(batches.state.batch, 1);
  const collate = () => {
    throw new Error("no batch");
  };
  await assertRejects(() => read(loader([1], { batch: 1, collate })), Error, "no batch");
});

Deno.test("two loops over one loader at a time are refused, and so is its position meanwhile", async () => {
  const batches = loader(numbers(4), { batch: 1 });
  for await (const _ of batches) {
    await assertRejects(() => read(batches), Error, "being read already");
    const { state } = batches;
    assertThrows(() => batches.state = state, RangeError, "while batches are read");
    break;
  }
  assertEquals(await read(batches), [[1], [2], [3]]);
});

Deno.test("what is no loader's is refused by name", () => {
  // deno-lint-ignore no-explicit-any
  const make = loader as any;
  const state = loader(numbers(4), { batch: 2 }).state;
  const cases: [() => unknown, string][] = [
    [() => make(numbers(3)), "argument 2 (options) is undefined"],
    [() => make(numbers(3), { batch: 0 }), "options.batch is 0, not a whole number of at least 1"],
    [() => make(numbers(3), { batch: NaN }), "options.batch is NaN"],
    [() => make(numbers(3), { batch: 1, prefetch: -1 }), "options.prefetch is -1"],
    [() => make(numbers(3), { batch: 1, workers: 0 }), "options.workers is 0"],
    [() => make(numbers(3), { batch: 1, epochs: 1.5 }), "options.epochs is 1.5"],
    [() => make(numbers(3), { batch: 1, suffle: true }), 'no option "suffle"'],
    [() => make(numbers(3), { batch: 1, map: () => 1, worker: "x" }), "either map or worker"],
    [() => make(3, { batch: 1 }), "argument 1 (examples) is the number 3"],
    [() => make({ length: 3 }, { batch: 1 }), "argument 1 (examples.get) is undefined"],
    [() => make(numbers(3), { batch: 1, key: "x" }), 'the key is the string "x"'],
    [() => make(numbers(3), { batch: 1, key: -1 }), "a seed is a whole number"],
    [() => make(numbers(4), { batch: 2, state: 3 }), "the position is the number 3"],
    [
      () => make(numbers(4), { batch: 2, state: { epoch: 0, batch: 1 } }),
      "not the state of a loader",
    ],
    [() => make(numbers(5), { batch: 2, state }), "another loader: examples is 4 there, 5 here"],
    [() => make(numbers(4), { batch: 1, state }), "batch is 2 there, 1 here"],
    [() => make(numbers(4), { batch: 2, key: 1, state }), "key is 0,0 there, 1,0 here"],
    [() => make(numbers(4), { batch: 2, state: { ...state, batch: 3 } }), "batch 3 of 2"],
  ];
  for (const [call, message] of cases) assertThrows(call, Error, message);
});

Deno.test("examples are stacked by name", async () => {
  const examples = numbers(3).map((i) => ({
    x: Float32Array.of(i, i + 0.5),
    deep: { y: i, z: [[i], [i]] },
  }));
  const [first] = await read(loader(examples, { batch: 2, collate: (all) => stackExamples(all) }));
  assertEquals(first.x.spec, { shape: [2, 2], dtype: "f32" });
  assertEquals([...interpret([first.x])[0]], [0, 0.5, 1, 1.5]);
  assertEquals(first.deep.y.shape, [2]);
  assertEquals(first.deep.z.shape, [2, 2, 1]);
  assertEquals(stackExamples([1, 2, 3], "u32").spec, { shape: [3], dtype: "u32" });
  assertThrows(
    () => stackExamples([{ x: 1 }, { y: 1 }] as never),
    TypeError,
    "example 1 is an object with y",
  );
  assertThrows(() => stackExamples([{ a: { x: 1 } }, { a: 2 }] as never), TypeError, 'at "a"');
  assertThrows(() => stackExamples([[1, 2], [1]]), Error, "stackExamples: the nested list is");
  assertThrows(() => stackExamples([{ a: [1, 2] }, { a: [1] }]), Error, 'stackExamples: "a": the');
});

Deno.test("examples of tensors and texts are stacked: constants stay constants, labels a list, pairs pairs", () => {
  const pairs = [0, 1].map((i) => ({
    pair: [tensor([[i, 2]], undefined, "f16"), `label ${i}`] as const,
    name: `${i}.png`,
  }));
  const { pair: [x, labels], name } = stackExamples(pairs);
  assertEquals([labels, name], [["label 0", "label 1"], ["0.png", "1.png"]]);
  assertEquals(x.spec, { shape: [2, 1, 2], dtype: "f16" });
  assertEquals(constantValues(x), Float16Array.of(0, 2, 1, 2));
  const one = stackExamples([tensor([3])], "u32");
  assertEquals([one.shape, constantValues(one)], [[1, 1], Uint32Array.of(3)]);
  const computed = stackExamples([add(tensor([1]), 1), tensor([3])]);
  assertEquals([...interpret([computed])[0]], [2, 3]);
  const wrong: [readonly unknown[], string][] = [
    [[{ x: tensor([1]) }, { x: tensor([1, 2]) }], 'example 1 at "x" is f32[2], the first f32[1]'],
    [[tensor([1]), tensor([1], [1], "i32")], "example 1 is i32[1], the first f32[1]"],
    [[tensor([1]), 1], "example 1 is the number 1, the first the tensor f32[1]"],
    [["a", 1], 'example 1 is the number 1, the first the string "a"'],
    [[["a", 1], ["b"]], "example 1 is a list of 1 string, the first a list of 2"],
    [[{ x: 1 }, { x: null }], 'stackExamples: "x": value 1 is null'],
    [[() => 1], "stackExamples: value 0 is a function"],
  ];
  for (const [examples, message] of wrong) {
    assertThrows(() => stackExamples(examples as never), Error, message);
  }
});
