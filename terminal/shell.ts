/** Commands as they are typed: what is printed to be copied must survive a shell. */

/** A word as a shell takes it: PowerShell and POSIX shells both read single quotes as they are. */
export const quoted = (word: string): string =>
  /^[\w./=:@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", QUOTE)}'`;

/** A quote inside of quotes. */
const QUOTE = Deno.build.os === "windows" ? "''" : `'\\''`;

/** The command with its arguments, to be typed again. */
export const commandLine = (args: readonly string[]): string =>
  ["moongate", ...args].map(quoted).join(" ");
