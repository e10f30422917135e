/**
 * How every op is tested: against its own float64 definition, forward (fused and unfused) and backward, where the
 * gradient is taken mid-graph with an upstream cotangent that is not 1 and compared with a central difference in
 * float64 along a random direction.
 */
import { assert, assertEquals } from "@std/assert";
import type { Tensor } from "../../tensor/tensor.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { input, tensor } from "../../ops/leaf.ts";
import { mul } from "../../ops/elementwise/arithmetic.ts";
import { sin } from "../../ops/elementwise/trigonometry.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { sum } from "../../ops/broadcast.ts";
import type { Spec } from "../../tensor/shape.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { interpret } from "../../compile/interpret.ts";
import { evaluate } from "../../compile/compile.ts";
import { vjp } from "../../autograd/grad.ts";
import type { Device } from "../../device/device.ts";
import { type Backend, gpu, type GpuOptions } from "../../device/adapter.ts";
import { onlyBackend } from "./backend.ts";

const opened = new Map<Backend, Promise<Device>>();
/** One of the two devices, which the tests of a file share. */
export function deviceOf(backend: Backend): Promise<Device> {
  let device = opened.get(backend);
  if (!device) opened.set(backend, device = gpu({ backend }));
  return device;
}

let current: Device | undefined;
/**
 * The device that a test runs on: in a step of `test` (`devices.ts`) that step's, else (tests of models, of the method, of
 * verbs) the CPU device, unless only the other is left.
 */
export const testDevice = async (): Promise<Device> =>
  current ?? await deviceOf(onlyBackend ?? "cpu");

/** Runs `body` with one of the devices as {@linkcode testDevice}. */
export async function runOn(
  backend: Backend,
  body: (device: Device) => void | Promise<void>,
): Promise<void> {
  current = await deviceOf(backend);
  try {
    await body(current);
  } finally {
    current = undefined;
  }
}

/** A device like {@linkcode testDevice}, for a test that changes it or needs one with other options. */
export const ownDevice = async (options: GpuOptions = {}): Promise<Device> =>
  await gpu({ ...options, backend: (await testDevice()).profile.cpu ? "cpu" : "webgpu" });

/** The dispatches that compute: without those that lay operands out for the CPU device. */
export const computing = <T extends { readonly label: string }>(dispatches: readonly T[]): T[] =>
  dispatches.filter(({ label }) => !/\((pack|frame)\)/.test(label));

/** A small reproducible generator of uniform numbers in [−1, 1). */
export function uniform(seed: number): () => number {
  let s = seed >>> 0 || 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return ((s >>> 0) / 2 ** 31) - 1;
  };
}

/** Random values for a spec; `scale` for floats, integers below `below`. */
export function randomValues(spec: Spec, rand: () => number, scale = 1, below = 8): Float64Array {
  const n = sizeOf(spec.shape);
  const values = Float64Array.from(
    { length: n },
    () => isFloat(spec.dtype) ? Math.fround(rand() * scale) : Math.floor((rand() + 1) / 2 * below),
  );
  return spec.dtype === "f16" ? values.map((v) => new Float16Array([v])[0]) : values;
}

/** Largest difference relative to the largest magnitude of the expected values. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let diff = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Number.isNaN(actual[i])) return Infinity;
    diff = Math.max(diff, Math.abs(actual[i] - expected[i]));
    size = Math.max(size, Math.abs(expected[i]));
  }
  return diff / (size || 1);
}

/** Options of {@linkcode checkOp}. */
export interface CheckOptions {
  readonly seed?: number;
  /** Tolerance relative to the largest magnitude. Default 2e-5 (f32) or 4e-3 (any f16 storage). */
  readonly tolerance?: number;
  /** Magnitude of float inputs. */
  readonly scale?: number;
  /** Values instead of random ones, per input (undefined = random). */
  readonly values?: readonly (Float64Array | undefined)[];
  /** Inputs to differentiate; default every float input. */
  readonly wrt?: readonly number[];
  readonly device?: Device;
  /**
   * The cotangent is given, and does not depend on the result: nothing is fused behind the op, so that its forward kernel
   * is compiled once less. For kernels that take long to compile.
   */
  readonly linear?: boolean;
  /** Skip the backward check (ops without derivative). */
  readonly forwardOnly?: boolean;
}

/** Checks `f` of random inputs of these specs: forward fused and unfused, and the gradient of a mid-graph loss. */
export async function checkOp(
  specs: readonly Spec[],
  f: (...xs: Tensor[]) => Tensor,
  options: CheckOptions = {},
): Promise<void> {
  const device = options.device ?? await testDevice();
  const rand = uniform(options.seed ?? 12345);
  const values = specs.map((s, i) => options.values?.[i] ?? randomValues(s, rand, options.scale));
  const half = specs.some((s) => s.dtype === "f16");
  const tolerance = options.tolerance ?? (half ? 4e-3 : 2e-5);
  const leaves = specs.map((s, i) => tensor(Array.from(values[i]), s.shape, s.dtype));

  const y = f(...leaves);
  const wrt = options.wrt ?? specs.flatMap((s, i) => isFloat(s.dtype) ? [i] : []);
  // Shaders without f16 read it all the same, but write it only four at a time.
  const written = [y.spec, ...options.forwardOnly ? [] : wrt.map((i) => specs[i])];
  if (!device.profile.f16 && written.some((s) => s.dtype === "f16")) return;
  const [expected] = interpret([y]);
  for (const fuse of [true, false]) {
    const result = evaluate(device, y, { fuse });
    assertEquals(result.spec, y.spec, `what tracing said and what came back (fuse=${fuse})`);
    const actual = Array.from(await device.read(result), Number);
    device.free(result);
    const e = relativeError(actual, expected);
    assert(e <= tolerance, `forward (fuse=${fuse}) differs by ${e}, at most ${tolerance} expected`);
  }
  if (options.forwardOnly) return;

  // loss = Σ sin(f(2x)) · u : the op sits in the middle, and neither side of it is the identity.
  const behind = options.linear ? (t: Tensor) => t : sin;
  const u = tensor(Array.from({ length: y.size }, rand), y.shape, "f32");
  const halved = values.map((v, i) => wrt.includes(i) ? v.map((x) => x / 2) : v);
  const loss = (xs: Tensor[]) => {
    const mid = f(...xs.map((x, i) => wrt.includes(i) ? mul(x, 2) : x));
    return sum(mul(behind(cast(mid, "f32")), u));
  };
  const at = specs.map((s, i) => tensor(Array.from(halved[i]), s.shape, s.dtype));
  const grads = vjp([[loss(at), tensor([1], [])]], wrt.map((i) => at[i]));
  const symbolic = specs.map((s, i) => input(s, i));
  const symbolicLoss = loss(symbolic);
  for (const [k, i] of wrt.entries()) {
    const direction = Float64Array.from({ length: halved[i].length }, rand);
    const h = 1e-5;
    const moved = (sign: number) => {
      const feeds = new Map(
        symbolic.map((t, j) => [
          t,
          j === i ? halved[j].map((x, q) => x + sign * h * direction[q]) : halved[j],
        ]),
      );
      return interpret([symbolicLoss], feeds)[0][0];
    };
    const numeric = (moved(1) - moved(-1)) / (2 * h);
    const g = grads[k];
    assert(g, `input ${i} gets no gradient`);
    const result = evaluate(device, g);
    assertEquals(result.spec, { shape: specs[i].shape, dtype: g.dtype }, `gradient of input ${i}`);
    const actual = Array.from(await device.read(result), Number);
    device.free(result);
    // Against the float64 run of the same gradient tape (element by element) and the numeric derivative (as a whole).
    const [exact] = interpret([g]);
    const e = relativeError(actual, exact);
    assert(e <= 5 * tolerance, `gradient of input ${i} on the device differs from float64 by ${e}`);
    const analytic = exact.reduce((n, v, q) => n + v * direction[q], 0);
    const norm = Math.sqrt(exact.reduce((n, v) => n + v * v, 0)) || 1;
    assert(
      Math.abs(analytic - numeric) <= 1e-5 * Math.max(1, norm, Math.abs(numeric)),
      `gradient of input ${i}: ${analytic} along a direction, ${numeric} numerically`,
    );
  }
}
