// Files that come with the library are found beside its code, on a disk whose paths are of any letters and on a server.
import { assertEquals } from "@std/assert";
import { beside } from "../files/beside.ts";
import { sources } from "../tools/size.ts";

Deno.test("what lies beside a file is a path on a disk, with every letter as it is, and a URL elsewhere", () => {
  assertEquals(beside("../b c", "file:///a%20b/%C3%BC/x.ts"), "/a b/b c");
  assertEquals(beside("./y", "file:///a%25b/x.ts"), "/a%b/y");
  assertEquals(beside("../w/m", "https://host/v1/cli/x.ts"), "https://host/v1/w/m");
});

Deno.test("no other file makes a path of the place of its code", async () => {
  const wrong: string[] = [];
  for (const file of sources(".")) {
    if (file.startsWith("tests/") || file === "files/beside.ts") continue;
    if (/import\.meta\.url\)\.pathname/.test(await Deno.readTextFile(file))) wrong.push(file);
  }
  assertEquals(wrong, []);
});
