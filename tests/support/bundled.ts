/** The bundle, made once for all tests of a file: most of what it takes is TypeScript's, for the types. */
import { bundle, type Size } from "../../tools/bundle.ts";

let made: Promise<[folder: string, sizes: Record<string, Size>]> | undefined;

/** Puts the bundle's files into a folder; their sizes by name. */
export async function bundled(into: string): Promise<Record<string, Size>> {
  made ??= (async () => {
    const folder = Deno.makeTempDirSync();
    addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
    return [folder, await bundle(folder)];
  })();
  const [folder, sizes] = await made;
  const names = Object.entries(sizes).map(([path, size]) =>
    [path.slice(folder.length + 1), size] as const
  );
  await Promise.all(names.map(([name]) => Deno.copyFile(`${folder}/${name}`, `${into}/${name}`)));
  return Object.fromEntries(names);
}
