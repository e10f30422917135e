/** Which functions are written out where they are called: short ones, such as those that store a value of a product. */
import { type Expr, type Func, partsOf, type Stmt } from "../wgsl/tree.ts";

/** Parts of the tree up to which a function counts as short. */
const SHORT = 80;

const known = new WeakMap<Func, boolean>();

/** Whether calls of a function are replaced by its statements. It returns nothing and has no loops. */
export function isShort(f: Func): boolean {
  let short = known.get(f);
  if (short === undefined) known.set(f, short = !f.result && sizeOf(f.body) <= SHORT);
  return short;
}

const size = (e: Expr | undefined): number =>
  e ? partsOf(e).reduce((n, p) => n + size(p), e.kind === "invoke" ? Infinity : 1) : 0;

/** Parts of the tree that statements are made of; without end where there is a loop. */
export function sizeOf(body: readonly Stmt[]): number {
  return body.reduce((n, s): number => {
    switch (s.kind) {
      case "loop":
        return Infinity;
      case "if":
        return n + size(s.test) + sizeOf(s.then) + sizeOf(s.otherwise);
      case "block":
        return n + sizeOf(s.body);
      case "store":
        return n + 2 + size(s.index) + size(s.lane) + size(s.value);
      case "setLane":
        return n + 2 + size(s.lane) + size(s.value);
      default:
        return n + 1 + ("value" in s ? size(s.value) : 0);
    }
  }, 0);
}
