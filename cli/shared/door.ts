/** From a verb's command to its work, which is loaded when it is called: so `--help` and `doctor` start at once. */
import type { Command } from "npm:commander@15.1.0";
import type { Context } from "./verb.ts";

/** A verb's `work.ts`. */
export interface Work<A extends unknown[], T> {
  /** Does what a request, the first argument, asks for. */
  run(...args: A): Promise<T>;
  /** Claims what the verb writes, before anything else. */
  claim?(request: A[0]): Promise<AsyncDisposable>;
}

/**
 * A verb, ready to be added to the command.
 *
 * @param make its command, given what does the work
 * @param load its `work.ts`; what it writes is held from the first moment to the last
 */
export const door = <A extends unknown[], T>(
  make: (context: Context, run: (...args: A) => Promise<T>) => Command,
  load: () => Promise<Work<A, T>>,
) =>
(context: Context): Command => {
  const command = make(context, async (...args) => {
    const other = context.work?.[command.name()];
    if (other) return await other(...args) as T;
    const { claim, run } = await load();
    await using _ = await claim?.(args[0]);
    return await run(...args);
  });
  return command;
};
