/** A case handed to PyTorch, which computes it once and then waits to be told how often again. */
import { beside } from "../../files/beside.ts";
import { type Case, isModelCase } from "../cases/all.ts";
import { channelsFirst, channelsLast, isWhole, type OpCase, type Operands } from "../cases/case.ts";
import { Child } from "../child.ts";
import {
  DECAY,
  extentsOf,
  MINIATURE,
  type ModelCase,
  RATE,
  shapesOf,
  spread,
} from "../cases/miniature.ts";
import { openSafetensors } from "../../files/safetensors/read.ts";
import { writeSafetensors } from "../../files/safetensors/write.ts";

/** Starting Python and its libraries, and computing once. */
const LIMIT_MS = 120_000;

/** What the cases import. */
const LIBRARIES = ["torch", "diffusers", "transformers", "safetensors"];

/**
 * That a program is a Python that has what the cases take; nothing of that is loaded yet.
 *
 * @throws Error saying what it lacks
 */
export async function expectPython(python: string): Promise<void> {
  const look = `import importlib.util as u, json
print("outcome", json.dumps([m for m in ${JSON.stringify(LIBRARIES)} if u.find_spec(m) is None]))`;
  if (!python) throw new Error("no program is named");
  const child = new Child(python, ["-c", look], LIMIT_MS);
  try {
    const lacking = await child.ask<string[]>();
    if (lacking.length) throw new Error(`it has no ${lacking.join(", ")}`);
  } finally {
    child.end();
  }
}

type Tensors = Record<string, { data: Float32Array; shape: readonly number[] }>;

/** What Python is told of a case, and given. */
function ofModel(c: ModelCase, operands: Operands): [object, Tensors] {
  const shapes = shapesOf(c);
  const tensors = Object.fromEntries(
    Object.entries(operands).map(([name, data]) => [name, { data, shape: shapes[name] }]),
  );
  const shipped = c.kind !== "step" || c.model === "miniature";
  const about = { row: extentsOf(c).row, rate: RATE, decay: DECAY };
  return [{ ...c, ...about, model: shipped ? MINIATURE : c.model }, tensors];
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
export interface Computed {
  /** Ends when it is told to. A line, a number of operations, is answered with the milliseconds that they took. */
  readonly child: Child;
  /** "PyTorch 2.15.0, 2 threads". */
  readonly library: string;
  /** Of each output the values; where the case is of a model, {@linkcode spread} ones. */
  readonly results: ArrayLike<number>[];
}

/**
 * Starts it.
 *
 * @param python a program with PyTorch, and diffusers for models
 * @param c a case; of a model that is not the miniature weights are random, and the loss is the only result
 * @param flags of `pytorch.py`
 * @param limit milliseconds that an answer may take
 * @throws Error with what Python said
 */
export async function computed(
  python: string,
  c: Case,
  operands: Operands,
  flags: readonly string[] = [],
  limit = LIMIT_MS,
): Promise<Computed> {
  const folder = await Deno.makeTempDir();
  try {
    const [caseFile, given, made] = ["case.json", "in.safetensors", "out.safetensors"]
      .map((name) => `${folder}/${name}`);
    const [about, tensors] = isModelCase(c) ? ofModel(c, operands) : ofFunction(c, operands);
    await Deno.writeTextFile(caseFile, JSON.stringify(about));
    await writeSafetensors(given, tensors);
    const script = beside("pytorch.py", import.meta.url);
    const child = new Child(python, [script, caseFile, given, made, ...flags], limit);
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
