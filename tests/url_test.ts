// The library as its users get it: by URL, from an empty folder without any configuration.
import { assert, assertEquals, assertMatch } from "@std/assert";

/** Serves this checkout. */
function serveCheckout() {
  const root = new URL("../", import.meta.url);
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const path = new URL(request.url).pathname.slice(1);
    try {
      const body = await Deno.readFile(new URL(path, root));
      const type = path.endsWith(".ts") ? "text/typescript" : "application/json";
      return new Response(body, { headers: { "content-type": type } });
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

Deno.test("by URL from an empty folder: trains a two-layer network and solves a merge", async () => {
  await using server = serveCheckout();
  const door = `http://127.0.0.1:${server.addr.port}/mod.ts`;
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/main.js`, program(door));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "main.js"],
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
});
