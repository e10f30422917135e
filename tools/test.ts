/**
 * Runs `deno test` and closes with one plain line, `N passed, N failed`, that scripts can read.
 *
 * Why not `deno test` itself: its summary is coloured, carries steps and times, and is missing altogether when a file
 * does not type-check. The exit code is kept; a run that failed without counting a failure counts as one.
 *
 * Usage: `deno run -A tools/test.ts [paths and deno test options]` (default path: tests/)
 */

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

function isPath(arg: string): boolean {
  try {
    Deno.statSync(arg);
    return true;
  } catch {
    return false;
  }
}

if (import.meta.main) {
  const paths = Deno.args.some((arg) => !arg.startsWith("-") && isPath(arg)) ? [] : ["tests/"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", ...Deno.args, ...paths],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  Deno.addSignalListener("SIGINT", () => {});
  const [out, _err, status] = await Promise.all([
    pass(child.stdout, Deno.stdout),
    pass(child.stderr, Deno.stderr),
    child.status,
  ]);
  const tally = readTally(out);
  if (!tally) console.log("\ndeno test ended before it could count (see the error above)");
  console.log(closingLine(tally, status.code));
  Deno.exit(status.code);
}
