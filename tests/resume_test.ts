import { assert, assertEquals, assertMatch } from "@std/assert";
import { isFile } from "../files/paths.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const STEPS = 30;

/** Starts `moongate train` on the miniature, small enough for a test; `folder` has its pictures. */
function train(folder: string, out: string, ...more: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    // deno-fmt-ignore
    args: [
      "run", "-A", `${ROOT}cli.ts`, "train", "--model", `${ROOT}world/miniature`,
      "--concept", `<new1> gate=${folder}/photos`, "--regularization", `gate=${folder}/gates`,
      "--out", `${folder}/${out}`, "--steps", String(STEPS), "--batch", "1", "--save-every", "2", "--log-every", "2", "--seed", "3",
      "--quiet", ...more,
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

Deno.test("a run killed by SIGKILL goes on from its checkpoint and ends in the same bytes", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const pictures = (name: string) => `${ROOT}world/concepts/${name}`;
    await Deno.mkdir(`${folder}/gates`);
    await Deno.mkdir(`${folder}/photos`);
    for (const i of [0, 1]) {
      await Deno.copyFile(`${pictures("sunwheel")}/${i}.png`, `${folder}/gates/${i}.png`);
      await Deno.copyFile(`${pictures("moongate")}/${i}.png`, `${folder}/photos/${i}.png`);
    }
    await finish(train(folder, "whole"));

    const child = train(folder, "killed");
    const checkpoint = `${folder}/killed/checkpoint.safetensors`;
    for (let waited = 0; !await isFile(checkpoint); waited++) {
      assert(waited < 1200, "no checkpoint appeared within two minutes");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    child.kill("SIGKILL");
    const { signal } = await child.output();
    assertEquals(signal, "SIGKILL", "the run had ended before it could be killed");
    assert(!await isFile(`${folder}/killed/delta.safetensors`));

    await Deno.copyFile(`${pictures("moongate")}/2.png`, `${folder}/photos/0.png`);
    const changed = await train(folder, "killed", "--resume").output();
    assertEquals(changed.code, 1);
    assertMatch(new TextDecoder().decode(changed.stderr), /was started with pictures' contents/);

    await Deno.copyFile(`${pictures("moongate")}/0.png`, `${folder}/photos/0.png`);
    await finish(train(folder, "killed", "--resume"));
    const [whole, resumed] = await Promise.all(
      ["whole", "killed"].map((name) => Deno.readFile(`${folder}/${name}/delta.safetensors`)),
    );
    assertEquals(resumed.length, whole.length);
    assert(resumed.every((byte, i) => byte === whole[i]), "the deltas differ");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
