/**
 * Arguments as they come from users, whom no type checker may have warned: every function of the library's door looks at
 * its own first, so that what is wrong is named by the function that was called, and not by what failed later inside.
 */
import { expectTensor, type Tensor } from "./tensor.ts";
import { elementOf, expectType, FLOATS } from "./element.ts";
import { BYTES } from "./dtype.ts";
import { axisOf, ShapeError } from "./shape.ts";
import { what } from "./what.ts";

/** How messages call an argument: `argument 2 (weight)`. */
const place = (i: number, name: string): string => `argument ${i + 1} (${name})`;

/**
 * Refuses arguments that are no tensors.
 *
 * @param named the first arguments of `op` in their order, by name; one whose name ends in `?` may be undefined
 * @throws TypeError
 */
export function expectTensors(op: string, named: Readonly<Record<string, unknown>>): void {
  Object.entries(named).forEach(([name, x], i) => {
    if (name.endsWith("?") && x === undefined) return;
    expectTensor(op, place(i, name.replace("?", "")), x);
  });
}

/**
 * The same for functions of real numbers: tensors of integers are refused, too.
 *
 * @throws TypeError; ShapeError for tensors of integers
 */
export function expectFloats(op: string, named: Readonly<Record<string, unknown>>): void {
  expectTensors(op, named);
  for (const x of Object.values(named)) if (x) expectType(op, (x as Tensor).spec, FLOATS);
}

/** Refuses what is no list, of what `example` says. */
export function expectArray(
  op: string,
  at: number,
  name: string,
  x: unknown,
  example: string,
): void {
  if (Array.isArray(x)) return;
  throw new TypeError(`${op}: ${place(at, name)} is ${what(x)}, not a list such as ${example}`);
}

/**
 * Refuses what is no list of numbers.
 *
 * @param at the argument's position, from 0
 * @param example what one looks like
 * @throws TypeError
 */
export function expectList(
  op: string,
  at: number,
  name: string,
  x: unknown,
  example: string,
): asserts x is readonly number[] {
  expectArray(op, at, name, x, example);
  const list = Array.from(x as readonly unknown[]);
  const bad = list.findIndex((v) => typeof v !== "number");
  if (bad < 0) return;
  throw new TypeError(`${op}: ${place(at, name)} has ${what(list[bad])} at ${bad}, not a number`);
}

/** One axis, or several in a list. Below 0 they count from the end. */
export type AxisList = number | readonly number[];

/**
 * The one rule for axes: a number is the list of it, below 0 they count from the end, and none is named twice.
 *
 * @param at the argument's position, from 0
 * @param axes all of them when undefined
 * @param name what messages call them
 * @returns the axes as they count from 0, in the order given
 * @throws TypeError for what is no axis and no list of them; ShapeError for one that there is not, or is there twice
 */
export function axesOf(
  op: string,
  at: number,
  axes: unknown,
  rank: number,
  name = "axes",
): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = axisList(op, at, axes, name).map((a) => axisOf(op, a, rank));
  if (new Set(list).size === list.length) return list;
  throw new ShapeError(op, `${name} [${axes}] name one of ${rank} dimensions twice`);
}

/** The same before it is known how many there are: a number as the list of it. */
export function axisList(op: string, at: number, axes: unknown, name = "axes"): readonly number[] {
  if (typeof axes === "number") return [axes];
  expectList(op, at, name, axes, "[0, 1], or one axis");
  return axes;
}

/** Refuses what is no number: a tensor above all, where an exponent or a bound is fixed. */
export function expectNumber(op: string, at: number, name: string, x: unknown): void {
  if (typeof x === "number") return;
  throw new TypeError(`${op}: ${place(at, name)} is ${what(x)}, not a number`);
}

/** Refuses what is no function. */
export function expectFunction(op: string, at: number, name: string, x: unknown): void {
  if (typeof x === "function") return;
  throw new TypeError(`${op}: ${place(at, name)} is ${what(x)}, not a function`);
}

/** Refuses what is no element type. */
export function expectDType(op: string, dtype: unknown): void {
  if (typeof dtype === "string" && Object.hasOwn(BYTES, dtype)) return;
  const all = Object.keys(BYTES).join(", ");
  throw new ShapeError(op, `${what(dtype)} is no element type: they are ${all}`);
}

/** Refuses a choice that there is not; `name` is what messages call it: `options.mode`. */
export function expectChoice(
  op: string,
  name: string,
  given: unknown,
  all: readonly string[],
): void {
  if ((all as readonly unknown[]).includes(given)) return;
  throw new TypeError(`${op}: ${name} is ${what(given)}, not one of ${all.join(", ")}`);
}

/** What an option is, of f32 where it is computed with; `any` where the function that has it looks for itself. */
export type OptionKind =
  | "number"
  | "a number of f32"
  | "a number or a list"
  | "true or false"
  | "f32 or f16"
  | "function"
  | "any";

const FITS: Readonly<Record<OptionKind, (x: unknown) => boolean>> = {
  "number": (x) => typeof x === "number",
  "a number of f32": (x) => typeof x === "number",
  "a number or a list": (x) =>
    typeof x === "number" || (Array.isArray(x) && x.flat().every((v) => typeof v === "number")),
  "true or false": (x) => typeof x === "boolean",
  "f32 or f16": (x) => x === "f32" || x === "f16",
  "function": (x) => typeof x === "function",
  "any": () => true,
};

/**
 * Refuses options that the function does not have, and values of another kind than the option's: a misspelt one would
 * change nothing, and "no" would be taken for true. One that is undefined counts as left out; null does not.
 *
 * @param at the argument's position, from 0
 * @param known the options and what they are
 * @throws TypeError; RangeError for a number that f32 can't hold
 */
export function expectOptions(
  op: string,
  at: number,
  options: unknown,
  known: Readonly<Record<string, OptionKind>>,
): void {
  const example = `{ ${Object.keys(known).join(", ")} }`;
  const is = what(options);
  if (
    options === null || typeof options !== "object" || Array.isArray(options) ||
    is.startsWith("the tensor")
  ) {
    throw new TypeError(`${op}: ${place(at, "options")} is ${is}, not an object of ${example}`);
  }
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, key)) {
      throw new TypeError(`${op}: there is no option "${key}"; it takes ${example}`);
    }
    if (value === undefined) continue;
    if (!FITS[known[key]](value)) {
      const kind = /^(number|function)$/.test(known[key]) ? `a ${known[key]}` : known[key];
      throw new TypeError(`${op}: options.${key} is ${what(value)}, not ${kind}`);
    }
    if (known[key] === "a number of f32") {
      elementOf(`${op}: options.${key}`, value as number, "f32");
    }
  }
}
