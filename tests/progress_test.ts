// Progress: what a log and a bar show, at every width, and that the time left is true from 5 % on, whatever happens between.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Beside } from "../terminal/estimate.ts";
import { hostRandom } from "../numerics/random.ts";
import { formatLine, layout, type Standing } from "../terminal/line.ts";
import { createProgress } from "../terminal/progress.ts";

/** Something that takes time: a step, something beside the steps, or kernels that compile (which are no work). */
type Event = { readonly step: number } | { readonly beside: string; readonly takes: number } | {
  readonly kernels: number;
  readonly takes: number;
};

/** Seconds of "45.6 s", "1:45", "2:05:00" or "1.20 d". */
function secondsOf(text: string): number {
  if (text.includes(":")) return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
  const [number, unit] = text.split(" ");
  return Number(number) * { ms: 1e-3, s: 1, d: 86_400 }[unit as "ms" | "s" | "d"];
}

/** Runs through events on a clock of its own; gives each line with the seconds of work that were left when it was shown. */
function simulate(
  events: readonly Event[],
  { done = 0, beside = {} }: { done?: number; beside?: Record<string, Beside> } = {},
) {
  let time = 0;
  const seen: { line: string; done: number; left?: number; truth: number }[] = [];
  const takes = (e: Event) => "step" in e ? e.step : "beside" in e ? e.takes : 0;
  let ahead = events.reduce((sum, e) => sum + takes(e), 0);
  const total = done + events.filter((e) => "step" in e).length;
  const write = (line: string) => {
    const left = /([\d.:]+(?: \w+)?) left/.exec(line)?.[1];
    seen.push({
      line,
      done: Number(/ (\d+)\//.exec(line)?.[1]),
      ...(left !== undefined && { left: secondsOf(left) }),
      truth: ahead,
    });
  };
  const progress = createProgress({ terminal: false, write, now: () => time });
  progress.start("train", total, { done, beside });
  let steps = done;
  for (const event of events) {
    if ("kernels" in event) {
      for (let k = 0; k <= event.kernels; k++) {
        progress.compiling({ done: k, total: event.kernels, ready: false });
        time += 1000 * event.takes / event.kernels;
      }
      progress.compiling({ done: 0, total: 0, ready: true });
      continue;
    }
    time += 1000 * takes(event);
    ahead -= takes(event);
    if ("step" in event) progress.update(++steps);
    else progress.did(event.beside);
  }
  progress.stop();
  return { seen, total, done };
}

/**
 * Asserts that from 5 % on every line tells the time left within a factor of 1.5.
 *
 * @param until that many steps are left: which of unequal steps come last, nobody can know
 */
function assertTrue({ seen, total, done }: ReturnType<typeof simulate>, until = 1): void {
  let told = 0;
  for (const { line, done: now, left, truth } of seen) {
    const part = (now - done) / (total - done);
    if (part < 0.05 || now - done < 2 || total - now < until || line.includes("compiling")) {
      continue;
    }
    assert(left !== undefined, `no time left at ${part}: ${line}`);
    assert(left <= 1.5 * truth && 1.5 * left >= truth, `${line}, and it took ${truth} s`);
    told++;
  }
  assert(told > 0.5 * (total - done), `the time left was told ${told} times`);
}

const steps = (n: number, seconds: (i: number) => number): Event[] =>
  Array.from({ length: n }, (_, i) => ({ step: seconds(i) }));

/** Steps with something behind every so many. */
const withBeside = (all: readonly Event[], every: number, event: Event): Event[] =>
  all.flatMap((step, i) => (i + 1) % every ? [step] : [step, event]);

Deno.test("time left: compiling is no part of it, before the first step or between", () => {
  const kernels = { kernels: 120, takes: 900 };
  const run = simulate([kernels, ...steps(60, () => 12)]);
  assertTrue(run);
  assertEquals(run.seen[1].line, "train 0/60 · compiling kernels 2/120");
  const [first, second] = run.seen.filter(({ done }) => done === 2);
  assertEquals([first.line, second], ["train 2/60 · 12.0 s each · 11:36 left", undefined]);
  assertTrue(simulate([...steps(30, () => 12), kernels, ...steps(30, () => 12)]));
});

Deno.test("time left: a first step that was slow, unequal steps, a machine that slows down, a run that goes on", () => {
  assertTrue(simulate(steps(60, (i) => i ? 12 : 360)));
  assertTrue(simulate(steps(60, (i) => i % 2 ? 30 : 11)), 2);
  assertTrue(simulate(steps(200, (i) => i % 10 === 9 ? 60 : 11)), 10);
  assertTrue(simulate(steps(100, (i) => i < 50 ? 11 : 16)));
  assertTrue(simulate(steps(40, () => 20), { done: 60 }));
});

Deno.test("time left: what is done beside the steps is foreseen, and taken for no step", () => {
  const checkpoints = withBeside(steps(60, () => 12), 10, { beside: "checkpoint", takes: 30 });
  assertTrue(simulate(checkpoints, { beside: { checkpoint: { times: 6 } } }));
  const samples = withBeside(steps(60, () => 12), 10, { beside: "samples", takes: 300 });
  const foreseen = { samples: { times: 6, steps: 20 } };
  assertTrue(simulate(samples, { beside: foreseen }));
  const [last] = simulate(samples, { beside: foreseen }).seen.filter((s) => s.done === 59);
  assert(last.line.includes("12.0 s each · 5:12 left"), last.line);
  // Steps that sample are few, and decoding takes as long as some of them.
  const sampling = withBeside(steps(40, () => 15), 4, { beside: "picture", takes: 30 });
  assertTrue(simulate(sampling, { beside: { picture: { times: 10, steps: 1.2 } } }));
});

Deno.test("time left: true for steps that take any times within a factor of three", () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 200, max: 400 }), (seed, n) => {
      const random = hostRandom(seed);
      assertTrue(simulate(steps(n, () => 10 + 20 * random.uniform())), 10);
    }),
    { numRuns: 50 },
  );
});

Deno.test("time left: it goes down while a step is under way, and nothing is told that is not known", () => {
  let time = 0;
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const progress = createProgress({ terminal: false, write, now: () => time });
  progress.start("sample", 5);
  for (let step = 1; step <= 2; step++) {
    time += 20_000;
    progress.update(step);
  }
  time += 10_000;
  progress.update(2);
  assertEquals(lines, [
    "sample 0/5",
    "sample 1/5",
    "sample 2/5 · 20.0 s each · 1:00 left",
    "sample 2/5 · 20.0 s each · 50.0 s left",
  ]);
});

Deno.test("a log: a line at the start, every ten seconds, and at the end; with quiet nothing", () => {
  const lines: string[] = [];
  let time = 0;
  const write = (line: string) => lines.push(line), now = () => time;
  const progress = createProgress({ terminal: false, write, now });
  progress.start("train", 40);
  for (let step = 1; step <= 40; step++) {
    time += 1000;
    progress.update(step, { loss: 1 / step, memory: 2.14e9 });
  }
  progress.note("a remark");
  progress.stop();
  assertEquals(lines, [
    "train 0/40",
    "train 10/40 · 1.00/s · 30.0 s left · loss 0.100 · 2.14 GB",
    "train 20/40 · 1.00/s · 20.0 s left · loss 0.0500 · 2.14 GB",
    "train 30/40 · 1.00/s · 10.0 s left · loss 0.0333 · 2.14 GB",
    "train 40/40 · 1.00/s · loss 0.0250 · 2.14 GB",
    "a remark",
  ]);
  const silent: string[] = [];
  const quiet = createProgress({ quiet: true, write: (line) => silent.push(line), now });
  quiet.start("train", 3);
  quiet.compiling({ done: 1, total: 3, ready: false });
  quiet.update(3);
  quiet.note("x");
  quiet.stop();
  assertEquals(silent, []);
});

Deno.test("compiling has a line of its own only where nothing else is under way and it takes long", () => {
  const lines: string[] = [];
  let time = 0;
  const write = (line: string) => lines.push(line), now = () => time;
  const progress = createProgress({ terminal: false, write, now });
  const compile = (kernels: number, each: number) => {
    for (let done = 0; done <= kernels; done++, time += each) {
      progress.compiling({ done, total: kernels, ready: false });
    }
    progress.compiling({ done: 0, total: 0, ready: true });
  };
  compile(5, 10);
  assertEquals(lines, []);
  compile(5, 800);
  assertEquals([lines[0], lines.at(-1)], ["compiling kernels 0/5", "compiling kernels 5/5"]);
});

const RUNNING: Standing = {
  ...{ label: "train", done: 50, total: 250 },
  ...{ rate: 1.9, left: 105, loss: 0.1234, memory: 2.14e9 },
};

Deno.test("a line: all numbers are there at 40, 60, 80 and 200 columns, and the bar shrinks first", () => {
  assertEquals(
    [40, 60, 80, 200].map((columns) => layout(RUNNING, columns)),
    [
      "train 50/250 1.90/s 1:45 0.123 2.14GB",
      "train 50/250 · 1.90/s · 1:45 left · loss 0.123 · 2.14 GB",
      "█████░░░░░░░░░░░░░░░░░░ train 50/250 · 1.90/s · 1:45 left · loss 0.123 · 2.14 GB",
      "█████░░░░░░░░░░░░░░░░░░░ train 50/250 · 1.90/s · 1:45 left · loss 0.123 · 2.14 GB",
    ],
  );
  const long = { ...RUNNING, label: 'pictures of "photo of a very small dog"' };
  assertEquals(
    [40, 60, 80].map((columns) => layout(long, columns)),
    [
      "pict… 50/250 1.90/s 1:45 0.123 2.14GB",
      "pictures of… 50/250 1.90/s 1:45 left loss 0.123 2.14 GB",
      'pictures of "photo of a… 50/250 · 1.90/s · 1:45 left · loss 0.123 · 2.14 GB',
    ],
  );
  const compiling = { ...RUNNING, done: 0, compiling: { done: 37, total: 120 } };
  assertEquals(
    [formatLine(compiling), layout({ ...compiling, loss: undefined, memory: undefined }, 40)],
    [
      "train 0/250 · compiling kernels 37/120 · loss 0.123 · 2.14 GB",
      "train 0/250 · compiling kernels 37/120",
    ],
  );
  assertEquals(formatLine({ label: "x", done: 9, total: 9 }), "x 9/9");
});

Deno.test("a line: whatever is under way, it fits, and from 40 columns on no number is missing", () => {
  const standing = fc.record({
    label: fc.string({ minLength: 1, maxLength: 60 }).map((s) => s.replace(/\d/g, "x")),
    done: fc.integer({ min: 0, max: 99_999 }),
    rate: fc.double({ min: 1e-3, max: 1e5, noNaN: true }),
    left: fc.double({ min: 0.01, max: 3e5, noNaN: true }),
    loss: fc.double({ min: 1e-3, max: 99, noNaN: true }),
    memory: fc.integer({ min: 0, max: 2e11 }),
  });
  fc.assert(
    fc.property(standing, fc.integer({ min: 1, max: 200 }), (at, columns) => {
      const line = layout({ ...at, total: 100_000 }, columns);
      assert(line.length <= columns, `${line.length} of ${columns}: ${line}`);
      if (columns < 40) return;
      const numbers = line.match(/\d[\d.:h]*/g) ?? [];
      assertEquals(numbers.length, 6, line);
    }),
    { numRuns: 2000 },
  );
});

/** What a terminal shows of what was written to it: lines, of which the last is where the cursor is. */
function screen() {
  const rows = [""];
  let column = 0;
  const put = (text: string) => {
    // deno-lint-ignore no-control-regex
    for (const [part] of text.matchAll(/\x1b\[K|[^]/gu)) {
      const row = rows.at(-1)!;
      if (part === "\r") column = 0;
      else if (part === "\n") column = rows.push("") && 0;
      else if (part.startsWith("\x1b")) rows[rows.length - 1] = row.slice(0, column);
      else rows[rows.length - 1] = row.slice(0, column) + part + row.slice(++column);
    }
  };
  return { rows, draw: put, write: (line: string) => put(`${line}\n`) };
}

Deno.test("on a terminal remarks stand above the bar, the bar is drawn over itself, and nothing is overlaid", () => {
  const { rows, draw, write } = screen();
  const progress = createProgress({ terminal: true, draw, write });
  progress.start("train", 2);
  progress.note("stopping after this step, then saving (Ctrl-C again quits at once)");
  progress.update(1, { loss: 0.5 });
  progress.note("short");
  progress.compiling({ done: 3, total: 9, ready: false });
  progress.note("again");
  progress.compiling({ done: 0, total: 0, ready: true });
  progress.clear();
  write("a result");
  progress.update(2);
  progress.stop();
  write("saved. Go on with: moongate train --resume");
  progress.note("after the end");
  const bar = "█".repeat(24);
  assertEquals(rows, [
    "stopping after this step, then saving (Ctrl-C again quits at once)",
    "short",
    "again",
    "a result",
    `${bar} train 2/2 · loss 0.500`,
    "saved. Go on with: moongate train --resume",
    "after the end",
    "",
  ]);
});
