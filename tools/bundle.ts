/**
 * The library as one file, `dist/mod.js`, with its types in another: what a page or a program takes by URL in one request,
 * from any server. Of TypeScript, plain servers give a type that nobody takes, and the sources are some 240 requests.
 *
 * Packages stay `npm:` imports, loaded when the first picture of their kind is met. Not committed: releases carry it.
 *
 * Usage: `deno run -A tools/bundle.ts [folder]` (default: dist)
 */
import * as esbuild from "npm:esbuild@0.27.0";
import { rollup } from "npm:rollup@4.53.3";
import { dts } from "npm:rollup-plugin-dts@6.3.0";
import { bytes } from "../numerics/quantities.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const DOOR = `${ROOT}mod.ts`;
/** Names that older runtimes lack. */
const OLDER = `${ROOT}tools/older.ts`;
/** Not `.d.ts`: what ends in `.ts` is a video to many servers. */
const TYPES = "mod.d.mts";

/** Writes `mod.js` and its types into a folder; gives their paths and sizes in bytes. */
export async function bundle(folder: string): Promise<Record<string, number>> {
  await Deno.mkdir(folder, { recursive: true });
  const files = { [`${folder}/mod.js`]: await code(), [`${folder}/${TYPES}`]: await types() };
  const sizes: Record<string, number> = {};
  for (const [path, text] of Object.entries(files)) {
    await Deno.writeTextFile(path, text);
    sizes[path] = new TextEncoder().encode(text).length;
  }
  return sizes;
}

async function code(): Promise<string> {
  try {
    const { outputFiles: [file] } = await esbuild.build({
      entryPoints: [DOOR],
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      target: "es2022",
      inject: [OLDER],
      external: ["npm:*", "node:*"],
      banner: { js: `// @ts-self-types="./${TYPES}"` },
      logLevel: "error",
    });
    return file.text;
  } finally {
    await esbuild.stop();
  }
}

async function types(): Promise<string> {
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
    input: DOOR,
    external: [/^(npm|node):/],
    plugins: [dts({ compilerOptions: compilerOptions as never })],
  });
  const { output: [{ code }] } = await built.generate({ format: "es" });
  await built.close();
  return code;
}

if (import.meta.main) {
  for (const [path, size] of Object.entries(await bundle(Deno.args[0] ?? `${ROOT}dist`))) {
    console.log(`${path} ${bytes(size)}`);
  }
}
