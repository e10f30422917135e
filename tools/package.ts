/**
 * The bundle as a package that npm takes: `npm pack ./dist`, `npm publish ./dist`. Node, bundlers and TypeScript find every
 * door by its subpath; a server takes the folder as it is.
 *
 * Usage: `deno run -A tools/package.ts [folder]` (default: dist)
 */
import { beside } from "../files/beside.ts";
import config from "../deno.json" with { type: "json" };
import { bytes } from "../numerics/quantities.ts";
import { bundle, DOORS, TYPES } from "./bundle.ts";

const ROOT = beside("..", import.meta.url);

/** The `package.json` of this version. */
export const manifest = () => ({
  name: config.name,
  version: config.version,
  description:
    "Tensors with derivatives on WebGPU and the CPU, and diffusion models that learn from a few pictures",
  license: config.license,
  keywords: ["webgpu", "tensor", "autodiff", "wasm", "diffusion", "custom-diffusion"],
  type: "module",
  main: "./mod.js",
  types: `./mod${TYPES}`,
  exports: {
    ...Object.fromEntries(
      Array.from(DOORS.keys(), (door) => [
        door === "mod" ? "." : `./${door}`,
        { types: `./${door}${TYPES}`, default: `./${door}.js` },
      ]),
    ),
    "./package.json": "./package.json",
  },
  engines: { node: ">=20" },
});

/** Writes what a package has beside its code. */
export async function describe(folder: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/package.json`, JSON.stringify(manifest(), null, 2) + "\n");
  await Deno.copyFile(`${ROOT}docs/package.md`, `${folder}/README.md`);
  for (const name of ["LICENSE", "CHANGELOG.md"]) {
    await Deno.copyFile(`${ROOT}${name}`, `${folder}/${name}`);
  }
}

if (import.meta.main) {
  const folder = Deno.args[0] ?? `${ROOT}dist`;
  await Deno.remove(`${folder}/parts`, { recursive: true }).catch(() => {}); // Names of older builds.
  const sizes = Object.entries(await bundle(folder));
  await describe(folder);
  for (const [path, size] of sizes.filter(([path]) => !path.endsWith(".map"))) {
    console.log(`${path} ${bytes(size.plain)}, compressed ${bytes(size.packed)}`);
  }
}
