/**
 * moongate beside the other WebGPU libraries, on the same adapter in one run. Each library runs in a child process; for
 * every case the processes take turns in rounds, so that the ratios mean something on a busy machine too.
 *
 * Usage: `deno task bench [--cases=softmax,…] [--peers=moongate,tfjs,…] [--rounds=3] [--write]`
 */
import { type Case, CASES } from "./cases.ts";
import { MARK, type Outcome } from "./harness.ts";
import { circumstances, page, type Run, table } from "./report.ts";
import { figures } from "../numerics/quantities.ts";

/** Which file measures a library, and with which arguments. */
interface Contender {
  readonly name: string;
  readonly file: string;
  readonly args?: readonly string[];
}

const CONTENDERS: readonly Contender[] = [
  { name: "moongate", file: "moongate.ts" },
  { name: "jax-js", file: "peers/jax.ts" },
  { name: "jax-js jit", file: "peers/jax.ts", args: ["--jit"] },
  { name: "tfjs", file: "peers/tfjs.ts" },
  { name: "onnxruntime-web", file: "peers/onnxruntime.ts" },
];

/** One process may take this long; a library that hangs must not hold up the others. */
const LIMIT_MS = 180_000;

interface Options {
  readonly cases: readonly Case[];
  readonly peers: readonly Contender[];
  readonly rounds: number;
  readonly write: boolean;
}

/** Reads the command line. @throws Error with what is allowed */
export function options(args: readonly string[]): Options {
  const given = new Map(args.map((arg) => {
    const found = /^--(cases|peers|rounds|write)(?:=(.+))?$/.exec(arg);
    if (!found) {
      throw new Error(`unknown option ${arg}; there are --cases, --peers, --rounds, --write`);
    }
    return [found[1], found[2] ?? ""];
  }));
  const chosen = <T extends { readonly name: string }>(
    option: string,
    all: readonly T[],
  ): readonly T[] => {
    const names = given.get(option)?.split(",");
    const unknown = names?.find((name) => !all.some((one) => one.name === name));
    if (unknown !== undefined) {
      throw new Error(
        `--${option}: "${unknown}" is none of ${all.map((one) => one.name).join(", ")}`,
      );
    }
    return names ? all.filter((one) => names.includes(one.name)) : all;
  };
  const rounds = Number(given.get("rounds") ?? 3);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a positive integer");
  const write = given.has("write");
  const result = {
    cases: chosen("cases", CASES),
    peers: chosen("peers", CONTENDERS),
    rounds,
    write,
  };
  const whole = result.cases.length === CASES.length && result.peers.length === CONTENDERS.length;
  if (write && !whole) throw new Error("--write is for a run of all cases and libraries");
  return result;
}

/** Measures one case in a process of its own. Libraries are fetched on first use, and kept out of the lock file. */
async function measure(peer: Contender, c: Case): Promise<Outcome> {
  const file = new URL(peer.file, import.meta.url);
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", "--no-check", file.href, c.name, ...peer.args ?? []],
    stdin: "null",
    signal: AbortSignal.timeout(LIMIT_MS),
  }).output();
  const line = new TextDecoder().decode(stdout).split("\n").find((l) => l.startsWith(MARK));
  if (line) return JSON.parse(line.slice(MARK.length));
  const last = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
  return { peer: peer.name, case: c.name, failure: last || `no result in ${LIMIT_MS / 1000} s` };
}

function describe({ peer, failure, ms }: Outcome): string {
  if (failure) return `${peer}: ${failure}`;
  return ms ? `${peer} ${figures(Math.min(...ms))}` : `${peer} –`;
}

if (import.meta.main) {
  let chosen: Options;
  try {
    chosen = options(Deno.args);
  } catch (e) {
    console.error((e as Error).message);
    Deno.exit(2);
  }
  const { cases, peers, rounds, write } = chosen;
  const outcomes: Outcome[] = [];
  for (const c of cases) {
    for (let round = 1; round <= rounds; round++) {
      const said: string[] = [];
      for (const peer of peers) {
        const outcome = await measure(peer, c);
        outcomes.push(outcome);
        said.push(describe(outcome));
      }
      console.error(`${c.name}, round ${round}, fastest batch in ms: ${said.join("; ")}`);
    }
  }
  const run: Run = { cases, peers: peers.map((p) => p.name), outcomes, rounds };
  console.log(`${circumstances(run)}\n\n${table(run)}`);
  if (write) Deno.writeTextFileSync(new URL("../docs/benchmarks.md", import.meta.url), page(run));
}
