/**
 * `@tensorflow/tfjs` on WebGPU or WebAssembly. Images are channels-last; layer normalization is composed, as there is no op
 * for it.
 */
import { type Case, type Operands, permuted } from "../cases.ts";
import { fence, onCpu, type Peer, type Prepared, runPeer } from "../harness.ts";
import { allowThreads } from "./tfjs_threads.ts";

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** What is called, out of the hundreds of functions that the library has. */
interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  env(): { set(flag: string, value: boolean): void };
  backend(): {
    /** WebGPU's alone, as what follows. */
    readonly commandEncoder?: GPUCommandEncoder | null;
    endComputePassEncoder(): void;
    submitQueue(): void;
  };
  tensor(data: Float32Array, shape: number[], dtype: "float32"): TfTensor;
  tidy<T>(f: () => T): T;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
  conv2d(x: TfTensor, w: TfTensor, stride: number, padding: "same"): TfTensor;
  softmax(x: TfTensor, axis: number): TfTensor;
  moments(x: TfTensor, axis: number, keep: boolean): { mean: TfTensor; variance: TfTensor };
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor): TfTensor;
  rsqrt(x: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  square(x: TfTensor): TfTensor;
  mean(x: TfTensor): TfTensor;
  grads(f: (...xs: TfTensor[]) => TfTensor): (xs: TfTensor[]) => TfTensor[];
}

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

function prepare(tf: Tf, c: Case, operands: Operands): Prepared<TfTensor[]> | undefined {
  const tensor = (name: string, ...shape: number[]) => tf.tensor(operands[name], shape, "float32");
  const issuing = (issue: () => TfTensor[]): Prepared<TfTensor[]> => ({
    issue,
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
  });
  switch (c.kind) {
    case "matmul": {
      const a = tensor("a", c.n, c.n);
      const b = tensor("b", c.n, c.n);
      return issuing(() => [tf.matMul(a, b)]);
    }
    case "conv2d": {
      const { batch, channels, height, width, out, window } = c;
      const nhwc = permuted(operands.x, [batch, channels, height, width], [0, 2, 3, 1]);
      const hwio = permuted(operands.w, [out, channels, window, window], [2, 3, 1, 0]);
      const x = tf.tensor(nhwc, [batch, height, width, channels], "float32");
      const w = tf.tensor(hwio, [window, window, channels, out], "float32");
      return {
        ...issuing(() => [tf.conv2d(x, w, 1, "same")]),
        read: async ([y]) => [
          permuted(await y.data(), [batch, height, width, out], [0, 3, 1, 2]),
        ],
      };
    }
    case "softmax": {
      const x = tensor("x", c.rows, c.columns);
      return issuing(() => [tf.softmax(x, -1)]);
    }
    case "layernorm": {
      const x = tensor("x", c.rows, c.columns);
      const g = tensor("g", c.columns);
      const b = tensor("b", c.columns);
      return issuing(() => [
        tf.tidy(() => {
          const { mean, variance } = tf.moments(x, -1, true);
          const hat = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
          return tf.add(tf.mul(hat, g), b);
        }),
      ]);
    }
    case "mlp-grad": {
      const x = tensor("x", c.batch, c.inputs);
      const y = tensor("y", c.batch, c.outputs);
      const parameters = [
        tensor("w1", c.inputs, c.hidden),
        tensor("b1", c.hidden),
        tensor("w2", c.hidden, c.outputs),
        tensor("b2", c.outputs),
      ];
      const gradient = tf.grads((w1, b1, w2, b2) => {
        const hidden = tf.relu(tf.add(tf.matMul(x, w1), b1));
        return tf.mean(tf.square(tf.sub(tf.add(tf.matMul(hidden, w2), b2), y)));
      });
      return issuing(() => gradient(parameters));
    }
    case "step":
    case "sample":
      return undefined;
  }
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
    return (c, operands) => Promise.resolve(prepare(tf, c, operands));
  },
};

if (import.meta.main) await runPeer(tfjs);
