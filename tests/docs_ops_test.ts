// docs/ops.md names every function of the door of ops. Its examples run in docs_examples_test.ts.
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("..", import.meta.url);
const page = await Deno.readTextFile(new URL("docs/ops.md", ROOT));

Deno.test("docs/ops.md names every function of the doors of ops", async () => {
  const doors = ["mod", "more"].map((name) => new URL(`ops/${name}.ts`, ROOT));
  const door = (await Promise.all(doors.map((url) => Deno.readTextFile(url)))).join("\n");
  const names = [...door.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list]) => list.split(","))
    .map((n) => n.trim()).filter((n) => n && !n.startsWith("type "));
  assert(names.length > 150);
  // Of values and of keys other documents speak, and of what only diffusion models need.
  const elsewhere =
    /^(tensor|scalar|cast|foldIn|keyFromSeed|random\w+|stopGradient|embedding|replaceRows)$/;
  const missing = names.filter((n) =>
    !new RegExp(`[\` ]${n}[\` ,(]`).test(page.replaceAll("\n", " "))
  );
  assertEquals(missing.filter((n) => !elsewhere.test(n)), []);
});

Deno.test("the functions that docs/library/coming-from.md sets beside others are there", async () => {
  const library = await import("../mod.ts") as Record<string, unknown>;
  const text = await Deno.readTextFile(new URL("docs/library/coming-from.md", ROOT));
  const rows = text.slice(text.indexOf("## Names")).split("\n").filter((line) =>
    /^\| [^-]/.test(line)
  );
  const ours = rows.slice(1).flatMap((row) => [...row.split("|")[2].matchAll(/`([^`]+)`/g)])
    .flatMap(([, names]) => names.split(" "))
    .filter((name) => /^[a-z]\w+$/.test(name) && name !== "using");
  assert(ours.length > 100, `${ours.length} names`);
  assertEquals(ours.filter((name) => typeof library[name] !== "function"), []);
});
