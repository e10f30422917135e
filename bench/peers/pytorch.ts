/**
 * PyTorch in a Python that the benchmark was told of, with diffusers for models. It takes operands and gives results in
 * files, and times itself.
 *
 *     deno run -A bench/peers/pytorch.ts --golden --python=PYTHON
 *
 * writes `tests/golden/bench.json`: what it computes of the models' cases in float64.
 */
import { type Case, CASES, isModelCase, type Operands, operandsOf } from "../cases.ts";
import { Child } from "../child.ts";
import { option, type Peer, type Prepared, runPeer } from "../harness.ts";
import { DECAY, MINIATURE, RATE, ROW, shapesOf, spread } from "../model_cases.ts";
import { openSafetensors } from "../../files/safetensors/read.ts";
import { writeSafetensors } from "../../files/safetensors/write.ts";

/** Starting Python and its libraries, and computing once. */
const LIMIT_MS = 120_000;

/** What Python computed, and the process that can do it again. */
async function computed(python: string, c: Case, operands: Operands, ...flags: string[]) {
  const folder = await Deno.makeTempDir();
  try {
    const [about, given, made] = ["case.json", "in.safetensors", "out.safetensors"]
      .map((name) => `${folder}/${name}`);
    const model = isModelCase(c) && { model: MINIATURE, row: ROW, rate: RATE, decay: DECAY };
    await Deno.writeTextFile(about, JSON.stringify({ ...c, ...model }));
    const shapes = isModelCase(c) ? shapesOf(c) : {};
    await writeSafetensors(
      given,
      Object.fromEntries(
        Object.entries(operands)
          .map(([name, data]) => [name, { data, shape: shapes[name] ?? [data.length] }] as const),
      ),
    );
    const script = new URL("pytorch.py", import.meta.url).pathname;
    const child = new Child(python, [script, about, given, made, ...flags], LIMIT_MS);
    const library = await child.ask<string>();
    using results = await openSafetensors(made);
    const all: ArrayLike<number>[] = [];
    for (let i = 0; results.tensors.has(`${i}`); i++) {
      const { data } = await results.read(`${i}`);
      const values = Array.from(data as Float32Array);
      all.push(isModelCase(c) ? spread(values) : values);
    }
    return { child, library, results: all };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

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

/** Writes the right results of the models' cases. */
async function writeGolden(python: string): Promise<void> {
  const found: Record<string, number[][]> = {};
  for (const c of CASES.filter(isModelCase) as Case[]) {
    const { child, results } = await computed(python, c, operandsOf(c), "--double");
    child.end();
    found[c.name] = results.map((values) => Array.from(values, shorter));
  }
  const path = new URL("../../tests/golden/bench.json", import.meta.url);
  await Deno.writeTextFile(path, JSON.stringify(found) + "\n");
}

if (import.meta.main) {
  if (Deno.args.includes("--golden")) await writeGolden(python ?? "python3");
  else await runPeer(pytorch);
}
