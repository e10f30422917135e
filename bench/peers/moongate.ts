/** This library in the comparison, as a user would call it: compiled functions whose operands and results stay on the device. */
import { compile } from "../../compile/compile.ts";
import { gpu } from "../../device/adapter.ts";
import type { Device } from "../../device/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isModelCase } from "../cases/all.ts";
import { isWhole, type OpCase, type Operands } from "../cases/case.ts";
import { onCpu, type Peer, type Prepared, runPeer } from "../harness.ts";
import { prepareModel } from "./moongate_models.ts";
import { FUNCTIONS } from "./moongate_ops.ts";

function prepare(device: Device, c: OpCase, operands: Operands): Prepared<Tensor[]> {
  const args: Record<string, Tensor> = {};
  for (const [name, o] of Object.entries(c.operands)) {
    if (o.values) continue; // Known when the function is written.
    const data = operands[name];
    args[name] = isWhole(o)
      ? device.upload(Uint32Array.from(data), o.shape, "u32")
      : device.upload(data, o.shape, "f32");
  }
  // A compiled function has names in the order of the alphabet; results are in the case's.
  const names = Object.keys(args);
  const f = compile(
    device,
    (args: Record<string, Tensor>) =>
      FUNCTIONS[c.name](Object.fromEntries(names.map((name) => [name, args[name]]))),
  );
  return {
    issue: () => f(args),
    read: (ys) => Promise.all(ys.map((y) => device.read(y) as Promise<Float32Array>)),
  };
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
