/**
 * Files on a server, by `fetch`: a part at a time where the server gives parts, whole where it does not.
 *
 * Why pages are kept: a model has hundreds of small tensors beside each other, and a request for each would take minutes.
 */
import { FileError, messageOf } from "../errors.ts";
import { blobSource, type ByteSource, checkRange } from "./source.ts";
import { type FileStore, partsOf } from "./store.ts";

/** What is fetched at once where less is wanted, and how many such pages of a file are kept. */
const PAGE = 2 ** 20, PAGES = 8;

/** Pauses before a part is asked for again that did not come, in milliseconds. */
const PAUSES = [500, 2000];

/**
 * Files of a server, for `mount`: `mount("sd", webFolder("https://…/sd", { headers: { authorization: "Bearer …" } }))`.
 *
 * @param base address of the folder; without one, paths are addresses themselves
 * @param init what each request is made with
 */
export function webFolder(base?: string, init: RequestInit = {}): FileStore {
  const address = (path: string): string =>
    base === undefined
      ? path
      : [base.replace(/\/+$/, ""), ...partsOf(path).map(encodeURIComponent)].join("/");
  const ask = (path: string, method: "GET" | "HEAD", range?: string): Promise<Response> =>
    request(path, address(path), {
      ...init,
      method,
      headers: { ...Object.fromEntries(new Headers(init.headers)), ...(range && { range }) },
    });
  return {
    async look(path) {
      let answer = await ask(path, "HEAD");
      // Some servers know no HEAD.
      if (answer.status === 405 || answer.status === 501) {
        answer = await ask(path, "GET", "bytes=0-0");
      }
      await answer.body?.cancel();
      if (answer.status === 404 || answer.status === 410 || isPage(path, answer)) return undefined;
      return answer.ok || answer.status === 416 ? "file" : refused(path, answer);
    },
    open: (path) => open(path, (range) => ask(path, "GET", range)),
    async read(path) {
      const answer = await ask(path, "GET");
      if (!answer.ok || isPage(path, answer)) return await refused(path, answer);
      return new Uint8Array(await (await all(path, answer)).arrayBuffer());
    },
  };
}

async function request(path: string, address: string, init: RequestInit): Promise<Response> {
  try {
    // What is relative is so to the page; a worker made of text has none, and its program's address is taken.
    const { document, location } = globalThis as {
      document?: { baseURI: string };
      location?: { href: string };
    };
    const base = document?.baseURI ?? location?.href;
    return await fetch(base === undefined ? address : new URL(address, base), init);
  } catch (error) {
    if ((error as Error)?.name === "NotCapable") {
      throw new FileError(path, "Deno may not fetch it", "Run with --allow-net for that server", {
        cause: error,
      });
    }
    throw new FileError(
      path,
      `could not be fetched: ${messageOf(error)}`,
      "Check the address and the connection, and, of another site, that its server lets this page read it (CORS)",
      { cause: error },
    );
  }
}

/** Whether an answer is a web page in place of a file: many servers have one for whatever they don't have. */
const isPage = (path: string, answer: Response): boolean =>
  /^text\/html\b/.test(answer.headers.get("content-type") ?? "") && !/\.html?$/i.test(path);

/** Says why there is no file, and throws that. */
async function refused(path: string, answer: Response): Promise<never> {
  await answer.body?.cancel();
  const { status } = answer;
  if (status === 404 || status === 410 || answer.ok) {
    const why = answer.ok ? "the server answers with a web page" : `the server answers ${status}`;
    throw new FileError(path, `does not exist: ${why}`, "Check the address");
  }
  throw status === 401 || status === 403
    ? new FileError(
      path,
      `may not be fetched: the server answers ${status}`,
      "Mount webFolder(address, { headers }) with what it asks for",
    )
    : new FileError(path, `could not be fetched: the server answers ${status}`, "Try again later");
}

async function all(path: string, answer: Response): Promise<Blob> {
  try {
    return await answer.blob();
  } catch (error) {
    throw new FileError(path, `came only in part: ${messageOf(error)}`, "Try again", {
      cause: error,
    });
  }
}

type Ask = (range?: string) => Promise<Response>;

/** Its first page tells whether a server gives parts; an empty file has none to give. */
async function open(path: string, ask: Ask): Promise<ByteSource> {
  const first = await ask(`bytes=0-${PAGE - 1}`);
  if (first.status === 416) {
    await first.body?.cancel();
    return blobSource(await all(path, await ask()), path);
  }
  if (!first.ok || isPage(path, first)) return await refused(path, first);
  const bytes = await all(path, first);
  if (first.status !== 206) return blobSource(bytes, path);
  const said = /\/(\d+)$/.exec(first.headers.get("content-range") ?? "")?.[1];
  // Servers of other sites often keep that header to themselves; less than a page is the end all the same.
  const size = said !== undefined
    ? Number(said)
    : bytes.size < PAGE
    ? bytes.size
    : await sizeBy(path, ask);
  if (size === undefined) return blobSource(await all(path, await ask()), path);
  return new Pages(path, size, versionOf(first), ask, new Uint8Array(await bytes.arrayBuffer()));
}

/** A file's size as the answer for all of it says, of which nothing is taken; undefined where it says nothing. */
async function sizeBy(path: string, ask: Ask): Promise<number | undefined> {
  const answer = await ask();
  if (!answer.ok) return await refused(path, answer);
  const length = answer.headers.get("content-length");
  await answer.body?.cancel();
  return length === null || answer.headers.get("content-encoding") ? undefined : Number(length);
}

/** What tells one content from another at the same address, where the server says it. */
const versionOf = ({ headers }: Response): string =>
  headers.get("etag") ?? headers.get("last-modified") ?? "";

/** A file of a server that gives parts. */
class Pages implements ByteSource {
  /** Pages by number, the one that was used last at the end. */
  readonly #pages = new Map<number, Promise<Uint8Array<ArrayBuffer>>>();

  constructor(
    readonly name: string,
    readonly size: number,
    readonly version: string,
    readonly ask: Ask,
    first: Uint8Array<ArrayBuffer>,
  ) {
    this.#pages.set(0, Promise.resolve(first));
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.name, this.size, offset, length);
    if (length >= PAGE) return await this.#fetch(offset, length);
    const out = new Uint8Array(length);
    for (let at = offset; at < offset + length;) {
      const number = Math.floor(at / PAGE), page = await this.#page(number);
      const part = page.subarray(at - number * PAGE, offset + length - number * PAGE);
      out.set(part, at - offset);
      at += part.length;
    }
    return out;
  }

  close(): void {
    this.#pages.clear();
  }

  #page(number: number): Promise<Uint8Array<ArrayBuffer>> {
    const at = number * PAGE;
    const page = this.#pages.get(number) ?? this.#fetch(at, Math.min(PAGE, this.size - at));
    this.#pages.delete(number);
    this.#pages.set(number, page);
    for (const old of this.#pages.keys()) if (this.#pages.size > PAGES) this.#pages.delete(old);
    page.catch(() => this.#pages.delete(number));
    return page;
  }

  async #fetch(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    for (let tries = 0;; tries++) {
      try {
        return await this.#once(offset, length);
      } catch (error) {
        if (tries === PAUSES.length || error instanceof Changed) throw error;
        await new Promise((resolve) => setTimeout(resolve, PAUSES[tries]));
      }
    }
  }

  async #once(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const answer = await this.ask(`bytes=${offset}-${offset + length - 1}`);
    if (!answer.ok) return await refused(this.name, answer);
    if (versionOf(answer) !== this.version) throw new Changed(this.name);
    const bytes = new Uint8Array(await (await all(this.name, answer)).arrayBuffer());
    const part = answer.status === 206 ? bytes : bytes.slice(offset, offset + length);
    if (part.length === length) return part;
    throw new FileError(
      this.name,
      `its server gave ${part.length} bytes of ${length} that were asked for`,
      "Try again",
    );
  }
}

/** What was opened is no longer there. */
class Changed extends FileError {
  constructor(path: string) {
    super(path, "was changed on its server while it was being read", "Open it again");
  }
}
