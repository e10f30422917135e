/** What a verb hands its work to talk to the user with, and what verbs that look at things find. */
import type { Interrupt } from "../../terminal/interrupt.ts";
import type { Progress } from "../../terminal/progress.ts";

/** How work talks to the user. */
export interface Ui {
  /** Bars or lines, or nothing with `--quiet`. */
  progress: Progress;
  /** Ctrl-C. */
  interrupt: Interrupt;
  /** What must not be missed: a line on stderr, with `--quiet` too. */
  warn(line: string): void;
  /** A result: one line on stdout, with `--quiet` too. */
  say(line: string): void;
  /** The command as it was typed, to be typed again. */
  typed: string;
}

/** What `inspect` found: as data, and as lines for people. */
export interface Inspected {
  /** For `--json`. */
  facts: Record<string, unknown>;
  /** For the terminal. */
  lines: string[];
}
