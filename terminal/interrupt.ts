/**
 * Ctrl-C: the first one lets the work stop at a good place and save, the second one quits at once.
 */

/** Whether the user wants to stop. */
export interface Interrupt extends Disposable {
  /** Aborted at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** True after the first Ctrl-C: finish the step, save, and return. */
  readonly requested: boolean;
  /** Says how to go on later, after everything is saved, and ends the verb by throwing {@linkcode Interrupted}. */
  saved(howToResume: string): never;
}

/** What an interrupt acts on; replaced in tests. */
export interface InterruptOptions {
  /** Takes a line for the user. */
  write?: (line: string) => void;
  /** Runs before the last word is written: puts a bar away, for one. */
  beforeSaved?: () => void;
  /** Leaves the process. */
  exit?: (code: number) => void;
  /** Adds and removes the listener. */
  signals?: Pick<typeof Deno, "addSignalListener" | "removeSignalListener">;
}

/** Exit code of a process that was stopped by Ctrl-C. */
export const interrupted = 130;

/** Thrown after an interrupted verb has saved: no error, but not done either. */
export class Interrupted extends Error {
  /** Always "Interrupted". */
  override readonly name = "Interrupted";
}

/** Listens for Ctrl-C (and, where there is one, for SIGTERM) until disposed. */
export function catchInterrupt(options: InterruptOptions = {}): Interrupt {
  const { write = console.error, exit = Deno.exit, signals = Deno, beforeSaved } = options;
  const names: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const controller = new AbortController();
  const listener = () => {
    if (controller.signal.aborted) return exit(interrupted);
    write("stopping after this step, then saving (Ctrl-C again quits at once)");
    controller.abort();
  };
  for (const name of names) signals.addSignalListener(name, listener);
  return {
    signal: controller.signal,
    get requested() {
      return controller.signal.aborted;
    },
    saved(howToResume) {
      beforeSaved?.();
      write(`saved. Go on with: ${howToResume}`);
      throw new Interrupted();
    },
    [Symbol.dispose]() {
      for (const name of names) signals.removeSignalListener(name, listener);
    },
  };
}
