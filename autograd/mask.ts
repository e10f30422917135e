/**
 * Masks: which parameters train, as data. Fine-tuning is choosing leaves of a parameter tree by name (or single rows of
 * a matrix), differentiating with respect to those alone, and putting the trained values back into the tree.
 */
import { Tensor } from "../tensor/tensor.ts";
import { flatten, mapTree, matches, type Tree } from "../tensor/tree.ts";
import { what } from "../tensor/what.ts";
import { tensor } from "../ops/leaf.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { embedding, replaceRows } from "../ops/embedding/embedding.ts";

/** Only these rows of a matrix train. */
export interface Rows {
  /** Their numbers. */
  readonly rows: readonly number[];
}

/** What a pattern selects: the whole leaf, some of its rows, or (with `false`) nothing. */
export type Selection = boolean | Rows;

/** Single rows of a matrix, for {@linkcode mask}. */
export const rows = (...ids: (number | readonly number[])[]): Rows => ({ rows: ids.flat() });

/** Trained values by parameter path: whole leaves, or `[n, d]` for n selected rows. Always f32. */
export type Trained = { readonly [path: string]: Tensor };

/** A choice of trainable parameters. */
export class Mask {
  /** Use {@linkcode mask}. */
  constructor(readonly selected: ReadonlyMap<string, true | Rows>) {}

  /** Paths of the trainable leaves. */
  get paths(): string[] {
    return [...this.selected.keys()];
  }

  /** The trainable values of a tree, in f32: what an optimizer starts from. */
  pick(params: Tree<Tensor>): Trained {
    return Object.fromEntries(
      flatten<Tensor>(params).flatMap(([path, t]) => {
        const s = this.selected.get(path);
        if (!s) return [];
        return [
          [
            path,
            cast(s === true ? t : embedding(t, tensor([...s.rows], undefined, "u32")), "f32"),
          ] as const,
        ];
      }),
    );
  }

  /** The tree with trained values in place of the selected parameters. */
  merge(params: Tree<Tensor>, trained: Trained): Tree<Tensor> {
    return mapTree<Tensor, Tensor>(params, (t, path) => {
      const s = this.selected.get(path);
      if (!s) return t;
      const value = trained[path];
      if (!(value instanceof Tensor)) throw new TypeError(`no trained value for "${path}"`);
      return s === true ? value : replaceRows(t, value, s.rows);
    });
  }
}

/**
 * Chooses parameters by name. In patterns `*` stands for one name and `**` for any number; later patterns win.
 *
 * @example
 * ```ts ignore
 * mask(params, { "unet.**.attn2.to_k.weight": true, "text_encoder.**.token_embedding.weight": rows(49408) });
 * ```
 * @throws TypeError when a pattern matches nothing: a misspelt name must not train nothing silently; or selects nothing known
 */
export function mask(params: Tree<Tensor>, patterns: Readonly<Record<string, Selection>>): Mask {
  // By itself, and not by `tensor/kinds.ts`, which would come with the first tensors by URL.
  for (const [i, x] of [params, patterns].entries()) {
    if (x !== null && typeof x === "object") continue;
    throw new TypeError(`mask: argument ${i + 1} is ${what(x)}, not an object`);
  }
  const paths = flatten<Tensor>(params).map(([path]) => path);
  const selected = new Map<string, true | Rows>();
  for (const [pattern, selection] of Object.entries(patterns)) {
    if (typeof selection !== "boolean" && !Array.isArray(selection?.rows)) {
      throw new TypeError(
        `mask: "${pattern}" selects ${what(selection)}; it takes true, false or rows(1, 2)`,
      );
    }
    const hits = paths.filter((p) => matches(p, pattern));
    if (!hits.length) throw new TypeError(`mask: the pattern "${pattern}" matches no parameter`);
    for (const p of hits) {
      if (selection === false) selected.delete(p);
      else selected.set(p, selection);
    }
  }
  return new Mask(selected);
}
