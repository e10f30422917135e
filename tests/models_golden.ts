/** Reading the models' goldens (`golden/models.py`), and running a tape on each engine that must agree with them. */
import { assert } from "@std/assert";
import { openSafetensors, type TensorSource } from "../files/safetensors/read.ts";
import { toFloat32 } from "../files/dtypes.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { sizeOf } from "../tensor/shape.ts";
import { unflatten } from "../tensor/tree.ts";
import { input, tensor } from "../ops/leaf.ts";
import { evaluate } from "../compile/compile.ts";
import { interpret } from "../compile/interpret.ts";
import { toEngine } from "../models/layout.ts";
import { engineShape, type ParameterSpecs, type ParameterTree } from "../models/params.ts";
import { testDevice } from "./support/check.ts";

/** A golden file in memory. */
export interface Golden {
  readonly config: Record<string, unknown>;
  readonly source: TensorSource;
  /** The stored tensor under a name, row-major as PyTorch has it. */
  get(name: string): { readonly shape: readonly number[]; readonly data: Float32Array };
  /** Names below a prefix, without it. */
  names(prefix: string): string[];
}

/** Opens `golden/<name>.safetensors` and reads all of it. */
export async function openGolden(name: string): Promise<Golden> {
  const path = new URL(`./golden/${name}.safetensors`, import.meta.url);
  const source = await openSafetensors(await Deno.readFile(path));
  const all = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const key of source.tensors.keys()) {
    const { shape, data } = await source.read(key);
    const numbers = data instanceof Int32Array ? Float32Array.from(data) : toFloat32(data);
    all.set(key, { shape, data: numbers });
  }
  return {
    config: JSON.parse(source.metadata.config),
    source,
    get: (key) => all.get(key)!,
    names: (prefix) =>
      [...all.keys()].filter((k) => k.startsWith(prefix)).map((k) => k.slice(prefix.length)),
  };
}

/** The parameters of a golden as constants in the engine's layout; `f16` rounds them. */
export function goldenParams(
  golden: Golden,
  specs: ParameterSpecs,
  dtype: "f32" | "f16" = "f32",
): ParameterTree {
  return unflatten([...specs].map(([name, spec]) => {
    const { data } = golden.get(`params.${name}`);
    const laid = spec.layout === "conv" ? toEngine(data, spec.shape) : data;
    const half = dtype === "f16" && spec.shape.length > 1;
    return [name, tensor(half ? new Float16Array(laid) : laid, engineShape(spec))];
  }));
}

/** A stored tensor as a constant; four axes are turned from NCHW to NHWC. */
export function goldenTensor(golden: Golden, name: string): Tensor {
  const { shape, data } = golden.get(name);
  return shape.length === 4
    ? tensor(toNHWC(data, shape), [shape[0], shape[2], shape[3], shape[1]])
    : tensor(data, shape);
}

/** NCHW → NHWC. */
export function toNHWC(data: Float32Array, [b, c, h, w]: readonly number[]): Float32Array {
  const out = new Float32Array(data.length);
  for (let n = 0; n < b; n++) {
    for (let k = 0; k < c; k++) {
      for (let i = 0; i < h * w; i++) out[(n * h * w + i) * c + k] = data[(n * c + k) * h * w + i];
    }
  }
  return out;
}

/** Computes results of a tape. */
export type Engine = (results: Tensor[]) => Promise<ArrayLike<number>[]>;

/** Two ways to do so: the float64 definition of every op, and the device. */
export const ENGINES: Readonly<Record<string, Engine>> = {
  "in float64": (results) => Promise.resolve(interpret(results)),
  "on the device": onDevice,
};

/** On the device of the test. */
export async function onDevice(results: Tensor[]): Promise<ArrayLike<number>[]> {
  const device = await testDevice();
  const made = evaluate(device, results);
  const values: ArrayLike<number>[] = [];
  for (const t of made) values.push(await device.read(t) as Float32Array);
  device.free(...made);
  return values;
}

/** Asserts equality up to a difference relative to the largest magnitude of the expected values. */
export function assertNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  assert(
    actual.length === expected.length,
    `${what}: ${actual.length} values, not ${expected.length}`,
  );
  let difference = 0, size = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    difference = Number.isNaN(d) ? Infinity : Math.max(difference, d);
    size = Math.max(size, Math.abs(expected[i]));
  }
  const relative = difference / (size || 1);
  assert(relative <= tolerance, `${what} differs by ${relative}, at most ${tolerance} expected`);
}

/** A symbolic argument for tests that only trace. */
export const symbolic = (shape: readonly number[], dtype: "f32" | "u32" = "f32"): Tensor =>
  input({ shape, dtype }, 0, `${sizeOf(shape)}`);
