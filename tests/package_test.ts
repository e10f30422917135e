// What is published: the package as npm makes it, installed into an empty folder, in Node, TypeScript and a bundler; and which
// files of the repository JSR gets.
import { assert, assertEquals, assertMatch } from "@std/assert";
import * as esbuild from "npm:esbuild@0.27.0";
import config from "../deno.json" with { type: "json" };
import { DOORS } from "../tools/bundle.ts";
import { describe, manifest } from "../tools/package.ts";
import { published } from "../tools/publish.ts";
import { dist } from "./support/dist.ts";

const ROOT = new URL("../", import.meta.url).pathname;

/** Runs a command; undefined where there is no such command. */
async function run(cwd: string, command: string, ...args: string[]) {
  try {
    const signal = AbortSignal.timeout(240_000);
    const env = { NO_COLOR: "1", npm_config_update_notifier: "false" };
    const done = await new Deno.Command(command, { args, cwd, env, signal }).output();
    const [out, err] = [done.stdout, done.stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code: done.code, out, err };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The program of the package's own README. */
async function program(): Promise<string> {
  const [, code] = /```ts\n(.*?)```/s.exec(await Deno.readTextFile(`${ROOT}docs/package.md`))!;
  return code;
}

let user: Promise<string | undefined> | undefined;

/** A folder with the package installed in it, made once; undefined where there is no npm. Every test adds files of its own. */
const installed = () => user ??= install();

/** Packs the bundle, and installs it into an empty folder. */
async function install(): Promise<string | undefined> {
  const { folder: library } = await dist(), folder = await Deno.makeTempDir();
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  const [source, user] = [`${folder}/package`, `${folder}/user`];
  await Deno.mkdir(user);
  assertEquals((await run(folder, "cp", "-r", library, source))?.code, 0);
  await describe(source);
  const packed = await run(folder, "npm", "pack", source, "--json");
  if (!packed) {
    console.log("no npm is here: nothing is tested with it");
    return undefined;
  }
  assertEquals(packed.code, 0, packed.err);
  const [{ filename, files }] = JSON.parse(packed.out);
  const names: string[] = files.map(({ path }: { path: string }) => path);
  for (const name of ["package.json", "README.md", "LICENSE", "engine.js", "engine.d.ts"]) {
    assert(names.includes(name), name);
  }
  assertEquals(
    names.filter((n) => !/\.(js|js\.map|d\.ts|md)$|^LICENSE$|^package\.json$/.test(n)),
    [],
  );
  await Deno.writeTextFile(`${user}/package.json`, `{ "private": true, "type": "module" }`);
  const options = ["--offline", "--no-audit", "--no-fund"];
  const done = (await run(user, "npm", "install", ...options, `${folder}/${filename}`))!;
  assertEquals(done.code, 0, done.err);
  return user;
}

Deno.test("npm's package, packed and installed into an empty folder: Node 20 and 22 run its README, and every door opens", async () => {
  const user = await installed();
  if (!user) return;
  const { code } = await esbuild.transform(await program(), { loader: "ts" });
  await esbuild.stop();
  await Deno.writeTextFile(`${user}/main.mjs`, code);
  const doors = Object.keys(manifest().exports).filter((path) => path !== "./package.json");
  await Deno.writeTextFile(
    `${user}/doors.mjs`,
    `const doors = ${JSON.stringify(doors)};
for (const door of doors) {
  const { length } = Object.keys(await import("${config.name}" + door.slice(1)));
  if (length < 5) throw new Error(door + " has " + length + " names");
}
console.log("open", doors.length);`,
  );
  for (const version of ["20", "22"]) {
    const node = (main: string) => run(user, "npx", "--yes", `node@${version}`, main);
    const found = await run(user, "npx", "--yes", `node@${version}`, "--version");
    if (!found?.out.startsWith(`v${version}.`)) {
      console.log(`Node ${version} can't be had here: nothing is tested on it`);
      continue;
    }
    const ran = (await node("main.mjs"))!;
    assertEquals([ran.code, ran.out.trim()], [0, "w: 1.000 2.000"], ran.err);
    const opened = (await node("doors.mjs"))!;
    assertEquals([opened.code, opened.out.trim()], [0, `open ${DOORS.size}`], opened.err);
  }
});

Deno.test("TypeScript finds the types of npm's package, as Node resolves and as bundlers do, and what is wrong in their use", async () => {
  const user = await installed();
  if (!user) return;
  const { name } = config;
  await Deno.writeTextFile(`${user}/main.ts`, await program());
  await Deno.writeTextFile(
    `${user}/both.ts`,
    `import { type Tensor, tensor } from "${name}";
import { add } from "${name}/engine";
import { inverse } from "${name}/linalg";
import { adamw } from "${name}/optim";
export const t: Tensor = add(tensor([1]), 1);
export const m = inverse({ rows: 1, cols: 1, data: Float64Array.of(2) });
// @ts-expect-error a text is no rate
adamw({ rate: "fast" }).init({ t });
// @ts-expect-error a text is no tensor
export const wrong: Tensor = add(tensor([1]), "1");
`,
  );
  for (const [module, moduleResolution] of [["node16", "node16"], ["esnext", "bundler"]]) {
    const compilerOptions = {
      ...{ strict: true, noEmit: true, target: "es2022", lib: ["esnext", "dom"], types: [] },
      ...{ module, moduleResolution },
    };
    const project = JSON.stringify({ compilerOptions, files: ["main.ts", "both.ts"] });
    await Deno.writeTextFile(`${user}/tsconfig.json`, project);
    const tsc = await run(user, "npx", "--yes", "-p", "typescript@5.9", "tsc", "-p", ".");
    if (!tsc || /E404|ENOTFOUND|ETIMEDOUT|ECONNREFUSED/.test(tsc.err)) {
      console.log("TypeScript can't be had here: nothing is tested with it");
      return;
    }
    assertEquals([tsc.code, tsc.out], [0, ""], `${moduleResolution}: ${tsc.out}${tsc.err}`);
  }
});

Deno.test("a bundler takes npm's package, and leaves for later what comes later", async () => {
  const user = await installed();
  if (!user) return;
  await Deno.writeTextFile(`${user}/main.ts`, await program());
  const outdir = `${user}/out`;
  await esbuild.build({
    entryPoints: [`${user}/main.ts`],
    absWorkingDir: user,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    external: ["node:*"],
    outdir,
    logLevel: "error",
  });
  await esbuild.stop();
  const { size } = await Deno.stat(`${outdir}/main.js`);
  // Not minified: the tensors, and no kernel of theirs.
  const later = [...Deno.readDirSync(outdir)].map(({ name }) => name).join(" ");
  assertMatch(later, /programs-/);
  assertMatch(later, /cpu-/);
  assert(size < 300e3, `main.js has ${size} bytes`);
  const ran = (await run(user, Deno.execPath(), "run", "--no-lock", "-A", `${outdir}/main.js`))!;
  assertEquals([ran.code, ran.out.trim()], [0, "w: 1.000 2.000"], ran.err);
});

/** Files that a configuration publishes, by `deno publish --dry-run`. */
async function listed(configuration: string): Promise<string[]> {
  const args = ["publish", "--dry-run", "--allow-dirty", "--no-check", "--config", configuration];
  const { code, err } = (await run(ROOT, Deno.execPath(), ...args))!;
  assertEquals(code, 0, err);
  return [...err.matchAll(/^\s+file:\/\/(\S+) \(/gm)].map(([, path]) => path.slice(ROOT.length));
}

Deno.test("JSR gets the library, the command and the model that its demo needs: no tests, no goldens but what doctor measures against, nothing of training the model", async () => {
  const files = await listed(`${ROOT}deno.json`);
  for (
    const path of [
      "mod.ts",
      "engine.ts",
      "cli.ts",
      "README.md",
      "LICENSE",
      "world/miniature/unet/config.json",
    ]
  ) {
    assert(files.includes(path), `${path} is missing`);
  }
  const not =
    /^(tests(?!\/golden\/bench\.json)|bench\/(main|report|peers\/(jax|tfjs|onnx))|docs|paper|tools|examples|\.ci|world\/(pytorch|train|miniature\/classifier))\b|_test\.ts$/;
  assertEquals(files.filter((path) => not.test(path)), []);
  // Subpaths are those of the package for npm, and the command.
  assertEquals(
    Object.keys(published().exports).toSorted(),
    [
      ...Object.keys(manifest().exports).filter((path) => path !== "./package.json"),
      "./cli",
    ].toSorted(),
  );
  for (const [subpath, file] of Object.entries(published().exports)) {
    if (subpath !== "./cli") assertMatch(file, /^\.\/dist\/\w+\.js$/);
  }
});
