// Every kernel of the models that people use is taken by both compilers of WGSL that there are: Tint, which Chrome and Edge
// have, and naga, which Deno and Firefox have. They differ in what they let through.
import { assert, assertEquals } from "@std/assert";
import { GPU as NVIDIA } from "../bench/memory.ts";
import { requestAdapter } from "../device/adapter.ts";
import { onDevice } from "./support/devices.ts";
import { eachKernel, modelCases } from "./support/model_kernels.ts";

/** WebGPU's own limits, but for the largest buffer and binding: whole models take more. */
const LEAST = {
  ...NVIDIA,
  f16: false,
  workgroupStorage: 16_384,
  maxInvocations: 256,
  maxStorageBuffers: 8,
};

/** Limits under which values of SD 1.5 lie in pieces. */
const NARROW = { maxBinding: 128 * 2 ** 20, maxBuffer: 240 * 2 ** 20 };

/** Distinct kernels, with the last place where each is used. */
const kernels = new Map<string, string>();
for (
  const [profile, models] of [
    [NVIDIA, /./],
    [LEAST, /./],
    [{ ...NVIDIA, ...NARROW }, /^SD 1\.5, f/],
    [{ ...LEAST, ...NARROW }, /^SD 1\.5, one picture/],
  ] as const
) {
  for (const one of await modelCases(profile)) {
    if (!models.test(one.name)) continue;
    eachKernel(one, ({ code }, where) => kernels.set(code, where));
  }
}

/** What Tint says of kernels. */
async function tint(texts: readonly string[]): Promise<string[]> {
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(file, JSON.stringify(texts));
    const args = ["run", "-A", "--quiet", "tests/support/tint.ts", file];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert(stdout.length, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("Tint takes every kernel of SD 1.5, 2.1, XL and the miniature without a message", async () => {
  const said = await tint([...kernels.keys()]);
  assertEquals(said.length, kernels.size);
  const places = [...kernels.values()];
  assertEquals(said.flatMap((text, i) => text ? [`${places[i]}: ${text}`] : []), []);
  assert(kernels.size > 300, `${kernels.size} kernels`);
  const pieces = [...kernels.keys()].filter((code) => code.includes("_piece1"));
  assert(pieces.length > 10, `${pieces.length} kernels of values in pieces`);
});

onDevice("webgpu", "naga takes every one of them, too", async () => {
  const adapter = await requestAdapter();
  const f16 = adapter?.features.has("shader-f16");
  const device = await adapter?.requestDevice({ requiredFeatures: f16 ? ["shader-f16"] : [] });
  assert(device);
  const refused: string[] = [];
  for (const [code, where] of kernels) {
    if (!f16 && code.includes("enable f16;")) continue;
    device.pushErrorScope("validation");
    device.createShaderModule({ code });
    const error = await device.popErrorScope();
    if (error) refused.push(`${where}: ${error.message.split("\n")[0]}`);
  }
  device.destroy();
  assertEquals(refused, []);
});

Deno.test("Tint says what is wrong with kernels that it cannot take", async () => {
  const kernel = (test: string) =>
    `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
  if (${test}) { y[0] = 1u; }
}`;
  const mixed = kernel("id.x < 4u & id.y < 32u"), apart = kernel("(id.x < 4u) & (id.y < 32u)");
  const [first, second] = await tint([mixed, apart]);
  assert(first.includes("requires parenthesis"), first);
  assertEquals(second, "");
});
