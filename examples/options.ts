/** What the programs of this folder are told on their command line: whole numbers, each with a default and a word about it. */
import process from "node:process";
import { parseArgs } from "node:util";

/** An option: its default, what it is, and the most that it may be. */
type Option = readonly [value: number, about: string, most?: number];

/**
 * The numbers that the command line gives, or their defaults. `--help` prints what there is and ends the program; what is no
 * option, or no whole number from 1 to the most, is named and ends it as well.
 */
export function numbers<Name extends string>(
  about: string,
  options: Readonly<Record<Name, Option>>,
): Record<Name, number> {
  const program = process.argv[1].split(/[\\/]/).at(-1);
  const names = Object.keys(options) as Name[];
  const given = Object.fromEntries(names.map((n) => [n, options[n][0]])) as Record<Name, number>;
  const refuse = (what: string): never => {
    console.error(
      `${program}: ${what}. It takes ${names.map((n) => `--${n} N`).join(", ")}; --help`,
    );
    process.exit(1);
  };
  const { tokens } = parseArgs({
    options: Object.fromEntries([
      ...names.map((name) => [name, { type: "string" }]),
      ["help", { type: "boolean", short: "h" }],
    ]),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === "positional") refuse(`"${token.value}" is no option`);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    if (name === "help") {
      console.log(`${about}\n\nUsage: deno run -A examples/${program} [options]\n`);
      for (const n of names) {
        console.log(`  ${`--${n} N`.padEnd(14)}${options[n][1]} (default ${options[n][0]})`);
      }
      console.log(`  ${"-h, --help".padEnd(14)}this text`);
      process.exit(0);
    }
    if (!names.includes(name as Name)) refuse(`there is no option "${rawName}"`);
    if (!/^\d+$/.test(value ?? "") || Number(value) < 1) {
      refuse(
        `${rawName} is ${
          value === undefined ? "left empty" : `"${value}"`
        }, not a whole number of at least 1`,
      );
    }
    const most = options[name as Name][2] ?? Infinity;
    if (Number(value) > most) refuse(`${rawName} is "${value}", more than ${most}`);
    given[name as Name] = Number(value);
  }
  return given;
}
