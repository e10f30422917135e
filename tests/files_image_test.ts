/** Picture files against Pillow: decoding, orientation, resizing, what is refused; PNG files out. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FileError } from "../files/errors.ts";
import {
  decodePicture,
  fitted,
  listPictures,
  readPicture,
  resize,
  squared,
} from "../files/pictures/image.ts";
import {
  blank,
  centreSquare,
  crop,
  orient,
  paste,
  type Picture,
  zoom,
} from "../files/pictures/picture.ts";
import { exifOrientation } from "../files/pictures/exif.ts";
import { crc32 } from "../files/archives/crc32.ts";
import { encodePng, readPngText, writePng } from "../files/pictures/png.ts";
import golden from "./golden/pictures.json" with { type: "json" };
import kinds from "./golden/picture_kinds.json" with { type: "json" };

const fileOf = (name: string) =>
  Uint8Array.fromBase64(golden.good.find((f) => f.name === name)!.file);

const pictureOf = (
  { width, height, rgb }: { width: number; height: number; rgb: string },
): Picture => ({
  width,
  height,
  data: Uint8Array.fromBase64(rgb),
});

/** Largest difference of two pictures, which must be of one size. */
function apart(a: Picture, b: Picture): number {
  assertEquals([a.width, a.height], [b.width, b.height]);
  assertEquals(a.data.length, b.data.length);
  return a.data.reduce((most, v, i) => Math.max(most, Math.abs(v - b.data[i])), 0);
}

Deno.test("image: every kind of file has Pillow's pixels, upright, over grey", async () => {
  for (const file of golden.good) {
    const got = await decodePicture(Uint8Array.fromBase64(file.file), file.name);
    const off = apart(got, pictureOf(file));
    assert(off <= (file.name === "16-bit.png" ? 1 : 0), `${file.name}: off by ${off}`);
  }
});

Deno.test("image: of every kind that is read, however odd, no pixel is lost, and it is upright", async () => {
  // Colours of these are stored at half of their bits, or rounded by each library in its own way.
  const rounded = ["16.tif", "a.heic", "a.avif", "turned.avif"];
  for (const { name, file, picture } of kinds.read) {
    const got = await decodePicture(Uint8Array.fromBase64(file), name);
    const off = apart(got, pictureOf(kinds.pictures[picture]));
    assert(off <= (rounded.includes(name) ? 1 : 0), `${name}: off by ${off}`);
  }
});

Deno.test("image: pixels that are lost are damage, whatever else there is to remark", async () => {
  for (const [name, file] of Object.entries(kinds.damaged)) {
    const error = await assertRejects(
      () => decodePicture(Uint8Array.fromBase64(file), name),
      FileError,
      name,
    );
    assertMatch(error.message, /fetch it again/i);
  }
});

Deno.test("image: bicubic resizing gives Pillow's very pixels, up and down, to any small size", () => {
  const source = pictureOf(golden.source);
  for (const want of golden.resized) {
    const got = resize(source, want.width, want.height);
    const off = apart(got, pictureOf(want));
    assert(off === 0, `${want.width}×${want.height}: off by ${off}`);
  }
  assertEquals(resize(source, 67, 41), source);
  assertThrows(() => resize(source, 0, 4), RangeError, "0×4");
  assertThrows(() => resize(source, 2.5, 4), RangeError);
});

Deno.test("image: squared takes the middle", () => {
  const wide = blank(30, 10, [255, 0, 0]);
  paste(wide, blank(10, 10, [0, 0, 255]), 10, 0);
  assertEquals(squared(wide, 4), blank(4, 4, [0, 0, 255]));
  assertEquals(centreSquare(blank(7, 4)).width, 4);
  for (const size of [1, 3, 10]) {
    assertEquals(squared(wide, size), resize(centreSquare(wide), size, size));
  }
  assertEquals(fitted(wide, 4, 8), blank(4, 8, [0, 0, 255]), "the middle of another shape");
  assertEquals(fitted(wide, 15, 5), resize(wide, 15, 5), "all of one that has the shape");
  assertEquals(fitted(blank(1, 9), 7, 2), blank(7, 2));
  assertEquals(crop(wide, 9, 0, 2, 1).data, Uint8Array.of(255, 0, 0, 0, 0, 255));
  assertThrows(() => crop(wide, 25, 0, 6, 1), RangeError, "does not lie inside");
});

Deno.test("image: files that can't be used are named with the reason", async () => {
  const refuses = async (bytes: Uint8Array, part: string) => {
    const error = await assertRejects(() => decodePicture(bytes, "shoe"), FileError);
    assert(error.message.startsWith("shoe: "), error.message);
    assert(error.message.includes(part), `${error.message} (expected ${part})`);
  };
  await refuses(new Uint8Array(0), "is empty");
  await refuses(
    new TextEncoder().encode("<!doctype html><title>404</title>"),
    "is a web page",
  );
  const others = {
    "8BPS\0\x01": "is a Photoshop picture",
    '<?xml version="1.0"?>\n<svg>': "is an SVG drawing",
    "%PDF-1.7": "is a PDF document",
    "\0\0\0\x18ftypisom\0\0\0\0": "is a film",
    "\0\0\0\x18ftypcrx \0\0\0\0": "is a camera's raw picture",
    "II*\0\x08\0\0\0\x01\0\x12\xc6\x01\0\x04\0\0\0\x01\x04\0\0\0\0": "is a camera's raw picture",
    "PK\x03\x04": "is a zip archive",
  };
  for (const [head, what] of Object.entries(others)) {
    await refuses(Uint8Array.from(head, (c) => c.charCodeAt(0)), what);
  }
  await refuses(new TextEncoder().encode("\0\0\0\x18ftypheic\0\0\0\0"), "decoded as HEIC");
  for (const { name, file } of golden.good.filter((f) => !f.name.startsWith("orientation"))) {
    const bytes = Uint8Array.fromBase64(file);
    for (const share of [0.1, 0.5, 0.9, 0.99]) {
      const cut = bytes.subarray(0, Math.floor(bytes.length * share));
      await assertRejects(() => decodePicture(cut, name), FileError, name);
    }
  }
  const huge = fileOf("rgb.png");
  new DataView(huge.buffer).setUint32(16, 100000);
  new DataView(huge.buffer).setUint32(20, 100000);
  await refuses(huge, "has 10.0G pixels");
  await assertRejects(() => readPicture("/no/such.png"), FileError, "does not exist");
});

Deno.test("image: damaged JPEG data, which the decoder papers over, are an error and harm no other file", async () => {
  const good = golden.good.find((f) => f.name === "444.jpg")!;
  const bytes = Uint8Array.fromBase64(good.file);
  const damaged = bytes.slice();
  damaged.fill(0xff, bytes.length - 60, bytes.length - 40);
  const results = await Promise.allSettled(
    [bytes, damaged, bytes, damaged, bytes].map((b) => decodePicture(b, "x.jpg")),
  );
  assertEquals(results.map((r) => r.status), [
    "fulfilled",
    "rejected",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  const { reason } = results[1] as PromiseRejectedResult;
  assertMatch(reason.message, /^x\.jpg: can't be decoded as JPEG: .*Corrupt/);
});

Deno.test("image: no mutation of a file crashes or hangs", async () => {
  const files = golden.good.map((f) => Uint8Array.fromBase64(f.file));
  let good = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(files.length - 1),
      fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { minLength: 1, maxLength: 5 }),
      async (which, changes) => {
        const bytes = files[which].slice();
        for (const [at, to] of changes) bytes[at % bytes.length] = to;
        // a changed width may make a big picture; decoding it is right but slow
        try {
          const picture = await decodePicture(bytes);
          assertEquals(picture.data.length, picture.width * picture.height * 3);
          good++;
        } catch (error) {
          if (!(error instanceof FileError)) throw error;
        }
      },
    ),
    { numRuns: 400, seed: 6 },
  );
  assert(good > 10, `${good}`);
});

Deno.test("image: orientations are a group, and hostile EXIF blocks are upright", () => {
  const picture = pictureOf(golden.source);
  const inverse = [0, 1, 2, 3, 4, 5, 8, 7, 6];
  for (let o = 1; o <= 8; o++) assertEquals(orient(orient(picture, o), inverse[o]), picture);
  fc.assert(
    fc.property(
      fc.constantFrom("II*\0", "MM\0*"),
      fc.uint8Array({ maxLength: 40 }),
      (order, rest) => {
        const block = Uint8Array.of(...new TextEncoder().encode(order), ...rest);
        const o = exifOrientation(block);
        assert(o === undefined || Number.isInteger(o) && o >= 1 && o <= 8);
      },
    ),
    { numRuns: 500, seed: 7 },
  );
});

Deno.test("image: a folder's pictures come in the order people expect", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await assertRejects(() => listPictures(folder), FileError, "holds no pictures");
    await Deno.writeTextFile(`${folder}/shot.CR2`, "");
    await assertRejects(() => listPictures(folder), FileError, "Convert shot.CR2");
    await Deno.mkdir(`${folder}/10_dog`);
    await Deno.writeTextFile(`${folder}/10_dog/a.heic`, "");
    await assertRejects(() => listPictures(folder), FileError, "Its folder 10_dog/ does");
    for (
      const name of ["img10.png", "img2.JPG", "Img1.webp", "a.jpeg", ".hidden.png", "notes.txt"]
    ) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    await Deno.mkdir(`${folder}/folder.png`);
    const names = ["a.jpeg", "Img1.webp", "img2.JPG", "img10.png"];
    assertEquals(await listPictures(folder), names.map((n) => `${folder}/${n}`));
    assertEquals(await listPictures(`${folder}/`), names.map((n) => `${folder}/${n}`));
    const remarks: string[] = [];
    await listPictures(folder, (text) => remarks.push(text));
    assertEquals(remarks, [
      `${folder}: 4 pictures used; left out: notes.txt, shot.CR2, 10_dog/, folder.png/`,
    ]);
    await assertRejects(() => listPictures(`${folder}/none`), FileError, "does not exist");
    await assertRejects(
      () => listPictures(`${folder}/a.jpeg`),
      FileError,
      "where a folder is expected",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("png: what is written is read again, with its notes", async () => {
  const notes = {
    prompt: "photo of a <new1> dog",
    seed: "42",
    Comment: "東京 café\nline",
    Author: "é",
  };
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
      fc.nat(),
      async (w, h, seed) => {
        const picture = blank(w, h);
        picture.data.forEach((_, i) =>
          picture.data[i] = (i * (seed % 7)) ^ (Math.imul(i + 1, seed) >>> 24)
        );
        const bytes = await encodePng(picture, notes);
        assertEquals(await decodePicture(bytes), picture);
        assertEquals(readPngText(bytes), notes);
      },
    ),
    { numRuns: 40, seed: 8 },
  );
  assertEquals(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  await assertRejects(() => encodePng(blank(1, 1), { "": "x" }), RangeError, "keyword");
  await assertRejects(() => encodePng(blank(1, 1), { "日本": "x" }), RangeError, "keyword");
  assertThrows(() => readPngText(fileOf("444.jpg"), "x"), FileError, "is no PNG");
});

Deno.test("png: a file is written whole, and smaller than its pixels", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const picture = zoom(pictureOf(golden.good[0]), 20);
    await writePng(`${folder}/a.png`, picture, { seed: "1" });
    assertEquals(await readPicture(`${folder}/a.png`), picture);
    const { size } = await Deno.stat(`${folder}/a.png`);
    assert(size < picture.data.length / 10, `${size} bytes`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
