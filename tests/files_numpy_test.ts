/** Files of NumPy's: what it wrote, every type there and back, and headers that lie. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { FileError } from "../files/errors.ts";
import { arrayOf, FILE_BYTES, type FileArray, type FileDType } from "../files/dtypes.ts";
import { encodeNpy, encodeNpz, openNpz, readNpy, writeNpy, writeNpz } from "../files/numpy/npy.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { openTorch } from "../files/torch/checkpoint.ts";
import { loadTree } from "../optim/trees.ts";
import { headerBytes } from "../files/numpy/header.ts";
import { tensor } from "../ops/leaf.ts";
import { test } from "./support/devices.ts";
import golden from "./golden/numpy_files.json" with { type: "json" };

const bytesOf = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const numberOf = (text: string) =>
  text === "True" ? 1 : text === "False" ? 0 : Number(text.replace("inf", "Infinity"));
const textOf = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

/** A file of version 1 with this header, and so many bytes behind it. */
function fileOf(said: string, data = 0): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(said);
  const bytes = new Uint8Array(10 + text.length + data);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
  bytes.set(text, 10);
  return bytes;
}

Deno.test("npy: what NumPy wrote is read as it reads it: types, both orders, versions 1 to 3", async () => {
  for (const [name, { file, shape, values }] of Object.entries(golden.arrays)) {
    const read = await readNpy(bytesOf(file));
    assertEquals(read.shape, shape, name);
    assertEquals(Array.from(read.data as ArrayLike<unknown>, Number), values.map(numberOf), name);
  }
  assertEquals((await readNpy(bytesOf(golden.arrays.bool.file))).dtype, "BOOL");
  assert((await readNpy(bytesOf(golden.arrays["big f2"].file))).data instanceof Float16Array);
});

Deno.test("npy: records, objects, text, dates and the like are refused by name", async () => {
  const expected: Record<keyof typeof golden.refused, string> = {
    records: "holds records (a, b)",
    "records of version 3": "holds records (größe)",
    objects: "Python objects",
    complex: 'complex numbers ("<c16")',
    text: 'text ("<U2")',
    bytes: 'bytes ("|S2")',
    dates: 'dates ("<M8[D]")',
    durations: 'durations ("<m8[s]")',
    raw: 'raw memory (bfloat16 is saved so) ("|V2")',
  };
  for (const [name, file] of Object.entries(golden.refused)) {
    const error = await assertRejects(() => readNpy(bytesOf(file)), FileError);
    assertStringIncludes(error.message, expected[name as keyof typeof expected]);
  }
});

Deno.test("npy: every header that NumPy wrote for what we write is ours to the byte", async () => {
  for (const name of ["f4", "f2", "f8", "bool", "i1", "i8", "u8", "scalar", "empty"] as const) {
    const file = bytesOf(golden.arrays[name].file);
    const { dtype, shape, data } = await readNpy(file);
    assertEquals(textOf(await encodeNpy({ shape, data, dtype })), textOf(file), name);
  }
});

Deno.test("npz: stored and compressed archives are read by name, whole and in parts", async () => {
  for (const archive of [golden.npz, golden["npz compressed"]]) {
    using npz = await openNpz(bytesOf(archive));
    assertEquals([...npz.tensors.keys()], ["weight", "ids", "turned"]);
    assertEquals(npz.tensors.get("ids")!.dtype, "I64");
    assertEquals((await npz.read("weight")).data, Float32Array.of(-2.5, 0, 1, 3, 4.25, 250));
    assertEquals((await npz.read("ids")).data, BigInt64Array.of(-1n, 2n ** 40n));
    assertEquals(await npz.readPart("turned", 4, 3), Int32Array.of(4, 5, 6));
    await assertRejects(() => npz.read("bias"), FileError, 'holds no tensor "bias"');
  }
});

Deno.test("npy and npz: every type and shape comes back, by files too", async () => {
  const types = Object.keys(FILE_BYTES).filter((d) => d !== "BF16") as FileDType[];
  await fc.assert(fc.asyncProperty(
    fc.constantFrom(...types),
    fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    async (dtype, shape) => {
      const size = shape.reduce((n, d) => n * d, FILE_BYTES[dtype]);
      const data = arrayOf(dtype, Uint8Array.from({ length: size }, (_, i) => i % 50));
      if (dtype === "BOOL") assert(data.every((v) => v === 0 || v === 1));
      const read = await readNpy(await encodeNpy({ shape, data, dtype }));
      assertEquals(read, { dtype, shape, data });
      using npz = await openNpz(await encodeNpz({ a: { shape, data, dtype }, "b.c/d": read }));
      assertEquals(await npz.read("b.c/d"), { dtype, shape, data });
    },
  ));
  const folder = await Deno.makeTempDir();
  try {
    const array = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    await writeNpy(`${folder}/a.npy`, array);
    await writeNpz(`${folder}/a.npz`, new Map([["__proto__", array]]));
    assertEquals((await readNpy(`${folder}/a.npy`)).data, array.data);
    using npz = await openNpz(`${folder}/a.npz`);
    assertEquals((await npz.read("__proto__")).data, array.data);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("npy: what is no such file, or lies, is refused before its elements are read", async () => {
  const good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  assertEquals((await readNpy(fileOf(good, 8))).data, Float32Array.of(0, 0));
  // As Python 2 wrote long numbers.
  assertEquals((await readNpy(fileOf(good.replace("(2,)", "(2L,)"), 8))).shape, [2]);
  const version = fileOf(good, 8);
  version[6] = 4;
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(), "is no array of NumPy"],
    [new TextEncoder().encode("PK and so on"), "is a text, and no array of NumPy"],
    [version, "is of version 4 of the format"],
    [fileOf(good).subarray(0, 40), "ends within its header, at byte 40"],
    [fileOf(good, 4), "has 4 bytes of elements where its shape [2] of F32 takes 8"],
    [fileOf(good, 12), "Save one array in a file"],
    [fileOf(good.replace("(2,)", "(-2,)"), 8), "has a header that can't be read"],
    [fileOf(good.replace("(2,)", "(1e9,)"), 8), "has a header that can't be read"],
    [fileOf(good.replace("(2,)", "(4294967296, 4294967296,)"), 8), "claims the shape"],
    [fileOf(good.replace("(2,)", "'2'"), 8), "without element type, order and shape"],
    [fileOf(good.replace("False", "0"), 8), "without element type, order and shape"],
    [fileOf(good.replace("'shape'", "'descr'"), 8), '"descr" twice'],
    [fileOf(good.replace(", }", ", 'more': 1}"), 8), 'says "more" in its header'],
    [fileOf(good + "1", 8), "more than one value"],
    [fileOf("[".repeat(5000), 8), "nested too deep"],
    [fileOf("", 8), "has a header that can't be read"],
    [fileOf("__import__('os')", 8), "has a header that can't be read"],
    [fileOf(good.replace("<f4", "<q9"), 8), 'elements of an unknown type ("<q9")'],
    [fileOf(good.replace("<f4", ""), 8), 'elements of an unknown type ("")'],
  ];
  for (const [file, message] of cases) {
    const error = await assertRejects(() => readNpy(file), FileError);
    assertStringIncludes(error.message, message);
  }
  const wrong: [Promise<unknown>, string][] = [
    [encodeNpy({ shape: [3], data: Float32Array.of(1, 2) }), "has 2 elements for the shape [3]"],
    [
      encodeNpy({ shape: [1], data: Float32Array.of(1), dtype: "BF16" }),
      "would hold BF16, which NumPy does not have",
    ],
    [
      encodeNpy({ shape: [1], data: Int32Array.of(1), dtype: "F16" }),
      "a Int32Array can't be written as F16",
    ],
    [openNpz(await zipOf("a.txt")), 'holds "a.txt", which is no array of NumPy'],
  ];
  for (const [call, message] of wrong) {
    assertStringIncludes((await assertRejects(() => call, FileError)).message, message);
  }
});

/** An archive whose only entry has another name. */
async function zipOf(name: string): Promise<Uint8Array> {
  const text = textOf(await encodeNpz({ a: { shape: [], data: Float32Array.of(1) } }));
  return Uint8Array.from(text.replaceAll("a.npy", name), (c) => c.charCodeAt(0));
}

Deno.test("npy: bytes that were changed are refused or read, and nothing else happens", async () => {
  const file = bytesOf(golden.arrays["fortran cube"].file);
  await fc.assert(fc.asyncProperty(
    fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
    async (changes) => {
      const changed = file.slice();
      for (const [at, to] of changes) changed[at] = to;
      try {
        const { data, shape } = await readNpy(changed);
        assertEquals(data.length, shape.reduce((n, d) => n * d, 1));
      } catch (error) {
        assert(error instanceof FileError, String(error));
      }
    },
  ));
});

test("npy: arrays of NumPy's become tensors, and tensors its files", async (device) => {
  const read = async (name: keyof typeof golden.arrays) => {
    const { data, shape, dtype } = await readNpy(bytesOf(golden.arrays[name].file));
    return device.upload(data, shape, dtype === "BOOL" ? "bool" : undefined);
  };
  const truth = await read("bool");
  assertEquals(await device.toArray(truth), [[true, false, true]]);
  // What a device gives of it are words, of which a file has the bytes.
  const words = await device.read(truth) as FileArray;
  const back = await encodeNpy({ shape: truth.shape, data: words, dtype: "BOOL" });
  assertEquals(textOf(back), textOf(bytesOf(golden.arrays.bool.file)));
  assertEquals((await read("i4")).dtype, "i32");
  await assertRejects(() => read("i8"), RangeError, "value 0, -9007199254740992, does not lie in");
  const t = await read("f2");
  const again = await encodeNpy({ shape: t.shape, data: await device.read(t) as FileArray });
  assertEquals(textOf(again), textOf(bytesOf(golden.arrays.f2.file)));
  assertEquals(textOf(headerBytes("F16", [3])), textOf(again.subarray(0, 128)));
});

Deno.test("what is no array of numbers with a shape is refused as what it is", async () => {
  // deno-lint-ignore no-explicit-any
  const refused = (x: any, said: string) => assertRejects(() => encodeNpy(x), TypeError, said);
  await refused(tensor([1, 2]), "the tensor f32[2], not { data, shape }");
  await refused([1, 2], "a list of 2 numbers");
  await refused(undefined, "undefined");
  await refused({ data: [1], shape: [1] }, "{ data, shape } with numbers");
});

Deno.test("each reader of tensors says of another's file what it is, and which function reads it", async () => {
  const folder = await Deno.makeTempDir();
  const checkpoints = new URL("./golden/checkpoints/", import.meta.url).pathname;
  const array = { shape: [2], data: Float32Array.of(1, 2) };
  try {
    const at = (name: string) => `${folder}/${name}`;
    await writeNpy(at("x.npy"), array);
    await writeNpz(at("x.npz"), { a: array });
    await writeSafetensors(at("x.safetensors"), { a: array });
    await Deno.writeTextFile(at("x.txt"), "numbers: 1 2 3");
    const files: [path: string, is: string, by?: string][] = [
      [at("x.npy"), "an array of NumPy's (.npy)", "readNpy"],
      [at("x.npz"), "an archive of NumPy's arrays (.npz)", "openNpz"],
      [at("x.safetensors"), "a safetensors file", "openSafetensors"],
      [`${checkpoints}ours.pt`, "a checkpoint of PyTorch", "openTorch"],
      [`${checkpoints}legacy.pt`, "a checkpoint of PyTorch", "openTorch"],
      [at("x.txt"), "a text"],
    ];
    const readers = { readNpy, openNpz, openSafetensors, openTorch };
    for (const [path, is, by] of files) {
      for (const [name, read] of Object.entries(readers)) {
        if (name === by) {
          const found = await read(path);
          if ("close" in found) found.close();
          continue;
        }
        const error = await assertRejects(() => read(path), FileError);
        assert(error.message.startsWith(`${path}: is ${is}, and no `), error.message);
        assertEquals(error.message.endsWith(`. ${by} reads it`), by !== undefined, error.message);
      }
    }
    // What `loadTree` is given is a safetensors file or none.
    await assertRejects(() => loadTree(at("x.npz")), FileError, "openNpz reads it");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
