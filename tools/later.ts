/**
 * Parts of the bundle that come when a device is opened: what draws up programs and writes their kernels, and what computes
 * on the CPU. Whoever imports the tensors waits for neither.
 *
 * Why here and not in the sources: an op's record names its kernels, which are functions, and a function is the same
 * whether its module is there already or not, as long as nobody calls it before. In the bundle a module that comes later
 * is replaced, for those that do not, by functions and classes of its names that hand the call on (what `import defer` will be
 * once runtimes have it). What else a module gives can't wait, and the bundler refuses an import of it. A class that is handed on
 * is made and asked for by instanceof as ever; none is extended from outside of its part.
 */
import type * as esbuild from "npm:esbuild@0.27.0";
import { sources } from "./size.ts";

/** A part by its name, with the sources that are in it. */
const PARTS: Readonly<Record<string, RegExp>> = {
  cpu: /^(device\/cpu\.ts|device\/cpu\/(?!answers).*|ops\/gemm\/cpu_.*|ops\/attention\/cpu\.ts)$/,
  programs: new RegExp(
    `^(${
      [
        "compile/(?!errors\\.ts|estimate\\.ts).*",
        "device/(?!cpu|errors\\.ts|memory\\.ts|step_reports\\.ts|turn\\.ts).*",
        "ops/gemm/(?!conv_shape).*",
        "ops/attention/(flash|flash_writer|reference|streaming|tiles)\\.ts",
        "ops/(embedding|index)/kernels\\.ts",
        "ops/index/argsort_kernel\\.ts",
        "ops/(own|random|scan|shape)/kernel\\.ts",
        "ops/norm/(group|layer|runs)\\.ts",
        "ops/(rows|softmax_kernel)\\.ts",
      ].join("|")
    })$`,
  ),
};

/** What doors load besides their own names: the engine's what a device needs when one is asked for, the library's all at once. */
const DOORS: Readonly<Record<string, string>> = {
  "./engine.ts": `export * from "./engine.ts";
import { gpu as open } from "./device/adapter.ts";
export async function gpu(options) {
  await import("later:programs");
  return await open(options);
}`,
  "./mod.ts": `import "later:programs";
import "later:cpu";
export * from "./mod.ts";`,
};

/** Doors that need no tensors. */
const ALONE = /linalg/;
/** With them behind every other door and in every part, the tensors are one file: esbuild makes one of what the same doors reach. */
const TENSORS = `import "./engine.ts";\n`;

/** The part that a source is in. */
const partOf = (path: string): string | undefined =>
  Object.keys(PARTS).find((part) => PARTS[part].test(path));

/** The one table through which functions are found once they are there. */
const TABLE = `const known = {};
export const arrived = (functions) => { Object.assign(known, functions); };
export const of = (name) => known[name] ?? missing();
export const isOne = (name, x) => name in known && x instanceof known[name];
function missing() {
  throw new Error("this needs what comes with a device: const device = await gpu()");
}`;

/** Names that sources of other parts, or of none, take from each source that comes later. */
function taken(root: string): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>();
  for (const from of sources(root.slice(0, -1))) {
    const path = from.slice(root.length);
    if (path.startsWith("tests/")) continue;
    for (const [, list, to] of Deno.readTextFileSync(from).matchAll(IMPORTS)) {
      const target = new URL(to, `file:///${path}`).pathname.slice(1);
      const part = partOf(target);
      if (!part || waits(path, part)) continue;
      const of = names.get(target) ?? new Set();
      names.set(target, of);
      for (const item of list.split(",")) {
        const [name] = item.trim().split(/\s+as\s+/);
        if (name && !name.startsWith("type ")) of.add(name);
      }
    }
  }
  return names;
}

const IMPORTS = /^(?:import|export)\s+\{([^}]*)\}\s*from\s+"(\.[^"]+)";/gm;

/** Whether a source comes no earlier than a part: programs are there whenever the CPU is. */
const waits = (path: string, part: string): boolean =>
  partOf(path) === part || (partOf(path) === "cpu" && part === "programs");

/** The plugin, for the sources in a folder whose path ends in a slash. */
export function later(root: string): esbuild.Plugin {
  const names = taken(root);
  const key = (path: string, name: string) => `${path}:${name}`;
  /** What is called in the place of a module's functions. */
  const stub = async (path: string): Promise<string> => {
    const lines = Object.entries<unknown>(await import(`file://${root}${path}`)).flatMap(
      ([name, value]) => {
        if (typeof value !== "function") return []; // esbuild says that it is missing.
        const call = `of(${JSON.stringify(key(path, name))})`;
        return /^class\b/.test(`${value}`)
          ? `export class ${name} {
  constructor(...a) { return new (${call})(...a); }
  static [Symbol.hasInstance](x) { return isOne(${JSON.stringify(key(path, name))}, x); }
}`
          : `export const ${name} = (...a) => ${call}(...a);`;
      },
    );
    return `import { isOne, of } from "later:table";\n${lines.join("\n")}`;
  };
  /** The part itself: its functions go into the table. */
  const arrival = (part: string): string => {
    const files = [...names].filter(([path]) => partOf(path) === part);
    const lines = files.map(([path], i) => `import * as m${i} from "./${path}";`);
    const entries = files.flatMap(([path, list], i) =>
      [...list].map((name) => `${JSON.stringify(key(path, name))}: m${i}.${name}`)
    );
    return `${TENSORS}import { arrived } from "later:table";
${lines.join("\n")}
arrived({ ${entries.join(", ")} });
${part === "cpu" ? `export { openCpu } from "./device/cpu.ts";` : ""}`;
  };
  return {
    name: "later",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^later:/ }, ({ path }) => ({ path: path.slice(6), namespace: "later" }));
      onResolve({ filter: /^\.{1,2}\// }, ({ path, importer, namespace, kind }) => {
        const from = namespace === "later" ? importer : importer.slice(root.length);
        if (from in PARTS || namespace === "stub") return undefined;
        const target = new URL(path, `file:///${from}`).pathname.slice(1);
        const part = partOf(target);
        if (!part || waits(from, part)) return undefined;
        return kind === "dynamic-import"
          ? { path: part, namespace: "later" }
          : { path: target, namespace: "stub" };
      });
      onLoad({ filter: /.*/, namespace: "stub" }, async ({ path }) => ({
        contents: await stub(path),
      }));
      onLoad({ filter: /.*/, namespace: "later" }, ({ path }) => ({
        contents: path === "table"
          ? TABLE
          : path in PARTS
          ? arrival(path)
          : DOORS[path] ?? `${ALONE.test(path) ? "" : TENSORS}export * from "${path}";`,
        resolveDir: root,
      }));
    },
  };
}
