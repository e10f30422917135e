/** Kernels on the CPU device by themselves: a text, buffers by binding, a grid. */
import { CpuDevice } from "../../device/cpu/device.ts";
import { assertEquals } from "@std/assert";
import { BufferUsage } from "../../device/usage.ts";

const devices = new Map<number, Promise<CpuDevice>>();
/** A device with so many threads, shared by the tests of a file. */
export function cpuDevice(threads = 1): Promise<CpuDevice> {
  let d = devices.get(threads);
  if (!d) devices.set(threads, d = CpuDevice.open({ threads }));
  return d;
}

/** Data of a buffer: what a kernel reads, and what it is read back as. */
export type Words = Float32Array | Uint32Array | Int32Array | Uint16Array;

/** Runs `f` under an error scope; the message of the error, or undefined. */
export async function refusal(
  device: CpuDevice,
  f: () => void,
  kind: "validation" | "out-of-memory" = "validation",
): Promise<string | undefined> {
  device.pushErrorScope(kind);
  f();
  return (await device.popErrorScope())?.message;
}

/**
 * Runs a kernel; the buffers afterwards. Each is bound whole, for reading and writing where the text says so.
 *
 * @throws Error with what the device refused
 */
export async function runKernel(
  device: CpuDevice,
  code: string,
  buffers: readonly Words[],
  grid: readonly [number, number?, number?] = [1],
  label = "test",
): Promise<Words[]> {
  const made = buffers.map((data, i) => {
    const size = Math.ceil(data.byteLength / 4) * 4;
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_DST | BufferUsage.COPY_SRC;
    const buffer = device.createBuffer({ label: `buffer ${i}`, size, usage });
    const bytes = new Uint8Array(size);
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    device.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  });
  const refused = await refusal(device, () => {
    const module = device.createShaderModule({ label, code });
    const pipeline = device.createComputePipeline({
      label,
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const layout = pipeline.getBindGroupLayout(0);
    if (!pipeline.kernel) return;
    const entries = [...layout.entries.keys()].map((binding) => ({
      binding,
      resource: { buffer: made[binding] },
    }));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(...grid as [number]);
    pass.end();
    device.queue.submit([encoder.finish()]);
  });
  const after = await Promise.all(buffers.map(async (data, i) => {
    await made[i].mapAsync(1);
    const bytes = made[i].getMappedRange();
    made[i].unmap();
    const type = data.constructor as new (b: ArrayBuffer, at: number, n: number) => Words;
    return new type(bytes, 0, data.length);
  }));
  made.forEach((b) => b.destroy());
  if (refused !== undefined) throw new Error(refused);
  return after;
}

/** A kernel over `n` invocations in workgroups of 64: `body` may use `i`. */
export const each = (n: number, declarations: string, body: string): string =>
  `${declarations}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = wid.x * 64u + lid;
  if (i >= ${n}u) { return; }
  ${body}
}`;

/** Declares buffers `x0`, `x1`, … for reading and `y` for writing, in this order. */
export function declared(reads: readonly string[], write: string): string {
  const all = reads.map((t, i) =>
    `@group(0) @binding(${i}) var<storage, read> x${i}: array<${t}>;`
  );
  return [
    ...all,
    `@group(0) @binding(${reads.length}) var<storage, read_write> y: array<${write}>;`,
  ]
    .join("\n");
}

/** Runs a script in a process of its own, without permissions; its output. */
export async function script(text: string, flags: string[] = []): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  const root = new URL("../..", import.meta.url).href;
  try {
    await Deno.writeTextFile(file, text.replaceAll("ROOT/", root));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--no-prompt", ...flags, file],
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(60_000),
    });
    const { code, stdout, stderr } = await child.output();
    const said = new TextDecoder().decode(stdout);
    assertEquals(code, 0, said + new TextDecoder().decode(stderr));
    return said.trim();
  } finally {
    await Deno.remove(file);
  }
}

/** Imports that come after what stands before them. */
export const dynamic = (text: string): string =>
  text.replace(/^import (\{[^}]*\}) from ("[^"]*");/gm, "const $1 = await import($2);");
