// Images read at places that are data, beside loops over places and pixels.
import { assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import type { SampleMethod, SampleOutside } from "../mod.ts";
import { test } from "./support/devices.ts";
import { agrees, filled, numbers } from "./support/plain.ts";

/** A pixel's place beyond the image, brought back into it; undefined where there is nothing. */
function within(p: number, n: number, outside: SampleOutside, corners: boolean) {
  if (outside === "zeros") return p < 0 || p > n - 1 ? undefined : p;
  if (outside === "reflect") {
    const [low, high] = corners ? [0, n - 1] : [-0.5, n - 0.5];
    if (low === high) return 0;
    while (p < low || p > high) p = p < low ? 2 * low - p : 2 * high - p;
  }
  return Math.min(Math.max(p, 0), n - 1);
}

const even = (x: number) => {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 ? r - 1 : r;
};

/** The weight of a pixel at a distance. */
function weight(d: number, method: SampleMethod): number {
  const x = Math.abs(d);
  if (method === "linear") return Math.max(0, 1 - x);
  if (x >= 2) return 0;
  return x <= 1 ? 1.25 * x ** 3 - 2.25 * x * x + 1 : -0.75 * (x ** 3 - 5 * x * x + 8 * x - 4);
}

/** What an image `[…V, C]` is at a place. */
function read(
  image: number[],
  extents: number[],
  channels: number,
  place: number[],
  method: SampleMethod,
  outside: SampleOutside,
  corners = false,
): number[] {
  const sum = new Array(channels).fill(0);
  const visit = (axis: number, w: number, at: number) => {
    if (axis === extents.length) {
      for (let c = 0; c < channels; c++) sum[c] += w * image[at * channels + c];
      return;
    }
    const [n, p] = [extents[axis], place[axis]];
    if (method === "nearest") {
      const q = outside === "zeros" ? even(p) : even(within(p, n, outside, corners)!);
      const id = within(q, n, outside, corners);
      if (id !== undefined) visit(axis + 1, w, at * n + id);
      return;
    }
    for (let q = Math.floor(p) - 1; q <= Math.floor(p) + 2; q++) {
      const id = within(q, n, outside, corners);
      if (id !== undefined) visit(axis + 1, w * weight(p - q, method), at * n + id);
    }
  };
  visit(0, 1, 0);
  return sum;
}

test("gridSample is a loop over places and neighbours, in every dimension, by every rule", async (device) => {
  const cases = (["nearest", "linear", "cubic"] as const).flatMap((method) =>
    (["zeros", "edge", "reflect"] as const).map((outside) => ({ method, outside }))
  );
  for (const [i, { method, outside }] of cases.entries()) {
    const alignCorners = i % 2 === 0;
    const extents = [[5], [3, 4], [2, 3, 3], [4, 1]][i % 4];
    // A software adapter takes long to compile; the rest of the rules are the same arithmetic.
    if (!device.profile.cpu && i % 4) continue;
    const n = extents.length, b = 2, c = 1 + i % 3, places = 7;
    const pixels = extents.reduce((p, q) => p * q, 1);
    const image = numbers(b * pixels * c, i + 1), grid = numbers(b * places * n, i + 50, 1.6);
    const x = m.tensor(image, [b, ...extents, c]), g = m.tensor(grid, [b, places, n]);
    const expected = Array.from({ length: b * places }, (_, k) => {
      const own = image.slice(Math.floor(k / places) * pixels * c).slice(0, pixels * c);
      const place = extents.map((d, axis) => {
        const v = grid[k * n + n - 1 - axis];
        return alignCorners ? (v + 1) / 2 * (d - 1) : ((v + 1) * d - 1) / 2;
      });
      return read(own, extents, c, place, method, outside, alignCorners);
    });
    const options = { method, outside, alignCorners };
    await agrees(m.gridSample(x, g, options), [b, places, c], expected.flat(), 2e-5);
    const first = m.moveAxis(x, n + 1, 1);
    const y = m.gridSample(first, g, { ...options, channelsFirst: true });
    await agrees(m.moveAxis(y, 1, 2), [b, places, c], expected.flat(), 2e-5);
  }
});

test("places that are none, far away, none at all; images of one pixel", async () => {
  const x = m.tensor([1, 2, 3, 4], [1, 2, 2, 1]);
  const g = m.tensor([NaN, 0, Infinity, 0, -1e30, 0], [1, 3, 2]);
  await agrees(m.gridSample(x, g), [1, 3, 1], [NaN, 0, 0]);
  await agrees(m.gridSample(x, g, { method: "nearest" }), [1, 3, 1], [NaN, 0, 0]);
  await agrees(m.gridSample(x, g, { outside: "edge" }), [1, 3, 1], [NaN, 3, 2]);
  await agrees(m.gridSample(x, m.zeros([1, 0, 2])), [1, 0, 1], []);
  await agrees(m.gridSample(m.zeros([0, 2, 2, 1]), m.zeros([0, 3, 2])), [0, 3, 1], []);
  const one = m.full([1, 1, 1, 1], 7);
  for (const outside of ["edge", "reflect"] as const) {
    for (const alignCorners of [true, false]) {
      const y = m.gridSample(one, m.tensor([0.3, -5], [1, 1, 2]), { outside, alignCorners });
      await agrees(y, [1, 1, 1], [7]);
    }
  }
  const half = m.gridSample(m.cast(x, "f16"), m.tensor([0, 0], [1, 1, 2]));
  await agrees(m.cast(half, "f32"), [1, 1, 1], [2.5]);
});

test("the grid of an affine map: the identity gives the image, a turn turns it", async () => {
  const x = filled([2, 3, 4, 2], 3);
  for (const alignCorners of [true, false]) {
    const same = m.tensor([1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0], [2, 2, 3]);
    const grid = m.affineGrid(same, [3, 4], { alignCorners });
    await agrees(
      m.sub(m.gridSample(x, grid, { alignCorners, outside: "edge" }), x),
      [2, 3, 4, 2],
      new Array(48).fill(0),
    );
    const turn = m.tensor([-1, 0, 0, 0, -1, 0], [1, 2, 3]);
    const one = m.slice(x, 0, 0, 1);
    const turned = m.gridSample(one, m.affineGrid(turn, [3, 4], { alignCorners }), {
      alignCorners,
      outside: "edge",
    });
    await agrees(m.sub(turned, m.flip(one, [1, 2])), [1, 3, 4, 2], new Array(24).fill(0));
  }
});

test("roiAlign is the mean of what is read in every bin", async () => {
  const [h, w, c] = [5, 6, 2];
  const image = numbers(2 * h * w * c, 4);
  const boxes = [[0.5, 0.5, 4, 3], [-3, 1, 2, 9], [2, 2, 2, 2]], images = [1, 0, 1];
  for (const aligned of [true, false]) {
    const [scale, samples, size] = [0.75, 3, [2, 3]];
    const expected = boxes.flatMap((box, k) => {
      const [x1, y1, x2, y2] = box.map((v) => v * scale - (aligned ? 0.5 : 0));
      const [wide, high] = [x2 - x1, y2 - y1].map((d) => aligned ? d : Math.max(d, 1));
      return Array.from({ length: size[0] * size[1] }, (_, bin) => {
        const [by, bx] = [Math.floor(bin / size[1]), bin % size[1]];
        const sum = new Array(c).fill(0);
        for (let iy = 0; iy < samples; iy++) {
          for (let ix = 0; ix < samples; ix++) {
            const y = y1 + (by + (iy + 0.5) / samples) * high / size[0];
            const x = x1 + (bx + (ix + 0.5) / samples) * wide / size[1];
            if (y < -1 || y > h || x < -1 || x > w) continue;
            const own = image.slice(images[k] * h * w * c);
            read(own, [h, w], c, [y, x], "linear", "edge").forEach((v, i) => sum[i] += v);
          }
        }
        return sum.map((v) => v / samples ** 2);
      }).flat();
    });
    const y = m.roiAlign(
      m.tensor(image, [2, h, w, c]),
      m.tensor(boxes),
      m.tensor(Int32Array.from(images)),
      size,
      { scale, samples, aligned },
    );
    await agrees(y, [3, 2, 3, c], expected);
  }
  const none = m.roiAlign(m.zeros([1, 2, 2, 1]), m.zeros([0, 4]), m.zeros([0], "u32"), [2, 2]);
  await agrees(none, [0, 2, 2, 1], []);
});

test("deformConv without offsets is a convolution, and with them reads where they say", async () => {
  const x = filled([2, 4, 5, 4], 5), w = filled([3, 2, 4, 3], 6);
  const geometry = {
    stride: [2, 1],
    padding: [1, [0, 1]] as [number, [number, number]],
    dilation: [1, 2],
  };
  const plain = m.conv(x, w, geometry);
  const [, oh, ow] = plain.shape;
  const still = m.deformConv(x, m.zeros([2, oh, ow, 2 * 6 * 2]), w, geometry);
  await agrees(m.sub(still, plain), plain.shape, new Array(plain.size).fill(0));
  const halved = m.deformConv(x, m.zeros([2, oh, ow, 2 * 6 * 2]), w, {
    ...geometry,
    mask: m.full([2, oh, ow, 2 * 6], 0.5),
  });
  await agrees(m.sub(halved, m.mul(plain, 0.5)), plain.shape, new Array(plain.size).fill(0));
  // One pixel, one place: the offset of each part of the channels reads another pixel.
  const image = numbers(9 * 2, 7);
  const y = m.deformConv(
    m.tensor(image, [1, 3, 3, 2]),
    m.tensor([0.5, 0, 0, -1], [1, 1, 1, 4]),
    m.tensor([1, 10], [1, 1, 2, 1]),
    { stride: 3 },
  );
  const at = (row: number, column: number, c: number) => image[(row * 3 + column) * 2 + c] ?? 0;
  await agrees(y, [1, 1, 1, 1], [(at(0, 0, 0) + at(1, 0, 0)) / 2]);
  const first = m.deformConv(
    m.moveAxis(x, 3, 1),
    m.zeros([2, 2 * 6 * 2, oh, ow]),
    m.permute(w, [3, 2, 0, 1]),
    { ...geometry, channelsFirst: true },
  );
  await agrees(m.sub(m.moveAxis(first, 1, 3), plain), plain.shape, new Array(plain.size).fill(0));
});

Deno.test("what does not fit is refused by name", () => {
  const x = m.zeros([1, 2, 2, 4]);
  const cases: [() => unknown, string][] = [
    [() => m.gridSample(x, m.zeros([1, 3, 3])), "gridSample: grid f32[1,3,3] for f32[1,2,2,4]"],
    [() => m.gridSample(x, m.zeros([2, 3, 2])), "gridSample: grid f32[2,3,2]"],
    [() => m.gridSample(m.zeros([1, 0, 2, 4]), m.zeros([1, 3, 2])), "has no pixels"],
    [() => m.affineGrid(m.zeros([1, 2, 3]), [2, 2, 2]), "expected [B,3,4]"],
    [() => m.roiAlign(x, m.zeros([2, 4]), m.zeros([3], "u32"), [2, 2]), "images u32[3]"],
    [() => m.deformConv(x, m.zeros([1, 2, 2, 3]), m.zeros([1, 1, 4, 1])), "G parts of 4 channels"],
  ];
  for (const [call, message] of cases) assertThrows(call, m.ShapeError, message);
  assertThrows(
    // deno-lint-ignore no-explicit-any
    () => m.gridSample(x, m.zeros([1, 3, 2]), { method: "bilinear" as any }),
    TypeError,
    'options.method is the string "bilinear", not one of nearest, linear, cubic',
  );
});
