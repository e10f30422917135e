/** Tensors by name, as optimizers take them, and what they refuse: another form, another shape, a number out of its range. */
import { expectTensor, type Tensor } from "../tensor/tensor.ts";
import { what } from "../tensor/what.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import type { Operand } from "../ops/elementwise/map.ts";
import { reshape } from "../ops/movement.ts";

/** Named parameters, gradients or moments. */
export type Named = { readonly [path: string]: Tensor };

/** Refuses what is no object of tensors by name, or lacks one of the names that it should have. */
export function expectNamed(op: string, name: string, x: unknown, names: object = {}): void {
  if (x === null || typeof x !== "object") {
    throw new TypeError(`${op}: ${name} is ${what(x)}, not an object of tensors by name`);
  }
  for (const key of Object.keys({ ...names, ...x })) {
    expectTensor(op, `${name}["${key}"]`, (x as Record<string, unknown>)[key]);
  }
}

/** Refuses tensors of one name that have not one shape and element type: broadcasting would change the parameter's. */
export function expectAlike(op: string, of: Readonly<Record<string, Named>>): void {
  const [[first, params], ...others] = Object.entries(of);
  for (const [name, tensors] of others) {
    expectNamed(op, name, tensors, params);
    for (const [k, p] of Object.entries(params)) {
      if (sameShape(p.shape, tensors[k].shape) && p.dtype === tensors[k].dtype) continue;
      const [a, b] = [p, tensors[k]].map((t) => show(t.spec));
      throw new ShapeError(
        op,
        `${name}["${k}"] is ${b}, ${first}["${k}"] is ${a}; they must be alike`,
      );
    }
  }
}

/** The rate as something that changes no shape; refuses what is no number of at least 0 and no tensor of one element. */
export function rateOf(op: string, name: string, rate: unknown): Operand {
  if (typeof rate === "number") {
    expectSize(op, name, rate);
    return rate;
  }
  expectTensor(op, name, rate, " or a number");
  if (rate.size === 1) return reshape(rate, []);
  throw new ShapeError(op, `${name} is ${show(rate.spec)}, not one number`);
}

/** Refuses what is no number of at least 0 that f32 holds; `open` admits ∞. */
export function expectSize(op: string, name: string, x: number, open = false): void {
  const held = (x: number) => Number.isFinite(Math.fround(x)) || open && x === Infinity;
  expectRange(
    op,
    name,
    x,
    (x) => x >= 0 && held(x),
    `a ${open ? "" : "finite "}f32 of at least 0`,
  );
}

/** Refuses what is no number, and one that does not fit. */
export function expectRange(
  op: string,
  name: string,
  x: unknown,
  fits: (x: number) => boolean,
  range: string,
): void {
  if (typeof x !== "number") throw new TypeError(`${op}: ${name} is ${what(x)}, not a number`);
  if (!fits(x)) throw new RangeError(`${op}: ${name} is ${x}, not ${range}`);
}

/** The same names with other tensors. */
export function mapNamed(tree: Named, f: (t: Tensor, path: string) => Tensor): Named {
  return Object.fromEntries(Object.entries(tree).map(([k, t]) => [k, f(t, k)]));
}
