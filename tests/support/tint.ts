/**
 * Asks Tint, Chrome's compiler of WGSL, what it says of kernels: `deno run -A tests/support/tint.ts KERNELS.json`, a list of
 * texts; the answer is a list, `""` where nothing was said. Through Dawn's null backend, which has no GPU behind it. A
 * process of its own, so that Dawn's objects never meet the device of a test.
 */
import { create } from "npm:webgpu@0.6.2";

const texts: string[] = JSON.parse(await Deno.readTextFile(Deno.args[0]));
// Everything of Dawn's is gone with this object: it is held until the end.
const gpu = create(["backend=null"]);
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error("Dawn has no null adapter");
const device = await adapter.requestDevice({
  requiredFeatures: ["shader-f16", "subgroups"] as GPUFeatureName[],
});
const { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage } = device.limits;

/** Bytes of workgroup memory that a kernel declares. */
function workgroupBytes(code: string): number {
  return [...code.matchAll(/var<workgroup> \w+: (.*);/g)].reduce((sum, [, type]) => {
    const extents = [...type.matchAll(/, (\d+)>/g)].reduce((n, [, d]) => n * Number(d), 1);
    return sum + extents * (type.includes("vec4") ? 16 : type.includes("vec2") ? 8 : 4);
  }, 0);
}

const said: string[] = [];
for (const code of texts) {
  // Its null adapter has WebGPU's least limits: what is larger is compiled, and no pipeline is made of it.
  const fits = workgroupBytes(code) <= maxComputeWorkgroupStorageSize &&
    code.split("var<storage").length - 1 <= maxStorageBuffersPerShaderStage;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  if (fits && !messages.length) {
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  }
  const error = await device.popErrorScope();
  said.push(messages.map((m) => `${m.lineNum}: ${m.message}`)[0] ?? error?.message ?? "");
}
device.destroy();
if (gpu) console.log(JSON.stringify(said));
Deno.exit(0);
