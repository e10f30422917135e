/** `onnxruntime-web` on WebGPU: one-node models, operands and results in GPU buffers. It has no gradients. */
import type { Case, Operands } from "../cases.ts";
import { openedDevice, type Peer, type Prepared, runPeer } from "../harness.ts";
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
      preferredOutputLocation: string;
    }): Promise<{ run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
  readonly Tensor: {
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: "float32"; dims: readonly number[] },
    ): OrtTensor;
  };
}

// In a variable, so that checking this repository does not fetch the libraries it is compared with.
const specifier = "npm:onnxruntime-web@1.30.0/webgpu";

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
      return undefined;
  }
}

async function prepare(
  ort: Ort,
  c: Case,
  operands: Operands,
): Promise<Prepared<OrtTensor> | undefined> {
  const found = modelOf(c);
  if (!found) return undefined;
  const session = await ort.InferenceSession.create(found.model, {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
  });
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const device = openedDevice();
  const feeds = Object.fromEntries(
    Object.entries(found.shapes).map(([name, dims]) => {
      const data = operands[name];
      const size = Math.ceil(data.byteLength / 16) * 16;
      const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
      device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
      return [name, ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims })];
    }),
  );
  return {
    issue: async () => (await session.run(feeds)).result,
    read: async (result) => [await result.getData()],
    release: (result) => result.dispose(),
  };
}

const onnxruntime: Peer = {
  name: "onnxruntime-web",
  async start() {
    const ort = await import(specifier) as Ort;
    ort.env.wasm.numThreads = 1; // Its threads do not start in Deno; the operations run on the adapter anyway.
    return (c, operands) => prepare(ort, c, operands);
  },
};

if (import.meta.main) await runPeer(onnxruntime);
