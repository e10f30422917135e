/**
 * The one error that everything which touches a file throws.
 *
 * Why a class of its own: the command prints it without a stack (it is the user's file that is at fault, not the
 * code), and callers can tell "this picture is broken" from "this program is broken".
 */

import { visibleLine } from "./visible.ts";

/** A file, folder or tensor in a file that can't be used. The message says what is wrong, where, and what to do. */
export class FileError extends Error {
  /** The file or folder, as the caller named it. */
  readonly file: string;
  /** What is wrong with it, without the file name and without advice. */
  readonly fault: string;

  /**
   * Puts the message together.
   *
   * @param file the file or folder, as the caller named it
   * @param fault what is wrong, in the form "holds no pictures"
   * @param advice what to do about it, a full sentence without its period
   */
  constructor(file: string, fault: string, advice?: string, options?: ErrorOptions) {
    super(visibleLine(`${file || '""'}: ${fault}${advice ? `. ${advice}` : ""}`), options);
    this.name = "FileError";
    this.file = file;
    this.fault = fault;
  }

  /** Turns whatever an operating system call threw into a `FileError`; passes a `FileError` through. */
  static from(error: unknown, file: string, doing: string): FileError {
    if (error instanceof FileError) return error;
    const kind = error instanceof Error ? error.name : "";
    const [fault, advice] = FAULTS[kind] ?? [`${doing} failed: ${messageOf(error)}`, undefined];
    return new FileError(file, fault, advice, { cause: error });
  }
}

/** The message of anything that may have been thrown. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const FAULTS: Readonly<Record<string, [fault: string, advice: string]>> = {
  NotFound: ["does not exist", "Check the path"],
  PermissionDenied: ["may not be accessed", "Check who owns the file and its permissions"],
  NotCapable: [
    "Deno may not access it",
    "Run with --allow-read and --allow-write for that folder, or with -A",
  ],
  IsADirectory: ["is a folder", "Name a file in it"],
  // What browsers call it.
  NotFoundError: ["does not exist", "Check the path"],
  TypeMismatchError: ["is a folder where a file is expected, or the reverse", "Check the path"],
  NotReadableError: ["can't be read any more", "It was changed or moved since: pick it again"],
  NotAllowedError: [
    "may not be accessed",
    "The browser lets the page after requestPermission of the folder's handle, called at a click",
  ],
  QuotaExceededError: ["finds no room", "Remove what is not needed from the browser's storage"],
  NotADirectory: ["lies under something that is not a folder", "Check the path"],
};
