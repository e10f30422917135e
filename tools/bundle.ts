/**
 * The library as JavaScript, with types: what a page or a program takes by URL, from any server, and what packages hold. Of
 * TypeScript, plain servers give a type that nobody takes, and the sources are some 340 requests.
 *
 * Every door (`mod.js`, `engine.js` …) shares the files in `parts/` with the others, so that a tensor of one is a tensor of
 * all. What is needed only once a device is open comes then (`later.ts`). Small packages are taken in. The decoder of pictures,
 * 14 MB, stays an `npm:` import, which Deno loads when the first picture is met; browsers have their own. Not committed:
 * releases carry it.
 */
import { beside } from "../files/beside.ts";
import config from "../deno.json" with { type: "json" };
import * as esbuild from "npm:esbuild@0.27.0";
import { rollup } from "npm:rollup@4.53.3";
import { dts } from "npm:rollup-plugin-dts@6.3.0";
import { later } from "./later.ts";

const ROOT = beside("..", import.meta.url);
/** What is bundled, by name: the sources that `deno.json` exports, but for the command, which is a program. */
export const DOORS: ReadonlyMap<string, string> = new Map(
  Object.entries(config.exports)
    .filter(([subpath]) => subpath !== "./cli")
    .map(([subpath, source]) => [subpath === "." ? "mod" : subpath.slice(2), source]),
);
/** The one package that stays outside. */
const OUTSIDE = /^npm:@imagemagick\//;
/** Names that older runtimes lack. */
const OLDER = `${ROOT}tools/older.ts`;
/** What TypeScript looks for beside a `.js`. */
export const TYPES = ".d.ts";

/** Writes all doors, parts and types into a folder; gives their paths, and sizes in bytes, plain and compressed. */
export async function bundle(folder: string): Promise<Record<string, Size>> {
  const sizes: Record<string, Size> = {};
  for (const [name, text] of [...await code(), ...await types()]) {
    const path = `${folder}/${name}`;
    const bytes = new TextEncoder().encode(text);
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, bytes);
    sizes[path] = { plain: bytes.length, packed: (await gzip(bytes)).length };
  }
  return sizes;
}

/** Bytes of a file as it lies there, and as servers send it. */
export interface Size {
  readonly plain: number;
  readonly packed: number;
}

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/** Takes packages from where Deno keeps them. */
const packages: esbuild.Plugin = {
  name: "npm",
  setup({ onResolve }) {
    onResolve(
      { filter: /^npm:/ },
      ({ path }) =>
        OUTSIDE.test(path)
          ? { external: true }
          : { path: beside(import.meta.resolve(path), import.meta.url) },
    );
  },
};

/** The files of the code, by name. */
async function code(): Promise<[string, string][]> {
  const { outputFiles } = await esbuild.build({
    entryPoints: Object.fromEntries(
      Array.from(DOORS, ([door, source]) => [door, `later:${source}`]),
    ),
    bundle: true,
    splitting: true,
    write: false,
    outdir: ROOT,
    chunkNames: "parts/[name]-[hash]",
    format: "esm",
    platform: "neutral",
    target: "es2022",
    inject: [OLDER],
    external: ["node:*"],
    plugins: [later(ROOT), packages],
    minify: true,
    // Stack traces and debuggers name the sources.
    sourcemap: "linked",
    logLevel: "error",
  });
  await esbuild.stop();
  return outputFiles.map(({ path, text }) => {
    const name = path.slice(ROOT.length);
    const door = name.endsWith(".js") && name.slice(0, -3);
    return [
      name,
      door && DOORS.has(door) ? `// @ts-self-types="./${door}${TYPES}"\n${text}` : text,
    ];
  });
}

/** The files of the types, by name. */
async function types(): Promise<[string, string][]> {
  const compilerOptions = {
    allowImportingTsExtensions: true,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts"],
    module: 99, // ESNext
    moduleResolution: 100, // Bundler
    resolveJsonModule: true,
    skipLibCheck: true,
    stripInternal: true,
    target: 99, // ESNext
    types: [],
  };
  const built = await rollup({
    input: Object.fromEntries(
      Array.from(DOORS, ([door, source]) => [door, ROOT + source.slice(2)]),
    ),
    external: [/^(npm|node):/],
    plugins: [dts({ compilerOptions: compilerOptions as never })],
  });
  const { output } = await built.generate({
    format: "es",
    entryFileNames: `[name]${TYPES}`,
    chunkFileNames: `parts/[name]-[hash]${TYPES}`,
  });
  await built.close();
  const all = output.map((file) => file.type === "chunk" ? file.code : "").join("\n");
  const isType = (name: string) => new RegExp(`^(interface|type) ${name}\\b`, "m").test(all);
  return output.flatMap((file) => {
    if (file.type !== "chunk") return [];
    // Within `export * as`, the plugin takes types of other files for values.
    const whole = file.code.replaceAll(
      /^declare const (\w+): typeof (\w+);$/gm,
      (line, alias, name) => isType(name) ? `type ${alias} = ${name};` : line,
    );
    const name = file.fileName, text = withoutWebGpu(whole);
    if (file.isEntry) return [[name, text]];
    // Types that doors share have a module of their own; Deno finds types by way of code, so there is some.
    const code = name.slice(0, -TYPES.length) + ".js", types = name.split("/").at(-1)!;
    return [[name, text], [code, `// @ts-self-types="./${types}"\nexport {};\n`]];
  });
}

/** Types of WebGPU, which not every version of TypeScript has, are those of the reader where he has them. */
function withoutWebGpu(code: string): string {
  const names = new Set(code.replaceAll(/\/\*.*?\*\//gs, "").match(/\bGPU[A-Z]\w+\b/g));
  const own = [...names].map((name) =>
    `type ${name} = typeof globalThis extends { ${name}: { prototype: infer T } } ? T : unknown;\n`
  );
  return own.join("") + code;
}
