/** The goldens of delta formats (`golden/deltas.py`), and how a file of them is compared with what it was written from. */
import { assert, assertEquals } from "@std/assert";
import { formOf, weightChange } from "../concepts/deltas/changes.ts";
import { openBase } from "../concepts/deltas/formats/base.ts";
import type { DeltaFormatName } from "../concepts/deltas/formats/format.ts";
import { loadDelta, openDelta } from "../concepts/deltas/formats/load.ts";
import { arrayOf, bytesOf } from "../files/dtypes.ts";
import { FileError } from "../files/errors.ts";
import { openSafetensors } from "../files/safetensors/read.ts";
import { relativeError } from "./support/check.ts";

/** Where they lie. */
export const GOLDEN = new URL("./golden/deltas", import.meta.url).pathname;

/** The model under them. */
export const MODEL = `${GOLDEN}/model`;

/** The new words in them. */
export const TOKENS = ["<new1>", "<new2>"];

/** A golden file: its format, the form of its changes, its words, how far its changes may be from those it was made from
 * (`bf16`: trained weights that were rounded so, to the last bit). */
export type GoldenFile = [
  file: string,
  format: DeltaFormatName,
  form: string,
  tokens: number,
  error: number | "bf16",
];

/** What PyTorch wrote the files from. */
async function expectation() {
  using source = await openSafetensors(`${GOLDEN}/expected.safetensors`);
  const all = new Map<string, Float32Array>();
  for (const name of source.tensors.keys()) all.set(name, await source.readFloat32(name));
  return {
    names: [...all.keys()].filter((name) => name.endsWith(".weight")),
    get: (name: string) => all.get(name)!,
  };
}

/** Trained weights by diffusers name, and embeddings by token. */
export const expected = await expectation();

/** Runs in a temporary folder. */
export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Puts a golden file where its tool would have it, with the tokens beside it. */
export async function placed(
  folder: string,
  file: string,
  as: string,
  tokens: "bin" | "safetensors",
): Promise<void> {
  await Deno.copyFile(`${GOLDEN}/${file}`, `${folder}/${as}`);
  for (const i of [1, 2]) {
    await Deno.copyFile(`${GOLDEN}/new${i}.${tokens}`, `${folder}/<new${i}>.${tokens}`);
  }
}

/** Asserts that a golden file is recognised and holds what PyTorch put into it. */
export async function assertGolden([file, format, form, tokens, error]: GoldenFile): Promise<void> {
  const loaded = await openDelta(`${GOLDEN}/${file}`), { delta } = loaded;
  assertEquals(loaded.format.name, format);
  assertEquals(delta.tokens.map((t) => t.token), TOKENS.slice(0, tokens));
  delta.embeddings.forEach((row, i) => assertEquals(row, expected.get(TOKENS[i])));
  assertEquals([...delta.weights.keys()].sort(), expected.names.map((n) => `unet.${n}`).sort());
  using base = await openBase(MODEL);
  base.fit(file, delta);
  for (const [path, w] of delta.weights) {
    assertEquals(formOf(w), form, path);
    const W0 = await base.read(path), exact = expected.get(path.slice("unet.".length));
    const rounded = error === "bf16";
    const W = rounded ? arrayOf("BF16", bytesOf(exact, "BF16").slice()) : exact;
    if (!error || rounded) assertEquals((w as { data: Float32Array }).data, W, path);
    const [found, wanted] = [w, { shape: w.shape, data: W }].map((x) => weightChange(x, W0).change);
    assert(
      relativeError(found, wanted) <= (rounded ? 0 : error) + 1e-9,
      `${path}: ${relativeError(found, wanted)}`,
    );
  }
}

/** Asserts that files with bytes changed or cut off are read or refused by a FileError that names them. */
export async function assertRefusesDamage(files: string[], draw: () => number): Promise<void> {
  const any = (n: number) => Math.min(n - 1, Math.floor((draw() + 1) / 2 * n));
  await inFolder(async (folder) => {
    let refused = 0;
    for (const file of files) {
      const bytes = await Deno.readFile(`${GOLDEN}/${file}`);
      for (let i = 0; i < 60; i++) {
        const damaged = bytes.slice(0, i % 6 ? bytes.length : any(bytes.length));
        // Half of the damage goes where headers are.
        const reach = i % 2 ? damaged.length : Math.min(damaged.length, 2000);
        for (let k = 0; reach && k <= i % 3; k++) damaged[any(reach)] = any(256);
        await Deno.writeFile(`${folder}/x`, damaged);
        try {
          await loadDelta(`${folder}/x`);
        } catch (error) {
          if (!(error instanceof FileError)) throw error;
          assert(error.message.includes(`${folder}/x`), error.message);
          refused++;
        }
      }
    }
    assert(refused > 10 * files.length, `${refused} refused`);
  });
}
