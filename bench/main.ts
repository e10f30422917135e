/**
 * moongate beside other libraries on the same device in one run. Each library has a process of its own; for every case the
 * processes are made ready one after the other and then take turns, a batch each (A B C … A B C …), so that the ratios
 * mean something on a busy machine too.
 *
 *     deno task bench --python=PYTHON       # WebAssembly on the CPU, with native libraries beside it
 *     deno task bench:webgpu                # WebGPU, on the adapter that answers
 *
 * `bench/options.ts` has the flags.
 */
import { type Case, isModelCase } from "./cases/all.ts";
import { Child } from "./child.ts";
import type { Contender } from "./contenders.ts";
import { median, type Outcome, type Ready } from "./harness.ts";
import { missing, type Options, options, USAGE, whole } from "./options.ts";
import { circumstances, joined, page, type Run, section, table } from "./report.ts";
import { machine } from "./machine.ts";
import { figures } from "../numerics/quantities.ts";

/** An answer may take this long: a library that hangs must not hold up the others. */
const LIMIT_MS = 180_000;
/** Between two batches: threads of a library wait for more work for some milliseconds before they sleep. */
const PAUSE_MS = 30;

/** Starts the process of a library for a case. Libraries are fetched on first use, and kept out of the lock file. */
function start({ file, device, args = [] }: Contender, c: Case, python?: string): Child {
  const path = new URL(file, import.meta.url).href;
  const own = [`--device=${device}`, ...args, ...(python ? [`--python=${python}`] : [])];
  const run = ["run", "-A", "--no-lock", "--no-check", path, c.name, ...own];
  return new Child(Deno.execPath(), run, LIMIT_MS);
}

/** Measures one case: all libraries in turn, so many times. */
async function measure(c: Case, { peers, rounds, python }: Options): Promise<Outcome[]> {
  const contestants: { child: Child; ms: number[]; outcome: Outcome }[] = [];
  for (const peer of peers.filter((peer) => peer.models || !isModelCase(c))) {
    const child = start(peer, c, python);
    const about = { peer: peer.name, case: c.name };
    const outcome = { ...about, ...await child.ask<Ready>().catch(failure) };
    contestants.push({ child, ms: [], outcome });
  }
  for (let round = 0; round < rounds; round++) {
    for (const one of contestants) {
      const { child, ms, outcome } = one;
      if (outcome.issued === undefined || outcome.failure) continue;
      await new Promise((done) => setTimeout(done, PAUSE_MS));
      try {
        ms.push(await child.ask<number>("again"));
      } catch (e) {
        one.outcome = { ...outcome, ...failure(e) };
      }
    }
  }
  for (const { child } of contestants) child.end();
  return contestants.map(({ outcome, ms }) => ms.length ? { ...outcome, ms } : outcome);
}

const failure = (e: unknown) => ({ failure: (e as Error).message });

function describe({ peer, failure, ms }: Outcome): string {
  if (failure) return `${peer}: ${failure}`;
  return ms ? `${peer} ${figures(median(ms))}` : `${peer} –`;
}

/** What a file keeps of runs before; nothing where there is none yet. */
async function kept(path: string): Promise<Run | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return undefined;
    throw e;
  }
}

if (import.meta.main) {
  let chosen: Options;
  try {
    chosen = options(Deno.args);
  } catch (e) {
    console.error(`${(e as Error).message}\n${USAGE}`);
    Deno.exit(2);
  }
  const { device, cases, into, write } = chosen;
  const before = into ? await kept(into) : undefined;
  if (write) {
    const names = (of: "case" | "peer") => (before?.outcomes ?? []).map((o) => o[of]);
    const left = missing(
      whole(device),
      [...names("case"), ...cases.map(({ name }) => name)],
      [...names("peer"), ...chosen.peers.map(({ name }) => name)],
    );
    if (left.length) {
      console.error(`--write is for all cases and libraries; missing: ${left.join(", ")}`);
      Deno.exit(2);
    }
  }
  const machines = [await machine()];
  const outcomes: Outcome[] = [];
  const run = () => joined(before, { device, machines, outcomes });
  for (const c of cases) {
    const found = await measure(c, chosen);
    outcomes.push(...found);
    console.error(`${c.name}, ms: ${found.map(describe).join("; ")}`);
    // Now, so that a run that is broken off keeps what it measured.
    if (into) await Deno.writeTextFile(into, JSON.stringify(run()));
  }
  console.log(`${circumstances(run())}\n\n${table(run())}`);
  if (write) {
    const path = new URL("../docs/benchmarks.md", import.meta.url);
    await Deno.writeTextFile(path, page(await Deno.readTextFile(path), device, section(run())));
  }
}
