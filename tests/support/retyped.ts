/** Right calls of public functions (`argument_calls.ts`) with other element types, and what a tensor of some type has to be. */
import { assertEquals } from "@std/assert";
import { type Device, type DType, flatten, Tensor, tensor } from "../../mod.ts";
import { interpret } from "../../compile/interpret.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { CALLS } from "./argument_calls.ts";

/** Every element type. */
export const TYPES = Object.keys(BYTES) as readonly DType[];

/** Arguments whose type is the function's, where that is not the type of the first. */
const DATA: Record<string, DType> = { where: "f32", compress: "f32" };

/** The same argument with tensors, and names, of one type in another one. */
export function retyped(arg: unknown, from: DType, to: DType): unknown {
  if (arg === from) return to;
  // Of numbers, bool holds two.
  if (arg === 7 && to === "bool") return 1;
  if (Array.isArray(arg)) return arg.map((a) => retyped(a, from, to));
  if (!(arg instanceof Tensor) || arg.dtype !== from) return arg;
  const values = [...interpret([arg])[0]];
  // What is 0 throughout shows nothing.
  const seen = values.some((v) => v) ? values : values.map((_, i) => i * 7 % 5);
  return tensor(to === "bool" ? seen.map((v) => v !== 0) : seen, arg.shape, to);
}

/** The tensors of what a function gives: one, a list, a record. */
export const tensorsOf = (made: unknown): Tensor[] =>
  flatten<Tensor>(made as Tensor).map(([, leaf]) => leaf);

/** The type that a call's arguments have: of its first tensor, or that which it names. */
export function typeOf(name: string): DType | undefined {
  if (DATA[name]) return DATA[name];
  for (const arg of CALLS[name].flat()) {
    if (arg instanceof Tensor) return arg.dtype;
    if (TYPES.includes(arg as DType)) return arg as DType;
  }
}

/** That a tensor has a type, and these values. */
export async function is(device: Device, t: Tensor, dtype: DType, values: unknown): Promise<void> {
  assertEquals(t.dtype, dtype, String(t));
  assertEquals(await device.toArray(t), values, String(t));
}
