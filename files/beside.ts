/** Files that come with the library: they are found beside the code, wherever that was loaded from and whatever its path is. */

/**
 * Where a file lies that is named by its place beside another: a path, or where the code came from a URL, that.
 *
 * @param relative "../world/miniature"
 * @param from `import.meta.url` of the file that asks
 */
export function beside(relative: string, from: string): string {
  const { protocol, pathname, href } = new URL(relative, from);
  return protocol === "file:" ? decodeURIComponent(pathname) : href;
}
