/**
 * What `doctor` finds out about the adapter of WebGPU: its words, its limits, and whether it computes right.
 *
 * Why it asks WebGPU itself instead of the library's device layer: it has to say something where that one refuses, and of
 * an adapter that is not what computes.
 */
import { isSoftware, nameOf, requestAdapter } from "../../device/choice.ts";
import { messageOf } from "../../files/errors.ts";

/** What was found about the adapter. */
export interface AdapterFacts {
  /** The driver's words. */
  description: string;
  /** The driver's vendor. */
  vendor: string;
  /** A CPU pretending to be a GPU. */
  software: boolean;
  /** All that it lists. */
  features: string[];
  /** All that it lists. */
  limits: Record<string, number>;
  /** Why the adapter cannot be trusted; undefined when a small computation came out right. */
  wrong?: string;
  /** An upper bound on loop iterations that the adapter silently stops at; undefined when there is none. */
  loopLimit?: number;
  /** Milliseconds from a submitted computation to its numbers. */
  roundTrip?: number;
}

const iterations = 100_000;

/** One invocation an element: [0] counts a loop, the others are `3 i + 1`. */
const probe = `
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i != 0u) {
    out[i] = 3u * i + 1u;
    return;
  }
  var n = 0u;
  for (var k = 0u; k < ${iterations}u; k = k + 1u) { n = n + (k & 1u) + 1u; }
  out[0] = n;
}`;

/** The best adapter that answers, tried out; undefined where none does. */
export async function gatherAdapter(): Promise<AdapterFacts | undefined> {
  const adapter = await requestAdapter().catch(() => null);
  if (!adapter) return undefined;
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof value === "number") limits[name] = value;
  }
  const facts: AdapterFacts = {
    description: nameOf(adapter.info),
    vendor: adapter.info.vendor,
    software: isSoftware(adapter.info),
    features: [...adapter.features].sort(),
    limits,
  };
  try {
    Object.assign(facts, await tryOut(adapter));
  } catch (error) {
    facts.wrong = messageOf(error);
  }
  return facts;
}

/** Runs the probe and looks at its numbers. */
async function tryOut(adapter: GPUAdapter): Promise<Partial<AdapterFacts>> {
  const device = await adapter.requestDevice();
  try {
    device.pushErrorScope("validation");
    const size = 4096 * 4;
    const out = device.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
    });
    const back = device.createBuffer({
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const module = device.createShaderModule({ code: probe });
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: out } }],
    });
    const began = performance.now();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(64);
    pass.end();
    encoder.copyBufferToBuffer(out, 0, back, 0, size);
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const roundTrip = performance.now() - began;
    const numbers = new Uint32Array(back.getMappedRange().slice(0));
    const error = await device.popErrorScope();
    if (error) return { wrong: error.message };
    for (let i = 1; i < numbers.length; i++) {
      if (numbers[i] !== 3 * i + 1) {
        return { wrong: `element ${i} is ${numbers[i]}, not ${3 * i + 1}` };
      }
    }
    const counted = Math.round(numbers[0] / 1.5);
    return { roundTrip, ...(counted !== iterations && { loopLimit: counted }) };
  } finally {
    device.destroy();
  }
}
