/**
 * Refuses source files over 400 lines, and prints the median.
 *
 * Why: a reader should be able to hold a file in the head. Part of `deno task ok`.
 */

const limit = 400;
const skipped = new Set(["node_modules", "out", "dist", "golden"]);

/** All .ts files under a folder, hidden and ignored folders left out. */
export function* sources(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.name.startsWith(".") || skipped.has(entry.name)) continue;
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* sources(path);
    else if (entry.isFile && path.endsWith(".ts")) yield path;
  }
}

if (import.meta.main) {
  const sizes = [...sources(".")]
    .map((path) => ({ path, lines: Deno.readTextFileSync(path).split("\n").length - 1 }))
    .sort((a, b) => a.lines - b.lines);
  const median = sizes[sizes.length >> 1]?.lines ?? 0;
  console.log(`${sizes.length} files, median ${median} lines, longest ${sizes.at(-1)?.lines ?? 0}`);
  const long = sizes.filter(({ lines }) => lines > limit);
  for (const { path, lines } of long) console.error(`${path}: ${lines} lines (limit ${limit})`);
  if (long.length) Deno.exit(1);
}
