/** Checkpoints that are too large for 32 bits, and those that are made to fill memory, to loop or to reach too far. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FileError } from "../files/errors.ts";
import { pickleOf, type TorchToWrite } from "../files/torch/pickle_write.ts";
import type { ByteSource } from "../files/source.ts";
import { openTorch, openTorchWeights } from "../files/torch/checkpoint.ts";
import { ZipWriter } from "../files/archives/zip_write.ts";

/** An archive as `torch.save` makes one, of a pickle and storages that need not fit each other. */
async function archive(
  pickle: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  more: [string, Uint8Array][] = [],
): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const zip = new ZipWriter("x.pt", (bytes) => {
    parts.push(bytes.slice());
    return Promise.resolve();
  });
  await zip.add("archive/data.pkl", pickle);
  for (const [key, bytes] of Object.entries(storages)) await zip.add(`archive/data/${key}`, bytes);
  for (const [name, bytes] of more) await zip.add(name, bytes);
  await zip.end();
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

const refuses = async (bytes: Uint8Array, part: string) => {
  const error = await assertRejects(() => openTorch(bytes), FileError);
  assertStringIncludes(error.message, part);
};

/** A pickle of protocol 2 from text and bytes. */
const pickle = (...parts: (string | number)[]): Uint8Array => {
  const bytes = parts.flatMap((part) =>
    typeof part === "number" ? [part] : [...part].map((c) => c.charCodeAt(0))
  );
  return Uint8Array.from([0x80, 2, ...bytes, 0x2e]);
};

Deno.test("torch: pickles that go in circles, multiply, or never end are refused", async () => {
  const put = (n: number) => `q${String.fromCharCode(n)}`;
  const get = (n: number) => `h${String.fromCharCode(n)}`;
  await refuses(await archive(pickle(`]${put(0)}${get(0)}a`)), "nests more than 64 levels deep");
  // A list of ten times the list before, eight times over.
  const tenfold = Array.from({ length: 8 }, (_, i) => `](${get(i).repeat(10)}e${put(i + 1)}`);
  await refuses(await archive(pickle(`]${put(0)}`, ...tenfold)), "holds more than 1000000 values");
  await refuses(await archive(pickle("N0".repeat(1_000_001))), "more than 2000000 instructions");
  // A tuple in a tuple, and so on.
  await refuses(await archive(pickle(")", "\x85".repeat(500))), "nests more than 64 levels deep");
});

Deno.test("torch: lengths that the file does not have are refused before anything is allocated", async () => {
  const most = "\xff\xff\xff\xff";
  await refuses(await archive(pickle(`\x8b${most}`)), "has a number of 4294967295 bytes");
  await refuses(await archive(pickle(`X${most}`)), "is cut short");
  await refuses(await archive(pickle(`B${most}`)), "is cut short");
  await refuses(await archive(pickle(`\x8d${most}${most}`)), "is cut short");
  const text = `c_codecs\nencode\nX\x64\0\0\0${"a".repeat(100)}\x85R`;
  await refuses(await archive(pickle(text)), "encodes what is no number");
  await refuses(await archive(pickle("h\x07")), "uses value 7 before it is made");
  await refuses(await archive(pickle("0")), "takes from an empty stack");
  await refuses(await archive(pickle("cbuiltins\neval\n")), 'names "builtins.eval"');
  await refuses(await archive(pickle("\x8c\x08builtins\x8c\x04exec\x93")), 'names "builtins.exec"');
});

/** A pickle of one tensor that is described as the test wants. */
const tensorPickle = (shape: number[], elements: number, key = "0") =>
  pickleOf(
    new Map<string, TorchToWrite>([["w", { shape, data: new Float32Array(0) }]]),
    () => ({ key, dtype: "F32", shape, elements }),
  );

Deno.test("torch: tensors that claim more than is stored are refused when the file is opened", async () => {
  const bytes = new Uint8Array(16);
  const of = (shape: number[], elements: number, key?: string) =>
    archive(tensorPickle(shape, elements, key), { 0: bytes });
  const { close } = await openTorch(await of([2, 2], 4));
  close();
  await refuses(await of([1000], 1000), `tensor "w" has 1000 numbers of type F32 in 16 bytes`);
  await refuses(await of([5], 4), `tensor "w" of shape [5] reaches beyond the 4 numbers`);
  await refuses(await of([2 ** 52, 2 ** 52], 4), "reaches beyond");
  await refuses(await of([4], 4, "7"), `lacks the numbers "data/7"`);
  await refuses(await of([4], 4, "../data.pkl"), "lacks the numbers");
  // A stride of zero repeats one number as often as one likes.
  const often = String.fromCharCode(...tensorPickle([2 ** 30], 1));
  const [before, after] = often.split("(J\x01\0\0\0t\x89");
  const repeated = Uint8Array.from(`${before}(J\0\0\0\0t\x89${after}`, (c) => c.charCodeAt(0));
  await refuses(await archive(repeated, { 0: bytes }), "repeats the 1 numbers that are stored");
  await refuses(
    await archive(tensorPickle([1], 1), { 0: bytes }, [["archive/constants.pkl", bytes]]),
    "is a TorchScript program",
  );
  await refuses(
    await archive(tensorPickle([1], 1), { 0: bytes }, [["archive/data/0", bytes]]),
    `holds the entry "archive/data/0" twice`,
  );
});

/** A file of any size that is nothing but zeros where nothing was put. */
function sparse(size: number, pieces: [offset: number, bytes: Uint8Array][]): ByteSource {
  return {
    name: "large.pt",
    size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      for (const [at, piece] of pieces) {
        const from = Math.max(offset, at), to = Math.min(offset + length, at + piece.length);
        if (from < to) bytes.set(piece.subarray(from - at, to - at), from - offset);
      }
      return Promise.resolve(bytes);
    },
    close() {},
  };
}

/** Little-endian numbers of so many bytes. */
function record(...fields: [value: number, bytes: number][]): Uint8Array {
  const bytes = fields.flatMap(([value, width]) =>
    Array.from({ length: width }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256)
  );
  return Uint8Array.from(bytes);
}

Deno.test("torch: a checkpoint of more than 4 GB is read by its zip64 directory, a part at a time", async () => {
  const FULL = 0xffffffff, elements = 1_150_000_000, bytes = 4 * elements;
  const held = tensorPickle([elements], elements);
  const name = (text: string) => new TextEncoder().encode(text);
  const storage = name("archive/data/0"), data = name("archive/data.pkl");
  const local = (
    label: Uint8Array,
  ) => [...record([0x04034b50, 4], [0, 22], [label.length, 2], [0, 2]), ...label];
  const pickleAt = 30 + storage.length + bytes,
    directory = pickleAt + 30 + data.length + held.length;
  const central = (label: Uint8Array, size: number, at: number) => [
    ...record([0x02014b50, 4], [0, 16], [FULL, 4], [FULL, 4], [label.length, 2], [28, 2], [0, 10], [
      FULL,
      4,
    ]),
    ...label,
    ...record([1, 2], [24, 2], [size, 8], [size, 8], [at, 8]),
  ];
  const entries = [...central(storage, bytes, 0), ...central(data, held.length, pickleAt)];
  const end64 = directory + entries.length;
  const tail = [
    ...record([0x06064b50, 4], [44, 8], [0, 12], [2, 8], [2, 8], [entries.length, 8], [
      directory,
      8,
    ]),
    ...record([0x07064b50, 4], [0, 4], [end64, 8], [1, 4]),
    ...record([0x06054b50, 4], [0, 4], [0xffff, 2], [0xffff, 2], [FULL, 4], [FULL, 4], [0, 2]),
  ];
  const last = new Uint8Array(Float32Array.of(2.5, -1).buffer);
  const source = await openTorchWeights(sparse(end64 + tail.length, [
    [0, Uint8Array.from(local(storage))],
    [pickleAt - 8, last],
    [pickleAt, Uint8Array.from([...local(data), ...held])],
    [directory, Uint8Array.from([...entries, ...tail])],
  ]));
  assertEquals(source.tensors.get("w")!.shape, [elements]);
  assertEquals([...await source.readPart("w", elements - 3, 3) as Float32Array], [0, 2.5, -1]);
});
