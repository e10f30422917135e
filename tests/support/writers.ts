/** Every verb that writes: how it is called, what it reads and what it leaves. What tests of kept files try. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../../cli/main.ts";
import { treeOf } from "./kept.ts";

/** Runs the command; gives its code and what it said. */
export async function run(args: string[]): Promise<{ code: number; err: string }> {
  const err: string[] = [];
  const code = await main(args, { out: () => {}, err: (line) => err.push(line) });
  return { code, err: err.join("\n") };
}

/** A verb with all it needs but where to write; what it writes there; and what it reads. */
export interface Writer {
  readonly args: readonly string[];
  /** Options that name outputs, and files that would be replaced: inside, or "" for the path itself. */
  readonly writes: Readonly<Record<string, readonly string[]>>;
  /** Paths among `args` that are read, with an existing file in them that could be written over where they are folders. */
  readonly reads: readonly string[];
}

export const sampled = ["--model", "sd", "--delta", "my-dog"];
export const training = [
  "--model",
  "sd",
  "--concept",
  "<new1> dog=photos",
  "--regularization",
  "dog=dogs",
];

export const WRITERS: Readonly<Record<string, readonly Writer[]>> = {
  train: [{
    args: [...training, "--from", "my-dog"],
    writes: {
      "--out": [
        ...["delta.safetensors", "metrics.jsonl", "checkpoint-5/delta.safetensors"],
        ...["checkpoint-5/checkpoint.safetensors", "samples/5-1.png"],
        ...["regularization/dog/0000.png", "events.out.tfevents.0000000000001.moongate"],
      ],
    },
    reads: ["sd", "photos", "dogs", "my-dog"],
  }],
  generate: [{
    args: [...sampled, "A dog!", "--image", "one.png"],
    writes: { "--out": ["a-dog-42.png", "sheet.png"] },
    reads: ["sd", "my-dog"],
  }],
  edit: [{
    args: [...sampled, "--from", "a", "--to", "b", "-n", "2"],
    writes: { "--out": ["source-42.png", "edited-43.png", "sheet.png"] },
    reads: ["sd", "my-dog"],
  }],
  attention: [{
    args: [...sampled, "a dog", "--prompts-from", "prompts.txt"],
    writes: { "--out": [""] },
    reads: ["prompts.txt"],
  }],
  merge: [{
    args: ["--model", "sd", "my-dog", "my-cat", "--captions", "captions.txt"],
    writes: { "--out": ["delta.safetensors"] },
    reads: ["sd", "my-dog", "my-cat"],
  }],
  convert: [
    {
      args: ["my-dog", "--to", "lora", "--model", "sd"],
      writes: { "--out": ["delta.safetensors", "pytorch_lora_weights.safetensors", "<new1>.bin"] },
      reads: ["sd", "my-dog"],
    },
    {
      args: ["one.safetensors", "--to", "moongate"],
      writes: { "--out=.safetensors": [""] },
      reads: ["one.safetensors"],
    },
  ],
  compress: [
    {
      args: ["my-dog", "--rank", "1", "--plot", "free.svg"],
      writes: { "--out": ["delta.safetensors"] },
      reads: ["my-dog"],
    },
    {
      args: ["one.safetensors", "--rank", "1", "--out", "free"],
      writes: { "--plot": [""] },
      reads: ["one.safetensors"],
    },
  ],
  analyse: [{
    args: ["sd", "one.safetensors"],
    writes: { "--plot": [""] },
    reads: ["one.safetensors"],
  }],
  evaluate: [
    {
      args: [...sampled, "--scorer", "sd", "--targets", "photos", "a dog", "--json", "free.json"],
      writes: { "--out": ["report.html", "pictures/a-dog-42.png", "pictures/sheet.png"] },
      reads: ["photos"],
    },
    {
      args: ["--scorer", "sd", "--generated", "photos", "--out", "free"],
      writes: { "--json": [""] },
      reads: ["photos/prompts.json"],
    },
  ],
  doctor: [{
    args: ["--measure", "--model", "miniature", "--device", "cpu", "--python", "nowhere/python"],
    writes: { "--out": ["measured.json", "measured.html"] },
    reads: [],
  }],
  demo: [{
    args: ["--concept", "moongate", "--concept", "robot", "--steps", "1"],
    writes: {
      "--out": ["demo.png", "report.html", "merged.safetensors", "moongate/delta.safetensors"],
    },
    reads: [],
  }],
};

/** All of them, each with one option that names an output. */
export const ALL = Object.entries(WRITERS).flatMap(([verb, writers]) =>
  writers.flatMap(({ args, writes, reads }) =>
    Object.entries(writes).map(([option, files]) => {
      const [flag, ending = ""] = option.split("=");
      const at = (out: string) => [verb, ...args, flag, out];
      return { verb, flag, ending, files, reads, at, isFile: files[0] === "" };
    })
  )
);

/** The inputs that the verbs name: none of them can be read, so that nothing begins. */
export async function inputs(): Promise<void> {
  for (
    const [folder, file] of [
      ...[["sd", "captions.txt"], ["my-dog", "delta.safetensors"], ["my-cat", "delta.safetensors"]],
      ...[["photos", "prompts.json"], ["photos", "a.png"], ["dogs", "a.png"]],
    ]
  ) {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/${file}`, "an input");
  }
  for (const file of ["one.safetensors", "prompts.txt", "captions.txt", "one.png"]) {
    await Deno.writeTextFile(file, "a prompt");
  }
}

export async function put(path: string, text: string): Promise<void> {
  const folder = path.replace(/\/?[^/]*$/, "");
  if (folder) await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(path, text);
}

/** Asserts that a command is refused for the user, and that all is as it was. */
export async function refused(args: string[], ...messages: RegExp[]): Promise<void> {
  const before = await treeOf(".");
  const { code, err } = await run(args), typed = args.join(" ");
  assertEquals(code, 1, `${typed}\n${err}`);
  for (const message of messages) assertMatch(err, message, typed);
  assert(!/\n\s+at /.test(err), `a stack for ${typed}:\n${err}`);
  assertEquals(await treeOf("."), before, typed);
}

export const escaped = (text: string) => new RegExp(text.replace(/[.<>$]/g, "\\$&"));
