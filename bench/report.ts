/** The benchmark's table in Markdown, and the page that it stands on. */
import type { Case } from "./cases.ts";
import { median, type Outcome } from "./harness.ts";
import { figures } from "../numerics/quantities.ts";

/** All outcomes of a run. */
export interface Run {
  readonly cases: readonly Case[];
  /** Names of the libraries in the order of the columns; the first is this one. */
  readonly peers: readonly string[];
  readonly outcomes: readonly Outcome[];
  readonly rounds: number;
}

/** One cell: a library's rounds of one case. */
export interface Cell {
  /** Median over the rounds of the medians over a round's batches, in milliseconds. */
  readonly ms: number;
  /** The fastest batch of all rounds, in milliseconds. */
  readonly fastest: number;
  /** The rounds' medians, slowest over fastest. */
  readonly spread: number;
}

/** Sums up the rounds of one library and case; a string says why there are none. */
export function cellOf(run: Run, peer: string, c: Case): Cell | string {
  const outcomes = run.outcomes.filter((o) => o.peer === peer && o.case === c.name);
  const failed = outcomes.find((o) => o.failure);
  if (failed) return failed.failure!.startsWith("wrong") ? "wrong" : "failed";
  const rounds = outcomes.flatMap((o) => o.ms ? [o.ms] : []);
  if (!rounds.length) return "–";
  const medians = rounds.map((ms) => median(ms));
  return {
    ms: median(medians),
    fastest: Math.min(...rounds.flat()),
    spread: Math.max(...medians) / Math.min(...medians),
  };
}

const isCell = (cell: Cell | string): cell is Cell => typeof cell !== "string";

function shown(cell: Cell | string, c: Case): string {
  if (!isCell(cell)) return cell;
  const rate = c.flops ? ` (${figures(c.flops / cell.ms / 1e6)})` : "";
  return `${figures(cell.ms)}${rate}`;
}

/** How many times longer the fastest other library takes, by `of`. */
function ahead(run: Run, c: Case, of: (cell: Cell) => number): string {
  const [own, ...others] = run.peers.map((peer) => cellOf(run, peer, c));
  const rivals = others.filter(isCell);
  if (!isCell(own) || !rivals.length) return "–";
  return `${figures(Math.min(...rivals.map(of)) / of(own))}×`;
}

/** A row per case: milliseconds (and GFLOP/s) of each library, and the ratio to the best of the others. */
export function table(run: Run): string {
  const head = ["ms (GFLOP/s)", ...run.peers, "best peer ÷ moongate", "by fastest batch"];
  const rows = run.cases.map((c) => [
    c.title,
    ...run.peers.map((peer) => shown(cellOf(run, peer, c), c)),
    `**${ahead(run, c, (cell) => cell.ms)}**`,
    ahead(run, c, (cell) => cell.fastest),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => i ? "--:" : "---")), ...rows.map(line)].join("\n");
}

/** One line: the adapter, the runtime, and how far the rounds lie apart. */
export function circumstances(run: Run): string {
  const adapters = [...new Set(run.outcomes.flatMap((o) => o.adapter ?? []))].join(", ");
  const spreads = run.peers.flatMap((peer) => run.cases.map((c) => cellOf(run, peer, c)))
    .filter(isCell).map((cell) => cell.spread);
  const apart = spreads.length ? `${figures(median(spreads))}×` : "–";
  return `Adapter: ${
    adapters || "none answered"
  }; ${navigator.hardwareConcurrency} CPU cores; Deno ${Deno.version.deno}; ${run.rounds} rounds; ` +
    `slowest over fastest round of a cell: median ${apart}.`;
}

/** The whole of docs/benchmarks.md. */
export function page(run: Run): string {
  return `# Benchmarks

The same operations on the same adapter in moongate and in the libraries for WebGPU that run in Deno, all in one run.
Written by \`deno task bench --write\`; run it to get your adapter's numbers.

${circumstances(run)}

${table(run)}

Each cell is milliseconds per operation, with GFLOP/s in brackets where products decide. The column before the last is the
time of the fastest other library divided by moongate's, above 1 where moongate is faster; the last one is the same for the
fastest single batch of each, which other work on the machine disturbs least. "–": the library has no such operation.

## How it is measured

- Every library runs in a process of its own. For each case the processes take turns (A B C … A B C …), so that a busy
  moment does not fall on one of them only. Absolute times depend on what else the machine does, ratios much less.
- Operands are uploaded beforehand and results stay on the device. Operations are issued many at a time, as many as take
  about 0.3 s, and then the queue is waited for once: a single wait costs 10 ms in Deno 2.9 whatever the adapter. The time of
  an empty wait is taken off. Compiling falls into the warm-up. A cell is the median over the rounds of a round's median
  over five batches.
- Each result is compared with a float64 reference at 64 places; a library that is off by more than 1e-4 of the largest value
  is not timed. All compute in f32.
- Each library gets images in the layout that it is made for: NHWC for moongate and tfjs, NCHW for jax-js and
  onnxruntime-web. moongate runs compiled functions (\`compile\`), jax-js is there with and without its \`jit\`, and tfjs
  composes layer normalization from several operations, as it has no op for it. onnxruntime-web has no gradients.
- FLOP counts: matmul 2n³; convolution 2·B·H·W·Cin·Cout·9; the MLP's two forward products and three backward ones.

Versions: @jax-js/jax 0.1.25, @tensorflow/tfjs 4.22.0, onnxruntime-web 1.30.0. Left out: webgpu-torch 0.3.5, which has
products and convolutions only, several times slower in the former and not right in the latter on this adapter.

\`deno task bench --cases=softmax,matmul-512 --peers=moongate,tfjs --rounds=1\` runs a part. \`bench/gemm.ts\` and
\`bench/norms.ts\` time moongate's own kernels over more shapes.
`;
}
