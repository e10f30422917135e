// Collections of captioned pictures in all their forms, and the choice among them by similarity.
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { chooseRegularization, type PromptEncoder, rankCaptions } from "../concepts/data/choose.ts";
import { readRegularization } from "../concepts/data/regularization.ts";
import { openClip } from "../evaluate/clip.ts";
import { type CaptionedFile, listCaptioned } from "../files/collection.ts";
import { FileError } from "../files/errors.ts";
import { blank } from "../files/pictures/picture.ts";
import { encodePng, writePng } from "../files/pictures/png.ts";
import { bytesSource } from "../files/source.ts";
import { tarMembers } from "../files/archives/tar.ts";
import { type Files, tarOf, zipOf } from "./support/archives.ts";
import { figures } from "../numerics/quantities.ts";
import { testDevice } from "./support/check.ts";
import { inFolder as within } from "./support/command.ts";

const GOLDEN = new URL("./golden/", import.meta.url).pathname;

/** Captions, and the first pixel of each picture. */
const look = async (files: CaptionedFile[]) =>
  await Promise.all(files.map(async ({ caption, read }) => {
    return [caption, ...(await read()).data.subarray(0, 3)];
  }));

const WEBDATASET = [
  ["a red dog", 255, 0, 0],
  ["a green dog, très vert", 0, 255, 0],
  ["a blue dog", 0, 0, 255],
  [undefined, 9, 9, 9],
];

for (const format of ["ustar", "gnu", "pax"]) {
  Deno.test(`a webdataset archive as Python writes it (${format}): pictures, captions, long names`, async () => {
    const found = await listCaptioned(`${GOLDEN}collection/${format}.tar`);
    const yellow = format === "pax" ? [["a yellow dog", 255, 255, 0]] : [];
    assertEquals(await look(found), [...WEBDATASET, ...yellow]);
    assert(found[2].name.endsWith(`${"a".repeat(90)}/${"b".repeat(90)}.png`), found[2].name);
  });
}

Deno.test("a folder of archives is one collection", async () => {
  const found = await listCaptioned(`${GOLDEN}collection`);
  assertEquals(found.length, 4 + 4 + 5);
});

Deno.test("an archive that is compressed, cut short, damaged or none is named as that", async () => {
  const whole = await Deno.readFile(`${GOLDEN}collection/gnu.tar`);
  const members = async (bytes: Uint8Array) =>
    await Array.fromAsync(tarMembers(bytesSource(bytes, "x.tar")));
  assertEquals((await members(whole)).length, 9);
  const packed = new Uint8Array(
    await new Response(new Blob([whole]).stream().pipeThrough(new CompressionStream("gzip")))
      .arrayBuffer(),
  );
  const damaged = whole.slice();
  damaged[1024 + 512] ^= 1;
  const [text, padded] = [new TextEncoder().encode("no archive"), new Uint8Array(1024)];
  padded.set(text);
  const big = whole.slice();
  new TextEncoder().encodeInto("00777777777\0", big.subarray(512 + 124));
  for (
    const [bytes, message] of [
      [packed.length < 512 ? new Uint8Array([...packed, ...padded]) : packed, "is compressed"],
      [whole.slice(0, 512 * 3 - 1), "is cut short"],
      [whole.slice(0, 512 * 2 + 9), "It is cut short"],
      [text, "is no tar archive"],
      [damaged, "is damaged at byte 1536"],
      [padded, "is no tar archive"],
      [big, "is damaged at byte 512"],
    ] as const
  ) {
    const error = await assertRejects(() => members(bytes), FileError);
    assert(error.message.includes(message), `${error.message} (expected ${message})`);
  }
});

Deno.test("captions beside pictures, a list, a list with paths, and metadata.jsonl say the same", async () => {
  await within(async (folder) => {
    const colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255]], words = ["red", "green", "blue"];
    const names = ["1.png", "2.png", "10.png"];
    const wanted = words.map((word, i) => [`a ${word} dog`, ...colours[i]]);
    const forms = ["beside", "lines", "paths", "jsonl"];
    for (const form of forms) {
      await Deno.mkdir(`${folder}/${form}`);
      for (const [i, name] of names.entries()) {
        await writePng(`${folder}/${form}/${name}`, blank(4, 4, colours[i]), {});
      }
    }
    const write = (path: string, lines: string[]) =>
      Deno.writeTextFile(`${folder}/${path}`, `${lines.join("\r\n")}\n`);
    const captions = words.map((word) => `a ${word} dog`);
    for (const i of [0, 1, 2]) await write(`beside/${names[i].slice(0, -4)}.txt`, [captions[i]]);
    await write("lines/caption.txt", captions);
    await write("paths/captions.txt", captions);
    await write("paths/images.txt", ["1.png", "2.png", `${folder}/lines/10.png`]);
    const keys = ["text", "caption", "prompt"];
    const entries = names.map((file_name, i) => ({ file_name, [keys[i]]: captions[i] }));
    await write("jsonl/metadata.jsonl", entries.map((entry) => JSON.stringify(entry)));
    for (const form of forms) {
      assertEquals(await look(await listCaptioned(`${folder}/${form}/`)), wanted, form);
    }
    assertEquals(await look(await listCaptioned(`${folder}/jsonl/metadata.jsonl`)), wanted);

    // A mask is no picture of its own; what has no caption gets the class's.
    await writePng(`${folder}/beside/2.mask.png`, blank(4, 4), {});
    await Deno.remove(`${folder}/beside/2.txt`);
    const found = await listCaptioned(`${folder}/beside`);
    assertEquals(found.map(({ mask }) => mask), [
      undefined,
      `${folder}/beside/2.mask.png`,
      undefined,
    ]);
    const set = await readRegularization(`${folder}/beside`, "photo of a dog", (p) => p);
    assertEquals(set.map(({ caption }) => caption), ["a red dog", "photo of a dog", "a blue dog"]);

    await write("lines/caption.txt", captions.slice(1));
    await write("jsonl/metadata.jsonl", ['{"text": "a dog"}']);
    await Deno.mkdir(`${folder}/empty`);
    for (
      const [path, message] of [
        ["lines", "has 2 captions for 3 pictures"],
        ["jsonl", 'line 1 has no "file_name"'],
        ["empty", "holds no pictures"],
        ["none", "does not exist"],
        ["beside/1.png", "is a file where a folder is expected"],
      ]
    ) {
      const error = await assertRejects(() => listCaptioned(`${folder}/${path}`), FileError);
      assert(error.message.includes(message), `${error.message} (expected ${message})`);
    }
  });
});

const text = (content: string) => new TextEncoder().encode(content);
const dot = (...rgb: number[]) => encodePng(blank(4, 4, rgb));

/** Every form in which captions come, of three pictures, with a mask, in a folder or in one that lies deeper. */
const FORMS: Record<string, () => Promise<Files>> = {
  beside: async () => ({
    "0.png": await dot(1, 1, 1),
    "0.caption": text("a red dog\n"),
    "IMG.v2.JFIF": await dot(2, 2, 2),
    "IMG.v2.TXT": text("a green dog"),
    "IMG.v2.caption": text("not this one"),
    "IMG.v2.mask.png": await dot(255, 255, 255),
    "z.bmp": await dot(3, 3, 3),
    "z.txt": text("  "),
    "z.json": text('\ufeff{"caption": "a blue dog"}'),
    ".hidden.png": text("nothing"),
  }),
  lines: async () => ({
    "0.png": await dot(1, 1, 1),
    "2.png": await dot(2, 2, 2),
    "2.mask.png": await dot(255, 255, 255),
    "10.png": await dot(3, 3, 3),
    "captions.txt": text("a red dog\ra green dog\r\na blue dog\n"),
  }),
  jsonl: async () => ({
    "0.png": await dot(1, 1, 1),
    "b/1.png": await dot(2, 2, 2),
    "b/1.mask.png": await dot(255, 255, 255),
    "10.png": await dot(3, 3, 3),
    "metadata.jsonl": text(
      ["0.png", "b/1.png", "./10.png"].map((file_name, i) =>
        `\ufeff${JSON.stringify({ file_name, text: `a ${["red", "green", "blue"][i]} dog` })}\n`
      ).join(""),
    ),
  }),
  table: async () => ({
    "0.png": await dot(1, 1, 1),
    "1.png": await dot(2, 2, 2),
    "1.mask.png": await dot(255, 255, 255),
    "10.png": await dot(3, 3, 3),
    "metadata.csv": text(
      '\ufefffile_name;text\r\n0.png;a red dog\r\n1.png;"a green dog"\r\n\r\n10.png;a blue dog\r\n',
    ),
  }),
};

Deno.test("a folder, a tar and a zip of the same files are the same collection, in every form", async () => {
  await within(async (folder) => {
    for (const [form, make] of Object.entries(FORMS)) {
      const files = await make();
      const inside = Object.fromEntries(Object.entries(files).map(([k, v]) => [`./set/${k}`, v]));
      for (const [name, content] of Object.entries(files)) {
        const path = `${folder}/${form}/${name}`;
        await Deno.mkdir(path.replace(/[^/]*$/, ""), { recursive: true });
        await Deno.writeFile(path, content);
      }
      await Deno.writeFile(`${folder}/${form}.tar`, tarOf(files));
      await Deno.writeFile(`${folder}/${form}-in.TAR`, tarOf(inside));
      await Deno.writeFile(`${folder}/${form}.zip`, await zipOf(files));
      await Deno.writeFile(`${folder}/${form}-in.zip`, await zipOf(inside));
      for (const ending of ["", ".tar", "-in.TAR", ".zip", "-in.zip"]) {
        const where = `${form}${ending}`;
        const found = await listCaptioned(`${folder}/${where}`);
        assertEquals(await look(found), [
          ["a red dog", 1, 1, 1],
          ["a green dog", 2, 2, 2],
          ["a blue dog", 3, 3, 3],
        ], where);
        assertEquals(found.map((one) => one.mask !== undefined), [false, true, false], where);
        assertEquals((await found[1].readMask!()).data[0], 255, where);
      }
    }
  });
});

Deno.test("what is left out of a folder or an archive is said, with the count of what is used", async () => {
  await within(async (folder) => {
    const files: Files = {
      ...await FORMS.beside(),
      "5.txt": text("of no picture"),
      "a.svg": text("<svg>"),
    };
    await Deno.mkdir(`${folder}/set/more`, { recursive: true });
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(`${folder}/set/${name}`, content);
    }
    await Deno.writeFile(`${folder}/set.zip`, await zipOf(files));
    await Deno.writeFile(`${folder}/tars.tar`, tarOf({ "x/readme.md": text("x"), ...files }));
    const remarks = async (path: string) => {
      const all: string[] = [];
      await listCaptioned(`${folder}/${path}`, (text) => all.push(text.replace(`${folder}/`, "")));
      return all;
    };
    assertEquals(await remarks("set"), ["set: 3 pictures used; left out: 5.txt, a.svg, more/"]);
    assertEquals(await remarks("set.zip"), ["set.zip: 3 pictures used; left out: 5.txt, a.svg"]);
    assertEquals(await remarks("tars.tar"), [
      "tars.tar: 3 pictures used; left out: 5.txt, a.svg",
      "tars.tar: x: 0 pictures used; left out: readme.md",
    ]);
    await Deno.mkdir(`${folder}/archives`);
    await Deno.rename(`${folder}/set.zip`, `${folder}/archives/a.zip`);
    await Deno.writeFile(`${folder}/archives/1.png`, files["0.png"]);
    assertEquals((await remarks("archives"))[0], "archives: 1 archive used; left out: 1.png");
    for (let i = 0; i < 9; i++) await Deno.writeTextFile(`${folder}/set/b${i}.xyz`, "");
    assertEquals(await remarks("set"), [
      "set: 3 pictures used; left out: 5.txt, a.svg, b0.xyz, b1.xyz, b2.xyz and 7 more",
    ]);
  });
});

/** An encoder of captions "c" that lie at an angle of arccos c from every prompt, at whatever length. */
const angles: PromptEncoder = {
  prompts: (texts) => {
    const rows = texts.map((text, i) => {
      const cosine = Number.isNaN(Number(text)) ? 1 : Number(text);
      return [cosine, Math.sqrt(1 - cosine ** 2), 0].map((v) => v * (i + 0.5));
    });
    return Promise.resolve({ size: 3, data: Float64Array.from(rows.flat()) });
  },
};

const entry = (caption?: string, broken = false): CaptionedFile => ({
  name: `${caption}`,
  ...(caption !== undefined && { caption }),
  read: () =>
    broken
      ? Promise.reject(new FileError(`${caption}`, "is damaged"))
      : Promise.resolve(blank(2, 2, [Math.round(100 * Number(caption)), 0, 0])),
});

Deno.test("laws of the choice: above the threshold, nearest first, none left out that is nearer, at most so many", async () => {
  const cosines = fc.array(fc.integer({ min: -100, max: 100 }).map((c) => c / 100), {
    minLength: 1,
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(cosines, fc.integer({ min: 1, max: 12 }), async (all, count) => {
      const files = all.map((c) => entry(String(c)));
      const least = 0.345;
      const choose = () =>
        chooseRegularization(files, "set", "dog", angles, (p) => p, { count, similarity: least });
      const near = all.filter((c) => c > least).toSorted((a, b) => b - a);
      if (!near.length) {
        const best = figures(Math.max(...all));
        const error = await assertRejects(choose, FileError, `none of ${all.length} captions`);
        assert(error.message.includes(` at ${best}`), error.message);
        return;
      }
      const found = await choose();
      assertEquals([found.compared, found.near], [all.length, near.length]);
      assertEquals(found.pictures.map((p) => Number(p.caption)), near.slice(0, count));
      found.similarities.forEach((s, i) => assertAlmostEquals(s, near[i], 1e-12));
      found.pictures.forEach((p) => {
        assertEquals(p.picture.data[0], Math.round(100 * Number(p.caption)));
      });
    }),
    { numRuns: 200 },
  );
});

Deno.test("no caption is nearer to a prompt than the prompt itself, whatever its length and rounding", async () => {
  const one = fc.float({ min: -10, max: 10, noNaN: true }).filter((v) => Math.abs(v) > 1e-3);
  const rows = fc.array(one, { minLength: 3, maxLength: 64 });
  await fc.assert(
    fc.asyncProperty(rows, fc.double({ min: 0.01, max: 9, noNaN: true }), async (row, scale) => {
      const data = Float64Array.from([...row, ...row.map((v) => v * scale)]);
      const encoder = { prompts: () => Promise.resolve({ size: row.length, data }) };
      const [{ similarity }] = await rankCaptions(encoder, "dog", ["dog"]);
      assert(similarity <= 1 && similarity > 1 - 1e-12, `${similarity}`);
    }),
    { numRuns: 300 },
  );
});

Deno.test("of equal captions the earlier goes first; a broken picture's place goes to the next; none read is an error", async () => {
  assertEquals(
    (await rankCaptions(angles, "dog", ["0.5", "0.9", "0.5"])).map(({ index }) => index),
    [1, 0, 2],
  );
  const keep = <T>(p: T) => p;
  const files = [entry("0.9"), entry(), entry("0.95", true), entry("0.86")];
  const { pictures, unreadable, near, compared } = await chooseRegularization(
    ...[files, "set", "dog", angles, keep, { count: 2 }] as const,
  );
  assertEquals(pictures.map((p) => p.caption), ["0.9", "0.86"]);
  assertEquals([unreadable.length, near, compared], [1, 3, 3]);
  await assertRejects(
    () => chooseRegularization([entry("0.99", true)], "set", "dog", angles, keep),
    FileError,
    "none of 1 pictures can be read: 0.99: is damaged",
  );
  await assertRejects(
    () => chooseRegularization([entry()], "set", "dog", angles, keep),
    FileError,
    "has no captions",
  );
});

Deno.test("CLIP's text features are the same whether few texts go through or many at a time", async () => {
  const clip = await openClip(await testDevice(), `${GOLDEN}scorer`);
  try {
    const texts = Array.from({ length: 21 }, (_, i) => `photo of a ${i % 2 ? "dog" : "cat"} ${i}`);
    const many = await clip.prompts([...texts, texts[3]]);
    assertEquals(many.count, 22);
    for (const i of [0, 3, 15, 16, 20]) {
      const { data, size } = await clip.prompts([texts[i]]);
      data.forEach((v, k) => assertAlmostEquals(many.data[i * size + k], v, 1e-5));
      if (i !== 3) continue;
      data.forEach((v, k) => assertAlmostEquals(many.data[21 * size + k], v, 1e-5));
    }
  } finally {
    clip.free();
  }
});
