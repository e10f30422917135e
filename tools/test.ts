/**
 * Runs `deno test` and closes with one plain line, `N passed, N failed`, that scripts can read.
 *
 * Why not `deno test` itself: its summary is coloured, carries steps and times, and is missing altogether when a file
 * does not type-check. The exit code is kept; a run that failed without counting a failure counts as one.
 *
 * Everything runs on the CPU device, so that the suite is the same on every machine; the engine's tests run on WebGPU as
 * well where an adapter answers, and where none does, a line before the last says so. `MOONGATE_DEVICE` leaves one device.
 *
 * Types are checked once, of all files together. Then files run side by side; those that change what all of a process
 * shares, or measure it, follow by themselves.
 *
 * Usage: `deno run -A tools/test.ts [paths and deno test options]` (default: all of tests/)
 */

import { INSTALL } from "../device/choice.ts";
import { VARIABLES } from "../device/environment.ts";
import { adapterAnswers } from "./vulkan.ts";

/** Tells the tests of a second device that the engine's run on (`tests/support/backend.ts`). */
export const ALSO = "MOONGATE_TEST_ALSO";

/**
 * Mesa's software adapter compiles each kernel with all of LLVM's passes, for vectors as wide as the processor has, which is
 * most of what the engine's tests on WebGPU take; at their shapes a kernel runs in no time however it was compiled. Without
 * those passes, for vectors of four, compiling takes half as long. Other drivers know nothing of these variables.
 */
const SOON_COMPILED = { GALLIVM_PERF: "nopt", LP_NATIVE_VECTOR_WIDTH: "128" };

/** What a run of `deno test` came to. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const summary =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(.*?\))? \| (\d+) failed(?: \(.*?\))?(?: \| (\d+) ignored)?/gm;

/** Reads the last summary in the output of `deno test`; undefined where there is none. */
export function readTally(output: string): Tally | undefined {
  // deno-lint-ignore no-control-regex
  const found = [...output.replace(/\x1b\[[\d;]*m/g, "").matchAll(summary)].at(-1);
  if (!found) return undefined;
  return { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3] ?? 0) };
}

/** The closing line. A run with a failing exit code never reads as if all had passed. */
export function closingLine(tally: Tally | undefined, code: number): string {
  const { passed, failed, skipped } = tally ?? { passed: 0, failed: 0, skipped: 0 };
  const counted = code !== 0 && failed === 0 ? 1 : failed;
  return `${passed} passed, ${counted} failed${skipped ? `, ${skipped} skipped` : ""}`;
}

/** Hands a stream on as it comes and gives back its end, where the summary is. */
async function pass(
  from: ReadableStream<Uint8Array>,
  to: { writeSync(p: Uint8Array): number },
): Promise<string> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of from) {
    for (let done = 0; done < chunk.length;) done += to.writeSync(chunk.subarray(done));
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-20_000);
  }
  return tail;
}

/** The counts of several runs in one. */
export const total = (tallies: readonly Tally[]): Tally => ({
  passed: tallies.reduce((n, t) => n + t.passed, 0),
  failed: tallies.reduce((n, t) => n + t.failed, 0),
  skipped: tallies.reduce((n, t) => n + t.skipped, 0),
});

/** Whether a test file needs the process for itself: it changes the current folder, or measures time or memory. */
export const runsAlone = (source: string): boolean =>
  /\bDeno\.(chdir|memoryUsage|env\.set)\(/.test(source);

/** The text of a test file with that of the support files that it imports: what those do, it does. */
async function withSupport(path: string): Promise<string> {
  const source = await Deno.readTextFile(path);
  const support = [...source.matchAll(/ from "\.\/(support\/[a-z_]+\.ts)";$/gm)];
  const texts = support.map(([, file]) => Deno.readTextFile(path.replace(/[^/]*$/, file)));
  return [source, ...await Promise.all(texts)].join("\n");
}

/** All test files: those that may run side by side, and those that may not. */
export async function testFiles(folder: string): Promise<{ together: string[]; alone: string[] }> {
  const found = { together: [] as string[], alone: [] as string[] };
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith("_test.ts")) names.push(name);
  }
  for (const name of names.sort()) {
    const path = `${folder}/${name}`;
    found[runsAlone(await withSupport(path)) ? "alone" : "together"].push(path);
  }
  return found;
}

const CORES = navigator.hardwareConcurrency;
/** As many files at a time as there are cores, but not more devices and memory than most machines have. */
const JOBS = Number(Deno.env.get("DENO_JOBS")) || Math.min(4, CORES);

/**
 * Threads of a CPU device, for so many files side by side: they share the cores. With more threads than cores, those that wait
 * for each other keep the others from working. Files that run alone have all of them; tests of threads ask for theirs.
 */
export const threadsOfEach = (cores: number, jobs: number): number =>
  Math.max(1, Math.floor(cores / jobs));

/** The devices of this run as variables for its tests, and what is to be said of them at the end. */
export interface Devices {
  readonly env: Readonly<Record<string, string>>;
  readonly remark?: string;
}

/**
 * Which devices the tests run on.
 *
 * @param only what `MOONGATE_DEVICE` says
 * @param answers whether an adapter of WebGPU does; not asked where one device was chosen
 */
export async function devices(
  only: string | undefined,
  answers: () => Promise<boolean>,
): Promise<Devices> {
  if (only) {
    const env = only === "webgpu" ? SOON_COMPILED : {};
    return { env, remark: `on one device: ${VARIABLES.device}=${only}` };
  }
  const env = { [VARIABLES.device]: "cpu" };
  if (await answers()) return { env: { ...env, [ALSO]: "webgpu", ...SOON_COMPILED } };
  const remark =
    "no adapter of WebGPU answers: the engine's tests ran on the CPU device, and were left out on WebGPU. " +
    INSTALL;
  return { env, remark };
}

type Ran = { tally?: Tally; code: number };

async function run(args: readonly string[], env: Devices["env"] = {}): Promise<Ran> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    env: { ...env, DENO_JOBS: String(JOBS) },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [out, _err, { code }] = await Promise.all([
    pass(child.stdout, Deno.stdout),
    pass(child.stderr, Deno.stderr),
    child.status,
  ]);
  return { tally: readTally(out), code };
}

function isPath(arg: string): boolean {
  try {
    Deno.statSync(arg);
    return true;
  } catch {
    return false;
  }
}

if (import.meta.main) {
  Deno.addSignalListener("SIGINT", () => {});
  const { env, remark } = await devices(Deno.env.get(VARIABLES.device), adapterAnswers);
  const runs: Ran[] = [];
  if (Deno.args.some((arg) => !arg.startsWith("-") && isPath(arg))) {
    runs.push(await run(["test", "-A", ...Deno.args], env));
  } else {
    const { together, alone } = await testFiles("tests");
    const checked = await run(["check", "--quiet", ...together, ...alone]);
    if (checked.code !== 0) runs.push(checked);
    else {
      const test = ["test", "-A", "--no-check", ...Deno.args];
      const threads = Deno.env.get(VARIABLES.threads) || String(threadsOfEach(CORES, JOBS));
      const share = { ...env, [VARIABLES.threads]: threads };
      runs.push(await run([...test, "--parallel", ...together], share));
      runs.push(await run([...test, ...alone], env));
    }
  }
  const tallies = runs.flatMap((r) => r.tally ?? []);
  const lost = tallies.length < runs.length;
  if (lost) console.log("\ndeno test ended before it could count (see the error above)");
  const code = runs.find((r) => r.code !== 0)?.code ?? 0;
  if (remark !== undefined) console.log(remark);
  console.log(closingLine(lost ? undefined : total(tallies), code));
  Deno.exit(code);
}
