// The first command of the README, with a step of training for each concept: everything that it leaves.
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { run } from "../cli/demo/work.ts";
import type { Ui } from "../cli/shared/ui.ts";
import { Interrupted } from "../terminal/interrupt.ts";
import { createProgress } from "../terminal/progress.ts";
import { claimDemo } from "../cli/demo/claim.ts";
import { FileError } from "../files/errors.ts";
import { PACKAGES, WORLD } from "../cli/shared/permissions.ts";
import { isFile } from "../files/paths.ts";
import { readPicture } from "../files/pictures/image.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { flagsOf, packages, runWith } from "./support/permissions.ts";

Deno.test("demo: two deltas, their merge, a contact sheet, a report, and what each scored", async () => {
  const out = await Deno.makeTempDir();
  const world = new URL("../world", import.meta.url).pathname;
  const places = { [WORLD]: world, [PACKAGES]: await packages(), "--out": out };
  const concepts = ["--concept", "trex", "--concept", "castle"];
  const args = [
    "demo",
    ...concepts,
    "--steps",
    "1",
    "--seed",
    "3",
    "--out",
    out,
    "--device",
    "cpu",
  ];
  for (const missing of [`read ${WORLD}`, `read ${PACKAGES}`, "write --out", "read --out"]) {
    const { code, err } = await runWith(flagsOf("demo", places, missing), args);
    assertEquals(code, 1, `without ${missing}: ${err}`);
    assertMatch(err, /--allow-/, missing);
  }
  const ran = await runWith(flagsOf("demo", places), args);
  const said = ran.out.split("\n");
  assertEquals([ran.code, said.at(-1)], [0, `${out}/demo.png`], `${ran.out}\n${ran.err}`);

  const sheet = await readPicture(`${out}/demo.png`);
  // Five pictures of 64 pixels at three times their size across, nine rows of them and as many titles down.
  assert(sheet.width > 5 * 192 && sheet.height > 9 * 192, `${sheet.width}×${sheet.height}`);
  const page = await Deno.readTextFile(`${out}/report.html`);
  assertEquals(page.match(/<img /g)?.length, 2 * 4 * 5 + 5);
  for (
    const word of [
      "taught on CPU (WebAssembly, ",
      "tyrannosaur",
      "fresh drawings",
      "next to a &lt;new2> house",
    ]
  ) {
    assertStringIncludes(page, word);
  }

  const number = "(-?\\d\\.\\d{2,4})";
  for (const name of ["trex", "castle"]) {
    const scored =
      `${name}: image alignment ${number} before, ${number} after, ${number} merged; ` +
      `fresh drawings of it ${number}`;
    const found = said.join("\n").match(scored);
    assert(found, said.join("\n"));
    const [before, after, merged, ideal] = found.slice(1).map(Number);
    // A step teaches next to nothing, and a drawing of the thing is as much like it as can be.
    assert(Math.abs(after - before) < 0.1 && Math.abs(merged - before) < 0.1, found[0]);
    assert(ideal > before + 0.1, found[0]);
    assert(await isFile(`${out}/${name}/delta.safetensors`));
  }
  const merged = await loadDelta(`${out}/merged.safetensors`);
  assertEquals(merged.tokens.map((t) => t.token), ["<new1>", "<new2>"]);
  assertMatch(said.at(-2)!, /^took \d+(\.\d+ s|:\d\d)$/);

  // It may be made again, but for what somebody put in the place of something that it made.
  const request = { concepts: ["trex", "castle"], seed: 3, out };
  await (await claimDemo(request))[Symbol.asyncDispose]();
  await Deno.writeTextFile(`${out}/castle/delta.safetensors`, "mine");
  await assertRejects(
    () => claimDemo(request),
    FileError,
    "holds castle/delta.safetensors already",
  );
  await (await claimDemo({ ...request, overwrite: true }))[Symbol.asyncDispose]();
  await Deno.remove(out, { recursive: true });
});

Deno.test("demo: stopped by Ctrl-C, it says what was finished, and of nothing that nothing was written", async () => {
  for (
    const [at, written] of [["trex: before", []], ["castle: before", ["trex"]]] as const
  ) {
    const out = await Deno.makeTempDir(), stop = new AbortController(), said: string[] = [];
    const ui: Ui = {
      progress: {
        ...createProgress({ quiet: true }),
        start: (label) => label === at && stop.abort(),
      },
      interrupt: {
        signal: stop.signal,
        get requested() {
          return stop.signal.aborted;
        },
        saved: () => {
          throw new Error("there is nothing to go on with");
        },
        [Symbol.dispose]() {},
      },
      warn: (line) => said.push(line),
      say: (line) => said.push(line),
      typed: "moongate demo",
    };
    const request = {
      concepts: ["trex", "castle"],
      steps: 1,
      seed: 3,
      out,
      device: "cpu",
    } as const;
    await assertRejects(
      () => run({ ...request, concepts: [...request.concepts] }, ui),
      Interrupted,
    );
    const deltas = written.map((name) => `${name}/delta.safetensors`);
    assertEquals(said, [
      written.length
        ? `stopped; what was finished is in ${out}: ${deltas}`
        : "stopped before a concept was finished: nothing was written",
    ]);
    for (const path of deltas) assert(await isFile(`${out}/${path}`));
    const folders = [...Deno.readDirSync(out)].filter((e) => e.isDirectory).map((e) => e.name);
    assertEquals(folders, [...written]);
    await Deno.remove(out, { recursive: true });
  }
});
