/** The device that a verb computes on: one way to open it, by its flags, and to say what it is. */
import { gpu } from "../../device/adapter.ts";
import type { Backend } from "../../device/environment.ts";
import type { Device } from "../../device/device.ts";
import type { Ui } from "./ui.ts";

/** What every verb that computes is asked for. */
export interface DeviceRequest {
  /** What computes; undefined: what the environment says, or a GPU where one answers, else the CPU. */
  device?: Backend;
  /** Threads of the CPU device; undefined: what the environment says, or one for each core. */
  threads?: number;
}

/** Opens the device that was asked for, and says which it is. @throws AdapterError where there is none */
export async function openDevice(request: DeviceRequest, ui: Ui): Promise<Device> {
  const { device: backend, threads } = request;
  const device = await gpu({ backend, threads, onCompile: ui.progress.compiling });
  ui.progress.note(deviceLine(device));
  return device;
}

/** The device in a line; where nobody asked for the CPU, why it computes. */
export function deviceLine({ facts: { backend, description, why, software } }: Device): string {
  const remark = backend === "cpu"
    ? `: ${why}`
    : software
    ? ", a program that stands in for a GPU (--device cpu is faster)"
    : "";
  return `on ${description}${remark}`;
}
