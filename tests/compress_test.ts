// Compressing deltas: what is kept is what was asked for, and it is the best there is at that size.
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import fc from "fast-check";
import { main } from "../cli/main.ts";
import { changeMatrix, changeNorm, formOf, numbersOf } from "../concepts/deltas/changes.ts";
import { compressDelta, rankOfEnergy } from "../concepts/deltas/compress.ts";
import type { Delta, DeltaWeight } from "../concepts/deltas/delta.ts";
import { loadDelta } from "../concepts/deltas/formats/load.ts";
import { deltaSize, saveDelta } from "../concepts/deltas/formats/save.ts";
import { norm } from "../numerics/matrix.ts";
import { expected, GOLDEN, inFolder, MODEL } from "./formats_golden.ts";
import { uniform } from "./support/check.ts";

const token = { token: "<new1>", className: "dog", initializer: "ktn" };

const numbers = (n: number, seed: number) => Float32Array.from({ length: n }, uniform(seed));

/** A delta of changes whose singular values fall off, and a bias. */
function delta(shapes: readonly [number, number][], seed = 1): Delta {
  const weights = new Map<string, DeltaWeight>(shapes.map((shape, i) => {
    const [out, into] = shape, r = Math.min(out, into);
    const u = numbers(out * r, seed + 2 * i), v = numbers(r * into, seed + 2 * i + 1);
    const change = new Float32Array(out * into);
    for (let a = 0; a < out; a++) {
      for (let b = 0; b < into; b++) {
        for (let k = 0; k < r; k++) change[a * into + b] += u[a * r + k] * v[k * into + b] / 2 ** k;
      }
    }
    return [`unet.layer${i}.weight`, { shape, change }];
  }));
  weights.set("unet.layer0.bias", { shape: [3], change: Float32Array.of(1, 2, 3) });
  return { base: "", tokens: [token], embeddings: [numbers(8, 5)], weights, notes: {} };
}

const sizes = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
  { minLength: 1, maxLength: 3 },
);

/** Floats that a delta holds. */
const floats = ({ weights, embeddings }: Delta) =>
  [...weights.values()].reduce(
    (sum, w) => sum + numbersOf(w).reduce((count, part) => count + part.length, 0),
    embeddings.reduce((sum, row) => sum + row.length, 0),
  );

Deno.test("energy: the largest singular values whose sum does not exceed the share, and no fewer", async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.double({ min: 0, max: 1, noNaN: true }), async (s, energy) => {
      const { spectra, ranks } = await compressDelta(delta(s), { energy });
      for (const [path, values] of spectra) {
        const sum = (n: number) => values.subarray(0, n).reduce((a, b) => a + b, 0);
        const rank = ranks.get(path)!, whole = sum(values.length);
        if (energy < 1) assert(sum(rank) <= energy * whole);
        if (rank < values.length) assert(sum(rank + 1) > energy * whole);
      }
    }),
  );
  assertEquals(rankOfEnergy(0.6)(Float64Array.of(5, 3, 2)), 1);
  assertEquals(rankOfEnergy(0.8)(Float64Array.of(5, 3, 2)), 2);
  assertEquals(rankOfEnergy(1)(Float64Array.of(0, 0)), 0);
});

Deno.test("what is lost is what the left-out singular values hold, and vectors stay", async () => {
  await fc.assert(fc.asyncProperty(sizes, fc.integer({ min: 0, max: 9 }), async (s, rank) => {
    const before = delta(s), { delta: after, spectra } = await compressDelta(before, { rank });
    for (const [path, values] of spectra) {
      const x = changeMatrix(before.weights.get(path)!, []).data;
      const y = changeMatrix(after.weights.get(path)!, []).data;
      const kept = formOf(after.weights.get(path)!) === "change" ? values.length : rank;
      assertAlmostEquals(norm(x.map((v, i) => v - y[i])), norm(values.slice(kept)), 1e-5);
    }
    assertEquals(after.weights.get("unet.layer0.bias"), before.weights.get("unet.layer0.bias"));
    assertEquals(after.embeddings, before.embeddings);
  }));
});

/** Bytes of the file that a delta makes. */
async function fileBytes(made: Delta): Promise<number> {
  let bytes = 0;
  await inFolder(async (folder) => {
    await saveDelta(`${folder}/x.safetensors`, made);
    bytes = (await Deno.stat(`${folder}/x.safetensors`)).size;
  });
  assertEquals(deltaSize(made), bytes);
  return bytes;
}

Deno.test("bytes: the file is never larger than asked, holds some of the change, and more room keeps more", async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 0, max: 2000 }), async (s, room) => {
      const before = delta(s), needed = await leastBytes(before), bytes = needed + room;
      const made = await compressDelta(before, { bytes });
      assertEquals(made.bytes, 4 * floats(made.delta));
      assert(await fileBytes(made.delta) <= bytes);
      assert(made.bytes <= 4 * floats(before));
      assert([...made.ranks.values()].some((rank) => rank > 0), "a delta of nothing");
      const more = await compressDelta(before, { bytes: 2 * bytes });
      for (const [path, rank] of made.ranks) assert(more.ranks.get(path)! >= rank);
      for (const few of [needed - 1, needed >> 1, 12, 0]) {
        await assertRejects(() => compressDelta(before, { bytes: few }), RangeError, "too few");
      }
    }),
  );
});

/** The size that the refusal of a smaller one names. */
async function leastBytes(before: Delta): Promise<number> {
  const { message } = await assertRejects(() => compressDelta(before, { bytes: 1 }), RangeError);
  return Number(/takes (\d+) /.exec(message)![1]);
}

Deno.test("bytes: what changes nothing, and words alone, are kept in what they take", async () => {
  const zeros = { shape: [4, 4], change: new Float32Array(16) };
  for (const weights of [new Map(), new Map([["unet.layer0.weight", zeros]])]) {
    const before = { ...delta([]), weights }, needed = await leastBytes(before);
    const { delta: made } = await compressDelta(before, { bytes: needed });
    assertEquals(made.embeddings, before.embeddings);
    assert(await fileBytes(made) <= needed);
  }
  await assertRejects(() => compressDelta(delta([]), { bytes: NaN }), RangeError, "a size");
});

Deno.test("what can't be done is refused", async () => {
  await assertRejects(() => compressDelta(delta([[2, 2]]), { energy: 1.5 }), RangeError, "0 to 1");
  await assertRejects(() => compressDelta(delta([[2, 2]]), { rank: 0.5 }), RangeError, "whole");
  const trained = await loadDelta(`${GOLDEN}/plain.safetensors`);
  await assertRejects(() => compressDelta(trained, { rank: 1 }), RangeError, "base model");
});

Deno.test("moongate compress: a file of the rank asked for, a table, and a plot", async () => {
  await inFolder(async (folder) => {
    const out: string[] = [], err: string[] = [];
    const code = await main([
      ...["compress", `${GOLDEN}/custom.safetensors`, "--model", MODEL, "--rank", "2"],
      ...["--plot", `${folder}/plot.svg`, "--out", `${folder}/small.safetensors`],
    ], { out: (l) => out.push(l), err: (l) => err.push(l) });
    assertEquals([code, out.at(-1)], [0, `${folder}/small.safetensors`], err.join("\n"));
    const small = await loadDelta(`${folder}/small.safetensors`);
    assertEquals([...small.weights.keys()].sort(), expected.names.map((n) => `unet.${n}`).sort());
    for (const w of small.weights.values()) {
      assertEquals([formOf(w), "u" in w && w.rank], ["factors", 2]);
      assert(changeNorm(w)! > 0);
    }
    assertMatch(out.join("\n"), /2 of \d+/);
    assert(out.includes(`spectra: ${folder}/plot.svg`), out.join("\n"));
    assert(!out.join("\n").includes("nothing was cut"));
    assertMatch(await Deno.readTextFile(`${folder}/plot.svg`), /^<svg.*<circle/s);

    const both = await main(["compress", "x", "--rank", "1", "--energy", "0.5", "--out", "y"], {
      out: () => {},
      err: (l) => err.push(l),
    });
    assertEquals(both, 1);
    assertMatch(err.join("\n"), /give one of them/);
  });
});

Deno.test("moongate compress --size: at most that, or the size that it takes; --energy and --rank leave something", async () => {
  await inFolder(async (folder) => {
    const compress = async (...flags: string[]) => {
      const said: string[] = [], err: string[] = [];
      const out = `${folder}/${flags.join("")}.safetensors`;
      const code = await main([
        ...["compress", `${GOLDEN}/custom.safetensors`, "--model", MODEL],
        ...[...flags, "--out", out, "-q"],
      ], { out: (l) => said.push(l), err: (l) => err.push(l) });
      const size = (await Deno.stat(out).catch(() => undefined))?.size;
      return { code, size, said: said.join("\n"), err: err.join("\n") };
    };
    const small = await compress("--size", "1KB");
    assertEquals([small.code, small.size], [1, undefined]);
    const [, bytes, typed] = /the smallest file .* takes (\d+) \(([\d.]+KB)\)/.exec(small.err)!;
    const fits = await compress("--size", typed);
    assertEquals(fits.code, 0, fits.err);
    assert(fits.size! <= Number(bytes), `${fits.size} of ${bytes}`);
    for (const [size, most] of [["20KB", 20000], ["30KB", 30000], ["0.1MiB", 104858]] as const) {
      const made = await compress("--size", size);
      assert(made.code === 0 && made.size! <= most, `${made.size} of ${size}: ${made.err}`);
    }
    assertMatch((await compress("--size", "1GB")).said, /nothing was cut/);
    assert(!(await compress("--rank", "1")).said.includes("nothing was cut"));
    const none = await compress("--energy", "0.001");
    assertEquals([none.code, none.size], [1, undefined]);
    const [, least] = /--energy (\S+) is the least/.exec(none.err)!;
    assertEquals((await compress("--energy", least)).code, 0);
    for (const flag of ["--rank", "--energy"]) {
      assertMatch((await compress(flag, "0")).err, /1 or more|more than 0/);
    }
  });
});
