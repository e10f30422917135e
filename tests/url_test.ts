// The library as its users get it: by URL, from an empty folder without any configuration.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { bundled } from "./support/bundled.ts";

/** Types that a server gives which knows TypeScript. */
const types = (path: string): string =>
  path.endsWith(".ts") ? "text/typescript" : "application/json";

/** Serves a folder; `asked` takes the paths that are asked for. */
function serve(root: URL, typeOf: (path: string) => string, asked: string[] = []) {
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const path = new URL(request.url).pathname.slice(1);
    asked.push(path);
    try {
      const body = await Deno.readFile(new URL(path, root));
      return new Response(body, { headers: { "content-type": typeOf(path) } });
    } catch {
      return new Response("not found", { status: 404 });
    }
  });
}

/** A network of two layers that learns a sine, and a merge whose solution is known. */
const program = (door: string) => `
import {
  adamInit, adamw, compile, evaluate, gpu, keyFromSeed, linear, mean, mergeConcepts, randomNormal,
  square, sub, tanh, tensor, valueAndGrad,
} from "${door}";

using device = await gpu();
const key = (n) => tensor(Uint32Array.from(keyFromSeed(n)), [2]);
const zeros = (n) => tensor(new Float32Array(n), [n]);
const start = {
  w1: randomNormal(key(1), [32, 1]), b1: randomNormal(key(2), [32]),
  w2: randomNormal(key(3), [1, 32]), b2: zeros(1),
};
const network = (p, x) => linear(tanh(linear(x, p.w1, p.b1)), p.w2, p.b2);
const xs = Float32Array.from({ length: 64 }, (_, i) => i / 10 - 3.2);
const batch = { x: tensor(xs, [64, 1]), y: tensor(xs.map(Math.sin), [64, 1]) };
const step = compile(device, (state, { x, y }) => {
  const loss = (p) => mean(square(sub(network(p, x), y)));
  const { value, grads } = valueAndGrad(loss)(state.params);
  return { state: adamw(state, grads, { rate: 0.02, decay: 0 }), loss: value };
}, { donate: [0] });
let state = evaluate(device, adamInit(start)), loss;
for (let i = 0; i < 300; i++) ({ state, loss } = step(state, batch));

const { W, report } = mergeConcepts({
  W0: { rows: 1, cols: 2, data: Float64Array.of(1, 2) },
  targets: { rows: 1, cols: 2, data: Float64Array.of(1, 0) },
  values: { rows: 1, cols: 1, data: Float64Array.of(5) },
  regularization: { rows: 2, cols: 2, data: Float64Array.of(1, 0, 0, 1) },
});
console.log(JSON.stringify({
  loss: await device.item(loss), W: [...W.data], residual: report.constraintResidual,
}));
`;

/** Runs the program from an empty folder, and looks at what it learnt. */
async function learns(door: string, permissions: readonly string[]): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/main.js`, program(door));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--no-prompt", ...permissions, "main.js"],
      cwd: folder,
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(code, 0, err);
    assertMatch(out, /^\{/);
    const { loss, W, residual } = JSON.parse(out);
    assert(loss < 0.01, `the loss ended at ${loss}`);
    assertEquals(W, [5, 2]);
    assertEquals(residual, 0);
    assertEquals([...Deno.readDirSync(folder)].map((entry) => entry.name), ["main.js"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("by URL from an empty folder: trains a two-layer network and solves a merge", async () => {
  await using server = serve(new URL("../", import.meta.url), types);
  await learns(`http://127.0.0.1:${server.addr.port}/mod.ts`, ["-A"]);
});

Deno.test("the bundle, from a plain static server: one request, no permission, and its types", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const sizes = await bundled(folder);
    const names = ["mod.js", "mod.d.mts", "engine.js", "engine.d.mts"];
    assertEquals(Object.keys(sizes), names);
    const { packed } = sizes["engine.js"];
    assert(packed < 170e3, `engine.js has ${packed} bytes compressed`);
    // Of packages, the decoder of pictures alone is left to be found elsewhere.
    const code = await Deno.readTextFile(`${folder}/mod.js`);
    const packages = new Set([...code.matchAll(/"npm:((?:@[^/"]+\/)?[^/"@]+)/g)].map(([, p]) => p));
    assertEquals([...packages], ["@imagemagick/magick-wasm"]);
    const asked: string[] = [];
    // What a server says that has never heard of TypeScript.
    const plain = (path: string) =>
      path.endsWith(".js") ? "text/javascript" : "application/octet-stream";
    await using server = serve(new URL(`file://${folder}/`), plain, asked);
    const host = `127.0.0.1:${server.addr.port}`, door = `http://${host}/mod.js`;
    await learns(door, [`--allow-import=${host}`, "--deny-net", "--deny-env", "--deny-read"]);
    assertEquals(asked, ["mod.js"]);

    const check = async (line: string) => {
      const main = `${folder}/main.ts`;
      await Deno.writeTextFile(
        main,
        `import { add, type Tensor, tensor } from "${door}";\n${line}\n`,
      );
      const { success, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["check", "--no-lock", `--allow-import=${host}`, main],
        env: { NO_COLOR: "1" },
      }).output();
      return { success, err: new TextDecoder().decode(stderr) };
    };
    const right = await check("export const t: Tensor = add(tensor([[1, 2]]), 1);");
    assert(right.success, right.err);
    const wrong = await check("export const t: Tensor = add(tensor([1]), 'x');");
    assertMatch(wrong.err, /'string' is not assignable to parameter of type 'Operand'/);
    assert(asked.includes("mod.d.mts"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** XOR's sum, and what becomes of f16, said by a program that takes the bundle at `door` where `Float16Array` is missing. */
const older = (door: string) => `
delete globalThis.Float16Array;
const m = await import("${door}");
const device = await m.gpu({ backend: "cpu", threads: 2 });
const half = m.evaluate(device, m.cast(m.tensor([1.5, 2]), "f16"));
const sum = await device.item(m.evaluate(device, m.sum(m.cast(half, "f32"))));
const refused = await device.read(half).then(() => "read", (e) => e.name + ": " + e.message);
device[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();
console.log(JSON.stringify({ sum, refused, threads: device.facts.description }));
`;

Deno.test("the bundle computes where Float16Array is missing, and in Node where there is one; nothing keeps them running", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await bundled(folder);
    const main = `${folder}/main.mjs`;
    await Deno.writeTextFile(main, older("./mod.js"));
    const runs = [[Deno.execPath(), "run", "--no-lock", "--no-prompt", "--allow-read", main], [
      "node",
      main,
    ]];
    for (const [command, ...args] of runs) {
      const signal = AbortSignal.timeout(60_000);
      const run = await new Deno.Command(command, { args, signal }).output().catch((error) => {
        if (error instanceof Deno.errors.NotFound) return undefined;
        throw error;
      });
      if (!run) continue;
      const [out, err] = [run.stdout, run.stderr].map((bytes) => new TextDecoder().decode(bytes));
      assertEquals(run.code, 0, `${command}: ${err}`);
      const { sum, refused, threads } = JSON.parse(out);
      assertEquals([sum, threads], [3.5, "CPU (WebAssembly, 2 threads)"], command);
      assertMatch(refused, /^TypeError: this runtime has no Float16Array, .*cast to f32/);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("nothing of Deno or Node is touched by importing the bundle", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await bundled(folder);
    for (const name of ["mod.js", "engine.js"]) {
      const main = `${folder}/${name}.main.mjs`;
      // Whoever asks for either is found out: their names are there, and give themselves away.
      const code = `const real = globalThis.Deno, say = console.log, touched = [];
for (const name of ["Deno", "process", "document", "navigator", "fetch"]) {
  const trap = () => { touched.push(name); return undefined; };
  Object.defineProperty(globalThis, name, { get: trap, configurable: true });
}
const library = await import("./${name}");
say(JSON.stringify({ touched, exports: Object.keys(library).length }));
void real;`;
      await Deno.writeTextFile(main, code);
      const { code: exit, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-lock", "--no-prompt", `--allow-read=${folder}`, main],
      }).output();
      assertEquals(exit, 0, new TextDecoder().decode(stderr));
      const { touched, exports } = JSON.parse(new TextDecoder().decode(stdout));
      assertEquals(touched, [], name);
      assert(exports > 50, `${name} exports ${exports}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
