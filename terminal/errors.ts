/**
 * What the command does with an error: one line for what the user can mend, a stack and a request for what only we can.
 *
 * Errors are told apart by name, so that reporting one never has to load the module that it came from.
 */

/** A request that makes no sense as typed: a flag, a concept, a combination. */
export class UsageError extends Error {
  /** Always "UsageError". */
  override readonly name = "UsageError";
}

/** This machine computes something else than PyTorch. */
export class VerificationError extends Error {
  /** Always "VerificationError". */
  override readonly name = "VerificationError";

  /**
   * @param gold the golden file
   * @param wrong names of the tensors that differ
   */
  constructor(gold: string, wrong: readonly string[]) {
    const shown = wrong.slice(0, 5).join(", ") + (wrong.length > 5 ? ", …" : "");
    super(
      `${gold}: ${wrong.length} of its tensors come out otherwise here: ${shown}. Either the file is of ` +
        "another model, or this adapter computes wrong: `moongate doctor` shows which it is",
    );
  }
}

/** Errors whose message is written for the user: what is wrong, where, what to do. */
const known = new Set([
  "UsageError",
  "VerificationError",
  "FileError",
  "AdapterError",
  "DeviceError",
  "OutOfMemoryError",
  "TrainingError",
  "MergeError",
  "TokenError",
  "ParameterError",
  // Of Deno itself: a path or a permission.
  "NotFound",
  "PermissionDenied",
  "NotCapable",
  "AlreadyExists",
]);

/** Whether an error is the user's to mend. */
export function isKnown(error: unknown): boolean {
  return error instanceof Error && known.has(error.name);
}

/** Where unknown errors should be reported. */
const tracker = "the project's issue tracker";

/**
 * Writes an error to stderr.
 *
 * @param error anything that was thrown
 * @param write takes one line or several, without the last newline
 * @returns the exit code, always 1
 */
export function report(error: unknown, write: (text: string) => void = console.error): 1 {
  if (isKnown(error)) {
    write(`moongate: ${(error as Error).message}`);
    return 1;
  }
  const stack = error instanceof Error ? error.stack ?? String(error) : String(error);
  write(stack);
  if (error instanceof Error && error.cause) write(`caused by: ${String(error.cause)}`);
  write(
    `\nmoongate: this is a mistake in moongate, not in what you asked. Please report it on ${tracker}, ` +
      "with the text above and what `moongate doctor` prints.",
  );
  return 1;
}
