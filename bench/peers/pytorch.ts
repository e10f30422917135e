/**
 * PyTorch in a Python that the benchmark was told of, with diffusers for models. It takes operands and gives results in
 * files, and times itself.
 *
 *     deno run -A bench/peers/pytorch.ts --golden --python=PYTHON
 *
 * writes `tests/golden/bench.json`: what it computes of all cases in float64.
 */
import { type Case, CASES, isModelCase } from "../cases/all.ts";
import {
  channelsFirst,
  channelsLast,
  isWhole,
  type OpCase,
  type Operands,
  placesOf,
} from "../cases/case.ts";
import { Child } from "../child.ts";
import {
  DECAY,
  MINIATURE,
  type ModelCase,
  RATE,
  ROW,
  shapesOf,
  spread,
} from "../cases/miniature.ts";
import { given as operandsFor, option, type Peer, type Prepared, runPeer } from "../harness.ts";
import { openSafetensors } from "../../files/safetensors/read.ts";
import { writeSafetensors } from "../../files/safetensors/write.ts";

/** Starting Python and its libraries, and computing once. */
const LIMIT_MS = 120_000;

type Tensors = Record<string, { data: Float32Array; shape: readonly number[] }>;

/** What Python is told of a case, and given. */
function ofModel(c: ModelCase, operands: Operands): [object, Tensors] {
  const shapes = shapesOf(c);
  const tensors = Object.fromEntries(
    Object.entries(operands).map(([name, data]) => [name, { data, shape: shapes[name] }]),
  );
  return [{ ...c, model: MINIATURE, row: ROW, rate: RATE, decay: DECAY }, tensors];
}

/** The same of a function, whose arrays have channels first. */
function ofFunction(c: OpCase, operands: Operands): [object, Tensors] {
  const given = Object.entries(c.operands).filter(([, o]) => !o.values);
  const tensors = Object.fromEntries(
    given.map(([name, o]) => [name, channelsFirst(operands[name], o)]),
  );
  const whole = given.filter(([, o]) => isWhole(o)).map(([name]) => name);
  return [{ kind: c.kind, name: c.name, order: Object.keys(tensors), whole }, tensors];
}

/** What Python computed, and the process that can do it again. */
async function computed(python: string, c: Case, operands: Operands, ...flags: string[]) {
  const folder = await Deno.makeTempDir();
  try {
    const [caseFile, given, made] = ["case.json", "in.safetensors", "out.safetensors"]
      .map((name) => `${folder}/${name}`);
    const [about, tensors] = isModelCase(c) ? ofModel(c, operands) : ofFunction(c, operands);
    await Deno.writeTextFile(caseFile, JSON.stringify(about));
    await writeSafetensors(given, tensors);
    const script = new URL("pytorch.py", import.meta.url).pathname;
    const child = new Child(python, [script, caseFile, given, made, ...flags], LIMIT_MS);
    const library = await child.ask<string>();
    using results = await openSafetensors(made);
    const all: ArrayLike<number>[] = [];
    for (let i = 0; results.tensors.has(`${i}`); i++) {
      const { data } = await results.read(`${i}`);
      const values = Array.from(data as Float32Array);
      all.push(isModelCase(c) ? spread(values) : channelsLast(values, c.results[i]));
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

/** Writes the right results. */
async function writeGolden(python: string): Promise<void> {
  const found: Record<string, number[][]> = {};
  for (const c of CASES) {
    const { child, results } = await computed(python, c, operandsFor(c), "--double");
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
