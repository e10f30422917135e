/** The bundle, built once for all tests of a file. */
import { bundle, type Size } from "../../tools/bundle.ts";

/** Where it lies, and the sizes of its files by their names. */
export interface Dist {
  readonly folder: string;
  readonly sizes: ReadonlyMap<string, Size>;
}

let built: Promise<Dist> | undefined;

/** Builds it, or gives what was built; nobody writes into its folder. */
export const dist = (): Promise<Dist> => built ??= build();

async function build(): Promise<Dist> {
  const folder = await Deno.makeTempDir();
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  const sizes = Object.entries(await bundle(folder));
  return { folder, sizes: new Map(sizes.map(([path, s]) => [path.slice(folder.length + 1), s])) };
}

/** An empty folder for as long as `use` runs. */
export async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
