/**
 * Loops on the tape: one node, whose body was traced once. Compiled, the body's kernels are made once and replayed, so that
 * neither tracing nor compiling grows with the number of turns. The derivative of a loop is another one, backwards, over the
 * carries that the first one saw. `scan.ts` and `choice.ts` are what users call.
 */
import { apply, mark, type Node, type Tensor } from "../tensor/tensor.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { forward } from "../tensor/forward.ts";
import { type Batch, defineOp, type Op } from "../tensor/op.ts";
import { Region } from "../tensor/region.ts";
import { reverse } from "../tensor/reverse.ts";
import { sizeOf, type Spec } from "../tensor/shape.ts";
import { moveAxis } from "../ops/batch/fold.ts";
import { concat } from "../ops/concat.ts";
import { add } from "../ops/elementwise/arithmetic.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { variable } from "../ops/gradient.ts";
import { reshape, slice } from "../ops/movement.ts";
import { TOOLS } from "../ops/tools.ts";
import { vmap } from "./vmap.ts";

/** Loops of this many turns or fewer are written out: their turns then fuse. */
const WRITTEN_OUT = 4;

interface ScanAttrs {
  readonly body: Region;
  readonly turns: number;
  readonly carries: number;
  readonly stacks: number;
  readonly reverse: boolean;
}

type List = readonly Tensor[];

const stacked = (t: { readonly spec: Spec }, turns: number): Spec => ({
  dtype: t.spec.dtype,
  shape: [turns, ...t.spec.shape],
});

const scanOp: Op<ScanAttrs> = defineOp<ScanAttrs>({
  name: "loop",
  shape: (_inputs, { body: { boundary, results }, turns, carries }) => [
    ...results.slice(0, carries).map((t) => t.spec),
    ...results.slice(carries).map((t) => stacked(t, turns)),
    ...boundary.slice(0, carries).map((t) => stacked(t, turns)),
  ],
  vjp: backward,
  batch: ofExamples,
  jvp: (tangents, node) => tangentsOf(tangents, node),
  reference(inputs, _specs, { body, turns, carries, stacks, reverse }, out) {
    const made = out.map(({ shape }) => new Float64Array(sizeOf(shape)));
    let carry = inputs.slice(0, carries);
    for (let turn = 0; turn < turns; turn++) {
      const at = reverse ? turns - 1 - turn : turn;
      const element = (x: Float64Array) =>
        x.subarray(at * x.length / turns, (at + 1) * x.length / turns);
      const xs = inputs.slice(carries, carries + stacks).map(element);
      const results = body.run([...carry, ...xs, ...inputs.slice(carries + stacks)]);
      const ys = [...results.slice(carries), ...carry];
      ys.forEach((y, i) => element(made[carries + i]).set(y));
      carry = results.slice(0, carries);
    }
    carry.forEach((c, i) => made[i].set(c));
    return made;
  },
  lowering: { kind: "loop", loop: (attrs) => attrs },
});

/** What a loop gives: the last carries, what each turn gave, and the carries before each turn. */
interface Scanned {
  readonly carry: Tensor[];
  readonly ys: Tensor[];
  readonly before: Tensor[];
}

/**
 * A loop of flat lists.
 *
 * @param step what a turn makes of the carries and of an element of each stack
 */
export function loop(
  step: (carry: Tensor[], x: Tensor[]) => { readonly carry: Tensor[]; readonly ys: Tensor[] },
  init: List,
  xs: List,
  turns: number,
  reverse: boolean,
): Scanned {
  const since = mark();
  const carry = init.map((t) => TOOLS.hole(t.spec));
  const x = xs.map(({ shape, dtype }) => TOOLS.hole({ shape: shape.slice(1), dtype }));
  const made = step(carry, x);
  const params = [...carry, ...x];
  const body = Region.from(params, [...made.carry, ...made.ys], since);
  const carries = init.length;
  const rest = body.boundary.slice(params.length);
  const outputs = turns > WRITTEN_OUT
    ? apply(scanOp, [...init, ...xs, ...rest], { body, turns, carries, stacks: xs.length, reverse })
    : writtenOut(body, init, xs, rest, turns, reverse);
  const end = carries + made.ys.length;
  return {
    carry: outputs.slice(0, carries),
    ys: outputs.slice(carries, end),
    before: outputs.slice(end),
  };
}

/** A loop of few turns, turn by turn. */
function writtenOut(
  body: Region,
  init: List,
  xs: List,
  rest: List,
  turns: number,
  reverse: boolean,
): Tensor[] {
  const carries = init.length;
  let carry = init;
  const given: List[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const at = reverse ? turns - 1 - turn : turn;
    const x = xs.map((t) => reshape(slice(t, 0, at, at + 1), t.shape.slice(1)));
    const results = body.clone([...carry, ...x, ...rest]);
    given[at] = [...results.slice(carries), ...carry];
    carry = results.slice(0, carries);
  }
  const kinds = [...body.results.slice(carries), ...body.boundary.slice(0, carries)];
  const stacks = kinds.map((t, i) =>
    turns ? concat(given.map((g) => reshape(g[i], [1, ...t.shape])), 0) : TOOLS.zeros(stacked(t, 0))
  );
  return [...carry, ...stacks];
}

/** A node's inputs by what they are. */
function partsOf({ inputs, attrs: { carries, stacks } }: Node<ScanAttrs>) {
  return {
    init: inputs.slice(0, carries),
    xs: inputs.slice(carries, carries + stacks),
    rest: inputs.slice(carries + stacks),
  };
}

/** Indices of a list's floats, of those for which `also` holds. */
const floatsOf = (list: List, also: (i: number) => boolean = () => true): number[] =>
  list.flatMap((t, i) => isFloat(t.dtype) && also(i) ? [i] : []);

/**
 * Backwards: the cotangent of the carry is the carry, what flows to what every turn reads is added up in f32 beside it. Each
 * turn is computed again from the carry that it began with, so that nothing but carries is kept.
 */
function backward(
  g: readonly (Tensor | undefined)[],
  node: Node<ScanAttrs>,
  wanted: readonly boolean[],
): (Tensor | undefined)[] {
  const { attrs: { body, turns, carries, stacks, reverse: backwards }, outputs } = node;
  const { init, xs, rest } = partsOf(node);
  const results = body.results.length;
  const before = outputs.slice(results);
  const [moved, read, shared] = [
    floatsOf(init),
    floatsOf(xs, (i) => wanted[carries + i]),
    floatsOf(rest, (i) => wanted[carries + stacks + i]),
  ];
  const given = g.slice(carries, results).flatMap((t, i) => t ? [{ t, i }] : []);
  const kept = moved.flatMap((i) => g[results + i] ? [{ t: g[results + i]!, i }] : []);
  const start = moved.map((i) => g[i] ?? TOOLS.zeros(init[i].spec));
  const sums = shared.map((i) => TOOLS.zeros({ shape: rest[i].shape, dtype: "f32" }));
  const scanned = loop(
    (carry, x) => {
      const [c, values, gy, gc] = split(x, [carries, stacks, given.length, kept.length]);
      const own = [...c, ...values, ...rest].map(variable);
      const again = body.clone(own);
      const asked = [
        ...moved.map((i) => own[i]),
        ...read.map((i) => own[carries + i]),
        ...shared.map((i) => own[carries + stacks + i]),
      ];
      const pairs = [
        ...moved.map((i, k) => [again[i], carry[k]] as const),
        ...given.map(({ i }, k) => [again[carries + i], gy[k]] as const),
      ];
      const found = reverse(pairs, asked, add).map((t, i) => t ?? TOOLS.zeros(asked[i].spec));
      const [into, ofX, ofRest] = split(found, [moved.length, read.length, shared.length]);
      const next = into.map((t, k) => {
        const also = kept.findIndex(({ i }) => i === moved[k]);
        return also < 0 ? t : add(t, gc[also]);
      });
      const added = ofRest.map((t, k) => add(carry[moved.length + k], cast(t, "f32")));
      return { carry: [...next, ...added], ys: ofX };
    },
    [...start, ...sums],
    [...before, ...xs, ...given.map(({ t }) => t), ...kept.map(({ t }) => t)],
    turns,
    !backwards,
  );
  const into = new Array<Tensor | undefined>(node.inputs.length).fill(undefined);
  moved.forEach((i, k) => into[i] = scanned.carry[k]);
  read.forEach((i, k) => into[carries + i] = scanned.ys[k]);
  shared.forEach((i, k) => {
    into[carries + stacks + i] = cast(scanned.carry[moved.length + k], rest[i].dtype as DType);
  });
  return into;
}

/** A list in parts of these lengths. */
function split(list: List, lengths: readonly number[]): Tensor[][] {
  let at = 0;
  return lengths.map((n) => list.slice(at, at += n));
}

/** Forwards: tangents of the carries are carried beside them. */
function tangentsOf(
  tangents: readonly (Tensor | undefined)[],
  node: Node<ScanAttrs>,
): (Tensor | undefined)[] {
  const { attrs: { body, turns, carries, stacks, reverse } } = node;
  const { init, xs, rest } = partsOf(node);
  const moved = floatsOf(init);
  const read = floatsOf(xs, (i) => tangents[carries + i] !== undefined);
  const given = floatsOf(body.results.slice(carries));
  const scanned = loop(
    (carry, x) => {
      const [c, ofC] = split(carry, [carries, moved.length]);
      const [values, ofX] = split(x, [stacks, read.length]);
      const since = mark();
      const own = [...c, ...values, ...rest].map(variable);
      const now = new Map<Tensor, Tensor>();
      moved.forEach((i, k) => now.set(own[i], ofC[k]));
      read.forEach((i, k) => now.set(own[carries + i], ofX[k]));
      rest.forEach((_, i) => {
        const t = tangents[carries + stacks + i];
        if (t) now.set(own[carries + stacks + i], t);
      });
      const results = body.clone(own);
      forward(results, since, now, TOOLS);
      const of = (t: Tensor) => now.get(t) ?? TOOLS.zeros(t.spec);
      return {
        carry: [...results.slice(0, carries), ...moved.map((i) => of(results[i]))],
        ys: given.map((i) => of(results[carries + i])),
      };
    },
    [...init, ...moved.map((i) => tangents[i] ?? TOOLS.zeros(init[i].spec))],
    [...xs, ...read.map((i) => tangents[carries + i]!)],
    turns,
    reverse,
  );
  const out = new Array<Tensor | undefined>(node.outputs.length).fill(undefined);
  moved.forEach((i, k) => {
    out[i] = scanned.carry[carries + k];
    out[body.results.length + i] = scanned.before[carries + k];
  });
  given.forEach((i, k) => out[carries + i] = scanned.ys[k]);
  return out;
}

/** For many examples: the body for many examples. Carries differ from example to example, whatever they begin with. */
function ofExamples(b: Batch<ScanAttrs>): Tensor[] {
  const { node, inputs, batched } = b;
  const { attrs: { body, turns, carries, stacks, reverse } } = node;
  const end = carries + stacks;
  const [, xs, rest] = split(inputs, [carries, stacks, inputs.length - end]);
  const step = vmap(
    (c: Tensor[], x: Tensor[], r: Tensor[]) => body.clone([...c, ...x, ...r]),
    {
      inAxes: [
        0,
        xs.map((_, i) => batched[carries + i] ? 0 : null),
        rest.map((_, i) => batched[end + i] ? 0 : null),
      ],
    },
  );
  const scanned = loop(
    (c, x) => {
      const [carry, ys] = split(step(c, x, rest), [carries, body.results.length - carries]);
      return { carry, ys };
    },
    inputs.slice(0, carries).map((_, i) => b.wide(i)),
    xs.map((t, i) => batched[carries + i] ? moveAxis(t, 0, 1) : t),
    turns,
    reverse,
  );
  const each = (t: Tensor) => moveAxis(t, 1, 0);
  return [...scanned.carry, ...scanned.ys.map(each), ...scanned.before.map(each)];
}
