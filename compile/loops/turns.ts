/** Which dispatches run how often, and in which order: a program lists those of a loop once. */

/** A loop as dispatches know it. */
export interface Turns {
  /** How often what is in it runs. */
  readonly count: number;
  /** What holds its value from one turn to the next. */
  readonly keeps: ReadonlySet<unknown>;
}

/** A dispatch that may lie in loops. */
interface Looped {
  /** The loops that it lies in, outermost first. */
  readonly loops?: readonly Turns[];
}

/** Dispatches in the order in which they run, those in a loop as often as it has turns. */
export function replayed<D>(dispatches: readonly D[], of: (d: D) => Looped, depth = 0): D[] {
  const out: D[] = [];
  for (let i = 0; i < dispatches.length;) {
    const loop = of(dispatches[i]).loops?.[depth];
    if (!loop) {
      out.push(dispatches[i++]);
      continue;
    }
    const from = i;
    while (i < dispatches.length && of(dispatches[i]).loops?.[depth] === loop) i++;
    const turn = replayed(dispatches.slice(from, i), of, depth + 1);
    for (let k = 0; k < loop.count; k++) for (const d of turn) out.push(d);
  }
  return out;
}

/** How often a dispatch runs. */
export const turnsOf = ({ loops = [] }: Looped): number =>
  loops.reduce((n, { count }) => n * count, 1);
