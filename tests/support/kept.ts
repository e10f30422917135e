/** What a folder holds, to be compared before and after something that must lose none of it. */

/** Every file below a folder by its path in it, with what is in it; folders end in a slash, links in an arrow. */
export async function treeOf(folder: string, under = ""): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  const entries = await Array.fromAsync(Deno.readDir(`${folder}/${under}`));
  for (const { name, isDirectory, isSymlink } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = under + name;
    if (isSymlink) tree[path] = `-> ${await Deno.readLink(`${folder}/${path}`)}`;
    else if (isDirectory) {
      Object.assign(tree, { [`${path}/`]: "" }, await treeOf(folder, `${path}/`));
    } else tree[path] = (await Deno.readFile(`${folder}/${path}`)).toHex();
  }
  return tree;
}

/** Runs in a temporary folder, which is the current one meanwhile. */
export async function inside(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir(), before = Deno.cwd();
  try {
    Deno.chdir(folder);
    await work(folder);
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
}
