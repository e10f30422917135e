// The library as its users get it: by URL, from an empty folder without any configuration.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DOORS } from "../tools/bundle.ts";
import { dist, inFolder } from "./support/dist.ts";
import { nodeOf, NODES } from "./support/node.ts";

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
  await inFolder(async (folder) => {
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
  });
}

Deno.test("by URL from an empty folder: trains a two-layer network and solves a merge", async () => {
  await using server = serve(new URL("../", import.meta.url), types);
  await learns(`http://127.0.0.1:${server.addr.port}/mod.ts`, ["-A"]);
});

Deno.test("by URL from an empty folder: the demo finds the model and the pictures beside its code", () =>
  inFolder(async (folder) => {
    await using server = serve(new URL("../", import.meta.url), types);
    const root = `http://127.0.0.1:${server.addr.port}`;
    await Deno.writeTextFile(
      `${folder}/main.js`,
      `import { demoPlan } from "${root}/cli/demo/plan.ts";
const { model, concepts, ridge } = await demoPlan({});
console.log(JSON.stringify({ model, ridge, pictures: concepts.map((c) => c.pictures.length) }));`,
    );
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "-A", "main.js"],
      cwd: folder,
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    const { model, ridge, pictures } = JSON.parse(new TextDecoder().decode(stdout));
    assertEquals([model, pictures], [`${root}/world/miniature`, [5, 5]]);
    assert(ridge > 0, "the model's own settings are read");
  }));

/** What is loaded before a line of a door runs: the door, and whatever its imports import. */
async function before(folder: string, door: string): Promise<string[]> {
  const found = [door];
  for (const name of found) {
    const code = await Deno.readTextFile(`${folder}/${name}`);
    for (const [, to] of code.matchAll(/(?:^|[;}\n])(?:import|export)\b[^"'()]*?"(\.[^"]+)"/g)) {
      const next = new URL(to, `file:///${name}`).pathname.slice(1);
      if (!found.includes(next)) found.push(next);
    }
  }
  return found;
}

Deno.test("the bundle, from a plain static server: few requests, no permission, and its types", async () => {
  const { folder: library, sizes } = await dist();
  await inFolder(async (folder) => {
    for (const door of DOORS.keys()) {
      for (const name of [`${door}.js`, `${door}.d.ts`]) assert(sizes.has(name), name);
    }
    // Of packages, the decoder of pictures alone is left to be found elsewhere.
    const packages = new Set<string>();
    for (const name of [...sizes.keys()].filter((name) => name.endsWith(".js"))) {
      const code = await Deno.readTextFile(`${library}/${name}`);
      for (const [, p] of code.matchAll(/"npm:((?:@[^/"]+\/)?[^/"@]+)/g)) packages.add(p);
    }
    assertEquals([...packages], ["@imagemagick/magick-wasm"]);
    const asked: string[] = [];
    // What a server says that has never heard of TypeScript.
    const plain = (path: string) =>
      path.endsWith(".js") ? "text/javascript" : path.endsWith(".ts") ? "video/mp2t" : "text/plain";
    await using server = serve(new URL(`file://${library}/`), plain, asked);
    const host = `127.0.0.1:${server.addr.port}`, door = `http://${host}/mod.js`;
    await learns(door, [`--allow-import=${host}`, "--deny-net", "--deny-env", "--deny-read"]);
    assert(asked.length < 20, `${asked}`);
    assertEquals(asked.length, new Set(asked).size);

    const check = async (text: string) => {
      const main = `${folder}/main.ts`;
      await Deno.writeTextFile(main, text.replaceAll("DOOR", `http://${host}`));
      const { success, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["check", "--no-lock", `--allow-import=${host}`, main],
        env: { NO_COLOR: "1" },
      }).output();
      return { success, err: new TextDecoder().decode(stderr) };
    };
    const head = `import { add, type Tensor, tensor } from "DOOR/mod.js";\n`;
    const right = await check(`${head}export const t: Tensor = add(tensor([[1, 2]]), 1);`);
    assert(right.success, right.err);
    const wrong = await check(`${head}export const t: Tensor = add(tensor([1]), 'x');`);
    assertMatch(wrong.err, /'string' is not assignable to parameter of type 'Operand'/);
    assert(asked.includes("mod.d.ts"));
    const loose = await check(`import { adamw } from "DOOR/optim.js";\nadamw({ rate: "fast" });`);
    assertMatch(loose.err, /Type 'string' is not assignable to type 'Rate'/);
    // A tensor of one door is one of all.
    const both = await check(
      `${head}import { tensor as other } from "DOOR/engine.js";\nexport const t: Tensor = add(tensor([1]), other([1]));`,
    );
    assert(both.success, both.err);
  });
});

Deno.test("the tensors alone, by URL: under 200 kB in under 40 requests, and what computes comes when a device is opened", async () => {
  const { folder: library, sizes } = await dist();
  await inFolder(async (folder) => {
    const files = await before(library, "engine.js");
    assert(files.length > 1 && files.length < 40, `${files}`);
    const total = (kind: "plain" | "packed") =>
      files.reduce((sum, name) => sum + sizes.get(name)![kind], 0);
    assert(total("plain") < 200e3, `${total("plain")} bytes`);
    assert(total("packed") < 100e3, `${total("packed")} bytes compressed`);
    assert(total("plain") > 100e3, "these are the tensors");
    // Without a device functions are traced and differentiated; with one, whatever is missing comes by itself.
    const main = `${folder}/main.mjs`;
    await Deno.writeTextFile(
      main,
      `import { Device, grad, gpu, evaluate, square, tensor, Tensor } from "file://${library}/engine.js";
import * as everything from "file://${library}/mod.js";
const slope = grad(square)(tensor(3));
const device = await gpu({ backend: "cpu", threads: 1 });
const same = slope instanceof everything.Tensor && Tensor === everything.Tensor &&
  device instanceof Device && device instanceof everything.Device && !(slope instanceof Device);
const here = await device.item(evaluate(device, everything.add(slope, 1)));
console.log(JSON.stringify({ same, here }));
device[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();`,
    );
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--no-prompt", `--allow-read=${folder},${library}`, main],
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    const { same, here } = JSON.parse(new TextDecoder().decode(stdout));
    assertEquals([same, here], [true, 7]);
  });
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

Deno.test("the bundle computes where Float16Array is missing, and in Node; nothing keeps them running", async () => {
  const { folder: library } = await dist();
  await inFolder(async (folder) => {
    const main = `${folder}/main.mjs`;
    await Deno.writeTextFile(main, older(`file://${library}/mod.js`));
    const args = ["run", "--no-lock", "--no-prompt", "--allow-read", main];
    const signal = AbortSignal.timeout(60_000);
    const run = await new Deno.Command(Deno.execPath(), { args, signal }).output();
    const [out, err] = [run.stdout, run.stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(run.code, 0, err);
    const node = await nodeOf(NODES[0]);
    for (const printed of [out, ...node ? [await node(main)] : []]) {
      const { sum, refused, threads } = JSON.parse(printed);
      assertEquals([sum, threads], [3.5, "CPU (WebAssembly, 2 threads)"]);
      assertMatch(refused, /^TypeError: this runtime has no Float16Array, .*cast to f32/);
    }
  });
});

Deno.test("nothing of Deno or Node is touched by importing the bundle", async () => {
  const { folder: library } = await dist();
  await inFolder(async (folder) => {
    for (const door of DOORS.keys()) {
      const name = `${door}.js`;
      const main = `${folder}/${name}.main.mjs`;
      // Whoever asks for either is found out: their names are there, and give themselves away.
      const code = `const real = globalThis.Deno, say = console.log, touched = [];
for (const name of ["Deno", "process", "document", "navigator", "fetch"]) {
  const trap = () => { touched.push(name); return undefined; };
  Object.defineProperty(globalThis, name, { get: trap, configurable: true });
}
const library = await import("file://${library}/${name}");
say(JSON.stringify({ touched, exports: Object.keys(library).length }));
void real;`;
      await Deno.writeTextFile(main, code);
      const { code: exit, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-lock", "--no-prompt", `--allow-read=${folder},${library}`, main],
      }).output();
      assertEquals(exit, 0, new TextDecoder().decode(stderr));
      const { touched, exports } = JSON.parse(new TextDecoder().decode(stdout));
      assertEquals(touched, [], name);
      assert(exports > (/mod|engine/.test(door) ? 50 : 5), `${name} exports ${exports}`);
    }
  });
});
