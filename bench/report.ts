/** The benchmark's table in Markdown, and the page that it stands on. */
import { type Case, CASES } from "./cases/all.ts";
import { CONTENDERS, type DeviceName } from "./contenders.ts";
import { median, type Outcome } from "./harness.ts";
import type { Machine } from "./machine.ts";
import { figures, share } from "../numerics/quantities.ts";

/** All outcomes of a run, or of several that make one table. */
export interface Run {
  readonly device: DeviceName;
  readonly machines: readonly Machine[];
  readonly outcomes: readonly Outcome[];
}

/** This run with what was measured before and is not measured now. */
export function joined(before: Run | undefined, now: Run): Run {
  if (!before) return now;
  if (before.device !== now.device) throw new Error(`the file is of a run on ${before.device}`);
  const again = (o: Outcome) => now.outcomes.some((n) => n.peer === o.peer && n.case === o.case);
  return {
    ...now,
    machines: [...before.machines, ...now.machines],
    outcomes: [...before.outcomes.filter((o) => !again(o)), ...now.outcomes],
  };
}

/** One cell: a library's batches of one case. */
export interface Cell {
  /** Median over the batches, in milliseconds. */
  readonly ms: number;
  /** The fastest batch, in milliseconds. */
  readonly fastest: number;
  /** How far the middle half of the batches reaches, slowest over fastest. */
  readonly spread: number;
}

/** Sums up the batches of one library and case; a string says why there are none. */
export function cellOf(run: Run, peer: string, c: Case): Cell | string {
  const found = run.outcomes.find((o) => o.peer === peer && o.case === c.name);
  if (found?.failure) return found.failure.startsWith("wrong") ? "wrong" : "failed";
  if (!found?.ms?.length) return "–";
  const sorted = found.ms.toSorted((a, b) => a - b);
  const quarter = (sorted.length - 1) >> 2;
  return {
    ms: median(sorted),
    fastest: sorted[0],
    spread: sorted.at(-1 - quarter)! / sorted[quarter],
  };
}

const isCell = (cell: Cell | string): cell is Cell => typeof cell !== "string";

function shown(cell: Cell | string, c: Case): string {
  if (!isCell(cell)) return cell;
  const rate = "flops" in c && c.flops ? ` (${figures(c.flops / cell.ms / 1e6)})` : "";
  return `${figures(cell.ms)}${rate}`;
}

/** How many times longer the fastest of some libraries takes, by `of`. */
function ahead(run: Run, rivals: readonly string[], c: Case, of: (cell: Cell) => number): string {
  const own = cellOf(run, "moongate", c);
  const cells = rivals.map((peer) => cellOf(run, peer, c)).filter(isCell);
  if (!isCell(own) || !cells.length) return "–";
  return `${figures(Math.min(...cells.map(of)) / of(own))}×`;
}

/** What of a run the table has: in the order of the lists, whatever the order of measuring. */
function scope(run: Run) {
  const peers = CONTENDERS.filter((c) =>
    c.device === run.device && run.outcomes.some((o) => o.peer === c.name)
  );
  const names = (native: boolean) => peers.filter((c) => !!c.native === native).map((c) => c.name);
  return {
    cases: CASES.filter((c) => run.outcomes.some((o) => o.case === c.name)),
    peers: names(false),
    natives: names(true),
  };
}

/**
 * A row per case: milliseconds (and GFLOP/s) of each library, and how many times longer the best of the others takes;
 * native libraries stand behind, with a ratio of their own.
 */
export function table(run: Run): string {
  const { cases, peers, natives } = scope(run);
  const rivals = peers.filter((peer) => peer !== "moongate");
  const head = [
    ...["ms (GFLOP/s)", ...peers, "best peer ÷ moongate", "by fastest batch", ...natives],
    ...natives.length ? ["best native ÷ moongate"] : [],
  ];
  const rows = cases.map((c) => [
    c.title,
    ...peers.map((peer) => shown(cellOf(run, peer, c), c)),
    `**${ahead(run, rivals, c, (cell) => cell.ms)}**`,
    ahead(run, rivals, c, (cell) => cell.fastest),
    ...natives.map((peer) => shown(cellOf(run, peer, c), c)),
    ...natives.length ? [ahead(run, natives, c, (cell) => cell.ms)] : [],
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => i ? "--:" : "---")), ...rows.map(line)].join("\n");
}

/** Where it was measured, with which libraries, how many times, and how far the batches lie apart. */
export function circumstances(run: Run): string {
  const { outcomes, machines } = run;
  const each = (
    of: (o: Outcome) => string | undefined,
  ) => [...new Set(outcomes.flatMap((o) => of(o) ?? []))];
  const adapters = each((o) => o.adapter);
  const { cases, peers, natives } = scope(run);
  const spreads = [...peers, ...natives].flatMap((peer) => cases.map((c) => cellOf(run, peer, c)))
    .filter(isCell).map((cell) => cell.spread);
  const batches = outcomes.flatMap((o) => o.ms?.length ?? []);
  const around = spreads.length ? `${figures(median(spreads))}×` : "–";
  const busy = share(Math.max(...machines.map(({ busy }) => busy)));
  const lines = [
    ...adapters.length ? [`Adapter: ${adapters.join(", ")}`] : [],
    `Machine: ${
      [...new Set(machines.map(({ name }) => name))].join(", ")
    }; other work took at most ${busy} of its time at the beginning`,
    `Batches: ${
      batches.length ? Math.min(...batches) : 0
    } of each, warm; slowest over fastest of a cell's middle half, median: ${around}`,
    `Libraries: ${each((o) => o.library).join("; ")}`,
  ];
  return lines.map((line) => `- ${line}`).join("\n");
}

/** What stands between the marks of a device on the page. */
export const section = (run: Run): string => `${circumstances(run)}\n\n${table(run)}`;

const END = "<!-- end -->";

/** The page with another section of a device. @throws Error where the page has no marks for it */
export function page(before: string, device: DeviceName, section: string): string {
  const begin = `<!-- deno task bench, ${device} -->`;
  const from = before.indexOf(begin);
  const to = before.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`the page has no "${begin}" … "${END}"`);
  return `${before.slice(0, from)}${begin}\n\n${section}\n\n${before.slice(to)}`;
}
