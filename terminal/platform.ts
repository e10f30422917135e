/**
 * What the command may know of the machine without asking anybody for a permission.
 */

/** A variable of the environment; undefined where it is not set, or may not be read. */
export function granted(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}
