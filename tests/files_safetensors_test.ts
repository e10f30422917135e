/** Safetensors files: what the format's own writer wrote, round trips, and headers that lie. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { FileError } from "../files/errors.ts";
import { FILE_BYTES, type FileArray } from "../files/dtypes.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { encodeSafetensors, writeSafetensors } from "../files/safetensors/write.ts";
import { blobSource } from "../files/source.ts";
import golden from "./golden/weights.json" with { type: "json" };

const GOLDEN = new URL("./golden/weights.safetensors", import.meta.url).pathname;

const numberOf = (v: unknown) =>
  typeof v === "string" ? Number(v.replace("inf", "Infinity")) : Number(v);

/** A file with the given header text and `data` bytes after it. */
function fileOf(header: string, data = 0): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const rejects = async (bytes: Uint8Array, ...parts: string[]) => {
  const error = await assertRejects(() => openSafetensors(bytes), FileError);
  for (const part of parts) assertStringIncludes(error.message, part);
};

Deno.test("safetensors: every type is read as the reference writer meant it", async () => {
  using file = await openSafetensors(GOLDEN);
  assertEquals(file.metadata.format, "pt");
  assertEquals(file.metadata.note, "größe");
  assertEquals([...file.tensors.keys()].sort(), Object.keys(golden.tensors).sort());
  for (const [name, { shape, values }] of Object.entries(golden.tensors)) {
    const { data, shape: got } = await file.read(name);
    assertEquals(got, shape, name);
    assertEquals(Array.from(data as ArrayLike<unknown>, Number), values.map(numberOf), name);
  }
  assert((await file.read("f16")).data instanceof Float16Array);
  assert((await file.read("bf16")).data instanceof Float32Array);
  assert((await file.read("i64")).data instanceof BigInt64Array);
});

Deno.test("safetensors: writing what was read gives the reference writer's very bytes", async () => {
  const bytes = await Deno.readFile(GOLDEN);
  using file = await openSafetensors(bytes);
  const tensors = new Map();
  for (const name of file.tensors.keys()) tensors.set(name, await file.read(name));
  // its metadata come in the order of a hash map
  const metadata = JSON.parse(
    new TextDecoder().decode(bytes.slice(8)).match(/"__metadata__":(\{.*?\})/)![1],
  );
  assertEquals(await encodeSafetensors(tensors, metadata), bytes);
});

Deno.test("safetensors: f32 is rounded to f16 and bf16 as PyTorch rounds", async () => {
  using file = await openSafetensors(GOLDEN);
  const f32 = await file.read("f32");
  const bytes = await encodeSafetensors({
    f16: { ...f32, dtype: "F16" },
    bf16: { ...f32, dtype: "BF16" },
    nan: {
      shape: [1],
      data: new Float32Array(new Uint32Array([0xffffffff]).buffer),
      dtype: "BF16",
    },
  });
  using back = await openSafetensors(bytes);
  assertEquals([...await back.readFloat32("f16")], golden.rounded.f16.map(numberOf));
  assertEquals([...await back.readFloat32("bf16")], golden.rounded.bf16.map(numberOf));
  assertEquals([...await back.readFloat32("nan")], [NaN]);
});

Deno.test("safetensors: a part of a tensor is read without the rest, several at the same time", async () => {
  for (const from of [GOLDEN, await Deno.readFile(GOLDEN)] as const) {
    using file = await openSafetensors(from);
    const [row, i32, all] = await Promise.all([
      file.readPart("f32", 5, 5),
      file.readPart("i32", 2, 3),
      file.readFloat32("f32"),
    ]);
    assertEquals([...row as Float32Array], [...all.slice(5, 10)]);
    assertEquals([...i32 as Int32Array], [-2, -1, 0]);
    await assertRejects(() => file.readPart("f32", 11, 5), FileError, "15 elements");
  }
  using file = await openSafetensors(blobSource(new Blob([await Deno.readFile(GOLDEN)])));
  assertEquals([...await file.readPart("u8", 1, 2) as Uint8Array], [251, 252]);
});

Deno.test("safetensors: a missing or wrongly typed tensor is named", async () => {
  using file = await openSafetensors(GOLDEN);
  const error = await assertRejects(() => file.read("text_model.b.weight"), FileError);
  assertEquals(error.file, GOLDEN);
  assertStringIncludes(error.message, `no tensor "text_model.b.weight" (but "a.b.weight")`);
  await assertRejects(() => file.readFloat32("i64"), FileError, `tensor "i64" is of type I64`);
});

Deno.test("safetensors: odd names, empty files, lazy data", async () => {
  const names = ["__proto__", "1", "toString", 'a"b\\', "ü\u2028", ""];
  const bytes = await encodeSafetensors(
    new Map(names.map((n, i) => [n, { shape: [1], data: new Float32Array([i]) }])),
  );
  using file = await openSafetensors(bytes);
  for (const [i, n] of names.entries()) assertEquals([...await file.readFloat32(n)], [i]);
  using none = await openSafetensors(await encodeSafetensors({}));
  assertEquals(none.tensors.size, 0);
  const lazy = await encodeSafetensors({
    x: { shape: [2], dtype: "I32", data: () => Promise.resolve(new Int32Array([3, 4])) },
  });
  using late = await openSafetensors(lazy);
  assertEquals([...(await late.read("x")).data as Int32Array], [3, 4]);
});

Deno.test("safetensors: a writer's mistakes leave no file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/x.safetensors`;
    const bad = { shape: [3], data: new Float32Array(2) };
    await assertRejects(() => writeSafetensors(path, { bad }), FileError, `"bad" of shape [3]`);
    const wrong = { shape: [2], data: new Int32Array(2), dtype: "F32" as const };
    await assertRejects(() => writeSafetensors(path, { wrong }), FileError, "Int32Array");
    assertEquals([...Deno.readDirSync(folder)], []);
    await writeSafetensors(path, { ok: { shape: [2], data: new Float32Array([1, 2]) } });
    await assertRejects(() => writeSafetensors(path, { bad }), FileError);
    using file = await openSafetensors(path);
    assertEquals([...await file.readFloat32("ok")], [1, 2]);
    assertEquals([...Deno.readDirSync(folder)].length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A tensor's description. */
const t = (shape: string, offsets: string, dtype = "F32") =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

Deno.test("safetensors: what the reference implementation lets pass is read, what it refuses is not", async () => {
  const a = `"a":${t("[2]", "[0,8]")}`;
  const read = async (header: string) => {
    using source = await openSafetensors(fileOf(header, 8));
    return [[...source.tensors.keys()].join(), JSON.stringify(source.metadata)];
  };
  const good: [string, string][] = [
    [`{"__metadata__":null,${a}}`, "{}"],
    [`{"__metadata__":{},${a}}`, "{}"],
    [`{${a},"__metadata__":{"x":"1","x":"2"}}`, '{"x":"2"}'],
    [`  {${a}}\n   `, "{}"],
    [`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":[{"x":1}]}}`, "{}"],
    // Of two descriptions the last counts.
    [`{"a":${t("[1]", "[4,8]")},${a}}`, "{}"],
  ];
  for (const [header, metadata] of good) assertEquals(await read(header), ["a", metadata], header);
  for (
    const wrong of ['{"x":1}', '{"x":null}', '{"x":{}}', "[]", '"x"', '{},"__metadata__":null', "1"]
  ) {
    await assertRejects(() => read(`{${a},"__metadata__":${wrong}}`), FileError);
  }
  await assertRejects(() => read(`{${a.replace("{", '{"dtype":"F32",')}}`), FileError, "twice");
});

Deno.test("safetensors: what is of another kind is named", async () => {
  const kinds: [string, string][] = [
    ["\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a PNG picture"],
    ["\xff\xd8\xff\xe0\0\x10JFIF\0\x01", "is a JPEG picture"],
    ["version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"],
    ["<!DOCTYPE html><html>", "is a web page"],
    ["GGUF\x03\0\0\0\0\0\0\0", "is a GGUF file"],
  ];
  for (const [head, what] of kinds) {
    const bytes = Uint8Array.from(head.padEnd(64, "\0"), (c) => c.charCodeAt(0));
    await assertRejects(() => openSafetensors(bytes), FileError, `${what}, and no file of weights`);
  }
});

Deno.test("safetensors: lying headers are refused by tensor and fault", async () => {
  await rejects(new Uint8Array(0), "0 bytes");
  await rejects(new Uint8Array(7), "7 bytes");
  await rejects(new Uint8Array(16).fill(255), "claims a header of 18446744073709551615 bytes");
  await rejects(new TextEncoder().encode("version https://git-lfs.example/spec/v1\n"), "Git LFS");
  await rejects(fileOf("{]"), "not valid JSON");
  await rejects(fileOf("[]"), "not an object");
  await rejects(fileOf('"x"'), "not an object");
  await rejects(fileOf(`{"a":${t("[1]", "[0,4]")}`, 4), "not valid JSON");
  await rejects(
    fileOf(`{"a":${t("[1]", "[0,4]")},"\\u0061":${t("[1]", "[4,8]")}}`, 8),
    '"a" twice',
  );
  await rejects(
    fileOf(`{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}}`, 8),
    '"shape" twice',
  );
  await rejects(fileOf(`{"a":3}`), 'tensor "a" is not described');
  await rejects(fileOf(`{"a":${t("[1]", "[0,1]", "F8_E4M3")}}`, 1), 'tensor "a"', "F8_E4M3");
  await rejects(fileOf(`{"a":${t("[1]", "[0,4]", "toString")}}`, 4), "toString");
  await rejects(fileOf(`{"a":${t("[-1]", "[0,4]")}}`, 4), "shape [-1]");
  await rejects(fileOf(`{"a":${t("[1.5]", "[0,4]")}}`, 4), "shape [1.5]");
  await rejects(fileOf(`{"a":${t("4", "[0,4]")}}`, 4), "shape 4");
  await rejects(fileOf(`{"a":${t("[1]", "[0]")}}`, 4), "data_offsets [0]");
  await rejects(fileOf(`{"a":${t("[1]", "[4,0]")}}`, 4), "bytes 4 to 0");
  await rejects(fileOf(`{"a":${t("[2]", "[0,8]")}}`, 4), "bytes 0 to 8 of 4");
  await rejects(fileOf(`{"a":${t("[3]", "[0,8]")}}`, 8), "needs 12 bytes but has 8");
  await rejects(fileOf(`{"a":${t("[4294967296,4294967296]", "[0,0]")}}`), "needs");
  await rejects(
    fileOf(`{"a":${t("[1]", "[0,4]")},"b":${t("[1]", "[0,4]")}}`, 4),
    'tensor "b" overlaps',
  );
  await rejects(
    fileOf(`{"a":${t("[1]", "[0,4]")},"b":${t("[1]", "[8,12]")}}`, 12),
    'tensor "b" leaves a gap',
  );
  await rejects(fileOf(`{"a":${t("[1]", "[0,4]")}}`, 5), "holds 5 bytes");
  await rejects(fileOf(`{"__metadata__":{"a":1}}`), "__metadata__");
  await rejects(fileOf(`{"a":${"[".repeat(100000)}${"]".repeat(100000)}}`));
  await rejects(fileOf(`{"${"x".repeat(3_000_000)}":1}`), "xxx…");
});

/** Opens and reads everything; true when that gave tensors of the right sizes, false on a `FileError`. */
async function survives(bytes: Uint8Array): Promise<boolean> {
  try {
    using file = await openSafetensors(bytes);
    let total = 0;
    for (const [name, { shape, dtype }] of file.tensors) {
      const { data } = await file.read(name);
      assertEquals((data as FileArray).length, shape.reduce((a, b) => a * b, 1));
      total += data.length * FILE_BYTES[dtype];
    }
    assert(total < bytes.length);
    return true;
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  }
}

const CHARS = [...'{}[]",:0123456789-.eF32 \\u\0'].map((c) => c.charCodeAt(0));

Deno.test("safetensors: no mutation of a file crashes, hangs or reads beyond it", async () => {
  const whole = await Deno.readFile(GOLDEN);
  let good = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          at: fc.integer({ min: 0, max: 1100 }),
          to: fc.oneof(fc.constantFrom(...CHARS), fc.integer({ min: 0, max: 255 })),
        }),
        { minLength: 1, maxLength: 4 },
      ),
      fc.option(fc.integer({ min: 0, max: whole.length })),
      async (changes, cut) => {
        const bytes = whole.slice(0, cut ?? undefined);
        for (const { at, to } of changes) if (at < bytes.length) bytes[at] = to;
        good += Number(await survives(bytes));
      },
    ),
    { numRuns: 3000, seed: 1 },
  );
  assert(good > 20, `only ${good} mutants were still readable: the test does not reach far`);
});

Deno.test("safetensors: no made-up header crashes, hangs or reads beyond the file", async () => {
  const entry = fc.record({
    dtype: fc.constantFrom("F32", "BF16", "U8", "I64", "F8_E5M2", 3),
    shape: fc.oneof(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }), fc.jsonValue()),
    data_offsets: fc.oneof(
      fc.tuple(fc.constantFrom(0, 4, 8), fc.integer({ min: -1, max: 24 })),
      fc.jsonValue(),
    ),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string(), fc.oneof({ weight: 5, arbitrary: entry }, fc.jsonValue())),
      fc.integer({ min: 0, max: 32 }),
      async (header, data) => {
        await survives(fileOf(JSON.stringify(header), data));
      },
    ),
    { numRuns: 1500, seed: 2 },
  );
});
