// The bundle in a real browser: the same numbers as here, on the same driver and on the CPU, and every place that files
// come from and go to. `deno task test:browser` runs these, and installs Chromium where it may.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { chromium, isThere, show, SWIFTSHADER } from "../tools/chromium.ts";
import { dist } from "./support/dist.ts";
import { site } from "./support/site.ts";

/** Only where it is asked for: beside other tests, on few cores, a browser takes many minutes. */
const browser = Deno.env.get("MOONGATE_BROWSER") ? chromium() : undefined;

/** What a page, or Deno, tells. */
interface Told {
  readonly error?: string;
  readonly device?: string;
  readonly result?: { losses: number[]; picture: number[]; token: number[] };
  readonly isolated?: boolean;
  readonly kernels?: number;
  readonly messages?: string[];
  readonly accepted?: string[];
  readonly refusals?: Record<string, string>;
  readonly pictures?: Record<string, number | string>;
}

/** Shows a page that does what is asked, and gives what it tells. */
async function inBrowser(asked: unknown, isolated: boolean): Promise<Told> {
  await using page = site((await dist()).folder, isolated);
  const told = page.told();
  const hash = encodeURIComponent(JSON.stringify(asked));
  const found: Told = await show(`${page.address}/page.html#${hash}`, told);
  assertEquals(found.error, undefined);
  return found;
}

/** The same in a Deno of its own, from the sources. */
async function inDeno(options: unknown, env: Record<string, string> = {}): Promise<Told> {
  const root = new URL("../", import.meta.url).href;
  const code = `import * as library from "${root}mod.ts";
import { trainAndSample } from "${root}tests/browser/work.js";
const folder = new URL("${root}world/miniature").pathname;
console.log(JSON.stringify(await trainAndSample(library, folder, ${JSON.stringify(options)})));`;
  const main = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(main, code);
    const { code: exit, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", main],
      env: { XDG_RUNTIME_DIR: "/tmp", DENO_WEBGPU_BACKEND: "vulkan", ...env },
    }).output();
    assertEquals(exit, 0, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(main);
  }
}

/** Compares a page with Deno, to the last digit. */
async function agree(
  options: Record<string, unknown>,
  isolated: boolean,
  env?: Record<string, string>,
) {
  const older = !isolated; // without Float16Array, as browsers of 2024 are
  const there = await inBrowser({ options, older }, isolated), here = await inDeno(options, env);
  assertEquals(there.messages, []);
  assertEquals(there.isolated, isolated);
  assertEquals(there.result, here.result);
  const { losses, picture } = here.result!;
  assertEquals(losses.length, 3);
  assert(losses.every((loss) => loss > 0 && loss < 10), `losses ${losses}`);
  assert(new Set(picture.slice(2)).size > 5, "a picture of many colours");
  return { there, here };
}

/** What is refused, and in which words. */
const WORDS: Readonly<Record<string, RegExp>> = {
  missing: /^\.\/ranges\/none\.safetensors: does not exist: the server answers 404/,
  page: /a\.png: does not exist: the server answers with a web page/,
  listed: /miniature: can't be listed: .*Name a file in it/,
  written: /new\.safetensors: lies where nothing can be written. Name a path of opfs:/,
  forbidden: /a\.png: may not be fetched: .* 403. Mount webFolder/,
  unreachable: /^http:.*a\.png: could not be fetched: .*CORS/,
  picked: /^picked:\/a\.png: is not among the files that were given/,
  pickedWritten: /^picked:\/new\.safetensors: lies where nothing can be written/,
  storage: /^opfs:\/none\/a\.png: does not exist/,
  disk: /^some\.safetensors: lies where nothing can be written/,
};

const options = (ignore: boolean) => ({ ignore, sanitizeOps: false, sanitizeResources: false });

Deno.test({
  name:
    "in a browser on WebGPU: three steps and a picture as in Deno on the same driver, to the last digit",
  ...options(!browser || !isThere(SWIFTSHADER)),
  async fn() {
    const { there, here } = await agree({ backend: "webgpu" }, false, {
      VK_ICD_FILENAMES: SWIFTSHADER,
    });
    for (const { device } of [there, here]) assertMatch(device!, /swiftshader/i);
    assert(there.kernels! > 50, `${there.kernels} kernels were compiled`);
  },
});

Deno.test({
  name:
    "in a browser on the CPU, on one thread and, where the page is isolated, on two: as in Deno, to the last digit",
  ...options(!browser),
  async fn() {
    for (const isolated of [false, true]) {
      const asked = { backend: "cpu", threads: 2 };
      const { there } = await agree(asked, isolated);
      assertEquals(there.kernels, 0, "no kernel of a GPU");
      assertMatch(there.device!, isolated ? /2 threads/ : /1 thread\b/);
    }
  },
});

Deno.test({
  name:
    "in a browser files come from servers with and without ranges, picked files, maps, handles and OPFS, and go back",
  ...options(!browser),
  async fn() {
    const { refusals, pictures, accepted } = await inBrowser(
      { places: true, patience: 250_000 },
      false,
    );
    // A browser shows what it can of these, and does not say that pixels are lost: docs/browser.md.
    const shown = [
      "cut-and-ended.jpg",
      "first-remark-harmless.jpg",
      "zeros.jpg",
      "noise.jpg",
      "sum.png",
    ];
    assertEquals(accepted!.filter((name) => !shown.includes(name)), []);
    const unknown = new Set<string>();
    for (const [name, off] of Object.entries(pictures!)) {
      // A canvas keeps colours multiplied by alpha; Pillow rounds 16 bits in its own way.
      const most = /alpha|16-bit/.test(name) ? 1 : 0;
      if (typeof off === "number") assert(off <= most, `${name}: off by ${off}`);
      else {
        assertMatch(off, /can't be decoded as [\w ]+ by this browser/);
        unknown.add(name.split(".").at(-1)!);
      }
    }
    for (const kind of unknown) assert(/^(tif|jp2|heic|jxl|jpg)$/.test(kind), kind);
    for (const [what, words] of Object.entries(WORDS)) assertMatch(refusals![what], words, what);
  },
});
