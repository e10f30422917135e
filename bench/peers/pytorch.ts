/**
 * PyTorch in a Python that the benchmark was told of, with diffusers for models. It takes operands and gives results in
 * files, and times itself.
 *
 *     deno run -A bench/peers/pytorch.ts --golden --python=PYTHON
 *
 * writes `tests/golden/bench.json`: what it computes of all cases in float64.
 */
import { CASES } from "../cases/all.ts";
import { placesOf } from "../cases/case.ts";
import { given as operandsFor, option, type Peer, type Prepared, runPeer } from "../harness.ts";
import { computed } from "./python.ts";

const python = option("python");

const pytorch: Peer & { library: string } = {
  library: "PyTorch",
  start() {
    if (!python) throw new Error("no Python was named: --python=PATH");
    return Promise.resolve(async (c, operands): Promise<Prepared<ArrayLike<number>[]>> => {
      const { child, library, results } = await computed(python, c, operands);
      pytorch.library = library;
      return {
        issue: () => results,
        finish: () => Promise.resolve(),
        read: (results) => Promise.resolve(results),
        batch: (n) => child.ask<number>(String(n)),
      };
    });
  },
};

/** A number to about nine digits, which are fewer when written. */
function shorter(v: number): number {
  const unit = 2 ** (Math.ceil(Math.log2(Math.abs(v) || 1)) - 30);
  return Math.round(v / unit) * unit;
}

/** Writes the right results. */
async function writeGolden(python: string): Promise<void> {
  const found: Record<string, number[][]> = {};
  for (const c of CASES) {
    const { child, results } = await computed(python, c, operandsFor(c), ["--double"]);
    child.end();
    found[c.name] = results.map((values) => placesOf(values.length).map((k) => shorter(values[k])));
  }
  const path = new URL("../../tests/golden/bench.json", import.meta.url);
  await Deno.writeTextFile(path, JSON.stringify(found) + "\n");
}

if (import.meta.main) {
  if (Deno.args.includes("--golden")) await writeGolden(python ?? "python3");
  else await runPeer(pytorch);
}
