/**
 * The library as JavaScript, with types: what a page or a program takes by URL, from any server, and what packages hold. Of
 * TypeScript, plain servers give a type that nobody takes, and the sources are some 240 requests.
 *
 * Every door (`mod.js`, `engine.js` …) shares the files in `parts/` with the others, so that a tensor of one is a tensor of
 * all. What is needed only once a device is open comes then (`later.ts`). Small packages are taken in. The decoder of pictures,
 * 14 MB, stays an `npm:` import, which Deno loads when the first picture is met; browsers have their own. Not committed:
 * releases carry it.
 *
 * Usage: `deno run -A tools/bundle.ts [folder]` (default: dist)
 */
import * as esbuild from "npm:esbuild@0.27.0";
import { rollup } from "npm:rollup@4.53.3";
import { dts } from "npm:rollup-plugin-dts@6.3.0";
import { bytes } from "../numerics/quantities.ts";
import { later } from "./later.ts";

const ROOT = new URL("..", import.meta.url).pathname;
/** What is bundled: files of the root. */
export const DOORS = ["mod", "engine", "linalg"];
/** The one package that stays outside. */
const OUTSIDE = /^npm:@imagemagick\//;
/** Names that older runtimes lack. */
const OLDER = `${ROOT}tools/older.ts`;
/** Not `.d.ts`: what ends in `.ts` is a video to many servers. */
const TYPES = ".d.mts";

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
          : { path: new URL(import.meta.resolve(path)).pathname },
    );
  },
};

/** The files of the code, by name. */
async function code(): Promise<[string, string][]> {
  const { outputFiles } = await esbuild.build({
    entryPoints: Object.fromEntries(DOORS.map((door) => [door, `later:${door}`])),
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
    logLevel: "error",
  });
  await esbuild.stop();
  return outputFiles.map(({ path, text }) => {
    const name = path.slice(ROOT.length);
    const door = DOORS.find((d) => name === `${d}.js`);
    return [name, door ? `// @ts-self-types="./${door}${TYPES}"\n${text}` : text];
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
    input: Object.fromEntries(DOORS.map((door) => [door, `${ROOT}${door}.ts`])),
    external: [/^(npm|node):/],
    plugins: [dts({ compilerOptions: compilerOptions as never })],
  });
  const { output } = await built.generate({
    format: "es",
    entryFileNames: `[name]${TYPES}`,
    chunkFileNames: `parts/[name]-[hash]${TYPES}`,
  });
  await built.close();
  return output.flatMap((file) =>
    file.type !== "chunk" ? [] : [[
      file.fileName,
      // What is imported by the name of a file that is there, every reader of types finds.
      file.code.replaceAll(/ from '(\..*)\.mjs';/g, ` from "$1${TYPES}";`),
    ]]
  );
}

if (import.meta.main) {
  for (const [path, size] of Object.entries(await bundle(Deno.args[0] ?? `${ROOT}dist`))) {
    console.log(`${path} ${bytes(size.plain)}, compressed ${bytes(size.packed)}`);
  }
}
