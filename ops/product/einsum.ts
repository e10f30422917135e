/**
 * Sums of products by the names of their axes. Operands are joined two at a time, in the order that takes fewest
 * multiplications; a pair is one batched product, or plain arithmetic where nothing is summed that both have.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { expectTensor } from "../../tensor/tensor.ts";
import { isFloat, storedAs } from "../../tensor/dtype.ts";
import { ShapeError, show } from "../../tensor/shape.ts";
import { what } from "../../tensor/what.ts";
import { expand, sum } from "../broadcast.ts";
import { mul } from "../elementwise/arithmetic.ts";
import { cast, counted } from "../elementwise/cast.ts";
import { matmul } from "../matmul.ts";
import { permute, reshape } from "../movement.ts";
import { diagonal } from "../shape/parts.ts";

/** A tensor whose axes have names, each once. */
interface Term {
  readonly tensor: Tensor;
  readonly labels: readonly string[];
}

type Extents = ReadonlyMap<string, number>;

const bad = (equation: string, detail: string) => new TypeError(`einsum: "${equation}" ${detail}`);

/** The names of each operand's axes and of the result's; those that "..." stands for are called 0, 1, … from the last. */
function parse(
  equation: string,
  operands: readonly Tensor[],
): { terms: string[][]; out: string[] } {
  const text = equation.replaceAll(" ", "");
  const [left, right, more] = text.split("->");
  const inputs = left.split(",");
  const named = [...inputs, ...right === undefined ? [] : [right]];
  if (more !== undefined || !named.every((t) => /^[A-Za-z]*(\.\.\.)?[A-Za-z]*$/.test(t))) {
    throw bad(equation, "is no equation such as ij,jk->ik");
  }
  if (inputs.length !== operands.length) {
    throw bad(equation, `names ${inputs.length} operands, ${operands.length} are given`);
  }
  const spelled = (term: string, rest: number): string[] => {
    const [before, after] = term.split("...");
    const wide = Array.from({ length: rest }, (_, i) => String(rest - 1 - i));
    return after === undefined ? [...before] : [...before, ...wide, ...after];
  };
  let widest = 0;
  const terms = inputs.map((term, i) => {
    const rank = operands[i].shape.length;
    const letters = term.replace("...", "").length;
    const rest = term.includes("...") ? rank - letters : 0;
    if (rest < 0 || letters + rest !== rank) {
      throw new ShapeError("einsum", `operand ${i}, ${show(operands[i].spec)}, is named "${term}"`);
    }
    widest = Math.max(widest, rest);
    return spelled(term, rest);
  });
  if (right !== undefined) return { terms, out: spelled(right, widest) };
  // Without a result, names that come once, in the order of the alphabet, behind what broadcasts.
  const all = terms.flat();
  const once = [...new Set(all)].filter((l) =>
    /[A-Za-z]/.test(l) && all.filter((m) => m === l).length === 1
  );
  return { terms, out: [...spelled("...", widest), ...once.sort()] };
}

/** The diagonal of axes that have one name. */
function distinct({ tensor, labels }: Term): Term {
  const twice = labels.findIndex((l, i) => labels.indexOf(l) !== i);
  if (twice < 0) return { tensor, labels };
  const first = labels.indexOf(labels[twice]);
  const others = labels.map((_, i) => i).filter((i) => i !== first && i !== twice);
  return distinct({
    tensor: diagonal(permute(tensor, [...others, first, twice])),
    labels: [...others.map((i) => labels[i]), labels[twice]],
  });
}

/** Axes of a term summed away. */
function without({ tensor, labels }: Term, gone: (label: string) => boolean): Term {
  const axes = labels.flatMap((l, i) => gone(l) ? [i] : []);
  return axes.length
    ? { tensor: cast(sum(tensor, axes), tensor.dtype), labels: labels.filter((l) => !gone(l)) }
    : { tensor, labels };
}

/** A term as a tensor with axes in groups, one extent for each group. */
const grouped = (
  { tensor, labels }: Term,
  groups: readonly (readonly string[])[],
  extents: Extents,
) =>
  reshape(
    permute(tensor, groups.flat().map((l) => labels.indexOf(l))),
    groups.map((g) => g.reduce((n, l) => n * extents.get(l)!, 1)),
  );

/** Two terms as one, of the labels that are still asked for. */
function joined(a: Term, b: Term, kept: ReadonlySet<string>, extents: Extents): Term {
  const [left, right] = [
    without(a, (l) => !kept.has(l) && !b.labels.includes(l)),
    without(b, (l) => !kept.has(l) && !a.labels.includes(l)),
  ];
  const both = left.labels.filter((l) => right.labels.includes(l));
  const batch = both.filter((l) => kept.has(l));
  const inner = both.filter((l) => !kept.has(l));
  const rows = left.labels.filter((l) => !both.includes(l));
  const columns = right.labels.filter((l) => !both.includes(l));
  const labels = [...batch, ...rows, ...columns];
  if (!inner.length || (!rows.length && !columns.length) || !isFloat(a.tensor.dtype)) {
    const all = [...labels, ...inner];
    const wide = ({ tensor, labels }: Term) =>
      reshape(
        permute(tensor, all.filter((l) => labels.includes(l)).map((l) => labels.indexOf(l))),
        all.map((l) => labels.includes(l) ? extents.get(l)! : 1),
      );
    const product = mul(wide(left), wide(right));
    return without(
      { tensor: expand(product, all.map((l) => extents.get(l)!)), labels: all },
      (l) => inner.includes(l),
    );
  }
  // Either operand is taken as it lies, where it lies transposed.
  const lies = (t: Term, order: readonly string[]) => order.every((l, i) => t.labels[i] === l);
  const transposeA = lies(left, [...batch, ...inner, ...rows]);
  const transposeB = lies(right, [...batch, ...columns, ...inner]);
  const y = matmul(
    grouped(left, transposeA ? [batch, inner, rows] : [batch, rows, inner], extents),
    grouped(right, transposeB ? [batch, columns, inner] : [batch, inner, columns], extents),
    { transposeA, transposeB },
  );
  return { tensor: reshape(y, labels.map((l) => extents.get(l)!)), labels };
}

/** Operands up to which every order is tried. */
const TRIED = 8;

/** A way to join some terms: one of them, or two ways. */
type Order = number | readonly [Order, Order];

/** The order of joining that takes fewest multiplications. */
function cheapest(
  terms: readonly (readonly string[])[],
  out: readonly string[],
  extents: Extents,
): Order {
  const n = terms.length;
  const size = (labels: Iterable<string>) => [...labels].reduce((k, l) => k * extents.get(l)!, 1);
  /** Labels of a set of terms that the others, or the result, still need. */
  const left = (set: number): string[] => {
    const of = (s: number) => new Set(terms.filter((_, i) => s >> i & 1).flat());
    const others = of(~set);
    return [...of(set)].filter((l) => others.has(l) || out.includes(l));
  };
  const best = new Map<number, { cost: number; order: Order; labels: string[] }>();
  const whole = 2 ** n - 1;
  for (let i = 0; i < n; i++) best.set(1 << i, { cost: 0, order: i, labels: left(1 << i) });
  for (let set = 1; set <= whole; set++) {
    if (best.has(set)) continue;
    for (let a = (set - 1) & set; a > (set ^ a); a = (a - 1) & set) {
      const [x, y] = [best.get(a)!, best.get(set ^ a)!];
      const cost = x.cost + y.cost + size(new Set([...x.labels, ...y.labels]));
      const known = best.get(set);
      if (!known || cost < known.cost) {
        best.set(set, { cost, order: [x.order, y.order], labels: left(set) });
      }
    }
  }
  return best.get(whole)!.order;
}

/** @internal The order in which operands are joined, as nested pairs of their numbers. */
export function contractionOrder(
  terms: readonly (readonly string[])[],
  out: readonly string[],
  extents: Extents,
): Order {
  if (terms.length <= TRIED) return cheapest(terms, out, extents);
  // Of many, those of each half first.
  const half = terms.length >> 1;
  const part = (from: number, to: number): Order => {
    const outside = [...terms.slice(0, from), ...terms.slice(to)].flat();
    const shifted = (o: Order): Order =>
      typeof o === "number" ? o + from : [shifted(o[0]), shifted(o[1])];
    return shifted(contractionOrder(terms.slice(from, to), [...out, ...outside], extents));
  };
  return [part(0, half), part(half, terms.length)];
}

/**
 * Sums of products, by an equation that names the axes: `einsum("bij,bjk->bik", a, b)`. An axis that the result does not name
 * is summed; one that an operand names twice is its diagonal; "..." stands for axes that broadcast. The order in which
 * operands are joined is that of fewest multiplications.
 *
 * @param equation names of the operands' axes, and of the result's behind "->"; left out, those that come once
 * @param operands of one element type; bool is counted as u32, also beside it
 * @throws ShapeError when extents of one name differ
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  if (typeof equation !== "string") {
    throw new TypeError(`einsum: argument 1 (equation) is ${what(equation)}, not a string`);
  }
  operands.forEach((t, i) => expectTensor("einsum", `argument ${i + 2}`, t));
  if (!operands.length) throw bad(equation, "has no operands");
  const { terms: names, out } = parse(equation, operands);
  const other = operands.find((t) => storedAs(t.dtype) !== storedAs(operands[0].dtype));
  if (other) {
    throw new ShapeError(
      "einsum",
      `${show(other.spec)} beside ${show(operands[0].spec)}; cast one of them first`,
    );
  }
  const extents = new Map<string, number>();
  names.forEach((labels, i) =>
    labels.forEach((l, axis) => {
      const [known, d] = [extents.get(l) ?? 1, operands[i].shape[axis]];
      if (known !== d && known !== 1 && d !== 1) {
        throw new ShapeError("einsum", `axis ${l} of "${equation}" is ${known} and ${d}`);
      }
      extents.set(l, known === 1 ? d : known);
    })
  );
  const unknown = out.find((l, i) => !extents.has(l) || out.indexOf(l) !== i);
  if (unknown !== undefined) {
    throw bad(equation, `asks for ${unknown}, which is not once in the operands`);
  }
  const terms = operands.map(counted).map((tensor, i): Term => {
    // What broadcasts has no axis of its own.
    const own = names[i].filter((l, axis) => tensor.shape[axis] === extents.get(l));
    const t = own.length === names[i].length
      ? tensor
      : reshape(tensor, tensor.shape.filter((d, axis) => d === extents.get(names[i][axis])));
    return distinct({ tensor: t, labels: own });
  });
  const build = (order: Order, outside: ReadonlySet<string>): Term => {
    if (typeof order === "number") return without(terms[order], (l) => !outside.has(l));
    const labelsOf = (o: Order): string[] =>
      typeof o === "number" ? [...terms[o].labels] : [...labelsOf(o[0]), ...labelsOf(o[1])];
    const [a, b] = order;
    const left = build(a, new Set([...outside, ...labelsOf(b)]));
    const right = build(b, new Set([...outside, ...labelsOf(a)]));
    return joined(left, right, outside, extents);
  };
  const order = contractionOrder(terms.map((t) => t.labels), out, extents);
  const { tensor, labels } = build(order, new Set(out));
  // A result's axis that no operand had whole is of extent 1.
  const present = out.filter((l) => labels.includes(l));
  const y = permute(tensor, present.map((l) => labels.indexOf(l)));
  return reshape(y, out.map((l) => extents.get(l)!));
}
