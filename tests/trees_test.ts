// Trees in files: what is read is what was written, to the bit; what is none, or another's, is refused by the file's name.
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as m from "../mod.ts";
import * as optim from "../optim/mod.ts";
import { interpret } from "../compile/interpret.ts";
import { FileError } from "../files/errors.ts";
import { encodeSafetensors, writeSafetensors } from "../files/safetensors/write.ts";
import { Tensor } from "../tensor/tensor.ts";
import { mapTree, type Tree, zipTrees } from "../tensor/tree.ts";
import { test } from "./support/devices.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A tree with tensors as what they hold, so that two may be compared. */
const plain = (tree: unknown): unknown => {
  if (tree instanceof Tensor) return [tree.dtype, tree.shape, [...interpret([tree])[0]]];
  if (Array.isArray(tree)) return tree.map(plain);
  if (tree !== null && typeof tree === "object" && !ArrayBuffer.isView(tree)) {
    return Object.entries(tree).map(([k, v]) => [k, plain(v)]);
  }
  return tree;
};

const leaf = fc.oneof(
  fc.double(),
  fc.string(),
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
  fc.float32Array({ maxLength: 4 }),
  fc.uint8Array({ maxLength: 4 }),
  fc.float64Array({ maxLength: 3 }),
  fc.bigInt64Array({ maxLength: 2 }),
  fc.tuple(
    fc.constantFrom("f32", "f16", "i32", "u32", "bool"),
    fc.constantFrom([], [0, 2], [3], [2, 2]),
    fc.nat(60000),
  )
    .map(([dtype, shape, n]) =>
      m.tensor(
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
          dtype === "bool" ? (n + i) % 2 : n + i),
        shape,
        dtype as "f32",
      )
    ),
);
const key = fc.oneof(fc.string(), fc.constantFrom("a", "b", "a.b", "__metadata__", "0", "1"));
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie("tree"), { maxLength: 4 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

Deno.test("any tree comes back as it was: lists, names with dots, order, numbers, texts, arrays, tensors", async () => {
  await inFolder(async (folder) => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(tree, async (tree) => {
        const path = `${folder}/${runs++}.safetensors`;
        await optim.saveTree(path, tree as object, { metadata: { note: "é\n" } });
        const read = await optim.loadTree(path);
        assertEquals(plain(read.tree), plain(tree));
        assertEquals({ ...read.metadata }, { note: "é\n" });
        await optim.loadTree(path, { like: tree });
      }),
      { numRuns: 100 },
    );
  });
});

test("numbers on a device come back to a device with their bits, and training goes on as if never stopped", async (device) => {
  await inFolder(async (folder) => {
    const optimizer = optim.adamw({ rate: optim.warmUpSchedule(0.1, 5) });
    const loss = (p: { w: Tensor; list: Tensor[] }, x: Tensor) =>
      m.sum(m.square(m.sub(m.mul(p.w, p.list[0]), x)));
    const step = m.compile(
      device,
      (
        s: { params: { w: Tensor; list: Tensor[] }; optimizer: optim.OptimizerState },
        x: Tensor,
      ) => {
        const { grads } = m.valueAndGrad(loss)(s.params, x);
        const [updates, optimizer_] = optimizer.update(grads, s.optimizer, s.params);
        return { params: optim.applyUpdates(s.params, updates), optimizer: optimizer_ };
      },
      { donate: [0] },
    );
    const key = m.randomKey(3);
    const batch = (i: number) => m.evaluate(device, m.randomNormal(m.foldIn(key, i), [5]));
    const params = { w: m.randomNormal(key, [5]), list: [m.ones([5])] };
    let state = m.evaluate(device, { params, optimizer: optimizer.init(params) });
    for (let i = 0; i < 4; i++) state = step(state, batch(i));
    const path = `${folder}/run.safetensors`;
    await optim.saveTree(path, { step: 4, state }, { device });
    const saved = await optim.loadTree(path, { device, like: { step: 0, state } });
    assertEquals(saved.tree.step, 4);
    let resumed = saved.tree.state;
    for (let i = 4; i < 9; i++) {
      state = step(state, batch(i));
      resumed = step(resumed, batch(i));
    }
    for (
      const [a, b] of [[state.params.w, resumed.params.w], [
        state.params.list[0],
        resumed.params.list[0],
      ]]
    ) {
      assertEquals(await device.read(a), await device.read(b));
    }
  });
});

Deno.test("a file is whole or not there, and what can't be written is said before anything is", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    await optim.saveTree(path, { a: 1 });
    const before = await Deno.readFile(path);
    const traced = m.add(m.tensor([1]), 1);
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    const cases: [unknown, string][] = [
      [{ f: () => 1 }, 'saveTree: "f" is the function f'],
      [{ a: { b: new Map() } }, '"a.b" is a Map, no plain object'],
      [{ a: 1n }, '"a" is the bigint 1n'],
      [{ a: [new DataView(new ArrayBuffer(1))] }, '"a.0" is a DataView'],
      [{ t: traced }, "evaluate(device, t) computes it first"],
      [loop, '"loop" is one of the nodes that it is in'],
      [{ p: Promise.resolve(1) }, '"p" is a promise (await it)'],
    ];
    for (const [tree, message] of cases) {
      await assertRejects(() => optim.saveTree(path, tree as object), TypeError, message);
    }
    using device = await m.gpu({ backend: "cpu", threads: 1 });
    const there = { t: m.evaluate(device, traced) };
    await assertRejects(() => optim.saveTree(path, there), TypeError, "give it as options.device");
    await assertRejects(
      () => optim.saveTree(path, {}, { metadata: { n: 1 as never } }),
      TypeError,
      '"n"',
    );
    assertEquals(await Deno.readFile(path), before);
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  });
});

Deno.test("another's file, a damaged one, and another tree are refused with their names", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    const refused = async (message: string, options = {}) => {
      const error = await assertRejects(() => optim.loadTree(path, options), FileError, message);
      assertEquals(error.file, path);
    };
    const data = Float32Array.of(1);
    await writeSafetensors(path, { w: { shape: [1], data } }, { format: "pt" });
    await refused("was not written by saveTree");
    const forms: [unknown, string][] = [
      ["{", "its description of the tree is no JSON"],
      ["[]", "its description of the tree is none"],
      ["{}", "its description of the tree is none"],
      ['{"t":"w","a":"w"}', "its description of the tree is none"],
      ['{"o":[["a"]]}', "its description of the tree is none"],
      ['{"n":"1"}', "its description of the tree is none"],
      ['{"l":[]}', 'the tree has no place for tensor "w"'],
      ['{"l":[{"t":"w"},{"t":"w"}]}', 'its tree has tensor "w" twice'],
      ['{"l":[{"t":"w"},{"t":"v"}]}', 'lacks tensor "v" of its tree'],
      ['{"l":['.repeat(2000) + "]}".repeat(2000), "deeper than 1000"],
    ];
    for (const [form, message] of forms) {
      await writeSafetensors(path, { w: { shape: [1], data } }, {
        "moongate.tree": form as string,
        "moongate.tree.version": "1",
      });
      await refused(message);
    }
    await writeSafetensors(path, { w: { shape: [1], data: BigInt64Array.of(1n) } }, {
      "moongate.tree": '{"t":"w"}',
      "moongate.tree.version": "1",
    });
    await refused('tensor "w" is of type I64');
    await writeSafetensors(path, {}, { "moongate.tree": "{}", "moongate.tree.version": "2" });
    await refused("has version 2 of trees");
    await Deno.writeFile(path, new Uint8Array(0));
    await refused("is empty");
    await Deno.remove(path);
    await refused("does not exist");
    await optim.saveTree(path, { a: [1, m.tensor([1, 2])], b: "x" });
    const likes: [unknown, string][] = [
      [{ a: [1, m.ones([3])], b: "x" }, '"a.1" is f32[2], not f32[3]'],
      [{ a: [1, m.ones([2], "f16")], b: "x" }, '"a.1" is f32[2], not f16[2]'],
      [{ a: [1], b: "x" }, '"a" is a list'],
      [{ a: [1, 2], b: "x" }, '"a.1" is the tensor f32[2], not the number 2'],
      [{ a: [1, m.ones([2])], b: 3 }, '"b" is the string "x", not the number 3'],
      [{ a: [1, m.ones([2])] }, 'it is with "b"'],
      [{ a: [1, m.ones([2])], b: "x", c: 1 }, 'it is without "c"'],
      [null, "not null"],
    ];
    for (const [like, message] of likes) await refused(message, { like });
  });
});

Deno.test("bytes in memory are read as a file is", async () => {
  const bytes = await encodeSafetensors({ w: { shape: [2], data: Float32Array.of(1, 2) } }, {
    "moongate.tree": '{"o":[["w",{"t":"w"}]]}',
    "moongate.tree.version": "1",
  });
  const { tree } = await optim.loadTree<{ w: Tensor }>(bytes);
  assertEquals([...interpret([tree.w])[0]], [1, 2]);
});

Deno.test("zipTrees: leaf by leaf, of one form; it is mapTree of one tree", () => {
  const shape = fc.letrec((tie) => ({
    t: fc.oneof(
      { maxDepth: 3 },
      fc.integer(),
      fc.array(tie("t"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom("a", "b", "c"), tie("t"), { noNullPrototype: true }),
    ),
  })).t as fc.Arbitrary<Tree<number>>;
  fc.assert(
    fc.property(shape, (tree) => {
      assertEquals(zipTrees(([a]) => a + 1, tree), mapTree<number, number>(tree, (a) => a + 1));
      const double = mapTree<number, number>(tree, (a) => 2 * a);
      assertEquals(
        zipTrees(([a, b]) => a + b, tree, double),
        mapTree<number, number>(tree, (a) => 3 * a),
      );
    }),
  );
  const at = (a: Tree<number>, b: Tree<number>) => () => zipTrees(([x]) => x, a, b);
  assertThrows(at({ a: 1 }, {}), TypeError, '"a" is in tree 1, and not in tree 2');
  assertThrows(at({ a: 1 }, { a: 1, b: [2] }), TypeError, '"b.0" is in tree 2 alone');
  assertThrows(at({ a: [1, 2] }, { a: 1 }), TypeError, '"a.0" is in tree 1');
  assertThrows(at(1, {}), TypeError, "a leaf is in tree 1");
});
