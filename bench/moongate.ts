/** This library in the comparison, as a user would call it: compiled functions whose operands and results stay on the device. */
import { add, square, sub } from "../ops/elementwise/arithmetic.ts";
import { relu } from "../ops/elementwise/activation.ts";
import { conv2d } from "../ops/conv.ts";
import { matmul } from "../ops/matmul.ts";
import { layerNorm } from "../ops/norm/norm.ts";
import { mean } from "../ops/reduce.ts";
import { softmax } from "../ops/softmax.ts";
import { grad } from "../autograd/grad.ts";
import { compile } from "../compile/compile.ts";
import { gpu } from "../device/adapter.ts";
import type { Device } from "../device/device.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Case, isModelCase, type Operands, permuted } from "./cases.ts";
import { onCpu, type Peer, type Prepared, runPeer } from "./harness.ts";
import type { ModelCase } from "./model_cases.ts";
import { prepareModel } from "./moongate_models.ts";

type Layer = { w1: Tensor; b1: Tensor; w2: Tensor; b2: Tensor };

function mlpGradient(parameters: Layer, x: Tensor, y: Tensor): Layer {
  return grad<Layer>(({ w1, b1, w2, b2 }) => {
    const hidden = relu(add(matmul(x, w1), b1));
    return mean(square(sub(add(matmul(hidden, w2), b2), y)));
  })(parameters);
}

function prepare(
  device: Device,
  c: Exclude<Case, ModelCase>,
  operands: Operands,
): Prepared<Tensor[]> {
  const upload = (name: string, ...shape: number[]) => device.upload(operands[name], shape, "f32");
  const one = (f: (...xs: Tensor[]) => Tensor, ...args: Tensor[]): Prepared<Tensor[]> => {
    const step = compile(device, f);
    return {
      issue: () => [step(...args)],
      read: async ([y]) => [await device.read(y) as Float32Array],
    };
  };
  switch (c.kind) {
    case "matmul":
      return one((a, b) => matmul(a, b), upload("a", c.n, c.n), upload("b", c.n, c.n));
    case "conv2d": {
      const { batch, channels, height, width, out, window } = c;
      const nhwc = permuted(operands.x, [batch, channels, height, width], [0, 2, 3, 1]);
      const hwio = permuted(operands.w, [out, channels, window, window], [2, 3, 1, 0]);
      const conv = one(
        (x, w) => conv2d(x, w, { padding: (window - 1) / 2 }),
        device.upload(nhwc, [batch, height, width, channels], "f32"),
        device.upload(hwio, [window, window, channels, out], "f32"),
      );
      return {
        ...conv,
        read: async (r) => {
          const [y] = await conv.read(r);
          return [permuted(y, [batch, height, width, out], [0, 3, 1, 2])];
        },
      };
    }
    case "softmax":
      return one((x) => softmax(x), upload("x", c.rows, c.columns));
    case "layernorm":
      return one(
        (x, g, b) => layerNorm(x, g, b),
        upload("x", c.rows, c.columns),
        upload("g", c.columns),
        upload("b", c.columns),
      );
    case "mlp-grad": {
      const { batch, inputs, hidden, outputs } = c;
      const step = compile(device, mlpGradient);
      const parameters: Layer = {
        w1: upload("w1", inputs, hidden),
        b1: upload("b1", hidden),
        w2: upload("w2", hidden, outputs),
        b2: upload("b2", outputs),
      };
      const x = upload("x", batch, inputs);
      const y = upload("y", batch, outputs);
      return {
        issue() {
          const { w1, b1, w2, b2 } = step(parameters, x, y);
          return [w1, b1, w2, b2];
        },
        read: (gs) => Promise.all(gs.map(async (g) => await device.read(g) as Float32Array)),
      };
    }
  }
}

const cpu = onCpu();
const moongate: Peer & { library: string } = {
  library: "moongate",
  async start() {
    const device = await gpu({ backend: cpu ? "cpu" : "webgpu" });
    moongate.library += `, ${device.facts.description}`;
    // The harness waits for GPUs itself.
    const finish = cpu ? () => device.finished() : undefined;
    return async (c, operands) =>
      isModelCase(c)
        ? await prepareModel(device, c, operands)
        : { finish, ...prepare(device, c, operands) };
  },
};

if (import.meta.main) await runPeer(moongate);
