/**
 * Runs the tests that need a real browser, with Chromium installed where none is and that may be done.
 *
 * Why a launcher: `deno task test` leaves them out, since a page takes minutes beside other tests, and most machines of those
 * who change a line have no browser that a test could drive. This one sees to it that there is one, or says that nothing
 * was tested.
 *
 * Usage: `deno run -A tools/browser.ts [deno test options]`
 */
import { install, mayInstall } from "./apt.ts";
import { chromium } from "./chromium.ts";

if (import.meta.main) {
  if (!chromium() && mayInstall()) await install("chromium", "no Chromium is there");
  if (!chromium()) {
    console.error(
      "skipped: no Chromium is there, and none could be installed. Install one, or name it by CHROMIUM=path",
    );
    Deno.exit(0);
  }
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tools/test.ts", ...Deno.args, "tests/browser_test.ts"],
    env: { MOONGATE_BROWSER: "1" },
  }).spawn().status;
  Deno.exit(code);
}
