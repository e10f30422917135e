/** A site for a page that is tested: the bundle, the miniature by servers of several kinds, and an ear for what it found. */
import golden from "../golden/pictures.json" with { type: "json" };
import kinds from "../golden/picture_kinds.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url).pathname;

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  json: "application/json",
};

/** An open site. */
export interface Site extends AsyncDisposable {
  /** Its address, without a slash at its end. */
  readonly address: string;
  /** What the page says next. */
  told(): Promise<Record<string, unknown>>;
}

/**
 * Serves a page.
 *
 * @param bundle folder of the bundle
 * @param isolated whether the page is to have threads
 */
export function site(bundle: string, isolated: boolean): Site {
  let hear: (what: Record<string, unknown>) => void = () => {};
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      if (path === "/told") {
        hear(await request.json());
        return new Response("thanks");
      }
      const answer = await answerTo(path, request, bundle);
      if (isolated) {
        answer.headers.set("cross-origin-opener-policy", "same-origin");
        answer.headers.set("cross-origin-embedder-policy", "require-corp");
      }
      return answer;
    },
  );
  return {
    address: `http://127.0.0.1:${server.addr.port}`,
    told: () => new Promise((resolve) => hear = resolve),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function answerTo(path: string, request: Request, bundle: string): Promise<Response> {
  const [, place, rest] = /^\/(ranges|whole|pages|forbidden)\/(.*)$/.exec(path) ?? [];
  if (place === "forbidden") return new Response("no", { status: 403 });
  // As servers of applications of one page do with whatever they don't know.
  if (place === "pages") {
    return new Response("<!doctype html>", { headers: { "content-type": "text/html" } });
  }
  if (path === "/pictures.json") return Response.json(pictures());
  const file = rest !== undefined
    ? rest.startsWith("miniature/")
      ? `${ROOT}world/${rest}`
      : rest === "some.safetensors"
      ? `${ROOT}tests/golden/deltas/custom.safetensors`
      : undefined
    : path === "/page.html" || path === "/work.js"
    ? `${ROOT}tests/browser${path}`
    : `${bundle}${path}`;
  const bytes = file && await Deno.readFile(file).catch(() => undefined);
  if (!bytes) return new Response("none", { status: 404 });
  const headers = new Headers({
    "content-type": TYPES[path.split(".").at(-1)!] ?? "application/octet-stream",
  });
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "") ?? [];
  if (place !== "ranges" || from === undefined) return new Response(bytes, { headers });
  const end = Math.min(Number(to) + 1, bytes.length);
  if (Number(from) >= bytes.length) return new Response("", { status: 416 });
  headers.set("content-range", `bytes ${from}-${end - 1}/${bytes.length}`);
  return new Response(bytes.subarray(Number(from), end), { status: 206, headers });
}

/** Pictures of all kinds with Pillow's pixels, and such that have lost some. */
const pictures = () => ({
  damaged: kinds.damaged,
  good: golden.good,
  odd: kinds.read.map(({ name, file, picture }) => ({ ...kinds.pictures[picture], name, file })),
});
