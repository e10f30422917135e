/**
 * What a verb may have to read and to write, and nothing else: no network, no environment, no other programs. Each verb says it
 * where its flags stand; its help, `docs/permissions.md` and the test that runs every verb with just that are made from it.
 */

/** The places of a verb's arguments, as its help names them: options, positional arguments, or a remark in words. */
export interface Needs {
  /** What it reads. */
  readonly read: readonly string[];
  /** What it writes. */
  readonly write: readonly string[];
}

/** Where Deno keeps packages: their WebAssembly is read from there when the first picture is decoded. */
export const PACKAGES = "Deno's npm cache";
/** The same, for a verb that decodes none by itself. */
export const PICTURES = `${PACKAGES} (with --image)`;
/** The same, for one that looks at files of any kind. */
export const A_PICTURE = `${PACKAGES} (of a picture)`;
/** The model and the concepts that ship. */
export const WORLD = "world/ of this program";
/** Files are written under another name and renamed, for which Deno wants to read and write their folder. */
export const beside = (option: string): string => `the folder of ${option}`;

/** An output that is a folder or a file. */
export const PATH = "--out (of a file, its folder)";

/** A verb's needs as a line of its help. */
export function needsLine({ read, write }: Needs): string {
  const parts = [
    ...(read.length ? [`--allow-read for ${read.join(", ")}`] : []),
    ...(write.length ? [`--allow-write for ${write.join(", ")}`] : []),
  ];
  return `Deno permissions: ${parts.join("; ") || "none"}.`;
}

/** `docs/permissions.md`'s table, of the needs by verb; an option counts where it is given, one with a default always. */
export function needsTable(needs: Readonly<Record<string, Needs>>): string {
  const cell = (places: readonly string[]) =>
    places.map((p) => /^[<-]/.test(p) ? `\`${p}\`` : p.replace(/--[a-z-]+/, "`$&`")).join(", ");
  return [
    "| verb | reads | writes |",
    "| --- | --- | --- |",
    ...Object.entries(needs).map(([verb, { read, write }]) =>
      `| \`${verb}\` | ${cell(read) || "nothing"} | ${cell(write) || "nothing"} |`
    ),
  ].join("\n");
}
