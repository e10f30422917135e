// The wrappers of the tasks: a closing line that reads as passed when something failed would hide everything else.
import { assertEquals } from "@std/assert";
import { closingLine, readTally, runsAlone, total } from "../tools/test.ts";

Deno.test("the summary of deno test is read, colours, steps and ignored tests included", () => {
  const green =
    "\x1b[0m\x1b[32mok\x1b[0m | 12 passed (3 steps) | 0 failed | 2 ignored \x1b[0m(4ms)\n";
  assertEquals(readTally(green), { passed: 12, failed: 0, skipped: 2 });
  const red = "x\n\nFAILED | 1 passed | 7 failed (2 steps) (1s)\n";
  assertEquals(readTally(red), { passed: 1, failed: 7, skipped: 0 });
  assertEquals(readTally("error: Type checking failed.\n"), undefined);
});

Deno.test("the last summary counts, not one that a test printed", () => {
  const out = "ok | 99 passed | 0 failed (1s)\nmore\nok | 3 passed | 0 failed (2s)\n";
  assertEquals(readTally(out)?.passed, 3);
});

Deno.test("a failing exit code never closes with 0 failed", () => {
  assertEquals(closingLine(undefined, 1), "0 passed, 1 failed");
  assertEquals(closingLine({ passed: 3, failed: 0, skipped: 0 }, 1), "3 passed, 1 failed");
  assertEquals(closingLine({ passed: 3, failed: 0, skipped: 0 }, 0), "3 passed, 0 failed");
  assertEquals(
    closingLine({ passed: 3, failed: 2, skipped: 1 }, 1),
    "3 passed, 2 failed, 1 skipped",
  );
});

Deno.test("two runs are counted as one, and files that change or measure the process run by themselves", () => {
  const [a, b] = [{ passed: 3, failed: 0, skipped: 1 }, { passed: 2, failed: 4, skipped: 0 }];
  assertEquals(total([a, b]), { passed: 5, failed: 4, skipped: 1 });
  assertEquals(runsAlone("const before = Deno.cwd();\nDeno.chdir(folder);"), true);
  assertEquals(runsAlone("await Deno.readTextFile(path);"), false);
});
