/** Compositions of ops beside plain loops in float64: values on the device that a test runs on, and by the ops' definitions. */
import { assert, assertEquals } from "@std/assert";
import { evaluate, type Tensor, tensor } from "../../mod.ts";
import { interpret } from "../../compile/interpret.ts";
import { relativeError, testDevice, uniform } from "./check.ts";

/** Numbers that f32 holds, in [−scale, scale). */
export function numbers(count: number, seed: number, scale = 1): number[] {
  const next = uniform(seed);
  return Array.from({ length: count }, () => Math.fround(next() * scale));
}

/** A tensor of {@linkcode numbers}. */
export const filled = (shape: readonly number[], seed: number, scale = 1): Tensor =>
  tensor(numbers(shape.reduce((a, b) => a * b, 1), seed, scale), shape);

/** That a tensor has this shape and these values, to `tolerance` of the largest; numbers that are not finite are the same. */
export async function agrees(
  t: Tensor,
  shape: readonly number[],
  expected: ArrayLike<number>,
  tolerance = 1e-5,
): Promise<void> {
  const device = await testDevice();
  assertEquals(t.shape, shape);
  const made = evaluate(device, t);
  assertEquals(made.spec, t.spec);
  const values = Array.from(await device.read(made), Number);
  device.free(made);
  assertEquals(values.length, expected.length);
  for (const got of [values, [...interpret([t])[0]]]) {
    const finite: [number, number][] = [];
    got.forEach((v, i) => {
      if (Number.isFinite(expected[i])) finite.push([v, expected[i]]);
      else assert(Object.is(v, expected[i]), `element ${i} is ${v}, expected ${expected[i]}`);
    });
    const e = relativeError(finite.map(([v]) => v), finite.map(([, w]) => w));
    assert(
      e <= tolerance,
      `differs by ${e}: ${got.slice(0, 8)}, expected ${Array.from(expected).slice(0, 8)}`,
    );
  }
}
