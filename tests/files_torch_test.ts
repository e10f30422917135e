/** PyTorch checkpoints: what torch.save wrote is read, nothing in them runs, and torch.load reads ours. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { type ByteSource, bytesSource } from "../files/source.ts";
import {
  isTorch,
  isTorchTensor,
  openTorch,
  openTorchWeights,
  type TorchValue,
} from "../files/torch/checkpoint.ts";
import { type TorchToWrite, writeTorch } from "../files/torch/write.ts";
import { ours } from "./torch_ours.ts";
import golden from "./golden/checkpoints/expected.json" with { type: "json" };

const GOLDEN = new URL("./golden/checkpoints", import.meta.url).pathname;

/** A checkpoint's content as `checkpoints.py` describes it. */
async function described(value: TorchValue): Promise<unknown> {
  if (isTorchTensor(value)) {
    const values = Array.from(await value.read() as ArrayLike<unknown>, Number);
    return { dtype: value.dtype, shape: value.shape, values };
  }
  if (Array.isArray(value)) return await Promise.all(value.map(described));
  if (!(value instanceof Map)) return value ?? null;
  const entries = await Promise.all([...value].map(async ([k, v]) => [k, await described(v)]));
  return Object.fromEntries(entries);
}

const without = (object: Record<string, unknown>, ...names: string[]) =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));

for (const file of ["zip.pt", "deflated.pt", "protocol4.pt", "legacy.pt"]) {
  Deno.test(`torch: ${file}, as torch.save wrote it, is read: every type, every view, every value`, async () => {
    const opened = await openTorch(`${GOLDEN}/${file}`);
    const found = await described(opened.root) as Record<string, Record<string, unknown>>;
    opened.close();
    const { values, ...everything } = found;
    const expected: Record<string, unknown> = { ...golden.everything };
    if (file === "legacy.pt") expected.types = without(golden.everything.types, "u16");
    assertEquals(everything, expected);
    const row = golden.everything.views.whole.values.slice(15, 20);
    assertEquals(without(values, "shared"), {
      int: 7,
      long: 2 ** 40,
      longer: 2n ** 80n,
      float: -0.25,
      text: "größe <new1>",
      none: null,
      flags: [true, false],
      tuple: [1, "two", [3]],
      size: [1, 2],
      dtype: null,
      device: null,
      numpy: null,
      5: "five",
      set: [1],
    });
    assertEquals((values.shared as { values: number[] }[]).map((t) => t.values), [row, row]);
  });
}

Deno.test("torch: what Lightning leaves beside the weights is passed over", async () => {
  const { root, close } = await openTorch(`${GOLDEN}/lightning.ckpt`);
  assertEquals(await described(root), {
    epoch: 4,
    callbacks: {},
    hyper_parameters: null,
    lr: null,
    state_dict: { weight: { dtype: "F32", shape: [2], values: [1, 1] } },
  });
  close();
  using source = await openTorchWeights(`${GOLDEN}/lightning.ckpt`);
  assertEquals([...source.tensors.keys()], ["weight"]);
  assertEquals({ ...source.metadata }, { epoch: "4" });
});

Deno.test("torch: nothing that a checkpoint names is run; what it names is said", async () => {
  for (const file of ["harmful.pt", "harmful_legacy.pt"]) {
    const error = await assertRejects(() => openTorch(`${GOLDEN}/${file}`), FileError);
    assertStringIncludes(error.message, `${GOLDEN}/${file}: names "posix.system"`);
  }
  await assertRejects(() => Deno.stat("/tmp/moongate-was-here"), Deno.errors.NotFound);
});

Deno.test("torch: what can't be read is refused in words", async () => {
  const cases: [file: string, part: string][] = [
    ["big_endian.pt", `is of byte order "big"`],
    ["complex.pt", "holds numbers of type torch.ComplexFloatStorage"],
    ["script.pt", "is a TorchScript program"],
    ["expected.json", "is a text, and no checkpoint of PyTorch"],
  ];
  for (const [file, part] of cases) {
    await assertRejects(() => openTorch(`${GOLDEN}/${file}`), FileError, `${file}: ${part}`);
  }
  await assertRejects(() => openTorch(new Uint8Array(3)), FileError, "is no PyTorch checkpoint");
});

/** A source that counts the bytes that are read. */
function counted(bytes: Uint8Array): ByteSource & { read: ByteSource["read"]; bytes: number } {
  const source = bytesSource(bytes, "counted.pt");
  const counter = {
    ...source,
    bytes: 0,
    read(offset: number, length: number) {
      counter.bytes += length;
      return source.read(offset, length);
    },
  };
  return counter;
}

Deno.test("torch: a row of a table is read without the table, in a view and in a part", async () => {
  const source = counted(await Deno.readFile(`${GOLDEN}/zip.pt`));
  assertEquals(await isTorch(source), true);
  const { root } = await openTorch(source);
  const views = (root as Map<string, TorchValue>).get("views") as Map<string, TorchValue>;
  const tensor = (name: string) => {
    const value = views.get(name);
    if (!isTorchTensor(value)) throw new Error(name);
    return value;
  };
  for (const [name, first, count, bytes] of [["row", 0, 5, 20], ["whole", 10, 5, 20]] as const) {
    source.bytes = 0;
    const data = await tensor(name).read(first, count) as Float32Array;
    assertEquals([...data], golden.everything.views.whole.values.slice(10, 15));
    assertEquals(source.bytes, bytes + 30, "the row, and the entry's header");
  }
  const whole = [...await tensor("transposed").read() as Float32Array];
  assertEquals([...await tensor("transposed").read(7, 3) as Float32Array], whole.slice(7, 10));
});

Deno.test("torch: the weights of a checkpoint are a source of tensors like any other", async () => {
  using source = await openTorchWeights(`${GOLDEN}/zip.pt`);
  const state = golden.everything.state_dict;
  assertEquals([...source.tensors.keys()], Object.keys(state));
  assertEquals([...await source.readFloat32("0.weight")], state["0.weight"].values);
  assertEquals(
    [...await source.readPart("0.bias", 1, 2) as Float32Array],
    state["0.bias"].values.slice(1, 3),
  );
  await assertRejects(() => source.read("2.weight"), FileError, `holds no tensor "2.weight"`);
});

Deno.test("torch: what is written is read back, to the last value, and is the same file each time", async () => {
  const path = await Deno.makeTempFile({ suffix: ".ckpt" });
  await writeTorch(path, ours());
  const bytes = await Deno.readFile(path);
  const { root, close } = await openTorch(path);
  assertEquals(await described(root), {
    f32: { dtype: "F32", shape: [2, 3], values: [1, 2.5, -3, 0, Infinity, Math.fround(1e-30)] },
    f16: { dtype: "F16", shape: [2], values: [0.0999755859375, -2] },
    bf16: { dtype: "BF16", shape: [1, 1], values: [0.10009765625] },
    i64: { dtype: "I64", shape: [2], values: [-1, 2 ** 40] },
    u8: { dtype: "U8", shape: [0, 2], values: [] },
    later: { dtype: "F32", shape: [], values: [7] },
    nested: { "<new1> ü": {}, list: [1, "a", []] },
    numbers: [3, -3, 2 ** 40, 0.5, -0, 1e300, true, false, null],
  });
  close();
  await writeTorch(path, ours());
  assertEquals(await Deno.readFile(path), bytes);
  await Deno.remove(path);
});

Deno.test("torch: the file that golden/checkpoints.py read with torch.load is the one that is written", async () => {
  const path = await Deno.makeTempFile({ suffix: ".ckpt" });
  await writeTorch(path, ours());
  assertEquals(await Deno.readFile(path), await Deno.readFile(`${GOLDEN}/ours.pt`));
  await Deno.remove(path);
});

Deno.test("torch: what a checkpoint can't hold is refused, and no file is left", async () => {
  const folder = await Deno.makeTempDir();
  const refuses = async (tensor: TorchToWrite, part: string) => {
    const error = await assertRejects(() => writeTorch(`${folder}/x.pt`, tensor), FileError);
    assertStringIncludes(error.message, `${folder}/x.pt: ${part}`);
    assertEquals([...Deno.readDirSync(folder)], []);
  };
  await refuses({ shape: [1], data: Uint32Array.of(1) }, "would hold numbers of type U32");
  await refuses({ shape: [2], data: Float32Array.of(1) }, "a tensor of shape [2] has 1 elements");
  await refuses([{ shape: [1], data: BigInt64Array.of(1n), dtype: "F32" }], "a tensor: ");
  await Deno.remove(folder);
});
