/**
 * What each verb may have to read and to write, and nothing else: no network, no environment, no other programs. One list,
 * from which its help, `docs/permissions.md` and the test that runs every verb with just that are made.
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
const PICTURES = `${PACKAGES} (with --image)`, A_PICTURE = `${PACKAGES} (of a picture)`;
/** The model and the concepts that ship. */
export const WORLD = "world/ of this program";
/** Files are written under another name and renamed, for which Deno wants to read and write their folder. */
const beside = (option: string): string => `the folder of ${option}`;

/** An output that is a folder or a file. */
const PATH = "--out (of a file, its folder)";

/** By verb; an option counts where it is given, one with a default always. */
export const NEEDS: Readonly<Record<string, Needs>> = {
  train: {
    read: [
      ...["--model", "--concept", "--concepts-list", "--captions", "--from", "--regularization"],
      ...["--prior-from", "--scorer", "--out", PACKAGES],
    ],
    write: ["--out"],
  },
  generate: {
    read: ["--model", "--delta", "--prompts-from", "--image", "--out", PICTURES],
    write: ["--out"],
  },
  edit: { read: ["--model", "--delta", "--out"], write: ["--out"] },
  attention: {
    read: ["--model", "--delta", "--prompts-from", beside("--out")],
    write: [beside("--out")],
  },
  merge: { read: ["--model", "<deltas>", "--captions", "--out"], write: ["--out"] },
  convert: { read: ["<delta>", "--model", PATH], write: [PATH] },
  inspect: { read: ["<path>", "--model", A_PICTURE], write: [] },
  compress: {
    read: ["<delta>", "--model", PATH, beside("--plot")],
    write: [PATH, beside("--plot")],
  },
  analyse: { read: ["<before>", "<after>", beside("--plot")], write: [beside("--plot")] },
  tokens: { read: ["--model", "--captions"], write: [] },
  evaluate: {
    read: [
      ...["--model", "--delta", "--prompts-from", "--generated", "--targets", "--real"],
      ...["--scorer", "--dino", "--out", beside("--json"), PACKAGES],
    ],
    write: ["--out", beside("--json")],
  },
  verify: { read: ["--model", "--gold"], write: [] },
  demo: { read: [WORLD, "--out", PACKAGES], write: ["--out"] },
  doctor: { read: [], write: [] },
};

/** A verb's needs as a line of its help. */
export function needsLine(verb: string): string {
  const { read, write } = NEEDS[verb];
  const parts = [
    ...(read.length ? [`--allow-read for ${read.join(", ")}`] : []),
    ...(write.length ? [`--allow-write for ${write.join(", ")}`] : []),
  ];
  return `Deno permissions: ${parts.join("; ") || "none"}.`;
}

/** `docs/permissions.md`'s table. */
export function needsTable(): string {
  const cell = (places: readonly string[]) =>
    places.map((p) => /^[<-]/.test(p) ? `\`${p}\`` : p.replace(/--[a-z-]+/, "`$&`")).join(", ");
  return [
    "| verb | reads | writes |",
    "| --- | --- | --- |",
    ...Object.entries(NEEDS).map(([verb, { read, write }]) =>
      `| \`${verb}\` | ${cell(read) || "nothing"} | ${cell(write) || "nothing"} |`
    ),
  ].join("\n");
}
