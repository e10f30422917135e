// Nothing that exists is lost: every verb that writes says what is there and stops, never writes to what it reads, and
// keeps others out of where it writes.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import fc from "fast-check";
import { main } from "../cli/main.ts";
import { FileError } from "../files/errors.ts";
import { fileNames } from "../files/file_names.ts";
import { claim } from "../files/outputs.ts";
import { ownFiles } from "../files/own_files.ts";
import { GOLDEN } from "./formats_golden.ts";
import { inside, treeOf } from "./support/kept.ts";
import { ALL, escaped, inputs, put, refused, run, training, WRITERS } from "./support/writers.ts";

Deno.test("every verb with --overwrite is tried here, and every option that names an output has a verb with --overwrite", async () => {
  const help = async (...args: string[]) => {
    const out: string[] = [];
    await main([...args, "--help"], { out: (line) => out.push(line) });
    return out.join("\n");
  };
  const listed = (await help()).split("Commands:")[1].matchAll(/^ {2}(\w+) /gm);
  for (const [, verb] of listed) {
    if (verb === "help") continue;
    const text = await help(verb);
    const writes = /^ +--(out|plot|json) <(file|folder|path)>/m.test(text);
    assertEquals([/--overwrite/.test(text), verb in WRITERS], [writes, writes], verb);
  }
});

Deno.test("what is there already is named and kept, by every verb", async () => {
  for (const { at, ending, files } of ALL) {
    for (const file of files) {
      await inside(async () => {
        await inputs();
        const out = `deep/out${ending}`, path = file ? `${out}/${file}` : out;
        await put(path, "mine");
        const named = file.includes("/") && !/pictures|moongate/.test(file)
          ? file.split("/")[0]
          : file || out;
        await refused(at(out), escaped(named), /--overwrite/);
        await refused(at(`./deep/../${out}`), /--overwrite/);
        if (!file) return;
        await Deno.symlink(out, "link");
        await refused(at("link"), escaped(named), /--overwrite/);
      });
    }
  }
});

Deno.test("a link that leads nowhere is something that exists, too", async () => {
  for (const { at, files, isFile } of ALL) {
    if (isFile) continue;
    await inside(async () => {
      await inputs();
      await Deno.mkdir("out");
      await Deno.symlink("nowhere", "out/" + files[0]);
      await refused(at("out"), /is a link to nothing|--overwrite/);
    });
  }
});

Deno.test("what loses nothing begins, and what fails then leaves no folder and no lock", async () => {
  for (const { at, ending, files, isFile, verb } of ALL) {
    if (verb === "demo") continue; // It would succeed.
    await inside(async () => {
      await inputs();
      // Something else in the folder, an empty folder, and none yet.
      if (!isFile) {
        await put("some/notes.md", "mine");
        if (verb !== "convert") await put("some/other.safetensors", "mine");
      }
      await Deno.mkdir("empty");
      for (
        const out of isFile ? [`new${ending}`, `a/b/new${ending}`] : ["some", "empty", "new/er"]
      ) {
        const before = await treeOf(".");
        const { code, err } = await run(at(out));
        assertEquals(code, 1);
        assert(!/--overwrite|read by the same/.test(err), err);
        assertEquals(await treeOf("."), before, at(out).join(" "));
      }
      // What is there may be replaced where that is said.
      for (const file of files) await put(file ? `old/${file}` : `old${ending}`, "mine");
      const before = await treeOf(".");
      const { code, err } = await run([...at(`old${isFile ? ending : ""}`), "--overwrite"]);
      assertEquals(code, 1);
      assert(!/--overwrite|read by the same/.test(err), err);
      assertEquals(await treeOf("."), before, err);
    });
  }
});

Deno.test("outputs that are inputs are refused by whatever path, with --overwrite too", async () => {
  for (const { at, ending, reads, isFile, verb } of ALL) {
    for (const read of reads) {
      await inside(async (folder) => {
        await inputs();
        const file = /\.\w+$/.test(read);
        const same = /is read by the same command/;
        const paths = [read, `./${read}`, `${folder}/${read}`, `sd/../${read}`];
        await Deno.symlink(`${folder}/${read}`, `link${ending}`);
        paths.push(`link${ending}`);
        if (file && isFile && !read.includes("/")) {
          await Deno.link(read, `hard${ending}`);
          paths.push(`hard${ending}`);
        }
        if (file !== isFile) return;
        for (const path of paths) {
          await refused(at(path), same);
          await refused([...at(path), "--overwrite"], same);
        }
        if (verb !== "merge" || read === "sd") return;
        // Or a folder that holds one.
        await refused([...at("holds").with(2, "sd").with(3, "holds/delta.safetensors")], /holds/);
      });
    }
  }
});

Deno.test("inputs inside of what would be replaced are refused, and reports beside inputs are not", async () => {
  await inside(async () => {
    await inputs();
    const same = /is read by the same command/;
    await put("out/checkpoint-5/delta.safetensors", "mine");
    await put("out/regularization/dog/a.png", "mine");
    const train = (
      ...more: string[]
    ) => ["train", ...training, "--out", "out", "--overwrite", ...more];
    await refused(train("--from", "out/checkpoint-5"), same);
    await refused(train("--regularization", "dog=out/regularization/dog"), same);
    await refused(
      ["analyse", "sd", "my-dog", "--plot", "my-dog/delta.safetensors", "--overwrite"],
      same,
    );
    const json = ["evaluate", "--scorer", "sd", "--generated", "photos", "--out", "o", "--json"];
    await refused([...json, "photos/prompts.json", "--overwrite"], same);
    await refused([...json, "o/report.html"], /would be written by both --out and --json/);
    await refused(
      ["compress", "my-dog", "--rank", "1", "--out", "x.safetensors", "--plot", "./X.safetensors"],
      /would be written by both --out and --plot/,
    );
    await put("my-dog/changes.svg", "mine");
    const { err } = await run(
      ["analyse", "sd", "my-dog", "--plot", "my-dog/changes.svg", "--overwrite"],
    );
    assert(!same.test(err), err);
    // The model's folder is where one works: pictures in it are none of its parts.
    await put("pictures/a-dog-42.png", "mine");
    const here = await run(["generate", "--model", ".", "a dog", "--overwrite"]);
    assert(!same.test(here.err), here.err);
  });
});

Deno.test("a file where a folder belongs and the reverse are refused, with --overwrite too", async () => {
  for (const { at, ending, files, isFile } of ALL) {
    await inside(async () => {
      await inputs();
      if (isFile) {
        await put(`out${ending}/x`, "mine");
        await refused(
          [...at(`out${ending}`), "--overwrite"],
          /is a folder where a file is expected/,
        );
        await put("file", "mine");
        await refused(
          [...at(`file/out${ending}`), "--overwrite"],
          /file: is a file where a folder is expected/,
        );
        await refused(at(""), /is not the name of a (file|folder)/);
        return;
      }
      await put("file", "mine");
      await refused([...at("file"), "--overwrite"], /is a file where a folder is expected/);
      await refused(
        [...at("file/out"), "--overwrite"],
        /file: is a file where a folder is expected/,
      );
      await refused(at(""), /is not the name of a folder/);
      for (const [n, file] of files.entries()) {
        const [first, ...more] = file.split("/"), out = `out${n}`;
        if (more.length) {
          await put(`${out}/${first}`, "mine");
          await refused([...at(out), "--overwrite"], /is a file where a folder is expected/);
        } else if (!/lora|\.bin|events/.test(file)) {
          await put(`${out}/${file}/x`, "mine");
          await refused([...at(out), "--overwrite"], /is a folder where a file is expected/);
        }
      }
    });
  }
});

Deno.test("words beside a converted delta are kept, and are not written over where they are read", async () => {
  await inside(async () => {
    const from = [`${GOLDEN}/custom.safetensors`, "--model", `${GOLDEN}/model`];
    const to = (out: string) => ["convert", ...from, "--to", "diffusers-custom", "--out", out];
    await put("<new2>.bin", "mine");
    await refused(to("custom.bin"), /<new2>\.bin: is there already/);
    await Deno.remove("<new2>.bin");
    assertEquals((await run(to("custom.bin"))).code, 0);
    await refused(to("custom.bin"), /custom\.bin: is there already/);
    assertEquals((await run([...to("custom.bin"), "--overwrite"])).code, 0);
    const back = ["convert", "custom.bin", "--to", "diffusers-custom", "--out", "other.bin"];
    await refused([...back, "--overwrite"], /<new1>\.bin: is read by the same command/);
  });
});

/** A process that claims a folder, says so, and waits to be told to end. */
function holder(path: string): Deno.ChildProcess {
  const code = `
    import { claim } from ${JSON.stringify(import.meta.resolve("../files/outputs.ts"))};
    await using _ = await claim([{ path: ${JSON.stringify(path)}, flag: "--out", holds: ["x"] }]);
    console.log("held");
    await new Promise((done) => setTimeout(done, 60000));`;
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", code],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("a run keeps others out of its folder, says which process it is, and is followed when it is gone", async () => {
  await inside(async (folder) => {
    await inputs();
    const child = holder(`${folder}/out`), reader = child.stdout.getReader();
    await reader.read();
    const folders = ALL.filter(({ isFile, verb }) => !isFile && verb !== "demo");
    for (const { at } of folders) {
      await refused(at("out"), new RegExp(`being written by another run, process ${child.pid}\\.`));
      await refused([...at("./out"), "--overwrite"], /another run/);
    }
    child.kill("SIGKILL");
    await reader.cancel();
    await child.output().catch(() => child.status);
    assertEquals(Object.keys(await treeOf("out")), [".moongate.lock"], "as it was killed");
    for (const { at } of folders) assert(!/another run/.test((await run(at("out"))).err));
    // Whatever is in a lock that nobody holds: another's number, one that is in use, nothing, half of it.
    for (const text of ["process 1\n", `process ${Deno.pid}\n`, "", "proc", "\0".repeat(99)]) {
      await put("out/.moongate.lock", text);
      await using _ = await claim([{ path: "out", flag: "--out", holds: ["x"] }]);
    }
  });
});

Deno.test("it takes no more than to read and write where the output goes", async () => {
  await inside(async (folder) => {
    const code = `
      import { claim } from ${JSON.stringify(import.meta.resolve("../files/outputs.ts"))};
      const reads = ["in"];
      for (const holds of [["x", /^y/, "z/"], undefined]) {
        await using _ = await claim([{ path: "out/new", flag: "--out", holds }], { reads });
        if (holds) await Deno.mkdir("out/new/w");
        else await Deno.writeTextFile("out/new", "");
        if (holds) await Deno.remove("out/new/w");
      }`;
    await put("in/delta.safetensors", "an input");
    await Deno.writeTextFile("program.ts", code);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      // deno-fmt-ignore
      args: [
        "run", "--no-config", "--no-prompt", `--allow-read=${folder}/in,${folder}/out`, `--allow-write=${folder}/out`,
        "program.ts",
      ],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    assertEquals(await treeOf("out"), { new: "" });
  });
});

Deno.test("of many that start at one moment, one gets a place at a time, be it a folder or a file", async () => {
  await inside(async () => {
    for (const holds of [["x"], undefined]) {
      const path = `new/${holds ? "folder" : "file"}`;
      let holding = 0, most = 0, got = 0;
      const rounds = Array.from({ length: 60 }, async (_, i) => {
        await new Promise((done) => setTimeout(done, i % 37));
        try {
          await using _ = await claim([{ path, flag: "--out", holds }]);
          got++;
          most = Math.max(most, ++holding);
          await new Promise((done) => setTimeout(done, 5));
          holding--;
        } catch (error) {
          assert(error instanceof FileError && /another run/.test(error.message), String(error));
        }
      });
      await Promise.all(rounds);
      assert(got >= 1 && most === 1, `${got} got it, ${most} at once`);
      const left = Object.keys(await treeOf("."));
      assert(left.every((path) => path.endsWith("/")), `a lock was left: ${left}`);
    }
  });
});

Deno.test("a lock that its holder removed just before it was taken holds nothing", async () => {
  await inside(async () => {
    let holding = 0, most = 0, got = 0;
    const work = Array.from({ length: 12 }, async () => {
      while (got < 400) {
        try {
          await using _ = await claim([{ path: "out", flag: "--out" }]);
          got++;
          most = Math.max(most, ++holding);
          await new Promise((done) => setTimeout(done));
          holding--;
        } catch (error) {
          assert(error instanceof FileError && /another run/.test(error.message), String(error));
        }
      }
    });
    await Promise.all(work);
    assertEquals(most, 1);
  });
});

Deno.test("half-written files of a killed run are swept from where one writes; those of others stay", async () => {
  await inside(async () => {
    for (
      const name of [
        ".x.7-0.partial",
        ".y.7-1.partial",
        "samples/.1.png.7-2.partial",
        "z/.x.7-3.partial",
      ]
    ) {
      await put(`out/${name}`, "half");
    }
    await using _ = await claim([{ path: "out", flag: "--out", holds: ["x", "samples/"] }]);
    const left = Object.keys(await treeOf("out")).filter((name) => name.endsWith(".partial"));
    assertEquals(left, [".y.7-1.partial", "z/.x.7-3.partial"]);
  });
});

Deno.test("a command replaces what it made itself, and what it was killed over; not what somebody put there", async () => {
  await inside(async () => {
    const open = async () => {
      const own = await ownFiles("out", "demo");
      const output = { path: "out", flag: "--out", holds: ["a.png", "b/c.html"] };
      return { own, held: await claim([output], { mayReplace: own.isOwn }) };
    };
    const make = async (text: string) => {
      const { own, held } = await open();
      await using _ = held;
      for (const name of ["a.png", "b/c.html"]) await own.make(name, (path) => put(path, text));
    };
    await make("one");
    await make("two");
    assertEquals(await Deno.readTextFile("out/a.png"), "two");
    await put("out/a.png", "mine");
    await assertRejects(open, FileError, "holds a.png already");
    await Deno.remove("out/a.png");
    const { own, held } = await open();
    await assertRejects(() =>
      own.make("a.png", async (path) => {
        await put(path, "half a file, and then the end");
        throw new RangeError("killed");
      }), RangeError);
    await held[Symbol.asyncDispose]();
    await make("three");
    assertEquals(await Deno.readTextFile("out/a.png"), "three");
    for (const damaged of ["", "{", "[]", '{"a.png": 3}']) {
      await put("out/.moongate-demo.json", damaged);
      await assertRejects(open, FileError, "a.png");
    }
  });
});

Deno.test("file names: one for each text and none twice, on any file system", () => {
  const same = "a small red wooden toy on a wide green field under a clear blue sky";
  const prompts = Array.from({ length: 200 }, (_, i) => `${same}, number ${i}`);
  const names = fileNames(
    [...prompts, same, "A dog!", "a dog", "a dog", "", "😀", "猫".repeat(99)],
    "picture",
  );
  assertEquals(new Set(names).size, names.length);
  assertEquals(names[201], "a-dog");
  assertMatch(names[202], /^a-dog-[0-9a-f]{8}$/);
  assertMatch(names[203], /^a-dog-[0-9a-f]{8}-2$|^a-dog-[0-9a-f]{8}$/);
  const [wide] = fileNames(["𠀀".repeat(99)], "picture");
  assert(new TextEncoder().encode(wide).length <= 120, wide);
  assertEquals(fileNames(["a dog on a beach"], "x"), ["a-dog-on-a-beach"]);
  assertEquals(fileNames(["<>", "??"], "picture")[0], "picture");
  const texts = fc.array(
    fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom(same, `${same}!`, "É", "É", "é", "a b", "a-b"),
    ),
  );
  fc.assert(fc.property(texts, (texts) => {
    const names = fileNames(texts, "picture");
    assertEquals(names.length, texts.length);
    assertEquals(new Set(names.map((n) => n.normalize("NFC").toLowerCase())).size, texts.length);
    for (const name of names) {
      assert(new TextEncoder().encode(name).length < 200, name);
      assertMatch(name, /^[\p{L}\p{N}\p{M}-]+$/u);
    }
    // What a text is called hangs on those before it only.
    assertEquals(fileNames(texts.slice(0, 2), "picture"), names.slice(0, 2));
  }));
});
