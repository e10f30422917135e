// Values from the host: converted by value or refused by their place, whatever they come in.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { DType } from "../tensor/dtype.ts";
import type { TensorData } from "../tensor/host.ts";
import { ShapeError } from "../tensor/shape.ts";
import { scalar, tensor } from "../ops/leaf.ts";
import { test } from "./support/devices.ts";

const DTYPES: DType[] = ["f32", "f16", "i32", "u32", "bool"];
const LIMITS = {
  f32: [-Infinity, Infinity],
  f16: [-Infinity, Infinity],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  bool: [0, 1],
};

/** What the rule gives for a number: its element, or undefined where it is refused. */
function held(x: number, dtype: DType): number | undefined {
  if (dtype !== "f32" && dtype !== "f16") {
    const [low, high] = LIMITS[dtype];
    return Number.isInteger(x) && x >= low && x <= high ? x + 0 : undefined;
  }
  const y = dtype === "f16" ? Math.f16round(x) : Math.fround(x);
  return Number.isFinite(x) && !Number.isFinite(y) ? undefined : y;
}

const MAKERS: Record<string, (x: number) => TensorData> = {
  list: (x) => [0, x],
  "nested list": (x) => [[0], [x]],
  Float64Array: (x) => Float64Array.of(0, x),
  Float32Array: (x) => Float32Array.of(0, x),
  Float16Array: (x) => Float16Array.of(0, x),
  Int8Array: (x) => Int8Array.of(0, x),
  Int16Array: (x) => Int16Array.of(0, x),
  Int32Array: (x) => Int32Array.of(0, x),
  Uint8Array: (x) => Uint8Array.of(0, x),
  Uint8ClampedArray: (x) => Uint8ClampedArray.of(0, x),
  Uint16Array: (x) => Uint16Array.of(0, x),
  Uint32Array: (x) => Uint32Array.of(0, x),
  BigInt64Array: (x) => BigInt64Array.of(0n, Number.isInteger(x) ? BigInt(x) : 1n),
  BigUint64Array: (x) => BigUint64Array.of(0n, Number.isInteger(x) ? BigInt(x) : 1n),
  "list of arrays": (x) => [Float64Array.of(0), Float64Array.of(x)],
};

test("from every array to every element type: by value, or a RangeError with the place", async (device) => {
  const numbers = [
    0,
    -0,
    1,
    -1,
    255,
    1.5,
    65504,
    65520,
    2 ** 31,
    2 ** 32,
    1e39,
    -1e39,
    1e-46,
    NaN,
    Infinity,
  ];
  for (const [kind, make] of Object.entries(MAKERS)) {
    for (const x of numbers) {
      const data = make(x);
      const second = Number((data as ArrayLike<number>)[1]); // Of a list of one, too.
      for (const dtype of DTYPES) {
        const about = `${kind} of ${x} as ${dtype}`;
        const want = held(second, dtype);
        if (want === undefined) {
          const error = assertThrows(
            () => tensor(data, undefined, dtype),
            RangeError,
            "tensor: value 1, ",
            about,
          );
          assert(error.message.includes(dtype), about);
        } else {
          const values = await device.read(tensor(data, undefined, dtype));
          assertEquals(Number(values[1]), want, about);
          const sent = device.upload(data, undefined, dtype);
          assertEquals(await device.read(sent), values, `uploaded: ${about}`);
          device.free(sent);
        }
      }
    }
  }
});

Deno.test("the element type is that of the data, and the shape that of its nesting", () => {
  const made = (data: TensorData) => String(tensor(data));
  assertEquals(made(5), "f32[] 5");
  assertEquals(made(true), "bool[] true");
  assertEquals(made([]), "f32[0] (no values)");
  assertEquals(made([[], []]), "f32[2,0] (no values)");
  assertEquals(made([[1, 2], [3, 4]]), "f32[2,2] [[1, 2], [3, 4]]");
  assertEquals(made([[[1]], [[2]]]), "f32[2,1,1] [[[1]], [[2]]]");
  assertEquals(made([true, false]), "bool[2] [true, false]");
  assertEquals(String(tensor([true, false], undefined, "u32")), "u32[2] [1, 0]");
  assertEquals(String(tensor(Uint8Array.of(1, 0), [2], "bool")), "bool[2] [true, false]");
  assertEquals(made([1n, -2n]), "i32[2] [1, -2]");
  assertEquals(made(Float64Array.of(1.5)), "f32[1] [1.5]");
  assertEquals(made(Float16Array.of(1.5)), "f16[1] [1.5]");
  assertEquals(made(Int8Array.of(-1)), "i32[1] [-1]");
  assertEquals(made(BigInt64Array.of(-1n)), "i32[1] [-1]");
  assertEquals(made(Uint8ClampedArray.of(300)), "u32[1] [255]");
  assertEquals(made([Int16Array.of(1, 2), Int16Array.of(3, 4)]), "i32[2,2] [[1, 2], [3, 4]]");
  assertEquals(String(tensor([1, true], undefined, "f32")), "f32[2] [1, 1]");
  assertEquals(String(tensor(new Float32Array(0), [0, 3])), "f32[0,3] (no values)");
  assertEquals(String(tensor(new Uint8Array(6), [2, 3], "f32")), "f32[2,3] [[0, 0, 0], [0, 0, 0]]");
});

Deno.test("what has no numbers, or no shape, is refused by name", () => {
  // deno-lint-ignore no-explicit-any
  const made = (...args: any[]) => () => (tensor as any)(...args);
  const gone = new Float32Array(2);
  structuredClone(gone, { transfer: [gone.buffer] });
  const types: [() => unknown, string][] = [
    [made(new ArrayBuffer(4)), "an ArrayBuffer: bytes have no element type"],
    [made(new DataView(new ArrayBuffer(4))), "a DataView: bytes have no element type"],
    [made("1, 2"), 'the string "1, 2"'],
    [made(undefined), "undefined"],
    [made(null), "null"],
    [made({ 0: 1 }), "an object with 0"],
    [made(new Set([1])), "a Set: spread it into a list"],
    [made(Promise.resolve([1])), "a promise (await it)"],
    [made(tensor([1])), "the tensor f32[1]: ops take it as it is"],
    [made([1, "2"]), 'value 1 is the string "2"'],
    [made([1, , 3]), "value 1 is undefined"],
    [made([[1], [null]]), "value 1 is null"],
    [made([tensor([1])]), "value 0 is the tensor f32[1]"],
    [made([1, true]), "several kinds (f32, bool); say which element type"],
    [made([Int32Array.of(1), Float32Array.of(1)]), "several kinds (i32, f32)"],
    [made(gone), "transferred to another thread"],
    [made([1], 1), "argument 2 (shape) is the number 1, not a list such as [2, 3]"],
    [made([1], ["1"]), "argument 2 (shape) has the string"],
  ];
  for (const [call, message] of types) assertThrows(call, TypeError, message);
  const shapes: [() => unknown, string][] = [
    [
      made([1], [1], "float32"),
      'the string "float32" is no element type: they are f32, f16, i32, u32, bool',
    ],
    [made([[1, 2], [3]]), "ragged: a list of 1 beside one of 2 at [1], value 2"],
    [made([[[1], [2]], [[3], [4, 5]]]), "ragged: a list of 2 beside one of 1 at [1][1], value 3"],
    [made([1, [2]]), "ragged: a list beside a number at [1], value 1"],
    [made([[1], 2]), "ragged: a number beside a list at [1], value 1"],
    [made([[[1]], [2]]), "ragged: a number beside a list at [1][0], value 1"],
    [made([[], 1]), "ragged"],
    [made([[], [[]]]), "ragged"],
    [
      made([Float32Array.of(1), Float32Array.of(1, 2)]),
      "ragged: a list of 2 beside one of 1 at [1], value 1",
    ],
    [made([[1], Float32Array.of(1, 2)]), "a list of 2 beside one of 1 at [1], value 1"],
    [made([1, 2], [3]), "2 values for shape [3]"],
    [made([[1, 2]], [2]), "values nested as [1,2] for shape [2]"],
    [made([1, 2], [1.5]), "[1.5] is no shape: 1.5 is no whole number"],
    [made([1, 2], [-1]), "[-1] is no shape"],
    [made([1, 2], [2, NaN]), "[2,NaN] is no shape"],
  ];
  for (const [call, message] of shapes) assertThrows(call, ShapeError, message);
  assertThrows(
    () => scalar(1.5, "i32"),
    RangeError,
    "scalar: argument 1 (value), 1.5, is no whole number of i32",
  );
  assertThrows(
    () => scalar(NaN, "u32"),
    RangeError,
    "scalar: argument 1 (value), NaN, does not lie in 0 … 4294967295 of u32",
  );
});

test("a tensor keeps its values when the array that it was made of changes", async (device) => {
  const array = Float32Array.of(1, 2);
  const t = tensor(array);
  array[0] = 9;
  const values = await device.read(t);
  assertEquals(values, Float32Array.of(1, 2));
  values[0] = 7;
  assertEquals(await device.read(t), Float32Array.of(1, 2));
});

test("parts of an upload are of its element type, and of a shape that there is", async (device) => {
  const before = device.buffers.allocated;
  async function* parts(...arrays: unknown[]) {
    for (const array of arrays) yield await Promise.resolve(array as Float32Array);
  }
  const t = await device.uploadParts(parts(Float32Array.of(1), Float32Array.of(2)), [2], "f32");
  assertEquals(await device.read(t), Float32Array.of(1, 2));
  device.free(t);
  for (const wrong of [Int32Array.of(1), Uint8Array.of(1, 2, 3, 4), [1], new ArrayBuffer(4), 1]) {
    await assertRejects(
      () => device.uploadParts(parts(wrong), [1], "f32"),
      TypeError,
      "device.uploadParts: a part of f32[1] is ",
    );
  }
  await assertRejects(
    () => device.uploadParts(parts(), [1.5], "f32"),
    ShapeError,
    "[1.5] is no shape",
  );
  const truth = await device.uploadParts(parts(Uint32Array.of(1, 0)), [2], "bool");
  assertEquals(await device.toArray(truth), [true, false]);
  device.free(truth);
  await assertRejects(
    () => device.uploadParts(parts(Uint32Array.of(0, 2)), [2], "bool"),
    RangeError,
    "device.uploadParts: a part of bool[2] has others than 0 and 1",
  );
  assertEquals(device.buffers.allocated, before);
});
