// What `moongate inspect` says of files of all sorts, and that nothing in a file reaches the terminal as a command to it.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "../cli/main.ts";
import { FileError } from "../files/errors.ts";
import { blank } from "../files/pictures/picture.ts";
import { encodePng, writePng } from "../files/pictures/png.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { visible, visibleLine } from "../files/visible.ts";
import { greatest } from "../numerics/greatest.ts";
import { columns } from "../terminal/table.ts";
import { createProgress } from "../terminal/progress.ts";
import { tarOf } from "./support/archives.ts";
import { inFolder as within } from "./support/command.ts";

/** Runs the command; gives what it wrote, and its exit code. */
async function moongate(
  ...args: string[]
): Promise<{ out: string[]; err: string[]; code: number }> {
  const out: string[] = [], err: string[] = [];
  const code = await main(args, {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
  });
  return { out, err, code };
}

/** A safetensors file of tensors of one element each. */
function manyTensors(names: string[], metadata?: Record<string, string>): Uint8Array {
  const entries = Object.fromEntries(names.map((name, i) => [
    name,
    { dtype: "F32", shape: [1], data_offsets: [4 * i, 4 * i + 4] },
  ]));
  const header = new TextEncoder().encode(
    JSON.stringify({ ...(metadata && { __metadata__: metadata }), ...entries }),
  );
  const bytes = new Uint8Array(8 + header.length + 4 * names.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  return bytes;
}

Deno.test("inspect lists two hundred thousand tensors", async () => {
  await within(async (folder) => {
    const path = `${folder}/many.safetensors`, count = 200_000;
    await Deno.writeFile(
      path,
      manyTensors(Array.from({ length: count }, (_, i) => `layer.${i}.weight`)),
    );
    const { out, err, code } = await moongate("inspect", path);
    assertEquals([code, err], [0, []]);
    assertEquals(out[1], `${count} tensors, ${count} parameters, F32`);
    assertMatch(out.at(-1)!, /^layer\.199999\.weight +1 +F32$/);
    const { out: [json] } = await moongate("inspect", path, "--json");
    assertEquals(Object.keys(JSON.parse(json).contents).length, count);
  });
  assertEquals(greatest(new Float32Array(1e6).fill(-2), -5), -2);
  assertEquals(greatest([], 7), 7);
  const rows = Array.from({ length: 300_000 }, (_, i) => [`${i}`, "x"]);
  assertEquals(columns(rows).at(-1), "299999  x");
});

Deno.test("inspect refuses what is no file of weights in a sentence", async () => {
  await within(async (folder) => {
    const png = await encodePng(blank(8, 8, [1, 2, 3]));
    const files: [string, Uint8Array, string][] = [
      ["empty.safetensors", new Uint8Array(0), "is empty"],
      ["cut.png", png.subarray(0, 40), "is cut short"],
      ["zeros.jpg", new Uint8Array(99), "is no picture that is known here"],
      ["cut.bin", png.subarray(0, 40), "is cut short"],
      ["page.ckpt", new TextEncoder().encode("<!DOCTYPE html><html>Not found"), "is a web page"],
      ["notes.bin", new TextEncoder().encode("just some words\n"), "is a text, and no file of"],
      ["set.tar", tarOf({ "a.txt": new Uint8Array(3) }), "is a tar archive"],
    ];
    for (const [name, bytes, what] of files) {
      await Deno.writeFile(`${folder}/${name}`, bytes);
      const { out, err, code } = await moongate("inspect", `${folder}/${name}`);
      assertEquals([code, out, err.length], [1, [], 1], name);
      assert(err[0].startsWith(`moongate: ${folder}/${name}: ${what}`), err[0]);
      assert(!/\d{9}/.test(err[0].replace(folder, "")), err[0]);
    }
    for (const path of [folder, `${folder}/none`]) {
      const { err, code } = await moongate("inspect", path);
      assertEquals([code, err.length], [1, 1]);
    }
    assertStringIncludes(
      (await moongate("inspect", "/dev/zero")).err[0],
      "is a device, not a file",
    );
    const made = await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
    assert(made.success);
    // Opening it would wait for ever.
    assertStringIncludes(
      (await moongate("inspect", `${folder}/pipe`)).err[0],
      "is a pipe, not a file",
    );
  });
});

Deno.test("inspect says what a picture was made from", async () => {
  await within(async (folder) => {
    const path = `${folder}/0.png`;
    await writePng(path, blank(12, 8, [1, 2, 3]), { prompt: "a <new1> dog", seed: "42" });
    const { out } = await moongate("inspect", path);
    assertEquals(out, [`${path}: PNG picture, 12×8`, "prompt: a <new1> dog", "seed: 42"]);
    const { out: [json] } = await moongate("inspect", path, "--json");
    assertEquals(JSON.parse(json).notes, { prompt: "a <new1> dog", seed: "42" });
  });
});

// deno-lint-ignore no-control-regex
const CONTROL = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;
const EVIL = "a\x1b[2J\x1b]0;x\x07\x9b31m\x7f\u202eb\u2028c\r";

Deno.test("control characters of a file are written out wherever its names are shown", async () => {
  await within(async (folder) => {
    const name = `${EVIL}\nfake line`;
    const path = `${folder}/x.safetensors`;
    await Deno.writeFile(path, manyTensors([name, "b"], { [`note${EVIL}`]: name }));
    const shown = await moongate("inspect", path);
    assertEquals(shown.code, 0);
    for (const line of shown.out) assert(!CONTROL.test(line) && !line.includes("\n"), line);
    assertMatch(shown.out.join("\n"), /^a\\u001b\[2J\\u001b\]0;x\\u0007\\u009b31m\\u007f\\u202eb/m);
    const { out: [json] } = await moongate("inspect", path, "--json");
    assert(!CONTROL.test(json));
    assertEquals(Object.keys(JSON.parse(json).contents), [name, "b"]);
    assertEquals(JSON.parse(json).metadata, { [`note${EVIL}`]: name });

    // A refusal that quotes the file, and one that names it.
    await Deno.writeFile(path, manyTensors([name, name.repeat(2)]).fill(0xff, -8).slice(0, -4));
    const strange = `${folder}/${EVIL}.json`;
    await Deno.writeTextFile(strange, `[{"${EVIL}`);
    const model = ["--model", "none", "--out", `${folder}/out`];
    for (
      const args of [
        ["inspect", path],
        ["inspect", `${folder}/${name}`],
        ["train", "--concepts-list", strange, ...model],
        ["train", "--concept", `<new1> ${EVIL}=${folder}`, ...model],
        ["generate", ...model, "--delta", name, "x"],
        [`insp${EVIL}`],
        ["inspect", `--${EVIL}`],
      ]
    ) {
      const { err, code } = await moongate(...args);
      assertEquals(code, 1);
      assert(err.length > 0 && err.every((line) => !CONTROL.test(line)), err.join("\n"));
    }
  });
  assertEquals(visible("a\tb\nc\u00e9 東 🐶"), "a\tb\nc\u00e9 東 🐶");
  assertEquals(visibleLine("a\tb\r\nc"), "a\\tb\\nc");
  assertEquals(new FileError("x\ny", "z\x1b").message, "x\\ny: z\\u001b");
  const lines: string[] = [];
  const progress = await createProgress({ terminal: false, write: (line) => lines.push(line) });
  progress.start(`pictures of "${EVIL}"`, 1);
  progress.stop();
  assert(lines.length > 0 && lines.every((line) => !CONTROL.test(line)), lines.join("\n"));
});

Deno.test("a delta's words and notes are shown in their lines", async () => {
  await within(async (folder) => {
    const path = `${folder}/learned.safetensors`;
    await writeSafetensors(path, {
      [`<new${EVIL}\n1>`]: { shape: [4], data: Float32Array.of(1, 2, 3, 4) },
    });
    const { out } = await moongate("inspect", path);
    assertStringIncludes(out[0], "embedding");
    for (const line of out) assert(!CONTROL.test(line) && !line.includes("\n"), line);
  });
});

Deno.test("a path of nothing is shown as such", async () => {
  const { err } = await moongate("inspect", "");
  assertStringIncludes(err.join("\n"), 'moongate: "": does not exist');
});
