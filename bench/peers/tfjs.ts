/** `@tensorflow/tfjs` on WebGPU or WebAssembly. */
import { isModelCase } from "../cases/all.ts";
import { isWhole, type OpCase, type Operands } from "../cases/case.ts";
import { fence, onCpu, type Peer, type Prepared, runPeer } from "../harness.ts";
import { functions, type Named, type Tf, type TfTensor } from "./tfjs_ops.ts";
import { allowThreads } from "./tfjs_threads.ts";

/** What is called of the WebAssembly backend's module. */
interface TfWasm {
  setThreadsCount(threads: number): void;
  getThreadsCount(): number;
}

// In variables, so that checking this repository does not fetch the libraries it is compared with.
const VERSION = "4.22.0";
const specifier = `npm:@tensorflow/tfjs@${VERSION}`; // The whole of it: its core has no gradients.
const cpu = onCpu();
const backend = `npm:@tensorflow/tfjs-backend-${cpu ? "wasm" : "webgpu"}@${VERSION}`;

function prepare(tf: Tf, c: OpCase, operands: Operands): Prepared<TfTensor[]> {
  const args: Named = {};
  for (const [name, o] of Object.entries(c.operands)) {
    if (o.values) continue; // Known when the function is written.
    const data = operands[name];
    args[name] = isWhole(o)
      ? tf.tensor(Int32Array.from(data), o.shape, "int32")
      : tf.tensor(data, o.shape, "float32");
  }
  const f = functions(tf)[c.name];
  return {
    issue: () => tf.tidy(() => f(args)),
    finish() {
      if (cpu) return Promise.resolve(); // WebAssembly's operations are done when they return.
      // Up to 15 dispatches are held back.
      const backend = tf.backend();
      if (backend.commandEncoder) {
        backend.endComputePassEncoder();
        backend.submitQueue();
      }
      return fence();
    },
    read: (result) => Promise.all(result.map((t) => t.data())),
    release: (result) => result.forEach((t) => t.dispose()),
  };
}

const tfjs: Peer & { library: string } = {
  library: `@tensorflow/tfjs ${VERSION}`,
  async start() {
    const threaded = Deno.args.includes("--threads");
    const wanted = threaded
      ? allowThreads(() =>
        import.meta.resolve(`${backend}/wasm-out/tfjs-backend-wasm-threaded-simd.js`)
      )
      : 1;
    const module = await import(specifier);
    const tf: Tf = module.default ?? module;
    const added = await import(backend);
    const wasm: TfWasm = added.default ?? added;
    if (threaded) {
      tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", true);
      wasm.setThreadsCount(wanted);
    }
    const name = cpu ? "wasm" : "webgpu";
    if (!await tf.setBackend(name)) throw new Error(`the backend ${name} does not start`);
    await tf.ready();
    if (cpu) {
      const got = wasm.getThreadsCount();
      if (got !== wanted) throw new Error(`${wanted} threads were asked for, ${got} started`);
      tfjs.library += `, ${got === 1 ? "1 thread" : `${got} threads`}`;
    }
    return (c, operands) => Promise.resolve(isModelCase(c) ? undefined : prepare(tf, c, operands));
  },
};

if (import.meta.main) await runPeer(tfjs);
