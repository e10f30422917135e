/**
 * Trees: nested plain objects (and arrays) with leaves of one kind. Parameters, optimizer states, batches and results
 * are trees; a leaf's path, joined by dots, is its name in a checkpoint.
 */
import { expectFunction } from "./arguments.ts";
import { what } from "./what.ts";

/** A leaf, or an object or array of trees. */
export type Tree<L> = L | { readonly [key: string]: Tree<L> } | readonly Tree<L>[];

/** An object node of a tree. */
export type Branch<L> = { readonly [key: string]: Tree<L> };

/** What decides whether a node is a leaf: anything but a plain object or array is. */
export function isLeaf(x: unknown): boolean {
  if (x === null || typeof x !== "object") return true;
  return !(Array.isArray(x) || Object.getPrototypeOf(x) === Object.prototype ||
    Object.getPrototypeOf(x) === null);
}

/** Leaves with their paths, in order of insertion. */
export function flatten<L>(tree: Tree<L>, prefix = ""): [path: string, leaf: L][] {
  if (isLeaf(tree)) return tree === undefined ? [] : [[prefix, tree as L]];
  const entries = Array.isArray(tree)
    ? tree.map((v, i) => [String(i), v] as const)
    : Object.entries(tree as Branch<L>);
  return entries.flatMap(([k, v]) => flatten<L>(v as Tree<L>, prefix ? `${prefix}.${k}` : k));
}

/** Nested objects from dotted paths: the inverse of {@linkcode flatten} for trees without arrays. */
export function unflatten<L>(leaves: Iterable<readonly [path: string, leaf: L]>): Branch<L> {
  const root: Record<string, unknown> = {};
  // A tensor has an iterator, which refuses in words of its own.
  if (
    leaves === null || typeof leaves !== "object" || "node" in leaves ||
    !(Symbol.iterator in leaves)
  ) {
    throw new TypeError(
      `unflatten: argument 1 (leaves) is ${what(leaves)}, not [path, leaf] pairs`,
    );
  }
  for (const pair of leaves) {
    if (!Array.isArray(pair) || typeof pair[0] !== "string") {
      throw new TypeError(`unflatten: one of the leaves is ${what(pair)}, not [path, leaf]`);
    }
    const [path, leaf] = pair as readonly [string, L];
    const keys = path.split(".");
    let at = root;
    for (const key of keys.slice(0, -1)) {
      const next = at[key] ??= {};
      if (isLeaf(next)) throw new TypeError(`unflatten: "${path}" lies below a leaf`);
      at = next as Record<string, unknown>;
    }
    at[keys.at(-1)!] = leaf;
  }
  return root as Branch<L>;
}

/** The same tree with every leaf replaced; `path` is the leaf's dotted name. */
export function mapTree<L, M>(
  tree: Tree<L>,
  f: (leaf: L, path: string) => M,
  prefix = "",
): Tree<M> {
  expectFunction("mapTree", 1, "f", f);
  const at = (k: string) => prefix ? `${prefix}.${k}` : k;
  if (isLeaf(tree)) return tree === undefined ? undefined as M : f(tree as L, prefix);
  if (Array.isArray(tree)) return tree.map((v, i) => mapTree<L, M>(v as Tree<L>, f, at(String(i))));
  return Object.fromEntries(
    Object.entries(tree as Branch<L>).map(([k, v]) => [k, mapTree<L, M>(v, f, at(k))]),
  );
}

/**
 * Trees of one form, leaf by leaf: the first tree with every leaf replaced by what `f` makes of it and of those that have its
 * place in the others. A leaf that is undefined in the first is left out.
 *
 * @throws TypeError naming the path where another tree has another form, or lacks a leaf
 */
export function zipTrees<L, M>(
  f: (leaves: readonly L[], path: string) => M,
  first: Tree<L>,
  ...others: readonly Tree<L>[]
): Tree<M> {
  const odd = (tree: unknown, path: string, where: string) => {
    const [[at]] = flatten<unknown>(tree as Tree<unknown>, path);
    return new TypeError(
      `zipTrees: trees of different form: ${at ? `"${at}"` : "a leaf"} is in ${where}`,
    );
  };
  expectFunction("zipTrees", 0, "f", f);
  const has = (tree: unknown) => flatten<unknown>(tree as Tree<unknown>).length > 0;
  const walk = (nodes: readonly unknown[], path: string): unknown => {
    const [a] = nodes, leaf = isLeaf(a);
    const keys = leaf ? [] : Object.keys(a as object);
    for (const [i, b] of nodes.slice(1).entries()) {
      const same = leaf
        ? a === undefined ? !has(b) : isLeaf(b) && b !== undefined
        : !isLeaf(b) && Array.isArray(a) === Array.isArray(b);
      if (!same && has(a)) throw odd(a, path, `tree 1, and not in tree ${i + 2}`);
      if (!same && has(b)) throw odd(b, path, `tree ${i + 2} alone`);
      if (leaf || !same) continue;
      const alone = Object.keys(b as object).find((k) =>
        !keys.includes(k) && has((b as Record<string, unknown>)[k])
      );
      if (alone === undefined) continue;
      const at = path ? `${path}.${alone}` : alone;
      throw odd((b as Record<string, unknown>)[alone], at, `tree ${i + 2} alone`);
    }
    if (leaf) return a === undefined ? undefined : f(nodes as readonly L[], path);
    const inside = keys.map((k) => {
      const below = nodes.map((node) => (node as Record<string, unknown> | undefined)?.[k]);
      return [k, walk(below, path ? `${path}.${k}` : k)] as const;
    });
    return Array.isArray(a) ? inside.map(([, v]) => v) : Object.fromEntries(inside);
  };
  return walk([first, ...others], "") as Tree<M>;
}

/** Replaces the leaves of a tree, in {@linkcode flatten} order, by the given ones. */
export function refill<M>(tree: Tree<unknown>, leaves: readonly M[]): Tree<M> {
  let i = 0;
  return mapTree(tree, () => leaves[i++]);
}

/**
 * The leaves of a tree of the same form as another, in {@linkcode flatten} order; undefined where it has another form.
 *
 * @param same whether what stands where the other tree has its `i`-th leaf is a leaf, too, and one like that
 */
export function leavesLike<M, L>(
  form: Tree<M>,
  tree: Tree<L>,
  same: (a: M, b: L, i: number) => boolean,
  into: L[] = [],
): L[] | undefined {
  if (isLeaf(form)) {
    if (form === undefined || tree === undefined) return form === tree ? into : undefined;
    if (!same(form as M, tree as L, into.length)) return;
    into.push(tree as L);
    return into;
  }
  if (isLeaf(tree)) return;
  if (Array.isArray(form) !== Array.isArray(tree)) return;
  const [a, b] = [form as Branch<M>, tree as Branch<L>];
  const [names, others] = [Object.keys(a), Object.keys(b)];
  if (names.length !== others.length) return;
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (name !== others[i] || !leavesLike(a[name], b[name], same, into)) return;
  }
  return into;
}

/** Whether a dotted path matches a pattern: `*` stands for one name, `**` for any number of them. */
export function matches(path: string, pattern: string): boolean {
  const go = (p: readonly string[], q: readonly string[]): boolean => {
    if (!q.length) return !p.length;
    if (q[0] === "**") return go(p, q.slice(1)) || (p.length > 0 && go(p.slice(1), q));
    return p.length > 0 && (q[0] === "*" || q[0] === p[0]) && go(p.slice(1), q.slice(1));
  };
  return go(path.split("."), pattern.split("."));
}
