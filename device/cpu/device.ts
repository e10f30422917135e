/**
 * A device without a GPU: the little of WebGPU that the engine uses, whose pipelines compile WGSL to WebAssembly with
 * vectors and threads. Web standards only. What it does not do it refuses with an error; nothing is silently left out.
 */
import { isThreads, MOST_THREADS } from "../environment.ts";
import { CommandEncoder } from "./encoder.ts";
import { capacity, LinearMemory } from "./memory.ts";
import {
  type BindGroup,
  type Binding,
  CpuBuffer,
  type GroupLayout,
  type Owner,
  type Pipeline,
  type PipelineLayout,
  QuerySet,
} from "./objects.ts";
import { entryOf, Kernel, ShaderModule, WORKGROUP } from "./pipeline.ts";
import { Queue } from "./queue.ts";
import { type Filter, Scopes } from "./scopes.ts";
import { Threads } from "./threads.ts";
import { features } from "./wasm/features.ts";

/** The most storage buffers of a kernel. */
const BUFFERS = 16;

/** How many threads compute. */
export interface CpuThreads {
  /** Threads of the CPU device. Default: what `MOONGATE_THREADS` says in the environment; without it one for each core. */
  readonly threads?: number;
  /** Pages of 64 KiB up to which addresses have 32 bits. For tests. */
  readonly narrow?: number;
  /** Compare every index with its buffer's length, also where it is known to lie inside. For tests. */
  readonly careful?: boolean;
}

/** Cores that this process may use, which Node up to 20 says elsewhere than browsers do. */
export async function coreCount(): Promise<number> {
  const { navigator, process } = globalThis as {
    navigator?: { hardwareConcurrency?: number };
    process?: { versions?: { node?: string } };
  };
  if (navigator?.hardwareConcurrency) return navigator.hardwareConcurrency;
  return process?.versions?.node
    ? (await import(/* webpackIgnore: true */ /* @vite-ignore */ "node:os")).availableParallelism()
    : 1;
}

/** The CPU as a `GPUDevice`, as far as the engine uses one. */
export class CpuDevice implements Owner {
  readonly label = "CPU";
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;
  #destroyed = false;
  readonly #scopes: Scopes;
  /** @internal */
  readonly queue: Queue;

  private constructor(
    readonly memory: LinearMemory,
    readonly threads: Threads,
    scopes: Scopes,
    readonly careful: boolean,
  ) {
    this.#scopes = scopes;
    this.queue = new Queue(memory, threads, scopes);
    memory.whenIdle = (f) => this.queue.after(f);
    this.features = new Set(["shader-f16", ...threads.waits ? ["timestamp-query"] : []]);
    const most = capacity();
    this.limits = {
      maxBufferSize: most,
      maxStorageBufferBindingSize: Math.min(most, 2 ** 32 - 4),
      maxComputeWorkgroupStorageSize: 0,
      maxComputeInvocationsPerWorkgroup: WORKGROUP.invocations,
      maxComputeWorkgroupSizeX: WORKGROUP.x,
      maxComputeWorkgroupSizeY: WORKGROUP.y,
      maxComputeWorkgroupSizeZ: WORKGROUP.z,
      maxStorageBuffersPerShaderStage: BUFFERS,
      maxComputeWorkgroupsPerDimension: 65_535,
      minStorageBufferOffsetAlignment: 256,
    };
  }

  /** Opens one. */
  static async open(options: CpuThreads = {}): Promise<CpuDevice> {
    const count = options.threads ?? Math.min(await coreCount(), MOST_THREADS);
    if (!isThreads(count)) {
      throw new RangeError(
        `threads must be a whole number from 1 to ${MOST_THREADS}, not ${count}`,
      );
    }
    const scopes = new Scopes();
    const shared = count > 1 && typeof SharedArrayBuffer !== "undefined";
    const memory = new LinearMemory(shared, options.narrow);
    const threads = await Threads.start(memory, count, (why) => scopes.lose("unknown", why));
    return new CpuDevice(memory, threads, scopes, options.careful ?? false);
  }

  get lost() {
    return this.#scopes.lost;
  }
  addEventListener(type: string, f: (e: Event) => void): void {
    this.#scopes.listen(type, f);
  }
  pushErrorScope(filter: Filter): void {
    this.#scopes.push(filter);
  }
  popErrorScope() {
    return this.#scopes.pop();
  }

  createBuffer(
    d: { label?: string; size: number; usage: number; mappedAtCreation?: boolean },
  ): CpuBuffer {
    const { label = "", size, usage, mappedAtCreation = false } = d;
    let address: number | undefined;
    if (!(size >= 0) || size > this.limits.maxBufferSize) {
      const most = this.limits.maxBufferSize;
      this.invalid(`the buffer "${label}" cannot have ${size} bytes: it may have 0 to ${most}`);
    } else {
      address = this.memory.allocate(size);
      if (address === undefined) {
        this.#scopes.report("out-of-memory", `no ${size} bytes are left for "${label}"`);
      }
    }
    return new CpuBuffer(this, label, size, usage, address, mappedAtCreation);
  }

  createShaderModule({ label = "", code }: { label?: string; code: string }): ShaderModule {
    const module = new ShaderModule(label, code);
    if (module.error) this.invalid(`kernel "${label}", ${module.error.message}`);
    return module;
  }

  createBindGroupLayout(
    { entries }: { entries: { binding: number; buffer?: { type?: string } }[] },
  ): GroupLayout {
    const kinds = new Map<number, "storage" | "read-only-storage">();
    for (const { binding, buffer } of entries) {
      const kind = buffer?.type;
      if (kind !== "storage" && kind !== "read-only-storage") {
        this.invalid(`binding ${binding}: the CPU device binds storage buffers only`);
      } else kinds.set(binding, kind);
    }
    if (kinds.size > BUFFERS) {
      this.invalid(`${kinds.size} buffers, at most ${BUFFERS} can be bound`);
    }
    return { entries: kinds };
  }

  createPipelineLayout({ bindGroupLayouts }: { bindGroupLayouts: GroupLayout[] }): PipelineLayout {
    return { groups: bindGroupLayouts };
  }

  createComputePipeline(d: {
    label?: string;
    layout: PipelineLayout | "auto";
    compute: { module: ShaderModule; entryPoint?: string };
    /** How it will be called first: compiled for that now, and not then. */
    use?: { grid: readonly [number, number, number]; sizes: readonly number[] };
  }): Pipeline {
    const { label = "", compute: { module, entryPoint } } = d;
    let layout: PipelineLayout = { groups: [] };
    try {
      const entry = entryOf(module, entryPoint);
      const program = module.program!;
      const own = new Map(
        program.buffers.map((b) =>
          [b.binding, b.writable ? "storage" : "read-only-storage"] as const
        ),
      );
      layout = d.layout === "auto" ? { groups: [{ entries: own }] } : d.layout;
      for (const [binding, kind] of own) {
        const given = layout.groups[0]?.entries.get(binding);
        if (given !== kind) {
          throw new Error(`binding ${binding} is ${kind}, and ${given ?? "missing"} in the layout`);
        }
      }
      if (own.size > BUFFERS) {
        throw new Error(`${own.size} buffers, at most ${BUFFERS} can be bound`);
      }
      const how = { features: features(), careful: this.careful };
      const kernel = new Kernel(label, program, entry, how, (m) => this.threads.add(m, label));
      if (d.use) {
        const { grid, sizes } = d.use;
        const lengths = program.buffers.map((b) => kernel.lengthOf(b.slot, sizes[b.binding]));
        this.threads.prepare(kernel.numberFor(grid, lengths, this.memory.kind));
      }
      return { label, kernel, layout, getBindGroupLayout: (i) => layout.groups[i] };
    } catch (error) {
      this.invalid(`kernel "${label}": ${(error as Error).message}`);
      return { label, layout, getBindGroupLayout: (i) => layout.groups[i] };
    }
  }

  createBindGroup(d: {
    layout: GroupLayout;
    entries: { binding: number; resource: { buffer: CpuBuffer; offset?: number; size?: number } }[];
  }): BindGroup {
    const bindings = new Map<number, Binding>();
    for (
      const { binding, resource: { buffer, offset = 0, size = buffer.size - offset } } of d.entries
    ) {
      const problem = buffer.problem ??
        (!d.layout.entries.has(binding)
          ? `the layout has no binding ${binding}`
          : offset % 256
          ? `binding ${binding}: offset ${offset} is no multiple of 256`
          : size <= 0 || offset + size > buffer.size
          ? `binding ${binding}: bytes ${offset} … ${offset + size} of ${buffer.size}`
          : undefined);
      if (problem) {
        this.invalid(problem);
        return { calls: new Map() };
      }
      bindings.set(binding, { buffer, offset, size });
    }
    for (const binding of d.layout.entries.keys()) {
      if (bindings.has(binding)) continue;
      this.invalid(`binding ${binding} is missing`);
      return { calls: new Map() };
    }
    return { bindings, calls: new Map() };
  }

  createCommandEncoder(): CommandEncoder {
    return new CommandEncoder();
  }

  createQuerySet({ count }: { type: string; count: number }): QuerySet {
    return new QuerySet(count);
  }

  /** Ends the threads; everything on the device is gone. */
  destroy(): void {
    this.#destroyed = true;
    this.queue.stop();
    this.threads.destroy();
    this.#scopes.lose("destroyed", "the device was destroyed");
  }

  /** @internal */
  read(buffer: CpuBuffer, offset: number, bytes: number): ArrayBuffer {
    const at = buffer.address! + offset;
    const copy = new ArrayBuffer(bytes);
    new Uint8Array(copy).set(this.memory.bytes.subarray(at, at + bytes));
    return copy;
  }
  /** @internal */
  write(buffer: CpuBuffer, offset: number, data: Uint8Array): void {
    this.queue.after(() => this.memory.bytes.set(data, buffer.address! + offset));
  }
  /** @internal */
  release(buffer: CpuBuffer): void {
    const { address, size } = buffer;
    if (address !== undefined) this.queue.after(() => this.memory.free(address, size));
  }
  /** @internal */
  async idle(): Promise<void> {
    await this.queue.onSubmittedWorkDone();
    if (this.#destroyed) throw new DOMException("the device was destroyed", "AbortError");
  }
  /** @internal */
  invalid(message: string): void {
    this.#scopes.report("validation", message);
  }
}
