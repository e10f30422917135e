/**
 * The library as one file, `dist/mod.js`, and its tensors alone, `dist/engine.js`, with their types beside them: what a page
 * or a program takes by URL in one request, from any server. Of TypeScript, plain servers give a type that nobody takes,
 * and the sources are some 240 requests.
 *
 * Small packages are taken in. The decoder of pictures, 14 MB, stays an `npm:` import, which Deno loads when the first
 * picture is met; browsers have their own. Not committed: releases carry it.
 *
 * Usage: `deno run -A tools/bundle.ts [folder]` (default: dist)
 */
import * as esbuild from "npm:esbuild@0.27.0";
import { rollup } from "npm:rollup@4.53.3";
import { dts } from "npm:rollup-plugin-dts@6.3.0";
import { bytes } from "../numerics/quantities.ts";

const ROOT = new URL("..", import.meta.url).pathname;
/** What is bundled, by name. */
const DOORS = ["mod", "engine"];
/** The one package that stays outside. */
const OUTSIDE = /^npm:@imagemagick\//;
/** Names that older runtimes lack. */
const OLDER = `${ROOT}tools/older.ts`;
/** Not `.d.ts`: what ends in `.ts` is a video to many servers. */
const TYPES = ".d.mts";

/** Writes both files and their types into a folder; gives their paths, and sizes in bytes, plain and compressed. */
export async function bundle(folder: string): Promise<Record<string, Size>> {
  await Deno.mkdir(folder, { recursive: true });
  const sizes: Record<string, Size> = {};
  for (const door of DOORS) {
    const files = { [`${door}.js`]: await code(door), [`${door}${TYPES}`]: await types(door) };
    for (const [name, text] of Object.entries(files)) {
      const bytes = new TextEncoder().encode(text);
      await Deno.writeFile(`${folder}/${name}`, bytes);
      sizes[`${folder}/${name}`] = { plain: bytes.length, packed: (await gzip(bytes)).length };
    }
  }
  await esbuild.stop();
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

async function code(door: string): Promise<string> {
  const { outputFiles: [file] } = await esbuild.build({
    entryPoints: [`${ROOT}${door}.ts`],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    inject: [OLDER],
    external: ["node:*"],
    plugins: [packages],
    minifyWhitespace: true,
    minifySyntax: true,
    // The small file is to be small; in the large one, names make errors readable.
    minifyIdentifiers: door === "engine",
    banner: { js: `// @ts-self-types="./${door}${TYPES}"` },
    logLevel: "error",
  });
  return file.text;
}

async function types(door: string): Promise<string> {
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
    input: `${ROOT}${door}.ts`,
    external: [/^(npm|node):/],
    plugins: [dts({ compilerOptions: compilerOptions as never })],
  });
  const { output: [{ code }] } = await built.generate({ format: "es" });
  await built.close();
  return code;
}

if (import.meta.main) {
  for (const [path, size] of Object.entries(await bundle(Deno.args[0] ?? `${ROOT}dist`))) {
    console.log(`${path} ${bytes(size.plain)}, compressed ${bytes(size.packed)}`);
  }
}
