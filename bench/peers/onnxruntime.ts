/**
 * `onnxruntime-web` on WebGPU (operands and results in GPU buffers) or WebAssembly, and with `--native` its native sister
 * `onnxruntime-node`: one-node models. They have no gradients.
 */
import type { Case, Operands } from "../cases.ts";
import { onCpu, openedDevice, type Peer, type Prepared, runPeer } from "../harness.ts";
import { oneNodeModel, type Shapes } from "./onnx_model.ts";

interface OrtTensor {
  getData(): Promise<Float32Array>;
  dispose(): void;
}

interface Ort {
  readonly env: { readonly wasm: { numThreads: number } };
  readonly InferenceSession: {
    create(model: Uint8Array, options: {
      executionProviders: string[];
      preferredOutputLocation?: string;
      intraOpNumThreads?: number;
    }): Promise<{ run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
  readonly Tensor: {
    new (type: "float32", data: Float32Array, dims: readonly number[]): OrtTensor;
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: "float32"; dims: readonly number[] },
    ): OrtTensor;
  };
}

/** Where it computes, as it calls that. */
type Provider = "webgpu" | "wasm" | "cpu";

const VERSION = "1.30.0";
const provider: Provider = Deno.args.includes("--native") ? "cpu" : onCpu() ? "wasm" : "webgpu";
// In a table, so that checking this repository does not fetch the libraries it is compared with.
const specifier = {
  webgpu: `npm:onnxruntime-web@${VERSION}/webgpu`,
  wasm: `npm:onnxruntime-web@${VERSION}`,
  cpu: `npm:onnxruntime-node@${VERSION}`,
}[provider];

/** The shapes of a case's operands, and its model. */
function modelOf(c: Case): { shapes: Shapes; model: Uint8Array } | undefined {
  switch (c.kind) {
    case "matmul": {
      const shapes = { a: [c.n, c.n], b: [c.n, c.n] };
      return { shapes, model: oneNodeModel("MatMul", shapes, [c.n, c.n]) };
    }
    case "conv2d": {
      const { batch, channels, height, width, out, window } = c;
      const shapes = {
        x: [batch, channels, height, width],
        w: [out, channels, window, window],
      };
      const model = oneNodeModel("Conv", shapes, [batch, out, height, width], {
        kernel_shape: [window, window],
        pads: Array(4).fill((window - 1) / 2),
        strides: [1, 1],
      });
      return { shapes, model };
    }
    case "softmax": {
      const shapes = { x: [c.rows, c.columns] };
      return { shapes, model: oneNodeModel("Softmax", shapes, shapes.x, { axis: 1 }) };
    }
    case "layernorm": {
      const shapes = { x: [c.rows, c.columns], g: [c.columns], b: [c.columns] };
      const attributes = { axis: 1, epsilon: { float: 1e-5 } };
      return { shapes, model: oneNodeModel("LayerNormalization", shapes, shapes.x, attributes) };
    }
    case "mlp-grad":
    case "step":
    case "sample":
      return undefined;
  }
}

/** An operand, where it is to lie. */
function operand(ort: Ort, data: Float32Array, dims: readonly number[]): OrtTensor {
  if (provider !== "webgpu") return new ort.Tensor("float32", data, dims);
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const device = openedDevice();
  const size = Math.ceil(data.byteLength / 16) * 16;
  const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
  return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims });
}

async function prepare(
  ort: Ort,
  c: Case,
  operands: Operands,
): Promise<Prepared<OrtTensor> | undefined> {
  const found = modelOf(c);
  if (!found) return undefined;
  const session = await ort.InferenceSession.create(found.model, {
    executionProviders: [provider],
    ...(provider === "webgpu" && { preferredOutputLocation: "gpu-buffer" }),
    ...(provider === "cpu" && { intraOpNumThreads: navigator.hardwareConcurrency }),
  });
  const feeds = Object.fromEntries(
    Object.entries(found.shapes).map(([name, dims]) => [name, operand(ort, operands[name], dims)]),
  );
  return {
    issue: async () => (await session.run(feeds)).result,
    ...(provider !== "webgpu" && { finish: () => Promise.resolve() }),
    read: async (result) => [await result.getData()],
    release: (result) => result.dispose(),
  };
}

const threads = provider === "webgpu" ? 1 : navigator.hardwareConcurrency;
const name = provider === "cpu" ? "onnxruntime-node" : "onnxruntime-web";

const onnxruntime: Peer = {
  library: `${name} ${VERSION}${provider === "webgpu" ? "" : `, ${threads} threads`}`,
  async start() {
    const module = await import(specifier);
    const ort: Ort = module.InferenceSession ? module : module.default;
    // On WebGPU its threads do not start in Deno; the operations run on the adapter anyway.
    if (provider !== "cpu") ort.env.wasm.numThreads = threads;
    return (c, operands) => prepare(ort, c, operands);
  },
};

if (import.meta.main) await runPeer(onnxruntime);
