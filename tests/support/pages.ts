/**
 * Pages of documents as programs: the blocks of TypeScript of a page, from top to bottom, are one. All of them run in one
 * process, one after the other, and the library that they import notes which of its functions are called.
 */
import { assert } from "@std/assert";
import { VARIABLES } from "../../device/environment.ts";

const ROOT = new URL("../../", import.meta.url);
const MOD = new URL("mod.ts", ROOT).href;

/** The text of a file of this repository. */
export const textOf = (path: string): Promise<string> => Deno.readTextFile(new URL(path, ROOT));

/** The paths of the pages about the library. */
export function libraryPages(folder = "docs/library"): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? libraryPages(`${folder}/${name}`) : [`${folder}/${name}`]
  ).sort();
}

/** The blocks of TypeScript of a page. */
export const blocksOf = (text: string): string[] =>
  [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);

/** What a page says that its lines print. */
export const promised = (code: string): string[] =>
  [...code.matchAll(/^(?:await show|console\.log)\(.*\); \/\/ (.*)$/gm)].map(([, line]) => line);

/** What came of a program. */
export interface Ran {
  /** What it printed, a line each. */
  readonly printed: readonly string[];
  /** What it threw. */
  readonly failed?: string;
  /** The functions of the library that it called: `topK`, `optim.adam`, `optim.initializers.ones`. */
  readonly called: ReadonlySet<string>;
}

const isClass = (f: unknown): boolean => /^class\b/.test(Function.prototype.toString.call(f));

/** The names of all functions of a door, those of its namespaces with a dot; classes are none. */
export function functionsOf(door: object, prefix = ""): string[] {
  return Object.entries(door).flatMap(([name, value]) => {
    if (typeof value === "function") return isClass(value) ? [] : [prefix + name];
    return value?.[Symbol.toStringTag] === "Module" ? functionsOf(value, `${prefix}${name}.`) : [];
  });
}

/** The library once more, as a module whose functions write their names into a file when they are called. */
function noting(names: readonly string[], log: string): string {
  return `
    import * as library from ${JSON.stringify(MOD)};
    const page = new URL(import.meta.url).searchParams.get("page");
    const seen = new Set();
    function note(name) {
      if (seen.has(name)) return;
      seen.add(name);
      Deno.writeTextFileSync(${JSON.stringify(log)}, page + " " + name + "\\n", { append: true });
    }
    function of(name, value) {
      if (typeof value === "function" && !/^class\\b/.test(Function.prototype.toString.call(value))) {
        return (...args) => (note(name), value(...args));
      }
      if (value?.[Symbol.toStringTag] !== "Module") return value;
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, of(name + "." + k, v)]));
    }
    ${names.map((n) => `export const ${n} = of("${n}", library.${n});`).join("\n")}`;
}

/** Runs Deno; what it printed. Pages are about what functions give, which other tests compare between devices: the CPU is there everywhere. */
async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    env: { [VARIABLES.device]: "cpu", NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Programs that import `mod.ts` by a relative path, in a folder of their own until they are disposed of. */
export class Programs {
  readonly #folder = Deno.makeTempDirSync();

  /** By their names. */
  constructor(readonly codes: ReadonlyMap<string, string>) {}

  #write(kind: string, mod: (page: number) => string): string[] {
    return [...this.codes.values()].map((code, i) => {
      const path = `${this.#folder}/${kind}_${i}.ts`;
      Deno.writeTextFileSync(path, code.replaceAll(/"\.[./]*\/mod\.ts"/g, `"${mod(i)}"`));
      return path;
    });
  }

  /** Type-checks all at once: most of what that takes is the library, which they share. */
  async check(): Promise<void> {
    await deno("check", ...this.#write("check", () => MOD));
  }

  /** Runs all of them, one after the other; one that throws does not keep the others from it. */
  async run(): Promise<Map<string, Ran>> {
    const log = `${this.#folder}/called.txt`;
    await Deno.writeTextFile(log, "");
    const recorder = new URL(`file://${this.#folder}/library.js`);
    await Deno.writeTextFile(recorder, noting(Object.keys(await import("../../mod.ts")), log));
    const paths = this.#write("run", (i) => `${recorder}?page=${i}`);
    const main = `${this.#folder}/main.ts`;
    await Deno.writeTextFile(
      main,
      `for (const path of ${JSON.stringify(paths)}) {
        try { await import("file://" + path); } catch (error) { console.log("\\0failed " + error.stack); }
        console.log("\\0end");
      }
      Deno.exit(0);`,
    );
    const parts = (await deno("run", "-A", "--no-check", main)).split("\0end\n");
    const called = (await Deno.readTextFile(log)).split("\n").map((line) => line.split(" "));
    return new Map([...this.codes.keys()].map((name, i) => {
      const [printed, failed] = parts[i].split("\0failed ");
      return [name, {
        printed: printed === "" ? [] : printed.trimEnd().split("\n"),
        ...(failed === undefined ? {} : { failed }),
        called: new Set(called.filter(([page]) => page === String(i)).map(([, f]) => f)),
      }];
    }));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
