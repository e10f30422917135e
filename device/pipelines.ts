/** Compiled kernels, one per distinct WGSL text, created under error scopes so that no failure is silent. */
import type { Guard } from "./guard.ts";
import { Health } from "./health.ts";

/** A pipeline and the layout its bind groups must have. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Whether the GPU took it. */
  readonly health: Health;
}

/** The pipelines of a device. */
export class Pipelines {
  readonly #known = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  constructor(readonly device: Guard) {}

  /** How many distinct kernels have been compiled. */
  get count(): number {
    return this.#known.size;
  }

  /** The pipeline for this WGSL; `access` says for each binding whether it is read only. */
  get(code: string, access: readonly ("read" | "write")[], label: string): Pipeline {
    const known = this.#known.get(code);
    if (known && !known.health.refusal) return known;
    const health = new Health();
    const { gpu } = this.device;
    const layout = this.#layout(access);
    const pipeline = this.device.guarded(`compiling kernel "${label}"`, () => {
      const module = gpu.createShaderModule({ label, code });
      return gpu.createComputePipeline({
        label,
        layout: layout.pipeline,
        compute: { module, entryPoint: "main" },
      });
    }, health);
    const made = { pipeline, layout: layout.group, health };
    this.#known.set(code, made);
    return made;
  }

  #layout(access: readonly ("read" | "write")[]) {
    const key = access.join();
    const known = this.#layouts.get(key);
    if (known) return known;
    const { gpu } = this.device;
    const made = this.device.guarded(`a bind group layout of ${access.length} buffers`, () => {
      const group = gpu.createBindGroupLayout({
        entries: access.map((a, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: a === "write" ? "storage" : "read-only-storage" },
        })),
      });
      return { group, pipeline: gpu.createPipelineLayout({ bindGroupLayouts: [group] }) };
    });
    this.#layouts.set(key, made);
    return made;
  }
}
