/**
 * `@jax-js/jax` on WebGPU or WebAssembly; with `--jit` under its compiler. Operations wait in a list until their results are
 * asked for, so results are kept until the queue has run.
 */
import { isModelCase } from "../cases/all.ts";
import { channelsFirst, channelsLast, isWhole, type OpCase, type Operands } from "../cases/case.ts";
import { onCpu, openedDevice, type Peer, type Prepared, runPeer } from "../harness.ts";
import { functions, type Jax, type JaxArray, type Named } from "./jax_ops.ts";

// In a variable, so that checking this repository does not fetch the libraries it is compared with.
const VERSION = "0.1.25";
const specifier = `npm:@jax-js/jax@${VERSION}`;

function prepare(jax: Jax, jit: boolean, c: OpCase, operands: Operands): Prepared<JaxArray[]> {
  const args: Named = {};
  for (const [name, o] of Object.entries(c.operands)) {
    if (o.values) continue; // Known when the function is written.
    const { data, shape } = channelsFirst(operands[name], o);
    args[name] = jax.numpy.array(isWhole(o) ? Int32Array.from(data) : data, { shape });
  }
  const f = functions(jax, !onCpu())[c.name];
  const run = jit ? jax.jit(f) : f;
  return {
    issue: () =>
      run(Object.fromEntries(Object.entries(args).map(([name, array]) => [name, array.ref]))),
    keep: true,
    finish: async (results) => {
      await jax.blockUntilReady(results);
    },
    read: (result) =>
      Promise.all(result.map(async (a, i) => channelsLast(await a.ref.data(), c.results[i]))),
    release: (result) => result.forEach((a) => a.dispose()),
  };
}

if (import.meta.main) {
  const jit = Deno.args.includes("--jit");
  const peer: Peer = {
    library: `@jax-js/jax ${VERSION}`,
    async start() {
      const jax = await import(specifier) as Jax;
      await jax.init();
      jax.defaultDevice(onCpu() ? "wasm" : "webgpu");
      if (!onCpu()) openedDevice();
      return (c, operands) =>
        Promise.resolve(isModelCase(c) ? undefined : prepare(jax, jit, c, operands));
    },
  };
  await runPeer(peer);
}
