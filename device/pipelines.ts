/**
 * Compiled kernels, one per distinct WGSL text, created under error scopes so that no failure is silent.
 *
 * A driver compiles when a pipeline is created, or (Mesa's software ones) not before its first dispatch. Here both
 * happen at creation: the first step of a program then takes as long as the others, and compiling can be shown.
 */
import type { Guard } from "./guard.ts";
import { Health } from "./health.ts";
import { BufferUsage, COMPUTE_STAGE } from "./usage.ts";

/** A pipeline and the layout its bind groups must have. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Whether the GPU took it. */
  readonly health: Health;
}

/** What a binding is for: tensors, or the numbers that a dispatch is given (uniform). */
export type Access = "read" | "write" | "sizes";

const BINDING_TYPES = { read: "read-only-storage", write: "storage", sizes: "uniform" } as const;

/** A kernel that a program needs. */
export interface Kernel {
  /** Its WGSL. */
  readonly code: string;
  /** What each binding is for. */
  readonly access: readonly Access[];
  /** What it is, for errors. */
  readonly label: string;
  /** How it will be called, for a device that compiles for that. */
  readonly use?: {
    readonly grid: readonly [number, number, number];
    /** Bytes of each binding. */
    readonly sizes: readonly number[];
  };
}

/** How far a program is that is made ready for its first run. */
export interface CompileProgress {
  /** Kernels of it that are compiled. */
  readonly done: number;
  /** Kernels of it that were not known before; 0 while it is still being traced and planned. */
  readonly total: number;
  /** Whether that was all. */
  readonly ready: boolean;
}

/** The pipelines of a device. */
export class Pipelines {
  /** Hears how far programs are that are made ready. */
  onProgress: ((at: CompileProgress) => void) | undefined;
  readonly #known = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  constructor(readonly device: Guard) {}

  /** How many distinct kernels have been compiled. */
  get count(): number {
    return this.#known.size;
  }

  /** Runs what makes a program ready, and says when it begins and ends, however it ends. */
  preparing<T>(work: () => T): T {
    this.onProgress?.({ done: 0, total: 0, ready: false });
    try {
      return work();
    } finally {
      this.onProgress?.({ done: 0, total: 0, ready: true });
    }
  }

  /** The pipelines of kernels, in their order. */
  all(kernels: readonly Kernel[]): Pipeline[] {
    const fresh = new Map(
      kernels.filter(({ code }) => this.#isNew(code)).map((k) => [k.code, k]),
    );
    let done = 0;
    for (const [code, kernel] of fresh) {
      this.onProgress?.({ done, total: fresh.size, ready: false });
      this.#known.set(code, this.#compile(kernel));
      done++;
    }
    // Those drivers hold a submit back until the one before is done: this one waits for the last kernel.
    if (fresh.size && this.device.profile.software) this.device.gpu.queue.submit([]);
    return kernels.map(({ code }) => this.#known.get(code)!);
  }

  /** Whether a kernel is not there yet, or was refused. */
  #isNew(code: string): boolean {
    const known = this.#known.get(code);
    return !known || known.health.refusal !== undefined;
  }

  #compile({ code, access, label, use }: Kernel): Pipeline {
    const health = new Health();
    const { gpu, profile } = this.device;
    const layout = this.#layout(access);
    const pipeline = this.device.guarded(`compiling kernel "${label}"`, () => {
      const module = gpu.createShaderModule({ label, code });
      const wanted = {
        label,
        layout: layout.pipeline,
        compute: { module, entryPoint: "main" },
        use, // What WebGPU does not know, it does not look at.
      };
      return gpu.createComputePipeline(wanted);
    }, health);
    const made = { pipeline, layout: layout.group, health };
    if (profile.software && !profile.cpu) this.#use(made, access.length);
    return made;
  }

  /**
   * A dispatch of no workgroups: nothing is computed, and a driver that waits for the first use compiles now. Whether it
   * is answered with an error is no one's concern, the program's own dispatches will tell.
   */
  #use({ pipeline, layout }: Pipeline, bindings: number): void {
    const { gpu } = this.device;
    gpu.pushErrorScope("validation");
    const buffers = Array.from(
      { length: bindings },
      () => gpu.createBuffer({ size: SOME, usage: BufferUsage.STORAGE | BufferUsage.UNIFORM }),
    );
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = gpu.createBindGroup({ layout, entries });
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(0);
    pass.end();
    gpu.queue.submit([encoder.finish()]);
    buffers.forEach((buffer) => buffer.destroy());
    gpu.popErrorScope().catch(() => {});
  }

  #layout(access: readonly Access[]) {
    const key = access.join();
    const known = this.#layouts.get(key);
    if (known) return known;
    const { gpu } = this.device;
    const made = this.device.guarded(`a bind group layout of ${access.length} buffers`, () => {
      const group = gpu.createBindGroupLayout({
        entries: access.map((a, binding) => ({
          binding,
          visibility: COMPUTE_STAGE,
          buffer: { type: BINDING_TYPES[a] },
        })),
      });
      return { group, pipeline: gpu.createPipelineLayout({ bindGroupLayouts: [group] }) };
    });
    this.#layouts.set(key, made);
    return made;
  }
}

/** Bytes of a buffer that is bound and never looked at. */
const SOME = 256;
