// The commands of docs/edit.md, run as they stand (with few steps) on a model and a delta of their names; and refusals.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../cli/main.ts";
import { saveDelta } from "../concepts/deltas/formats/save.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import { readPicture } from "../files/pictures/image.ts";
import { readPngText } from "../files/pictures/png.ts";
import { pageCommands, someDelta } from "./docs_commands.ts";
import { randomFolder } from "./models_folder.ts";

async function moongate(...args: string[]) {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, { out: (l) => out.push(l), err: (l) => err.push(l) });
  return { code, out, err: err.join("\n") };
}

Deno.test("edit and attention: sampling is asked for as in generate; weights are words and numbers", async () => {
  const requests: unknown[] = [], out: string[] = [];
  const note = <T>(answer: T) => (request: unknown) => {
    requests.push(request);
    return Promise.resolve(answer);
  };
  const run = (args: string[]) =>
    main(args, {
      out: (line) => out.push(line),
      work: { edit: note(["source.png", "sheet.png"]), attention: note("maps.png") },
    });
  const sampling = ["--model", "sd", "--delta", "dog", "--strength", "0.5", "--steps", "9", "-q"];
  const weights = ["--weight", "a cap=-2", "--weight", "b=c=0.5"];
  const shares = ["--cross", "1", "--self", "0"];
  await run(["edit", ...sampling, "--from", "a cat", "--to", "a cap", ...weights, ...shares]);
  await run(["attention", ...sampling, "a cat"]);
  assertEquals(out, ["source.png", "sheet.png", "maps.png"]);
  const asked = {
    ...{ model: "sd", deltas: [{ path: "dog", strength: 0.5 }], steps: 9 },
    ...{ count: 1, batch: 1, negative: "", seed: 42 },
  };
  assertEquals(requests, [{
    ...asked,
    ...{ from: "a cat", to: "a cap", weights: { "a cap": -2, "b=c": 0.5 } },
    ...{ crossSteps: 1, selfSteps: 0, out: "edited" },
  }, { ...asked, prompts: ["a cat"], out: "attention.png" }]);
});

Deno.test("the commands of docs/edit.md run as they stand, and what makes no sense is refused", async () => {
  const folder = await Deno.makeTempDir(), model = await randomFolder(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    await Deno.symlink(model, "sd");
    using base = await openBase("sd");
    await Deno.mkdir("my-dog");
    const delta = { ...await someDelta("<new1>", 1), base: base.fingerprint };
    await saveDelta("my-dog/delta.safetensors", delta);
    const refused = async (message: RegExp, ...args: string[]) => {
      const { code, err } = await moongate("edit", "--model", "sd", ...args);
      assertEquals(code, 1);
      assertMatch(err, message);
    };
    const prompts = ["--from", "a red ball", "--to", "a blue ball"];
    await refused(/--to is needed/, "--from", "a ball");
    await refused(/has <new1>, which the model does not know/, "--from", "a", "--to", "<new1>");
    await refused(/has no "cube"/, ...prompts, "--weight", "cube=2");
    await refused(/look like "hat=2"/, ...prompts, "--weight", "ball");
    await refused(/given two/, ...prompts, "--weight", "ball=1", "--weight", "ball=2");
    await refused(/at most 1/, ...prompts, "--cross", "1.5");
    await refused(/word by word/, "--from", "a", "--to", "a b", "--alignment", "replace");
    await refused(/unknown option '--prompts-from'/, ...prompts, "--prompts-from", "x");
    await Deno.mkdir("maps");
    const { code, err } = await moongate("attention", "--model", "sd", "a ball", "--out", "maps");
    assertEquals([code, /is a folder/.test(err)], [1, true]);
    assertEquals([...Deno.readDirSync(".")].map((e) => e.name).toSorted(), [
      "maps",
      "my-dog",
      "sd",
    ]);

    const all = [
      ...await pageCommands("edit.md", "Edit"),
      ...await pageCommands("edit.md", "Attention"),
    ];
    assertEquals(all.map(([name]) => name), ["edit", "edit", "edit", "edit", "attention"]);
    for (const args of all) {
      const { code, out, err } = await moongate(...args, "--steps", "2");
      assertEquals(code, 0, `moongate ${args.join(" ")}\n${err}`);
      for (const path of out) assert((await readPicture(path)).width >= 64);
      assertEquals(out.length, args[0] === "edit" ? 3 : 1);
    }
    const text = readPngText(await Deno.readFile("snow/edited-42.png"));
    assertEquals(text.weights, "snowy=3");
    assertEquals(text.edited_from, text.prompt);
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(model, { recursive: true });
  }
});
