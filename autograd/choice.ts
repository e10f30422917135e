/** What a program does by what it computes: a choice between two functions, and a loop that ends early. */
import { expectTensor, type Tensor } from "../tensor/tensor.ts";
import { expectFunction, expectOptions } from "../tensor/arguments.ts";
import { wholeNumber } from "../tensor/element.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { flatten, refill, type Tree } from "../tensor/tree.ts";
import { where } from "../ops/elementwise/compare.ts";
import { logicalAnd } from "../ops/elementwise/logic.ts";
import { scalar } from "../ops/leaf.ts";
import { scan } from "./scan.ts";

/**
 * One of two functions, by a truth value. A number or truth value of the host's decides while tracing: only that function is
 * called. A tensor decides on the device: a program cannot leave out what it was planned to do, so both are computed, and of
 * each result one is taken. Derivatives flow through what was taken; mapped, each example has its own choice.
 *
 * @param predicate a truth value, a number, or a tensor of one element; what is not 0 is true, NaN too
 * @param onTrue a pure function of the arguments
 * @param onFalse a pure function of the arguments, whose result has the same form, shapes and element types
 * @throws ShapeError when the predicate has several elements, or results differ in form; TypeError when something is no tensor
 */
export function cond<A extends unknown[], R>(
  predicate: Tensor | boolean | number,
  onTrue: (...args: A) => R,
  onFalse: (...args: A) => R,
  ...args: A
): R {
  expectFunction("cond", 1, "onTrue", onTrue);
  expectFunction("cond", 2, "onFalse", onFalse);
  if (typeof predicate === "boolean" || typeof predicate === "number") {
    // NaN is not 0, as on the device.
    return predicate !== 0 && predicate !== false ? onTrue(...args) : onFalse(...args);
  }
  const test = truth("cond", "argument 1 (predicate)", predicate);
  return chosen("cond", test, onTrue(...args), onFalse(...args), ["onTrue", "onFalse"]);
}

/** A tensor of one element as a scalar. */
function truth(op: string, place: string, t: unknown): Tensor {
  expectTensor(op, place, t, op === "cond" ? " or a truth value" : "");
  if (t.shape.length === 0) return t;
  throw new ShapeError(
    op,
    `${place} is ${
      show(t.spec)
    }, not one truth value: where() chooses element by element, vmap makes a choice for each example`,
  );
}

/** Of two trees of one form, one by a scalar. */
function chosen<R>(op: string, test: Tensor, a: R, b: R, names: readonly [string, string]): R {
  const [left, right] = [a, b].map((tree, k) =>
    flatten<unknown>(tree as Tree<unknown>).map(([path, t]) => {
      expectTensor(op, path ? `what ${names[k]} gave, "${path}"` : `what ${names[k]} gave`, t);
      return [path, t] as const;
    })
  );
  const form = (leaves: typeof left) => leaves.map(([p, t]) => `${p && `${p} `}${show(t.spec)}`);
  const differ = left.length !== right.length || left.some(([path, t], i) => {
    const [other, u] = right[i];
    return path !== other || !sameShape(t.shape, u.shape) || t.dtype !== u.dtype;
  });
  if (differ) {
    const said = [left, right].map((leaves, k) =>
      `${names[k]} gave ${form(leaves).join(", ") || "nothing"}`
    );
    throw new ShapeError(op, said.join(", "));
  }
  return refill(a as Tree<unknown>, left.map(([, t], i) => where(test, t, right[i][1]))) as R;
}

/** Options of {@linkcode whileLoop}. */
export interface WhileOptions {
  /** Most turns. All of them run, whenever the condition ends: those behind that change nothing. */
  readonly maxSteps: number;
}

/**
 * Turns while a condition holds, at most a given number: a program cannot stop by what it computes, so the turns behind the end
 * run as well and change nothing. It may be differentiated and mapped, as `scan` may, which it is made of.
 *
 * A loop without a bound belongs on the host: `while (await device.item(condition(x))) x = step(x);`, where `step` is compiled.
 *
 * @param condition a pure function of the value that gives one truth value; asked before each turn
 * @param body a pure function of the value, which gives the next one
 * @param init a tree of tensors
 * @returns the value for which the condition did not hold, or that after the last turn: the condition says which
 * @throws TypeError without `maxSteps`, or when something is no tensor; ShapeError when the value changes its form, shapes or types
 */
export function whileLoop<C>(
  condition: (value: C) => Tensor,
  body: (value: C) => C,
  init: C,
  options: WhileOptions,
): C {
  expectFunction("whileLoop", 0, "condition", condition);
  expectFunction("whileLoop", 1, "body", body);
  expectOptions("whileLoop", 3, options ?? {}, { maxSteps: "number" });
  if (options?.maxSteps === undefined) {
    throw new TypeError(
      "whileLoop: a program cannot stop by what it computes: options.maxSteps says after how many turns it ends. " +
        "Without a bound, loop on the host: while (await device.item(condition(x))) x = step(x)",
    );
  }
  const length = wholeNumber("whileLoop", "options.maxSteps", options.maxSteps);
  const [{ value }] = scan(
    ({ value, alive }: { value: C; alive: Tensor }) => {
      const test = truth("whileLoop", "what the condition gave", condition(value));
      const go = logicalAnd(alive, test);
      const next = chosen("whileLoop", go, body(value), value, ["the body", "the turn before"]);
      return [{ value: next, alive: go }, undefined] as const;
    },
    { value: init, alive: scalar(1, "bool") },
    undefined,
    { length },
  );
  return value;
}
