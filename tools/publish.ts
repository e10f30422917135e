/**
 * `deno publish` of what the bundle made of the doors, so that who imports `/engine` loads a few small files and no compiler has
 * 200 to read. The command, `/cli`, is published as it is. What else `deno publish` says and takes is as ever (`--dry-run`).
 *
 * Why a configuration of its own: in a checkout the names of `deno.json` are those of sources, which are always there.
 *
 * Usage: `deno run -A tools/publish.ts [deno publish options]`
 */
import { beside } from "../files/beside.ts";
import config from "../deno.json" with { type: "json" };
import { bundle, DOORS } from "./bundle.ts";

const ROOT = beside("..", import.meta.url);
/** What the registry knows as a package's configuration. Never committed. */
const FILE = `${ROOT}jsr.json`;

/** The configuration: doors are what they are built to. */
export const published = () => ({
  ...config,
  exports: Object.fromEntries(
    Object.entries(config.exports).map(([subpath, source]) => {
      const [door] = [...DOORS].find(([, file]) => file === source) ?? [];
      return [subpath, door ? `./dist/${door}.js` : source];
    }),
  ),
  exclude: [],
  publish: {
    include: ["jsr.json", "dist", ...config.publish.include],
    exclude: ["!dist", "!jsr.json", "dist/**/*.map", ...config.publish.exclude],
  },
});

if (import.meta.main) {
  await Deno.remove(`${ROOT}dist`, { recursive: true }).catch(() => {});
  await bundle(`${ROOT}dist`);
  await Deno.writeTextFile(FILE, JSON.stringify(published(), null, 2));
  try {
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["publish", "--config", FILE, ...Deno.args],
      cwd: ROOT,
    }).spawn().status;
    Deno.exitCode = code;
  } finally {
    await Deno.remove(FILE);
  }
}
