/**
 * Progress of long work: a bar on a terminal, lines in a log, nothing with `--quiet`. All of it on stderr.
 *
 * The clock of a piece of work stands still while kernels compile: that is shown as what it is, and no step of the work.
 */
import type { CompileProgress } from "../device/pipelines.ts";
import { visibleLine } from "../files/visible.ts";
import { type Beside, Estimate } from "./estimate.ts";
import { formatLine, layout, type Readings, type Standing } from "./line.ts";

/** How a piece of work begins. */
export interface WorkPlan {
  /** Steps that are done already. Default 0. */
  done?: number;
  /** What is done beside the steps, by name. */
  beside?: Readonly<Record<string, Beside>>;
}

/** Shows how far something is. */
export interface Progress {
  /** Begins a piece of work of `total` steps; ends the one before. */
  start(label: string, total: number, plan?: WorkPlan): void;
  /** Says how many steps are done. */
  update(done: number, readings?: Readings): void;
  /** Says that one of the things beside the steps is done: the time since the last report was its. */
  did(name: string): void;
  /** Says how far the compiling of kernels is. */
  compiling(at: CompileProgress): void;
  /** A remark, above the bar. */
  note(line: string): void;
  /** Takes the bar off its line, for something else to be written there; the bar comes back below. */
  clear(): void;
  /** Ends the piece of work. */
  stop(): void;
}

/** What a log shows through. */
interface Sink {
  begin(at: Current): void;
  show(at: Current): void;
  note(line: string): void;
  clear(): void;
  end(at: Current): void;
}

/** A piece of work: how it stands at the moment of asking. */
type Current = () => Standing;

/** How progress is shown; all but the first are for tests. */
export interface ProgressOptions {
  /** Nothing at all. */
  quiet?: boolean;
  /** Whether stderr is a terminal that can move its cursor. */
  terminal?: boolean;
  /** Takes a line. */
  write?: (line: string) => void;
  /** Takes what moves the cursor of a terminal. */
  draw?: (text: string) => void;
  /** Milliseconds. */
  now?: () => number;
}

/** Progress for this process: `quiet`, or a bar when stderr is a terminal, or lines. */
export function createProgress(options: ProgressOptions = {}): Progress {
  const { quiet = false, terminal = Deno.stderr.isTerminal() && !isDumb() } = options;
  const { write = console.error, now = () => performance.now() } = options;
  const { draw = (text) => void Deno.stderr.writeSync(encoder.encode(text)) } = options;
  return track(quiet ? silence : terminal ? bar(write, draw) : lines(write, now), now);
}

const encoder = new TextEncoder();

/** Whether the terminal says that it can't move its cursor. Nothing is asked where that takes a permission. */
function isDumb(): boolean {
  const may = Deno.permissions.querySync({ name: "env", variable: "TERM" }).state === "granted";
  return may && Deno.env.get("TERM") === "dumb";
}

/** Compiling that is shorter than this is not worth a line of its own, where nothing else is under way. */
const WORTH_SAYING = 1000;

/** Counts and times; the sink shows. */
function track(sink: Sink, now: () => number): Progress {
  let at: Standing | undefined, estimate: Estimate | undefined;
  // The clock of the work: it stands still from `paused` on, and has stood still for `still` before.
  let paused: number | undefined, still = 0, own = false;
  const time = () => ((paused ?? now()) - still) / 1000;
  const current = (): Standing => {
    const { step } = estimate!;
    const left = estimate!.left(time());
    return {
      ...at!,
      ...(step !== undefined && step > 0 && { rate: 1 / step }),
      ...(left !== undefined && { left }),
    };
  };
  const stop = () => {
    if (at) sink.end(current);
    at = undefined;
    own = false;
  };
  const start = (label: string, total: number, { done = 0, beside }: WorkPlan = {}) => {
    stop();
    at = { label: visibleLine(label), total, done };
    estimate = new Estimate(total, done, time(), beside);
    sink.begin(current);
  };
  return {
    start,
    update(done, readings = {}) {
      if (!at || own) return;
      estimate!.steps(done, time());
      Object.assign(at, readings, { done: Math.max(done, at.done) });
      sink.show(current);
    },
    did(name) {
      if (at && !own) estimate!.beside(name, time());
    },
    compiling({ done, total, ready }) {
      paused ??= now();
      if (!at && now() - paused >= WORTH_SAYING && total > 0) {
        start("compiling kernels", total);
        own = true;
      }
      if (ready) {
        still += now() - paused;
        paused = undefined;
        if (own) stop();
        else if (at) delete at.compiling;
        return;
      }
      if (!at) return;
      Object.assign(at, own ? { done, total } : { compiling: { done, total } });
      sink.show(current);
    },
    note: (line) => sink.note(line),
    clear: () => sink.clear(),
    stop,
  };
}

const silence: Sink = { begin() {}, show() {}, note() {}, clear() {}, end() {} };

/** A line at the start, at the end, and every ten seconds between. */
function lines(write: (line: string) => void, now: () => number): Sink {
  let last = 0, shown: Standing | undefined;
  const line = (at: Current) => {
    write(formatLine(shown = at()));
    last = now();
  };
  return {
    begin: line,
    show: (at) => {
      if (now() - last >= 10_000) line(at);
    },
    note: write,
    clear() {},
    end: (at) => {
      const { done } = at();
      if (done !== shown?.done || shown.compiling) line(at);
    },
  };
}

/** Milliseconds between two drawings of a bar that is told something, and of one that is not. */
const REDRAW = { told: 100, idle: 500 };

/**
 * A line that is drawn over itself. It begins where the cursor is and is never longer than the terminal is wide, so that
 * going back to the line's beginning is all that it takes: no position is remembered that a remark would make wrong.
 */
function bar(write: (line: string) => void, draw: (text: string) => void): Sink {
  let shown: Current | undefined, drawn = -Infinity;
  let timer: ReturnType<typeof setInterval> | undefined;
  const redraw = () => {
    if (!shown) return;
    draw(`\r${layout(shown(), columns() - 1)}\x1b[K`);
    drawn = performance.now();
  };
  const clear = () => {
    if (shown) draw("\r\x1b[K");
  };
  return {
    begin(at) {
      shown = at;
      redraw();
      // The time left goes on while a step does. A bar keeps no process alive.
      timer = setInterval(redraw, REDRAW.idle);
      timer.unref();
    },
    show: () => {
      if (performance.now() - drawn >= REDRAW.told) redraw();
    },
    note(line) {
      clear();
      write(line);
      redraw();
    },
    clear,
    end() {
      clearInterval(timer);
      redraw();
      draw("\n");
      shown = undefined;
    },
  };
}

/** Columns of the terminal now: a window may be made larger and smaller. */
function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}
