// The augmentation against METHOD's constants over thousands of draws, and the resizing against Pillow.
import { assert, assertAlmostEquals, assertEquals, assertLess, assertThrows } from "@std/assert";
import fc from "fast-check";
import { augment, type Augmentation, drawAugmentation } from "../concepts/data/augment.ts";
import { drawTarget } from "../concepts/data/batches.ts";
import { hostRandom, philox } from "../numerics/random.ts";
import { type Pixels, resize } from "../concepts/data/resample.ts";
import again from "./golden/augment.json" with { type: "json" };
import golden from "./golden/resample.json" with { type: "json" };

/** The formula of tests/golden/resample.py. */
function picture(width: number, height: number): Pixels {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      data[at] = Math.floor(x * 255 / (width - 1));
      data[at + 1] = (Math.floor(x / 5) + Math.floor(y / 3)) % 2 ? 255 : 10;
      const noise = Number((BigInt(x) * 73856093n ^ BigInt(y) * 19349663n) % 5n);
      data[at + 2] = 20 + 2 * Math.abs((x * 7 + y * 5) % 200 - 100) + noise;
    }
  }
  return { width, height, data };
}

const draws = (count: number, size: number, factor = 8): Augmentation[] =>
  Array.from({ length: count }, (_, i) => drawAugmentation(hostRandom(1, i), { size, factor }));

const share = (all: Augmentation[], test: (d: Augmentation) => boolean) =>
  all.filter(test).length / all.length;

Deno.test("resizing agrees with Pillow's bicubic, to 2e-4 of 255 in float and within 1 in bytes", () => {
  for (const one of golden.cases) {
    const [width, height] = one.from, [toWidth, toHeight] = one.to;
    const ours = resize(picture(width, height), toWidth, toHeight);
    const floats = new Float32Array(Uint8Array.fromBase64(one.float).buffer);
    const bytes = Uint8Array.fromBase64(one.bytes);
    assertEquals(ours.length, bytes.length);
    ours.forEach((x, i) => {
      assertAlmostEquals(x, floats[i], 2e-4);
      // In bytes Pillow rounds and clamps between its two passes, which the hard edges of channel 1 show.
      if (i % 3 !== 1) assertLess(Math.abs(Math.round(x) - bytes[i]), 2);
    });
  }
});

Deno.test("a window of a resized picture is that part of the whole", () => {
  const from = picture(21, 30), whole = resize(from, 34, 25);
  const part = resize(from, 34, 25, { left: 9, top: 4, width: 20, height: 13 });
  for (let y = 0; y < 13; y++) {
    assertEquals(
      part.subarray(y * 60, y * 60 + 60),
      whole.subarray(((y + 4) * 34 + 9) * 3, ((y + 4) * 34 + 29) * 3),
    );
  }
  assertThrows(
    () => resize(from, 34, 25, { left: 20, top: 4, width: 20, height: 13 }),
    RangeError,
    "window",
  );
  assertThrows(() => resize({ ...from, width: 20 }, 5, 5), RangeError, "not 20×30×3");
  assertThrows(() => resize(from, 0, 5), RangeError, "width is 0");
});

Deno.test("the generator gives the published Philox-2×32-10 numbers, and streams do not depend on order", () => {
  assertEquals(philox(0, 0, 0), [0xff1dae59, 0x6cd10df2]);
  assertEquals(philox(0xffffffff, 0xffffffff, 0xffffffff), [0x2c3f628b, 0xab4fd7ad]);
  assertEquals(philox(0x243f6a88, 0x85a308d3, 0x13198a2e), [0xdd7ce038, 0xf62a4c12]);
  const first = (...path: number[]) => hostRandom(5, ...path).uniform();
  assertEquals(first(3, 1), first(3, 1));
  assertEquals(new Set([first(), first(3), first(1, 3), first(3, 1), first(3, 1, 0)]).size, 5);
  assertThrows(() => hostRandom(0.5), RangeError);
});

Deno.test("whole numbers are drawn evenly between both ends", () => {
  const random = hostRandom(1), counts = new Map<number, number>();
  for (let i = 0; i < 6000; i++) {
    const n = random.integer(-2, 3);
    counts.set(n, (counts.get(n) ?? 0) + 1);
  }
  assertEquals([...counts.keys()].sort((a, b) => a - b), [-2, -1, 0, 1, 2, 3]);
  for (const count of counts.values()) assert(Math.abs(count - 1000) < 150, String(count));
});

Deno.test("5,000 draws at 512: 26.9 % small, 39.8 % full, 33.3 % zoomed, half of them mirrored", () => {
  const all = draws(5000, 512);
  // Three standard deviations of 5,000 draws are 0.02.
  assertAlmostEquals(share(all, (d) => d.resized < 512), 0.269, 0.02);
  assertAlmostEquals(share(all, (d) => d.resized === 512), 0.398, 0.021);
  assertAlmostEquals(share(all, (d) => d.resized > 512), 0.333, 0.02);
  assertAlmostEquals(share(all, (d) => d.flip), 0.5, 0.022);
  const small = all.filter((d) => d.resized < 512), large = all.filter((d) => d.resized > 512);
  assertEquals(
    [Math.min(...small.map((d) => d.resized)), Math.max(...small.map((d) => d.resized))],
    [170, 306],
  );
  assertEquals(
    [Math.min(...large.map((d) => d.resized)), Math.max(...large.map((d) => d.resized))],
    [614, 716],
  );
  assertAlmostEquals(share(small, (d) => d.captionPrefix === "very small "), 0.5, 0.05);
  assertAlmostEquals(share(large, (d) => d.captionPrefix === "close up "), 0.5, 0.05);
  // Places reach both edges.
  assertLess(Math.min(...small.map((d) => d.placement.top)), 5);
  assert(Math.max(...small.map((d) => d.placement.left + d.resized)) > 507);
  assertLess(Math.min(...large.map((d) => 512 - d.resized - d.placement.left)), 1);
});

Deno.test("every draw at every size: even, inside the frame, prefix by size, mask inside and never empty", () => {
  const options = fc.record({
    cells: fc.integer({ min: 1, max: 64 }),
    factor: fc.constantFrom(2, 4, 8),
  })
    .filter(({ cells, factor }) => cells * factor >= 8);
  fc.assert(
    fc.property(options, fc.integer(), ({ cells, factor }, seed) => {
      const size = cells * factor, d = drawAugmentation(hostRandom(seed), { size, factor });
      const { top, left } = d.placement, m = d.latentMask, r = d.resized;
      assertEquals(r % 2, 0);
      const kinds = {
        "": r === size,
        "a far away ": r < 0.6 * size,
        "very small ": r < 0.6 * size,
      };
      assert(({ ...kinds, "zoomed in ": r > size, "close up ": r > size })[d.captionPrefix]);
      if (r < size) assert(top >= 0 && left >= 0 && top + r <= size && left + r <= size);
      else assert(top <= 0 && left <= 0 && top + r >= size && left + r >= size);
      assert(0 <= m.top && m.top < m.bottom && m.bottom <= cells);
      assert(0 <= m.left && m.left < m.right && m.right <= cells);
      if (r >= size) assertEquals([m.top, m.left, m.bottom, m.right], [0, 0, cells, cells]);
      // A masked cell is at least touched by the picture.
      else assert(m.top * factor < top + r && m.bottom * factor > top);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("at 512 the mask is inset by one latent cell on each side, as the authors' is", () => {
  for (const d of draws(500, 512).filter((d) => d.resized < 512)) {
    const { top, left } = d.placement, r = d.resized;
    assertEquals(d.latentMask, {
      top: Math.floor(top / 8) + 1,
      bottom: Math.floor((top + r) / 8) - 1,
      left: Math.floor(left / 8) + 1,
      right: Math.floor((left + r) / 8) - 1,
    });
  }
});

Deno.test("regularization pictures fill the frame and may be mirrored", () => {
  const all = Array.from(
    { length: 200 },
    (_, i) => drawAugmentation(hostRandom(i), { size: 64, factor: 8, sizes: false }),
  );
  assert(all.every((d) => d.resized === 64 && d.captionPrefix === ""));
  assertAlmostEquals(share(all, (d) => d.flip), 0.5, 0.12);
  const still = drawAugmentation(hostRandom(1), { size: 64, factor: 8, flip: false, sizes: false });
  assertEquals(still.flip, false);
});

Deno.test("a small picture lies on grey where it was placed, and the mask is where the loss counts", () => {
  const from = picture(40, 40);
  const d = draws(200, 64, 4).find((d) => d.resized < 32 && !d.flip)!;
  const { pixels, mask } = augment(from, d);
  const { top, left } = d.placement, r = d.resized, part = resize(from, r, r);
  for (let y = 0; y < 64; y++) {
    for (let x = 0; x < 64; x++) {
      const inside = y >= top && y < top + r && x >= left && x < left + r;
      for (let c = 0; c < 3; c++) {
        const raw = inside ? part[((y - top) * r + x - left) * 3 + c] / 127.5 - 1 : 0;
        assertAlmostEquals(pixels[(y * 64 + x) * 3 + c], Math.min(1, Math.max(-1, raw)), 1e-6);
      }
    }
  }
  assertEquals(mask.length, 256);
  const m = d.latentMask;
  mask.forEach((value, i) => {
    const y = Math.floor(i / 16), x = i % 16;
    assertEquals(value, y >= m.top && y < m.bottom && x >= m.left && x < m.right ? 1 : 0);
  });
});

Deno.test("mirroring mirrors the picture, whether pasted, full or cropped", () => {
  const from = picture(32, 32), mirrored = { ...from, data: from.data.slice() };
  for (let y = 0; y < 32; y++) {
    for (let x = 0; x < 32; x++) {
      for (let c = 0; c < 3; c++) {
        mirrored.data[(y * 32 + x) * 3 + c] = from.data[(y * 32 + 31 - x) * 3 + c];
      }
    }
  }
  for (const d of draws(60, 48, 4).filter((d) => d.flip)) {
    const a = augment(from, d).pixels, b = augment(mirrored, { ...d, flip: false }).pixels;
    a.forEach((x, i) => assertAlmostEquals(x, b[i], 1e-5));
  }
});

Deno.test("float pictures in [−1, 1] give what bytes give", () => {
  const from = picture(32, 32);
  const float = { ...from, data: Float32Array.from(from.data, (x) => x / 127.5 - 1) };
  for (const d of draws(20, 64)) {
    const a = augment(from, d).pixels, b = augment(float, d).pixels;
    a.forEach((x, i) => assertAlmostEquals(x, b[i], 1e-5));
    assert(a.every((x) => x >= -1 && x <= 1));
  }
});

Deno.test("wrong sizes are refused", () => {
  const draw = (size: number, factor: number) => () =>
    drawAugmentation(hostRandom(1), { size, factor });
  assertThrows(draw(513, 1), RangeError, "even");
  assertThrows(draw(6, 2), RangeError, "at least 8");
  assertThrows(draw(100, 8), RangeError, "not a multiple of the latent factor 8");
  assertThrows(() => augment(picture(9, 4), draws(1, 64)[0]), RangeError, "crop it to a square");
});

/** A picture and its foreground by the formulas of golden/augment.py. */
function withEllipse(side: number, row: number, column: number, extent: number) {
  const data = new Uint8Array(side * side * 3), mask = data.slice();
  for (let i = 0; i < side * side; i++) {
    const y = Math.floor(i / side), x = i % side;
    const scaled = (v: number) => Math.floor(v * 255 / (side - 1));
    data.set([scaled(x), scaled(y), (x * 7 + y * 5) % 200], i * 3);
    const v = y - row, u = x - column, inside = 7 * v * v + 5 * u * u + 4 * u * v <= extent;
    mask.fill(inside ? 250 : 2, i * 3, i * 3 + 3);
  }
  return [data, mask].map((data) => ({ width: side, height: side, data }));
}

Deno.test("1,000 draws: geometry, valid region, foreground, caption and pixels are those of an independent implementation", () => {
  const bytes = (name: "geometry" | "captions" | "masks" | "pixels") =>
    Uint8Array.fromBase64(again[name]);
  const geometry = new Int16Array(bytes("geometry").buffer);
  const pixels = new Float32Array(bytes("pixels").buffer);
  const captions = bytes("captions"), masks = bytes("masks");
  const pairs = [withEllipse(48, 20, 27, 1400), withEllipse(40, 3, 4, 61)];
  const concept = {
    ...{ token: "<new1>", className: "gate" },
    pictures: pairs.map(([picture]) => picture),
    masks: pairs.map(([, mask]) => mask),
    captions: ["photo of a <new1> gate", "a <new1> gate at night"],
  };
  for (let i = 0; i < again.draws; i++) {
    const d = drawAugmentation(hostRandom(11, i), { size: 512, factor: 8 });
    const { top, left } = d.placement, m = d.latentMask;
    assertEquals(
      // `+ 0`, since a crop at the very edge is at −0
      [Number(d.flip), d.resized, top + 0, left + 0, again.prefixes.indexOf(d.captionPrefix)]
        .concat([m.top, m.bottom, m.left, m.right]),
      [...geometry.subarray(i * 9, i * 9 + 9)],
      `draw ${i}`,
    );
    const one = drawTarget(concept, hostRandom(11, i), { size: 64, factor: 4, template: "{}" });
    assertEquals(one.caption, again.words[captions[i]]);
    const bits = [...masks.subarray(i * 32, i * 32 + 32)].map((b) =>
      b.toString(2).padStart(8, "0")
    );
    assertEquals(one.mask.join(""), bits.join(""), `draw ${i}`);
    again.places.forEach(([y, x], k) => {
      for (let c = 0; c < 3; c++) {
        const got = one.pixels[(y * 64 + x) * 3 + c];
        const off = Math.abs(got - pixels[(i * again.places.length + k) * 3 + c]);
        assert(off < 1e-5, `draw ${i}: off by ${off} at ${y}, ${x}`);
      }
    });
  }
});

Deno.test("a foreground that no crop shows is seen whole, and one of another size is refused", () => {
  const [picture, mask] = withEllipse(40, 0, 0, 150);
  const concept = { token: "", className: "gate", pictures: [picture], masks: [mask] };
  const options = { size: 64, factor: 4, template: "{}" };
  const cells = Array.from(
    { length: 300 },
    (_, i) => drawTarget(concept, hostRandom(3, i), options),
  )
    .map(({ mask }) => mask.filter((v) => v > 0).length);
  assert(Math.min(...cells) > 0 && Math.max(...cells) < 64, `${Math.min(...cells)} cells`);
  const [other] = withEllipse(39, 0, 0, 150);
  assertThrows(() => augment(picture, draws(1, 64)[0], other), RangeError, "39×39");
});
