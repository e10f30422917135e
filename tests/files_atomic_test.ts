/** Files appear whole or not at all; sharded weights; byte sources. */
import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { writeFileAtomic, writeFileAtomicBy } from "../files/atomic.ts";
import { FileError } from "../files/errors.ts";
import { openWeights } from "../files/models/weights.ts";
import { writeSafetensors } from "../files/safetensors/write.ts";
import { blobSource, type ByteSource, bytesSource, fileSource } from "../files/source.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const namesIn = (folder: string) => [...Deno.readDirSync(folder)].map((e) => e.name).sort();

Deno.test("atomic: a file is made, replaced, and left alone when the writer fails", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/state.json`;
    await writeFileAtomic(path, "one");
    await writeFileAtomic(path, new TextEncoder().encode("two"));
    const failing = writeFileAtomicBy(path, async (put) => {
      await put(new TextEncoder().encode("half"));
      throw new RangeError("loss is NaN");
    });
    await assertRejects(() => failing, RangeError, "loss is NaN");
    assertEquals(await Deno.readTextFile(path), "two");
    assertEquals(namesIn(folder), ["state.json"]);
    const both = ["a", "b"].map((c) => writeFileAtomic(path, c.repeat(100000)));
    await Promise.all(both);
    const text = await Deno.readTextFile(path);
    assertEquals(text, text[0].repeat(100000));
    assertEquals(namesIn(folder), ["state.json"]);
  });
});

Deno.test("atomic: a killed writer leaves the old file as it was", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/delta.bin`;
    await writeFileAtomic(path, "old");
    const code = `
      import { writeFileAtomicBy } from ${
      JSON.stringify(import.meta.resolve("../files/atomic.ts"))
    };
      await writeFileAtomicBy(${JSON.stringify(path)}, async (put) => {
        await put(new Uint8Array(100000));
        console.log("half");
        await new Promise((done) => setTimeout(done, 60000));
      });`;
    await Deno.writeTextFile(`${folder}/writer.ts`, code);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-config", `${folder}/writer.ts`],
      stdout: "piped",
    }).spawn();
    for await (const _ of child.stdout) {
      child.kill("SIGKILL");
      break;
    }
    await child.status;
    assertEquals(await Deno.readTextFile(path), "old");
  });
});

Deno.test("atomic: a target that can't be written is named, with what to do", async () => {
  await inFolder(async (folder) => {
    const missing = `${folder}/no/such/x.bin`;
    const error = await assertRejects(() => writeFileAtomic(missing, "x"), FileError);
    assertEquals(error.file, missing);
    assertStringIncludes(error.message, "does not exist. Create the folder first");
    await assertRejects(() => writeFileAtomic(`${folder}/`, "x"), FileError, "not the name");
    await Deno.mkdir(`${folder}/taken`);
    await assertRejects(() => writeFileAtomic(`${folder}/taken`, "x"), FileError);
    assertEquals(namesIn(folder), ["taken"]);
  });
});

Deno.test("sources: a path, an array and a blob give the same bytes, and refuse the same ranges", async () => {
  await inFolder(async (folder) => {
    const bytes = Uint8Array.from({ length: 300 }, (_, i) => i % 251);
    await Deno.writeFile(`${folder}/x`, bytes);
    const sources: ByteSource[] = [
      await fileSource(`${folder}/x`),
      bytesSource(bytes),
      blobSource(new Blob([bytes])),
    ];
    for (const source of sources) {
      assertEquals(source.size, 300);
      const parts = await Promise.all([0, 290, 17].map((at) => source.read(at, 10)));
      assertEquals(parts, [0, 290, 17].map((at) => bytes.slice(at, at + 10)));
      assertEquals((await source.read(300, 0)).length, 0);
      for (const [at, n] of [[291, 10], [-1, 2], [0.5, 1], [0, -1], [NaN, 1]]) {
        await assertRejects(() => source.read(at, n), FileError, "300 bytes");
      }
      source.close();
    }
    await assertRejects(() => fileSource(`${folder}/y`), FileError, "does not exist");
    await assertRejects(() => fileSource(folder), FileError, "is a folder");
  });
});

Deno.test("sources: a file that shrinks while it is open is reported", async () => {
  await inFolder(async (folder) => {
    await Deno.writeFile(`${folder}/x`, new Uint8Array(100));
    const source = await fileSource(`${folder}/x`);
    await Deno.truncate(`${folder}/x`, 50);
    await assertRejects(() => source.read(40, 20), FileError, "became shorter");
    assertEquals((await source.read(40, 10)).length, 10);
    source.close();
  });
});

Deno.test("shards: tensors are found through the index, and its lies are named", async () => {
  await inFolder(async (folder) => {
    const one = { shape: [2], data: new Float32Array([1, 2]) };
    const two = { shape: [1], data: new Float16Array([3]) };
    await writeSafetensors(`${folder}/m-1.safetensors`, { one }, { format: "pt" });
    await writeSafetensors(`${folder}/m-2.safetensors`, { two });
    const path = `${folder}/m.safetensors.index.json`;
    const index = (map: unknown) => Deno.writeTextFile(path, JSON.stringify({ weight_map: map }));

    await index({ two: "m-2.safetensors", one: "m-1.safetensors" });
    using weights = await openWeights(path);
    assertEquals([...weights.tensors.keys()], ["two", "one"]);
    assertEquals(weights.tensors.get("one")?.shape, [2]);
    assertEquals([...await weights.readFloat32("two")], [3]);
    assertEquals([...await weights.readPart("one", 1, 1) as Float32Array], [2]);
    assertInstanceOf((await weights.read("two")).data, Float16Array);

    const refuses = async (map: unknown, part: string) => {
      await index(map);
      await assertRejects(() => openWeights(path), FileError, part);
    };
    await refuses(undefined, "has no weight_map");
    await refuses({ one: "m-2.safetensors" }, `places tensor "one" in m-2.safetensors`);
    await refuses({ one: "m-3.safetensors" }, "does not exist");
    await refuses({ one: "../m-1.safetensors" }, "not the name");
    await refuses({ one: "/m-1.safetensors" }, "not the name");
    await refuses({ one: 3 }, "not the name");
  });
});
