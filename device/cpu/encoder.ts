/** Recording commands. Nothing is checked here that has no effect before the submit; what is wrong is said there. */
import type { BindGroup, CpuBuffer, Pipeline, QuerySet } from "./objects.ts";

/** A recorded command. */
export type Command =
  | {
    readonly kind: "dispatch";
    readonly pipeline: Pipeline | undefined;
    readonly group: BindGroup | undefined;
    readonly grid: readonly [number, number, number];
  }
  | {
    readonly kind: "copy";
    readonly from: CpuBuffer;
    readonly fromOffset: number;
    readonly to: CpuBuffer;
    readonly toOffset: number;
    readonly bytes: number;
  }
  | { readonly kind: "time"; readonly set: QuerySet; readonly index: number }
  | {
    readonly kind: "resolve";
    readonly set: QuerySet;
    readonly first: number;
    readonly count: number;
    readonly to: CpuBuffer;
    readonly offset: number;
  };

/** Commands, once. */
export class CommandBuffer {
  #commands: readonly Command[] | undefined;
  constructor(commands: readonly Command[]) {
    this.#commands = commands;
  }
  /** The commands; undefined when they were taken before. */
  take(): readonly Command[] | undefined {
    const commands = this.#commands;
    this.#commands = undefined;
    return commands;
  }
}

/** Where a pass writes the time. */
export interface TimestampWrites {
  readonly querySet: QuerySet;
  readonly beginningOfPassWriteIndex?: number;
  readonly endOfPassWriteIndex?: number;
}

/** A compute pass. */
export class ComputePass {
  #pipeline: Pipeline | undefined;
  #group: BindGroup | undefined;
  constructor(readonly commands: Command[], readonly times: TimestampWrites | undefined) {
    this.#time(times?.beginningOfPassWriteIndex);
  }
  setPipeline(pipeline: Pipeline): void {
    this.#pipeline = pipeline;
  }
  setBindGroup(_index: number, group: BindGroup): void {
    this.#group = group;
  }
  dispatchWorkgroups(x: number, y = 1, z = 1): void {
    this.commands.push({
      kind: "dispatch",
      pipeline: this.#pipeline,
      group: this.#group,
      grid: [x, y, z],
    });
  }
  end(): void {
    this.#time(this.times?.endOfPassWriteIndex);
  }
  #time(index: number | undefined): void {
    if (index === undefined || !this.times) return;
    this.commands.push({ kind: "time", set: this.times.querySet, index });
  }
}

/** Records commands. */
export class CommandEncoder {
  readonly #commands: Command[] = [];
  beginComputePass(options: { timestampWrites?: TimestampWrites } = {}): ComputePass {
    return new ComputePass(this.#commands, options.timestampWrites);
  }
  copyBufferToBuffer(
    from: CpuBuffer,
    fromOffset: number,
    to: CpuBuffer,
    toOffset: number,
    bytes: number,
  ): void {
    this.#commands.push({ kind: "copy", from, fromOffset, to, toOffset, bytes });
  }
  resolveQuerySet(
    set: QuerySet,
    first: number,
    count: number,
    to: CpuBuffer,
    offset: number,
  ): void {
    this.#commands.push({ kind: "resolve", set, first, count, to, offset });
  }
  finish(): CommandBuffer {
    return new CommandBuffer(this.#commands);
  }
}
