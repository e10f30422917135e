/**
 * Functions that are made of others, and the errors of these: who called `adam` has not called `scaleByRate`, and does not know
 * which argument of it is meant. Where a part can't be told who it works for, what it refuses is said anew.
 */

/**
 * What `f` gives. What a part of it refuses in its own name is said in the name of the function that was called.
 *
 * @param op the function that was called
 * @param f its work; where it calls a function of its caller's, by {@linkcode theirs}
 * @param places what the parts call an argument, and what the caller does: `{ "argument 1 (rate)": "options.rate" }`; with the part's
 *   name in front (`"trace: argument 1 (decay)"`) for that part alone
 */
export function calledAs<R>(
  op: string,
  f: () => R,
  places: Readonly<Record<string, string>> = {},
): R {
  try {
    return f();
  } catch (error) {
    if (error instanceof Error && !foreign.has(error)) rename(error, op, places);
    throw error;
  }
}

/** Errors of functions that the caller gave. */
const foreign = new WeakSet<object>();

/** What a function of the caller's gives; its errors keep their own words. */
export function theirs<R>(f: () => R): R {
  try {
    return f();
  } catch (error) {
    if (error instanceof Error) foreign.add(error);
    throw error;
  }
}

function rename(error: Error, op: string, places: Readonly<Record<string, string>>): void {
  const before = error.message;
  const [, part, told] = /^([a-z]\w*): ([^]*)$/i.exec(before) ?? [];
  if (part === undefined || part === op) return;
  const place = Object.keys(places).find((p) =>
    p.includes(": ") ? before.startsWith(p) : told.startsWith(p)
  );
  const rest = place === undefined
    ? told
    : places[place] + told.slice(place.length - (place.includes(": ") ? part.length + 2 : 0));
  error.message = `${op}: ${rest}`;
  // The stack repeats the message as it was when the error was made.
  if (error.stack?.includes(before)) error.stack = error.stack.replace(before, () => error.message);
}
