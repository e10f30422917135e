/**
 * `customVjp`: a function whose derivative its author writes. On the tape it is one node that repeats what the function gave,
 * beside its arguments; the author's rule is traced when reverse mode comes to it, and not before.
 */
import { apply, expectTensor, type Tensor } from "../tensor/tensor.ts";
import { expectFunction, expectOptions } from "../tensor/arguments.ts";
import { sameShape, ShapeError, show } from "../tensor/shape.ts";
import { flatten, refill, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { defineOp, type Op } from "../tensor/op.ts";
import { stopGradient } from "../ops/gradient.ts";
import { TOOLS } from "../ops/tools.ts";
import { vmap } from "./vmap.ts";

/** A rule for {@linkcode customVjp}: reverse mode of a function of `A` that gives `R`, with `S` kept in between. */
export interface VjpRule<A extends unknown[], R, S> {
  /** What the function gives, computed anew, and whatever {@linkcode backward} needs: any value. */
  readonly forward: (...args: A) => readonly [value: R, residuals: S];
  /**
   * Cotangents of the arguments, a list of one entry each: a tree like the argument, or `undefined` where it is zero. Each has the
   * shape and element type of what it belongs to.
   */
  readonly backward: (
    residuals: S,
    cotangent: R,
  ) => readonly (Tree<Tensor | undefined> | undefined)[];
}

/** Cotangents of flat arguments, given those of flat results. */
type Pull = (args: readonly Tensor[], g: readonly Tensor[]) => (Tensor | undefined)[];

/** Inputs are the results, in their number, and the arguments. */
interface CustomAttrs {
  readonly results: number;
  readonly name: string;
  readonly pull: Pull;
}

const customOp: Op<CustomAttrs> = defineOp<CustomAttrs>({
  name: "customVjp",
  shape: (inputs, { results }) => inputs.slice(0, results),
  vjp(g, { inputs, outputs, attrs: { results, name, pull } }, wanted) {
    if (wanted.slice(0, results).some((w) => w)) {
      throw new TypeError(
        `customVjp: ${name} reads a tensor that is differentiated without being its argument: pass it as one`,
      );
    }
    const given = outputs.map((y, i) => g[i] ?? TOOLS.zeros(y.spec));
    return [...Array(results).fill(undefined), ...pull(inputs.slice(results), given)];
  },
  // What all examples share is repeated, so that what flows to it is added up.
  batch: (b) => apply(customOp, b.all(), { ...b.node.attrs, pull: pullOfBatch(b.node.attrs.pull) }),
  reference: (inputs, _specs, { results }) => inputs.slice(0, results),
  lowering: { kind: "alias" },
});

/** The rule of every example. */
const pullOfBatch = (pull: Pull): Pull => (args, g) =>
  vmap((x: Tensor[], u: Tensor[]) => pull(x, u) as Tensor[])([...args], [...g]);

/**
 * A function with a derivative of your own: for what is steadier, cheaper or other than the derivative of its parts. `grad`,
 * `jvp`, `vmap`, `compile` and `checkpoint` take it as any function. Its rule is differentiated for second derivatives. Forward
 * mode transposes it, which takes a cotangent that is used linearly.
 *
 * ```ts ignore
 * // log(1 + eˣ), whose own derivative is ∞/∞ for large x.
 * const softplus = customVjp((x: Tensor) => log(add(exp(x), 1)), {
 *   forward: (x) => [log(add(exp(x), 1)), x],
 *   backward: (x, g) => [mul(g, sigmoid(x))],
 * });
 * ```
 *
 * @param fn a pure function of trees of tensors; what it reads beside its arguments is a constant to it
 * @param rule how it is differentiated; what its functions give is looked at when a derivative is taken
 * @throws TypeError when something is no function. Differentiated, it throws TypeError or ShapeError when `forward` gives another
 *   value than `fn`, `backward` not one cotangent for each argument, or one of another shape or type than its argument, and when
 *   `fn` reads a tensor that is differentiated and not among its arguments
 */
export function customVjp<A extends unknown[], R, S>(
  fn: (...args: A) => R,
  rule: VjpRule<A, R, S>,
): (...args: A) => R {
  expectFunction("customVjp", 0, "fn", fn);
  expectOptions("customVjp", 1, rule, { forward: "function", backward: "function" });
  for (const part of ["forward", "backward"] as const) {
    if (rule[part] !== undefined) continue;
    throw new TypeError(`customVjp: argument 2 has no ${part}; it takes { forward, backward }`);
  }
  const name = fn.name || "the function";
  return (...args) => {
    const given = args as Tree<Tensor>[];
    const leaves = tensorsOf("argument", given);
    const out = fn(...refill(given, leaves.map(([, t]) => stopGradient(t))) as A) as Tree<Tensor>;
    const results = tensorsOf("result", out);
    const pull: Pull = (xs, g) => {
      const made: unknown = rule.forward(...refill(given, xs) as A);
      if (!Array.isArray(made) || made.length !== 2) {
        throw new TypeError(`customVjp: forward gave ${what(made)}, not [value, residuals]`);
      }
      sameForm(results, tensorsOf("value of forward", made[0]), name);
      const back: unknown = rule.backward(made[1], refill(out, g) as R);
      if (!Array.isArray(back) || back.length !== args.length) {
        throw new TypeError(
          `customVjp: backward gave ${
            what(back)
          }, not a list of ${args.length}, a cotangent for each argument`,
        );
      }
      return given.flatMap((arg, k) => cotangentsOf(arg, back[k], k));
    };
    const inputs = [...results, ...leaves].map(([, t]) => t);
    const nodes = apply(customOp, inputs, { results: results.length, name, pull });
    return refill(out, nodes) as R;
  };
}

function tensorsOf(kind: string, tree: unknown): [string, Tensor][] {
  const leaves = flatten<unknown>(tree as Tree<unknown>);
  for (const [path, t] of leaves) expectTensor("customVjp", `the ${kind}${quoted(path)}`, t);
  return leaves as [string, Tensor][];
}

const quoted = (path: string): string => path ? ` "${path}"` : "";

/** Refuses a value of `forward` that is not what the function gives. */
function sameForm(
  expected: readonly (readonly [string, Tensor])[],
  given: readonly (readonly [string, Tensor])[],
  name: string,
): void {
  const form = (leaves: typeof given) => leaves.map(([p, t]) => `${p && `${p} `}${show(t.spec)}`);
  const [a, b] = [form(expected), form(given)];
  if (a.join() === b.join()) return;
  throw new ShapeError(
    "customVjp",
    `forward gave ${b.join(", ") || "nothing"}, ${name} ${a.join(", ")}`,
  );
}

/** The cotangents of one argument's leaves. */
function cotangentsOf(arg: Tree<Tensor>, back: unknown, k: number): (Tensor | undefined)[] {
  const leaves = flatten<Tensor>(arg);
  if (back === undefined || back === null) return leaves.map(() => undefined);
  const given = new Map(flatten<unknown>(back as Tree<unknown>));
  const place = (path: string) => `backward's cotangent of argument ${k + 1}${quoted(path)}`;
  const known = new Set(leaves.map(([path]) => path));
  for (const path of given.keys()) {
    if (known.has(path)) continue;
    throw new TypeError(`customVjp: ${place(path)} belongs to nothing that was passed`);
  }
  return leaves.map(([path, x]) => {
    const t = given.get(path);
    if (t === undefined || t === null) return undefined;
    expectTensor("customVjp", place(path), t);
    if (sameShape(t.shape, x.shape) && t.dtype === x.dtype) return t;
    throw new ShapeError(
      "customVjp",
      `${place(path)} is ${show(t.spec)}, the argument ${show(x.spec)}`,
    );
  });
}
