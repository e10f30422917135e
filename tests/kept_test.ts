// Two runs and one folder: training again, elsewhere and at once; prompts that begin alike; pictures by another path.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { states } from "../cli/train/checkpoints.ts";
import { main } from "../cli/main.ts";
import { readPngText } from "../files/pictures/png.ts";
import { inside, treeOf } from "./support/kept.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const MODEL = `${ROOT}tests/golden/verify/sd1`;

async function run(...args: string[]) {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

/** A training of a few steps on the smallest of all models, in folders `photos` and `dogs` of the current one. */
const training = (out: string, ...more: string[]) => [
  ...["train", "--model", MODEL, "--concept", "<new1> dog=photos", "--regularization", "dog=dogs"],
  ...["--out", out, "--steps", "6", "--batch", "1", "--save-every", "1", "--log-every", "1", "-q"],
  ...more,
];

async function pictures(): Promise<void> {
  for (const [name, from] of [["photos", "moongate"], ["dogs", "zebra"]]) {
    await Deno.mkdir(name);
    for (const i of [0, 1]) {
      await Deno.copyFile(`${ROOT}world/concepts/${from}/${i}.png`, `${name}/${i}.png`);
    }
  }
}

/** Runs a training in a process of its own. */
const start = (args: string[]) =>
  new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${ROOT}cli.ts`, ...args],
    env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp" },
    stdout: "null",
    stderr: "piped",
  }).spawn();

/** Kills a run when it has a checkpoint. */
async function killed(args: string[], out: string, step: number): Promise<void> {
  const child = start(args);
  let ended = false;
  child.status.then(() => ended = true);
  while (!ended && !(await states(out))[0]?.includes(`checkpoint-${step}/`)) {
    await new Promise((done) => setTimeout(done, 2));
  }
  if (!ended) child.kill("SIGKILL");
  assertEquals((await child.output()).signal, "SIGKILL", "it ended before it was killed");
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("two trainings into one folder: the second is refused while the first runs, and when it is done", async () => {
  await inside(async () => {
    await pictures();
    const both = [0, 1].map(() => start(training("out", "--steps", "100")));
    const [a, b] = await Promise.all(both.map((child) => child.output()));
    const [won, lost] = a.code === 0 ? [a, b] : [b, a];
    assertEquals([won.code, lost.code], [0, 1], text(won.stderr) + text(lost.stderr));
    assertMatch(text(lost.stderr), /out: is being written by another run, process \d+/);

    const before = await treeOf("out");
    assert("delta.safetensors" in before && !(".moongate.lock" in before));
    const again = await run(...training("./out/"));
    assertEquals([again.code, await treeOf("out")], [1, before]);
    assertMatch(again.err, /holds a finished run \(delta\.safetensors, .*--overwrite/);
    const resumed = await run(...training("out", "--resume"));
    assertEquals([resumed.code, await treeOf("out")], [1, before]);
    assertMatch(resumed.err, /holds a finished run .* nothing to resume/);
    const unclear = await run(...training("out", "--resume", "--overwrite"));
    assertMatch(unclear.err, /give one/);

    await Deno.writeTextFile("out/notes.md", "mine");
    const anew = await run(...training("out", "--overwrite", "--steps", "2", "--seed", "9"));
    assertEquals(anew.code, 0, anew.err);
    const after = await treeOf("out"),
      steps = Object.keys(after).filter((p) => /^checkpoint-/.test(p));
    assertEquals(steps, ["checkpoint-1/", "checkpoint-1/delta.safetensors"]);
    assert(after["delta.safetensors"] !== before["delta.safetensors"] && "notes.md" in after);
    assertEquals(Object.keys(after).filter((p) => p.startsWith("events.")).length, 1);
  });
});

Deno.test("a run is gone on with by its pictures, wherever they lie, and past a damaged checkpoint, to the same bytes", async () => {
  await inside(async (folder) => {
    await pictures();
    assertEquals((await run(...training("whole", "--keep", "9"))).code, 0);
    await killed(training("out", "--keep", "9"), "out", 3);
    const blocked = await run(...training("out"));
    assertEquals(blocked.code, 1);
    assertMatch(blocked.err, /holds an unfinished run .*Go on with it by --resume/);

    await Deno.mkdir("elsewhere");
    await Deno.rename("photos", "elsewhere/mine");
    await Deno.symlink(`${folder}/elsewhere/mine`, "link");
    const [newest, second] = await states("out");
    await Deno.truncate(newest, 400);
    const moved = (at: string) =>
      training("out", "--keep", "9", "--resume").map((a) => a.replace("=photos", `=${at}`));
    const other = await run(...moved("dogs"));
    assertEquals(other.code, 1);
    assertMatch(other.err, /was started with pictures' contents/);
    const { code, err } = await run(...moved("./link"));
    assertEquals(code, 0, err);
    assert(err.includes(newest) && err.includes(`going on from ${second}`), err);
    const [whole, gone] = [await treeOf("whole"), await treeOf("out")];
    const weights = (tree: Record<string, string>) =>
      Object.entries(tree).filter(([path]) => path.endsWith(".safetensors"));
    assertEquals(weights(gone), weights(whole));
  });
});

Deno.test("prompts that begin alike have a picture each, and another run does not take their place", async () => {
  await inside(async () => {
    const same = "a small red wooden toy on a wide green field under a clear blue sky";
    const prompts = [`${same} in the morning`, `${same} at night`, "a dog", "A dog!"];
    await Deno.writeTextFile("prompts.txt", prompts.join("\n"));
    const generate = (...more: string[]) =>
      run(...["generate", "--model", MODEL, "--prompts-from", "prompts.txt", "--steps", "1"], ...[
        "-q",
        ...more,
      ]);
    const made = await generate("--batch", "4");
    assertEquals(made.code, 0, made.err);
    const paths = made.out.split("\n");
    assertEquals([paths.length, new Set(paths).size], [5, 5]);
    const said = await Promise.all(
      paths.slice(0, -1).map(async (path) => readPngText(await Deno.readFile(path)).prompt),
    );
    assertEquals(said, prompts);
    const before = await treeOf(".");
    const again = await generate("--guidance", "3");
    assertEquals([again.code, await treeOf(".")], [1, before]);
    assertMatch(again.err, /pictures: holds .*-42\.png.* and 2 more already\. .*--overwrite/);
    const replaced = await generate("--guidance", "3", "--overwrite", "--batch", "4");
    assertEquals([replaced.code, replaced.out], [0, made.out], replaced.err);
    assert((await treeOf("."))[paths[0]] !== before[paths[0]]);
  });
});
