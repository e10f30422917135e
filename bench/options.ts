/** The benchmark's command line. */
import { parseArgs } from "node:util";
import { type Case, CASES, isModelCase } from "./cases/all.ts";
import { type Contender, CONTENDERS, type DeviceName, DEVICES, takesPython } from "./contenders.ts";

export const USAGE =
  "deno task bench [--device=cpu|webgpu] [--cases=softmax,…] [--peers=moongate,tfjs,…] [--rounds=15] " +
  "[--python=PATH] [--into=FILE] [--write]";

export interface Options {
  readonly device: DeviceName;
  readonly cases: readonly Case[];
  readonly peers: readonly Contender[];
  /** Batches of each library and case. */
  readonly rounds: number;
  /** A Python that has PyTorch, and diffusers. */
  readonly python?: string;
  /** A file that outcomes are kept in, so that a table may be measured in several runs. */
  readonly into?: string;
  /** Whether the table goes into `docs/benchmarks.md`. */
  readonly write: boolean;
}

/** All that can be compared on a device; without a Python all but PyTorch. */
export function whole(device: DeviceName, python = true) {
  return {
    cases: CASES.filter((c) => device === "cpu" || !isModelCase(c)),
    peers: CONTENDERS.filter((c) => c.device === device && (python || !takesPython(c))),
  };
}

/** Reads the command line. @throws Error with what is allowed */
export function options(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      device: { type: "string", default: "cpu" },
      cases: { type: "string" },
      peers: { type: "string" },
      rounds: { type: "string", default: "15" },
      python: { type: "string" },
      into: { type: "string" },
      write: { type: "boolean", default: false },
    },
  });
  const { python, into, write } = values;
  const device = DEVICES.find((name) => name === values.device);
  if (!device) throw new Error(`--device: "${values.device}" is none of ${DEVICES.join(", ")}`);
  const chosen = <T extends { readonly name: string }>(option: "cases" | "peers", all: T[]) => {
    const names = values[option]?.split(",");
    const unknown = names?.find((name) => !all.some((one) => one.name === name));
    if (unknown !== undefined) {
      const known = all.map((one) => one.name).join(", ");
      const hint = option === "peers" && device === "cpu" ? "; PyTorch takes --python=PATH" : "";
      throw new Error(`--${option}: "${unknown}" is none of ${known}${hint}`);
    }
    return names ? all.filter((one) => names.includes(one.name)) : all;
  };
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds takes a positive integer");
  const all = whole(device, python !== undefined);
  const result = { cases: chosen("cases", all.cases), peers: chosen("peers", all.peers) };
  return { device, ...result, rounds, python, into, write };
}

/** What is left out of a table: the names of cases and libraries that neither was measured nor is to be. */
export function missing(
  all: ReturnType<typeof whole>,
  cases: readonly string[],
  peers: readonly string[],
): string[] {
  const out = (named: readonly { readonly name: string }[], there: readonly string[]) =>
    named.map(({ name }) => name).filter((name) => !there.includes(name));
  return [...out(all.cases, cases), ...out(all.peers, peers)];
}
