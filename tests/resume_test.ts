// A training run that is killed again and again: nothing it leaves is half, and it ends in the bytes of one that was not.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listCheckpoints, states } from "../cli/train/checkpoints.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { isFile, isFolder } from "../files/paths.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { hostRandom } from "../numerics/random.ts";
import { readRecords } from "./support/records.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const STEPS = 60, KILLS = 20;

/** Starts `moongate train` on the smallest of all models; `folder` has its pictures. */
function train(folder: string, out: string, ...more: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    // deno-fmt-ignore
    args: [
      "run", "-A", "--no-check", `${ROOT}cli.ts`, "train", "--model", `${ROOT}tests/golden/verify/sd1`,
      "--concept", `<new1> dog=${folder}/photos`, "--regularization", `dog=${folder}/dogs`,
      "--out", `${folder}/${out}`, "--steps", String(STEPS), "--batch", "1", "--save-every", "1", "--log-every", "1",
      "--keep", "2", "--seed", "3", "--quiet", ...more,
    ],
    env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp" },
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

async function finish(child: Deno.ChildProcess): Promise<void> {
  const { success, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
}

/** Every file below a folder that a user may find there. */
async function files(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  const found = await Promise.all(entries.map(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? files(path) : name.startsWith(".") ? [] : [path];
  }));
  return found.flat();
}

/** Reads every file of a run to its end. */
async function checkWhole(out: string): Promise<void> {
  for (const path of await files(out)) {
    if (path.endsWith("/delta.safetensors")) {
      const { weights, tokens } = await loadDelta(path);
      assert(weights.size > 0 && tokens[0].token === "<new1>", path);
    } else if (path.endsWith(".safetensors")) {
      using source = await openSafetensors(path);
      for (const name of source.tensors.keys()) await source.readFloat32(name);
    } else if (path.endsWith(".jsonl")) {
      for (const line of (await Deno.readTextFile(path)).trim().split("\n").filter(Boolean)) {
        assert(Number.isFinite(JSON.parse(line).loss), path);
      }
    } else {
      assertMatch(path, /events\.out\.tfevents/);
      assert(readRecords(await Deno.readFile(path)).length > 0, path);
    }
  }
}

/** Waits until a run's newest checkpoint is so far, or the run ends. */
async function reaches(out: string, step: number, child: Deno.ChildProcess): Promise<void> {
  let ended = false;
  child.status.then(() => ended = true);
  while (!ended && ((await listCheckpoints(out)).at(-1)?.step ?? 0) < step) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

Deno.test("a run killed at twenty random moments leaves nothing half, and ends in the bytes of one that was not", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const pictures = (name: string) => `${ROOT}world/concepts/${name}`;
    await Deno.mkdir(`${folder}/dogs`);
    await Deno.mkdir(`${folder}/photos`);
    for (const i of [0, 1]) {
      await Deno.copyFile(`${pictures("zebra")}/${i}.png`, `${folder}/dogs/${i}.png`);
      await Deno.copyFile(`${pictures("moongate")}/${i}.png`, `${folder}/photos/${i}.png`);
    }
    await finish(train(folder, "whole"));

    const out = `${folder}/killed`, draw = hostRandom(20);
    const stateAt = async () => (await states(out)).at(0)?.match(/checkpoint-(\d+)/)?.[1] ?? "0";
    let kills = 0;
    while (kills < KILLS) {
      const before = Number(await stateAt());
      const child = train(folder, "killed", ...await isFolder(out) ? ["--resume"] : []);
      // Every fifth is killed before it trains; the others from one checkpoint on, which are written all the time.
      const ahead = draw.integer(1, 2), early = kills % 5 === 4;
      if (early) {
        await new Promise((resolve) => setTimeout(resolve, 800 * draw.uniform()));
      } else {
        await reaches(out, before + ahead, child);
        await new Promise((resolve) => setTimeout(resolve, 8 * draw.uniform()));
      }
      child.kill("SIGKILL");
      const { signal, stderr } = await child.output();
      assertEquals(signal, "SIGKILL", new TextDecoder().decode(stderr));
      kills++;
      await checkWhole(out);
      const after = Number(await stateAt());
      // The folder of a checkpoint is made when the one before it is whole.
      const least = early ? before : before + ahead - 1;
      assert(after >= least, `step ${after} is the newest that was saved, not ${least}`);
      assert(!await isFile(`${out}/delta.safetensors`));
    }

    await Deno.copyFile(`${pictures("moongate")}/2.png`, `${folder}/photos/0.png`);
    const changed = await train(folder, "killed", "--resume").output();
    assertEquals(changed.code, 1);
    assertMatch(new TextDecoder().decode(changed.stderr), /was started with pictures' contents/);

    await Deno.copyFile(`${pictures("moongate")}/0.png`, `${folder}/photos/0.png`);
    await finish(train(folder, "killed", "--resume"));
    await checkWhole(out);
    const names = ["delta.safetensors", "checkpoint-58/delta.safetensors"];
    for (const name of names) {
      const [whole, resumed] = await Promise.all(
        ["whole", "killed"].map((run) => Deno.readFile(`${folder}/${run}/${name}`)),
      );
      assertEquals(resumed.toHex(), whole.toHex(), name);
    }
    const lines = async (run: string) =>
      (await Deno.readTextFile(`${folder}/${run}/metrics.jsonl`)).trim().split("\n")
        .map((line) => JSON.parse(line)).map(({ step, loss }) => [step, loss]);
    assertEquals(await lines("killed"), await lines("whole"));
    const left = (await files(out)).filter((path) => !path.includes("events.out.tfevents."));
    assertEquals(left.map((path) => path.slice(out.length + 1)).sort(), [
      ...["checkpoint-58", "checkpoint-59"].map((name) => `${name}/delta.safetensors`),
      "delta.safetensors",
      "metrics.jsonl",
    ]);
    const hidden = await Array.fromAsync(Deno.readDir(out));
    assert(!hidden.some(({ name }) => name.startsWith(".")), "a partial file or a lock was left");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
