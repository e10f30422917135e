/** A process that answers a line with a line: how the benchmark speaks with each library's process, and that with Python. */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";

/** Marks the lines that are answers among whatever a library prints. */
const MARK = "outcome ";

/** Answers the process that asks. */
export const answer = (value: unknown): void => console.log(MARK + JSON.stringify(value));

/** The lines that this process is asked, until there are no more. */
export const asked = (): AsyncIterable<string> => createInterface({ input: process.stdin });

/** A process that was started to answer. */
export class Child {
  readonly #process;
  readonly #lines: AsyncIterator<string>;
  readonly #limit: number;
  readonly #broken: Promise<never>;
  #said = "";

  /** @param limit milliseconds that an answer may take: a library that hangs must not hold up the others */
  constructor(command: string, args: readonly string[], limit: number) {
    this.#limit = limit;
    this.#process = spawn(command, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    this.#broken = new Promise((_, reject) => this.#process.on("error", reject));
    // What goes wrong with the process shows when it is asked.
    this.#broken.catch(() => {});
    this.#process.stdin.on("error", () => {});
    this.#process.stderr.on("data", (text) => this.#said = (this.#said + text).slice(-4096));
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /**
   * The answer to a line; without one the first, which is given unasked.
   *
   * @throws Error with what the process said when it ends instead, or that it took too long
   */
  async ask<T>(line?: string): Promise<T> {
    if (line !== undefined) this.#process.stdin.write(`${line}\n`);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const fault = `no answer in ${this.#limit / 1000} s`;
      timer = setTimeout(() => reject(new Error(fault)), this.#limit);
    });
    try {
      return JSON.parse(await Promise.race([this.#answer(), this.#broken, late]));
    } catch (e) {
      this.end();
      throw e;
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) {
        const lines = this.#said.trim().split("\n");
        const fault = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1);
        throw new Error(fault || "the process ended");
      }
      if (value.startsWith(MARK)) return value.slice(MARK.length);
    }
  }

  /** Ends the process. */
  end(): void {
    this.#process.kill("SIGKILL");
  }
}
