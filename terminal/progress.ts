/**
 * Progress of long work: a bar on a terminal, lines in a log, nothing with `--quiet`. All of it on stderr.
 */

import { visibleLine } from "../files/visible.ts";

/** Numbers shown beside the count. */
export interface Readings {
  /** The newest loss. */
  loss?: number;
  /** Bytes of GPU memory in use. */
  memory?: number;
}

/** Shows how far something is. */
export interface Progress {
  /** Begins a piece of work of `total` steps, of which `done` are done; ends the one before. */
  start(label: string, total: number, done?: number): void;
  /** Says how many steps are done. */
  update(done: number, readings?: Readings): void;
  /** A remark, above the bar. */
  note(line: string): void;
  /** Ends the piece of work. */
  stop(): void;
}

/** What one line of progress is made from. */
export interface Standing extends Readings {
  /** What is being done. */
  label: string;
  /** Steps done. */
  done: number;
  /** Steps in all. */
  total: number;
  /** Steps a second; undefined until one is known. */
  rate?: number;
}

/** "train 50/250 · 1.9/s · 1:45 left · loss 0.1234 · 2.1 GB" */
export function formatLine(at: Standing): string {
  const parts = [`${at.label} ${at.done}/${at.total}`];
  if (at.rate !== undefined && at.rate > 0) {
    parts.push(
      at.rate >= 1 ? `${at.rate.toPrecision(2)}/s` : `${(1 / at.rate).toPrecision(2)} s each`,
    );
    if (at.done < at.total) parts.push(`${formatTime((at.total - at.done) / at.rate)} left`);
  }
  if (at.loss !== undefined) parts.push(`loss ${at.loss.toFixed(4)}`);
  if (at.memory !== undefined) parts.push(`${(at.memory / 1e9).toFixed(1)} GB`);
  return parts.join(" · ");
}

/** Seconds as "45 s", "1:45" or "2:05:00". */
export function formatTime(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const two = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(s / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${two(minutes % 60)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/** What a log shows through. */
interface Sink {
  begin(at: Standing): void;
  show(at: Standing): void;
  note(line: string): void;
  end(at: Standing): void;
}

/** How progress is shown; the last two are for tests. */
export interface ProgressOptions {
  /** Nothing at all. */
  quiet?: boolean;
  /** Whether stderr is a terminal. */
  terminal?: boolean;
  /** Takes a line. */
  write?: (line: string) => void;
  /** Milliseconds. */
  now?: () => number;
}

/** Progress for this process: `quiet`, or a bar when stderr is a terminal, or lines. */
export async function createProgress(options: ProgressOptions = {}): Promise<Progress> {
  const { quiet = false, terminal = Deno.stderr.isTerminal() } = options;
  const { write = console.error, now = () => performance.now() } = options;
  const sink = quiet ? silence : terminal ? await bar(write) : lines(write, now);
  return track(sink, now);
}

/** Counts and times; the sink shows. */
function track(sink: Sink, now: () => number): Progress {
  let at: Standing | undefined, last = 0, lastDone = 0;
  const stop = () => {
    if (at) sink.end(at);
    at = undefined;
  };
  return {
    start(label, total, done = 0) {
      stop();
      at = { label: visibleLine(label), total, done };
      last = now();
      lastDone = done;
      sink.begin(at);
    },
    update(done, readings = {}) {
      if (!at) return;
      const time = now(), passed = (time - last) / 1000;
      if (done > lastDone && passed > 0) {
        const fresh = (done - lastDone) / passed;
        // Smoothed, so that a checkpoint does not shake the estimate; the first reading counts whole.
        at.rate = at.rate === undefined ? fresh : 0.8 * at.rate + 0.2 * fresh;
        last = time;
        lastDone = done;
      }
      Object.assign(at, readings, { done });
      sink.show(at);
    },
    note: (line) => sink.note(line),
    stop,
  };
}

const silence: Sink = { begin() {}, show() {}, note() {}, end() {} };

/** A line at the start, at the end, and every ten seconds between. */
function lines(write: (line: string) => void, now: () => number): Sink {
  let last = 0, shown = -1;
  const line = (at: Standing) => {
    write(formatLine(at));
    last = now();
    shown = at.done;
  };
  return {
    begin: line,
    show: (at) => {
      if (now() - last >= 10_000) line(at);
    },
    note: write,
    end: (at) => {
      if (at.done !== shown) line(at);
    },
  };
}

/** What is used of cli-progress, which carries no types. */
interface Bar {
  start(total: number, done: number, payload: { line: string }): void;
  update(done: number, payload: { line: string }): void;
  stop(): void;
}

const eraseLine = new TextEncoder().encode("\r\x1b[K");

async function bar(write: (line: string) => void): Promise<Sink> {
  const { default: library } = await import("npm:cli-progress@3.12.0");
  let shown: Bar | undefined;
  return {
    begin(at) {
      shown = new library.SingleBar({
        format: "{bar} {line}",
        barCompleteChar: "█",
        barIncompleteChar: "░",
        barsize: 24,
        hideCursor: true,
        gracefulExit: false, // Ctrl-C is interrupt.ts's.
      }) as Bar;
      shown.start(at.total, at.done, { line: formatLine(at) });
    },
    show: (at) => shown?.update(at.done, { line: formatLine(at) }),
    note(line) {
      if (shown) Deno.stderr.writeSync(eraseLine); // The next update draws the bar again, below.
      write(line);
    },
    end(at) {
      shown?.update(at.done, { line: formatLine(at) });
      shown?.stop();
      shown = undefined;
    },
  };
}
