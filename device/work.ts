/**
 * What a device is given to do, in order. A submit costs as much as dozens of dispatches, so single ops are collected and
 * handed over together: when there are enough of them, when the caller's turn ends, or when anything else is to happen
 * behind them.
 */

/** Dispatches that are collected while one call goes on adding to them: a GPU starts on these while the rest are encoded. */
const MOST = 200;
/** Dispatches after which a call's end is the end of a batch, on a GPU; the CPU device has nothing to gain by waiting. */
const ENOUGH = { gpu: 32, cpu: 1 } as const;

/** The queue of a device. Everything that is submitted or written passes through here. */
export class Work {
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #count = 0;
  /** Whether the end of this turn is waited for already. */
  #expected = false;
  /** What the collected commands read or write. */
  readonly #busy = new Set<GPUBuffer>();
  readonly #enough: number;

  constructor(readonly gpu: GPUDevice, cpu: boolean) {
    this.#enough = ENOUGH[cpu ? "cpu" : "gpu"];
  }

  /** Adds a dispatch to what is collected. */
  dispatch(
    pipeline: GPUComputePipeline,
    group: GPUBindGroup,
    grid: readonly [number, number, number],
    bound: readonly GPUBuffer[],
  ): void {
    if (this.#count >= MOST) this.flush();
    const pass = this.#pass ??= this.#open().beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...grid);
    for (const buffer of bound) this.#busy.add(buffer);
    this.#count++;
  }

  /** Adds a copy of so many bytes, a multiple of 4. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#open().copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
    this.#busy.add(from).add(to);
    this.#count++;
  }

  /** A call has added all that it has to add. */
  pause(): void {
    if (this.#count >= this.#enough) return this.flush();
    if (this.#expected) return;
    this.#expected = true;
    queueMicrotask(() => {
      this.#expected = false;
      this.flush();
    });
  }

  /** Hands over what is collected. */
  flush(): void {
    const encoder = this.#encoder;
    if (!encoder) return;
    this.#pass?.end();
    this.forget();
    this.gpu.queue.submit([encoder.finish()]);
  }

  /** Drops what is collected: the device is gone. */
  forget(): void {
    this.#encoder = this.#pass = undefined;
    this.#count = 0;
    this.#busy.clear();
  }

  /** Submits commands behind what is collected. */
  submit(commands: readonly GPUCommandBuffer[]): void {
    this.flush();
    this.gpu.queue.submit([...commands]);
  }

  /** Writes to a buffer, before what is submitted from now on, and not before what reads it by then. */
  write(
    buffer: GPUBuffer,
    offset: number,
    data: ArrayBuffer | ArrayBufferView<ArrayBuffer>,
    from?: number,
    size?: number,
  ): void {
    this.release(buffer);
    this.gpu.queue.writeBuffer(buffer, offset, data, from, size);
  }

  /** Makes sure that nothing collected needs a buffer any more. */
  release(buffer: GPUBuffer): void {
    if (this.#busy.has(buffer)) this.flush();
  }

  /** Fulfilled when the device has done all that it was given so far. */
  done(): Promise<void> {
    this.flush();
    return this.gpu.queue.onSubmittedWorkDone();
  }

  #open(): GPUCommandEncoder {
    return this.#encoder ??= this.gpu.createCommandEncoder();
  }
}
