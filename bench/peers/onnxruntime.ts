/**
 * `onnxruntime-web` on WebGPU (operands and results in GPU buffers) or WebAssembly, and with `--native` its native sister
 * `onnxruntime-node`: one-node models. They have no gradients.
 */
import { isModelCase } from "../cases/all.ts";
import {
  channelsFirst,
  channelsLast,
  isWhole,
  type OpCase,
  type Operand,
  type Operands,
} from "../cases/case.ts";
import { onCpu, openedDevice, type Peer, type Prepared, runPeer } from "../harness.ts";
import { oneNodeModel, type Operator, type Value } from "./onnx_model.ts";

interface OrtTensor {
  getData(): Promise<Float32Array | BigInt64Array>;
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
    new (
      type: Value["type"],
      data: Float32Array | Int32Array | BigInt64Array,
      dims: readonly number[],
    ): OrtTensor;
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: Value["type"]; dims: readonly number[] },
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

const CONTRIBUTED = "com.microsoft";
const convolution = (stride: number, group: number): Operator => ({
  op: "Conv",
  attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [stride, stride], group },
});

/** The cases' operators; images are NCHW, kernels OIHW. */
const OPERATORS: Readonly<Record<string, Operator>> = {
  "matmul-512": { op: "MatMul" },
  "matmul-1024": { op: "MatMul" },
  "matmul-batch": { op: "MatMul" },
  conv2d: convolution(1, 1),
  "conv2d-stride": convolution(2, 1),
  "conv2d-depthwise": convolution(1, 128),
  attention: { op: "MultiHeadAttention", domain: CONTRIBUTED, attributes: { num_heads: 8 } },
  softmax: { op: "Softmax", attributes: { axis: 1 } },
  layernorm: { op: "LayerNormalization", attributes: { axis: 1, epsilon: { float: 1e-5 } } },
  gelu: { op: "FastGelu", domain: CONTRIBUTED },
  add: { op: "Add" },
  mean: { op: "ReduceMean", attributes: { axes: [0], keepdims: 0 } },
  max: { op: "ReduceMax", attributes: { axes: [1], keepdims: 0 } },
  argmax: { op: "ArgMax", attributes: { axis: 1, keepdims: 0 } },
  topk: { op: "TopK", outputs: ["result", "places"] },
  cumsum: { op: "CumSum" },
  transpose: { op: "Transpose", attributes: { perm: [1, 0] } },
  gather: { op: "Gather", attributes: { axis: 0 } },
  maxpool: { op: "MaxPool", attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
  concat: { op: "Concat", attributes: { axis: 1 } },
};

/** The element type of an operand: how many are asked for is a long number here. */
const typeOf = (name: string, o: Operand): Value["type"] =>
  !isWhole(o) ? "float32" : name === "k" ? "int64" : "int32";

/** Heads lie side by side in a row of this operator's operands. */
const joined = (name: string, shape: readonly number[]): readonly number[] =>
  name === "attention" ? [shape[0], shape[1], shape[2] * shape[3]] : shape;

/** An operand, where it is to lie. */
function operand(ort: Ort, data: Float32Array, { type, shape }: Value): OrtTensor {
  const values = type === "int64"
    ? BigInt64Array.from(data, BigInt)
    : type === "int32"
    ? Int32Array.from(data)
    : data;
  // What says how to compute is read by the processor.
  if (provider !== "webgpu" || values.length === 1) return new ort.Tensor(type, values, shape);
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  const device = openedDevice();
  const size = Math.ceil(values.byteLength / 16) * 16;
  const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  device.queue.writeBuffer(buffer, 0, values as BufferSource);
  return ort.Tensor.fromGpuBuffer(buffer, { dataType: type, dims: shape });
}

async function prepare(
  ort: Ort,
  c: OpCase,
  operands: Operands,
): Promise<Prepared<OrtTensor> | undefined> {
  const operator = OPERATORS[c.name];
  if (!operator) return undefined;
  const inputs: Record<string, Value> = {};
  const values: Record<string, Float32Array> = {};
  for (const [name, o] of Object.entries(c.operands)) {
    const { data, shape } = channelsFirst(operands[name], o);
    inputs[name] = { shape: joined(c.name, shape), type: typeOf(name, o) };
    values[name] = data;
  }
  const [made] = c.results;
  const { shape } = channelsFirst(new Float32Array(0), made);
  const type = c.name === "argmax" ? "int64" : "float32";
  const model = oneNodeModel(operator, inputs, { shape: joined(c.name, shape), type });
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [provider],
    ...(provider === "webgpu" && { preferredOutputLocation: "gpu-buffer" }),
    ...(provider === "cpu" && { intraOpNumThreads: navigator.hardwareConcurrency }),
  });
  // Now, as a session opens the GPU that operands are to lie on.
  const feeds = Object.fromEntries(
    Object.entries(values).map(([name, data]) => [name, operand(ort, data, inputs[name])]),
  );
  return {
    issue: async () => (await session.run(feeds)).result,
    ...(provider !== "webgpu" && { finish: () => Promise.resolve() }),
    read: async (result) => [
      channelsLast(Float32Array.from(await result.getData() as Float32Array, Number), made),
    ],
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
    return async (c, operands) => isModelCase(c) ? undefined : await prepare(ort, c, operands);
  },
};

if (import.meta.main) await runPeer(onnxruntime);
