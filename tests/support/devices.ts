/**
 * The engine's tests run on both devices: on the CPU device, and on WebGPU with the kernels of a GPU, which a software
 * adapter runs as well at tiny shapes. `MOONGATE_DEVICE` leaves one of them. Where no adapter answers, what would have run
 * on it is reported as ignored.
 */
import { type Backend, requestAdapter } from "../../device/adapter.ts";
import { INSTALL } from "../../device/choice.ts";
import type { Device } from "../../device/device.ts";
import { AdapterError } from "../../device/errors.ts";
import { onlyBackend } from "./backend.ts";
import { deviceOf, runOn } from "./check.ts";

/** Whether an adapter answers; not asked where WebGPU is not wanted. */
async function adapterAnswers(): Promise<boolean> {
  if (onlyBackend === "cpu") return false;
  try {
    if (await requestAdapter()) return true;
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
  }
  const missing = `no adapter answers. ${INSTALL}`;
  if (onlyBackend === "webgpu") throw new AdapterError(`MOONGATE_DEVICE is webgpu, and ${missing}`);
  Deno.test({ name: `on WebGPU: ${missing}`, ignore: true, fn() {} });
  return false;
}

const answers: Record<Backend, boolean> = {
  cpu: onlyBackend !== "webgpu",
  webgpu: await adapterAnswers(),
};
const NAMES: Record<Backend, string> = { cpu: "on the CPU device", webgpu: "on WebGPU" };

/** A test with a step for each device: both compute the same, and are compared with one definition. */
export function test(
  name: string,
  body: (device: Device) => void | Promise<void>,
): void {
  Deno.test(name, async (t) => {
    for (const backend of ["cpu", "webgpu"] as const) {
      await t.step({
        name: NAMES[backend],
        ignore: !answers[backend],
        fn: () => runOn(backend, body),
      });
    }
  });
}

/** A test of kernels that only one of the devices has. */
export function onDevice(
  backend: Backend,
  name: string,
  body: (device: Device) => void | Promise<void>,
): void {
  const ignore = !answers[backend];
  Deno.test({ name, ignore, fn: () => runOn(backend, body) });
}

/** A test that compares one device with the other. */
export function testBoth(name: string, body: (devices: Device[]) => void | Promise<void>): void {
  const ignore = !answers.cpu || !answers.webgpu;
  Deno.test({
    name,
    ignore,
    fn: async () => await body([await deviceOf("cpu"), await deviceOf("webgpu")]),
  });
}
