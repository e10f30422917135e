/** Buffers, layouts, bind groups and queries of the CPU device: the little of WebGPU's objects that the engine uses. */
import type { Kernel } from "./pipeline.ts";
import type { MemoryKind } from "./wasm/module.ts";

/** What a device does for its buffers. */
export interface Owner {
  /** Reads bytes, after all work submitted so far. */
  read(buffer: CpuBuffer, offset: number, bytes: number): ArrayBuffer;
  write(buffer: CpuBuffer, offset: number, data: Uint8Array): void;
  release(buffer: CpuBuffer): void;
  /** Resolves when all work submitted so far is done. */
  idle(): Promise<void>;
  invalid(message: string): void;
}

/** A range of the device's memory. */
export class CpuBuffer {
  readonly mapState = "unmapped";
  #mapped: { offset: number; data: ArrayBuffer; write: boolean }[] = [];
  #mode: "none" | "read" | "write" = "none";
  destroyed = false;

  /** @param address undefined where there was no memory for it */
  constructor(
    readonly owner: Owner,
    readonly label: string,
    readonly size: number,
    readonly usage: number,
    readonly address: number | undefined,
    mappedAtCreation: boolean,
  ) {
    if (mappedAtCreation) this.#mode = "write";
  }

  /** Whether it may be used, and if not, why. */
  get problem(): string | undefined {
    if (this.address !== undefined && !this.destroyed) return undefined;
    return `the buffer "${this.label}" is ${this.destroyed ? "destroyed" : "invalid"}`;
  }

  async mapAsync(mode: number): Promise<void> {
    if (this.problem) {
      this.owner.invalid(this.problem);
      throw new DOMException(this.problem, "OperationError");
    }
    if (this.#mode !== "none") {
      throw new DOMException("the buffer is mapped already", "OperationError");
    }
    this.#mode = mode & 1 ? "read" : "write";
    await this.owner.idle();
  }

  getMappedRange(offset = 0, size = Math.max(0, this.size - offset)): ArrayBuffer {
    if (this.#mode === "none") throw new DOMException("the buffer is not mapped", "OperationError");
    if (offset % 8 || size % 4 || offset + size > this.size) {
      throw new DOMException(
        `bytes ${offset} … ${offset + size} of ${this.size}`,
        "OperationError",
      );
    }
    const valid = !this.problem;
    const data = valid ? this.owner.read(this, offset, size) : new ArrayBuffer(size);
    this.#mapped.push({ offset, data, write: valid && this.#mode === "write" });
    return data;
  }

  unmap(): void {
    for (const { offset, data, write } of this.#mapped) {
      if (write) this.owner.write(this, offset, new Uint8Array(data));
    }
    this.#mapped = [];
    this.#mode = "none";
  }

  destroy(): void {
    if (this.destroyed) return;
    this.unmap();
    this.destroyed = true;
    this.owner.release(this);
  }
}

/** What each binding of a group is. */
export interface GroupLayout {
  readonly entries: ReadonlyMap<number, "storage" | "read-only-storage">;
}

/** The layouts of a pipeline's groups. */
export interface PipelineLayout {
  readonly groups: readonly GroupLayout[];
}

/** A compute pipeline; without a kernel where its creation failed. */
export interface Pipeline {
  readonly label: string;
  readonly kernel?: Kernel;
  readonly layout: PipelineLayout;
  getBindGroupLayout(index: number): GroupLayout;
}

/** What is bound. */
export interface Binding {
  readonly buffer: CpuBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Buffers by binding; without `bindings` where its creation failed. */
export interface BindGroup {
  readonly bindings?: ReadonlyMap<number, Binding>;
  /** Calls with this group that were made before: programs replay them. */
  readonly calls: Map<Pipeline, Call>;
}

/** A range of addresses. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** What a job touches. */
export interface Touched {
  readonly reads: readonly Range[];
  readonly writes: readonly Range[];
}

/** A dispatch that was found to be right, ready to be a job. */
export interface Call {
  readonly grid: readonly [number, number, number];
  /** What the memory was when it was compiled. */
  readonly memory: MemoryKind;
  readonly kernel: number;
  readonly groups: number;
  readonly heavy: boolean;
  readonly args: Uint32Array<ArrayBuffer>;
  readonly touched: Touched;
  readonly buffers: readonly CpuBuffer[];
}

/** Moments in nanoseconds. */
export class QuerySet {
  readonly values: BigUint64Array<ArrayBuffer>;
  constructor(readonly count: number) {
    this.values = new BigUint64Array(count);
  }
  destroy(): void {}
}
