/**
 * Memory planning: when each value lives, and where in a few slabs it can lie. WebGPU refuses one buffer bound for
 * reading and for writing in one dispatch, even at disjoint ranges, so what a dispatch reads and what it writes are put
 * in different slabs. Everything is known before anything is allocated.
 */
import { Tensor } from "../tensor/tensor.ts";
import { loadsOf } from "./expr.ts";
import type { Turns } from "./loops/turns.ts";
import type { LoweredDispatch, LoweredUse, Scratch } from "./lower.ts";
import { BindingError } from "./errors.ts";
import { ALIGN, bytesOf, nameOf, piecesOf } from "./pieces.ts";

/** Where a value lies, or a piece of one. */
export interface Place {
  readonly slab: number;
  readonly offset: number;
  readonly bytes: number;
  /** Where in the value it begins, in bytes. */
  readonly from: number;
}

/** The plan: places of all values that the program itself holds, piece by piece, and the size of each slab in bytes. */
export interface MemoryPlan {
  readonly places: ReadonlyMap<Tensor | Scratch, readonly Place[]>;
  readonly slabs: readonly number[];
  /** Results written into the memory of donated arguments: result tensor → argument tensor. */
  readonly inPlace: ReadonlyMap<Tensor, Tensor>;
  /** Bytes alive at the busiest dispatch: no plan can take less. */
  readonly lowerBound: number;
  /** The first and the last dispatch at which each value is needed; that of a result is their number. */
  readonly lifetimes: ReadonlyMap<
    Tensor | Scratch,
    { readonly first: number; readonly last: number }
  >;
}

const align = (bytes: number) => Math.ceil(bytes / ALIGN) * ALIGN;

const isScratch = (m: Tensor | Scratch): m is Scratch => !(m instanceof Tensor);

/** The planner's input. */
export interface PlanRequest {
  readonly dispatches: readonly LoweredDispatch[];
  /** Written tensors that outlive the program's run. */
  readonly results: readonly Tensor[];
  /** Donated arguments and the results that should take their memory. */
  readonly donations: ReadonlyMap<Tensor, Tensor>;
  /** Largest slab in bytes. */
  readonly maxSlab: number;
  /** Largest piece of a value in bytes. */
  readonly maxPiece: number;
}

interface Interval {
  readonly memory: Tensor | Scratch;
  readonly bytes: number;
  first: number;
  last: number;
}

/** What is placed: a value, or a piece of one. */
interface Item extends Interval {
  readonly from: number;
}

/**
 * Plans a program. What a program only holds for itself lies in the pieces that its kernels bind; what is given to it and
 * what it gives is one buffer's.
 *
 * @throws BindingError when an argument or a result is larger than any buffer
 */
export function planMemory(request: PlanRequest): MemoryPlan {
  const { dispatches, donations } = request;
  const intervals = new Map<Tensor | Scratch, Interval>();
  dispatches.forEach((d, i) => {
    for (const { memory, access } of d.buffers) {
      const known = intervals.get(memory);
      if (known) known.last = i;
      else if (access === "write") {
        intervals.set(memory, { memory, bytes: align(bytesOf(memory)), first: i, last: i });
      }
    }
  });
  for (const interval of intervals.values()) {
    if (!isScratch(interval.memory) || !interval.memory.kept) continue;
    interval.first = 0;
    interval.last = dispatches.length;
  }
  acrossTurns(dispatches, intervals);
  for (const t of request.results) {
    const interval = intervals.get(t);
    if (interval) interval.last = dispatches.length;
  }
  const inPlace = new Map<Tensor, Tensor>();
  for (const [result, argument] of donations) {
    if (intervals.has(result) && canReplace(dispatches, result, argument)) {
      inPlace.set(result, argument);
      intervals.delete(result);
    }
  }
  const whole = new Set<Tensor | Scratch>(request.results);
  refuseLarge(dispatches, (m) => whole.has(m) || !intervals.has(m), request.maxSlab);
  const items = [...intervals.values()].flatMap((interval): Item[] =>
    whole.has(interval.memory)
      ? [{ ...interval, from: 0 }]
      : piecesOf(bytesOf(interval.memory), request.maxPiece).map(({ offset, bytes }) => ({
        ...interval,
        bytes: align(bytes),
        from: offset,
      }))
  );
  return {
    ...place(items, conflicts(dispatches), request.maxSlab),
    inPlace,
    lowerBound: busiest(intervals.values()),
    lifetimes: intervals,
  };
}

/** What a loop keeps from turn to turn, and what it shares with what stands around it, lives for as long as it runs. */
function acrossTurns(
  dispatches: readonly LoweredDispatch[],
  intervals: ReadonlyMap<Tensor | Scratch, Interval>,
): void {
  const ranges = new Map<Turns, { from: number; to: number }>();
  dispatches.forEach(({ loops = [] }, i) => {
    for (const loop of loops) {
      const range = ranges.get(loop);
      if (range) range.to = i;
      else ranges.set(loop, { from: i, to: i });
    }
  });
  // From the outside inwards: what an outer loop keeps, its inner ones do.
  for (const [loop, { from, to }] of ranges) {
    for (let i = from; i <= to; i++) {
      for (const { memory } of dispatches[i].buffers) {
        const interval = intervals.get(memory);
        if (!interval) continue;
        const shared = interval.first < from || interval.last > to || loop.keeps.has(memory);
        if (!shared) continue;
        interval.first = Math.min(interval.first, from);
        interval.last = Math.max(interval.last, to);
      }
    }
  }
}

/** Refuses what has to lie in one buffer and is larger than any: weights and other arguments, constants, results. */
function refuseLarge(
  dispatches: readonly LoweredDispatch[],
  whole: (memory: Tensor | Scratch) => boolean,
  most: number,
): void {
  for (const { buffers, label } of dispatches) {
    for (const { memory } of buffers) {
      const bytes = bytesOf(memory);
      if (bytes <= most || !whole(memory)) continue;
      throw new BindingError(nameOf(memory, label), bytes, most, "takes for one buffer");
    }
  }
}

/** Whether `result` may be written over `argument`: nothing reads the argument later, or elsewhere in that dispatch. */
function canReplace(
  dispatches: readonly LoweredDispatch[],
  result: Tensor,
  argument: Tensor,
): boolean {
  const written = dispatches.findIndex((d) =>
    d.buffers.some((b) => b.memory === result && b.access === "write")
  );
  if (dispatches.slice(written + 1).some((d) => d.buffers.some((b) => b.memory === argument))) {
    return false;
  }
  // At the next turn, what comes before it comes after it.
  if (dispatches[written].loops?.length) return false;
  const there = dispatches[written].buffers;
  const write = there.find((b) => b.memory === result) as LoweredUse;
  const reads = there.filter((b) => b.memory === argument);
  if (!reads.length) return true;
  // Only an elementwise kernel reads exactly the element that it writes.
  const { step } = dispatches[written];
  return step.kind === "map" && reads.every((r) => r.type === write.type) &&
    readsInOrder(step, argument);
}

function readsInOrder(
  step: Extract<LoweredDispatch["step"], { kind: "map" }>,
  argument: Tensor,
): boolean {
  return loadsOf(step.exprs).every(({ tensor, view }) =>
    tensor !== argument ||
    (view.offset === 0 &&
      view.shape.every((d, i) => d === 1 || view.strides[i] === plainStride(view.shape, i)))
  );
}

const plainStride = (shape: readonly number[], axis: number) =>
  shape.slice(axis + 1).reduce((a, b) => a * b, 1);

/** For each value, those that must not share a slab with it. */
function conflicts(
  dispatches: readonly LoweredDispatch[],
): Map<Tensor | Scratch, Set<Tensor | Scratch>> {
  const map = new Map<Tensor | Scratch, Set<Tensor | Scratch>>();
  const add = (a: Tensor | Scratch, b: Tensor | Scratch) => {
    const set = map.get(a);
    if (set) set.add(b);
    else map.set(a, new Set([b]));
  };
  for (const d of dispatches) {
    for (const w of d.buffers.filter((b) => b.access === "write")) {
      for (const r of d.buffers) {
        if (r.access === "read" && r.memory !== w.memory) {
          add(w.memory, r.memory);
          add(r.memory, w.memory);
        }
      }
    }
  }
  return map;
}

/** Greedy by size: the largest value first, each where its slab grows least. */
function place(
  items: Item[],
  apart: Map<Tensor | Scratch, Set<Tensor | Scratch>>,
  maxSlab: number,
) {
  const places = new Map<Tensor | Scratch, Place[]>();
  const slabs: Slab[] = [];
  const end = items.reduce((n, { last }) => Math.max(n, last), 0) + 1;
  const leaves = 2 ** Math.ceil(Math.log2(Math.max(1, end)));
  const budget = { looks: LOOKS };
  for (const item of items.sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    const { memory, from } = item;
    const forbidden = new Set(
      [...apart.get(memory) ?? []].flatMap((enemy) =>
        (places.get(enemy) ?? []).map(({ slab }) => slab)
      ),
    );
    const when = nodesOf(item, leaves);
    let best: { slab: number; offset: number; growth: number } | undefined;
    // None is better than a slab that need not grow.
    for (let k = 0; k < slabs.length && best?.growth !== 0; k++) {
      if (forbidden.has(k)) continue;
      const slab = slabs[k];
      const alive = slab.items.during(when, budget);
      const offset = alive ? lowestGap(alive, item) : slab.items.top(when);
      const growth = Math.max(0, offset + item.bytes - slab.bytes);
      if (offset + item.bytes <= maxSlab && (!best || growth < best.growth)) {
        best = { slab: k, offset, growth };
      }
    }
    if (!best) {
      slabs.push({ bytes: 0, items: new Timeline() });
      best = { slab: slabs.length - 1, offset: 0, growth: item.bytes };
    }
    const slab = slabs[best.slab];
    slab.items.add({ interval: item, offset: best.offset, looked: 0 }, when);
    slab.bytes = Math.max(slab.bytes, best.offset + item.bytes);
    const bytes = Math.min(item.bytes, bytesOf(memory) - from);
    const here: Place = { slab: best.slab, offset: best.offset, bytes, from };
    places.set(memory, [...places.get(memory) ?? [], here]);
  }
  for (const pieces of places.values()) pieces.sort((a, b) => a.from - b.from);
  return { places, slabs: slabs.map((s) => s.bytes) };
}

interface Slab {
  bytes: number;
  readonly items: Timeline;
}

interface Placed {
  readonly interval: Interval;
  readonly offset: number;
  /** The look that came upon it last: it lies at several nodes, and is taken at one. */
  looked: number;
}

/**
 * How many items are looked at for gaps between them, in all. The largest values come first; where it is spent, the many
 * small ones that are left go on top of what is there, since each might have to be compared with each.
 */
const LOOKS = 20_000_000;

/** The nodes of a segment tree over all dispatches that lie above an interval, and those that it is made of. */
interface Nodes {
  readonly above: readonly number[];
  readonly whole: readonly number[];
}

function nodesOf({ first, last }: Interval, leaves: number): Nodes {
  const above: number[] = [], whole: number[] = [];
  const visit = (node: number, from: number, size: number) => {
    if (from > last || from + size <= first) return;
    if (first <= from && from + size - 1 <= last) {
      whole.push(node);
      return;
    }
    above.push(node);
    visit(2 * node, from, size / 2);
    visit(2 * node + 1, from + size / 2, size / 2);
  };
  visit(1, 0, leaves);
  return { above, whole };
}

/** What lies in a slab, by when: a segment tree, in which an item lies at the few nodes that make up its interval. */
class Timeline {
  readonly #items = new Map<number, Placed[]>();
  /** Per node that anything lies at or below: the highest end of all that, and of what lies at the node itself. */
  readonly #highest = new Map<number, number>();
  readonly #own = new Map<number, number>();
  #looks = 0;

  add(item: Placed, { above, whole }: Nodes): void {
    const high = item.offset + item.interval.bytes;
    const raise = (ends: Map<number, number>, node: number) => {
      if (high > (ends.get(node) ?? -1)) ends.set(node, high);
    };
    for (const node of above) raise(this.#highest, node);
    for (const node of whole) {
      raise(this.#highest, node);
      raise(this.#own, node);
      const items = this.#items.get(node);
      if (items) items.push(item);
      else this.#items.set(node, [item]);
    }
  }

  /** Items that live at any time of an interval; undefined where looking at them is more than the budget allows. */
  during({ above, whole }: Nodes, budget: { looks: number }): Placed[] | undefined {
    const look = ++this.#looks;
    const found: Placed[] = [];
    const take = (node: number) => {
      const items = this.#items.get(node);
      if (!items) return;
      budget.looks -= items.length;
      if (budget.looks < 0) return;
      for (const item of items) {
        if (item.looked === look) continue;
        item.looked = look;
        found.push(item);
      }
    };
    above.forEach(take);
    const open = [...whole];
    while (open.length && budget.looks >= 0) {
      const node = open.pop()!;
      if (!this.#highest.has(node)) continue;
      take(node);
      open.push(2 * node, 2 * node + 1);
    }
    return budget.looks < 0 ? undefined : found;
  }

  /** The lowest offset above everything that lives at any time of an interval. */
  top({ above, whole }: Nodes): number {
    let top = 0;
    for (const node of above) top = Math.max(top, this.#own.get(node) ?? 0);
    for (const node of whole) top = Math.max(top, this.#highest.get(node) ?? 0);
    return top;
  }
}

/** The lowest offset at which nothing that is alive at the same time lies. */
function lowestGap(alive: Placed[], x: Interval): number {
  let at = 0;
  for (const { interval, offset } of alive.sort((a, b) => a.offset - b.offset)) {
    if (offset - at >= x.bytes) break;
    at = Math.max(at, offset + interval.bytes);
  }
  return at;
}

function busiest(intervals: Iterable<Interval>): number {
  const changes: [number, number][] = [];
  for (const { first, last, bytes } of intervals) changes.push([first, bytes], [last + 1, -bytes]);
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let now = 0;
  let most = 0;
  for (const [, delta] of changes) most = Math.max(most, now += delta);
  return most;
}
