/** Commands → jobs for the threads: kernels with arguments, and which earlier jobs each has to wait for. */
import type { Command } from "./encoder.ts";
import type { Binding, Call, CpuBuffer, Range, Touched } from "./objects.ts";
import type { Job, Threads } from "./threads.ts";
import type { Kernel } from "./pipeline.ts";
import type { MemoryKind } from "./wasm/module.ts";
import { COPY_MOST, COPY_UNIT, copyBytes } from "./wasm/copy.ts";

function overlap(a: readonly Range[], b: readonly Range[]): boolean {
  for (const x of a) for (const y of b) if (x.from < y.to && y.from < x.to) return true;
  return false;
}

const conflict = (a: Touched, b: Touched): boolean =>
  overlap(a.writes, b.writes) || overlap(a.writes, b.reads) || overlap(a.reads, b.writes);

/** Jobs of one list, as they are put together. */
export class Jobs {
  readonly list: Job[] = [];
  readonly #touched: Touched[] = [];
  /** Every thread that comes to a job has waited for this many of the first. */
  #settled = 0;

  /** Adds a job; it waits for the last one before it that it shares memory with. */
  add(job: Omit<Job, "after">, touched: Touched): void {
    let after = this.list.length;
    while (after > this.#settled && !conflict(touched, this.#touched[after - 1])) after--;
    this.#settled = Math.max(this.#settled, after);
    const { kernel, groups, heavy, args } = job;
    this.list.push({ kernel, groups, heavy, args, after: this.#settled });
    this.#touched.push(touched);
  }
}

type Dispatch = Extract<Command, { kind: "dispatch" }>;
type Copy = Extract<Command, { kind: "copy" }>;

/** What is wrong with a command, or undefined. */
export function problemOf(c: Command): string | undefined {
  switch (c.kind) {
    case "dispatch":
      return problemOfDispatch(c);
    case "copy":
      return c.from.problem ?? c.to.problem ?? problemOfCopy(c);
    case "resolve":
      return c.to.problem ??
        (c.offset + c.count * 8 > c.to.size || c.first + c.count > c.set.count
          ? "a query set is resolved past the end"
          : undefined);
    case "time":
      return c.index < c.set.count ? undefined : `there is no query ${c.index}`;
  }
}

function problemOfCopy({ from, fromOffset, to, toOffset, bytes }: Copy): string | undefined {
  if (from === to) return `the buffer "${to.label}" is copied to itself`;
  if (bytes % 4 || fromOffset % 4 || toOffset % 4) return "a copy is not of whole words";
  return fromOffset + bytes > from.size || toOffset + bytes > to.size
    ? `a copy of ${bytes} bytes from "${from.label}" to "${to.label}" goes past the end`
    : undefined;
}

function problemOfDispatch({ pipeline, group, grid }: Dispatch): string | undefined {
  if (!pipeline) return "a dispatch without a pipeline";
  if (!pipeline.kernel) return `kernel "${pipeline.label}" was refused when it was compiled`;
  const call = group?.calls.get(pipeline);
  if (call && sameGrid(call.grid, grid)) return call.buffers.find((b) => b.problem)?.problem;
  const { kernel, layout } = pipeline;
  const name = `kernel "${kernel.label}"`;
  if (grid.some((g) => !(g >= 0 && g <= 65_535))) return `${name}: a grid of ${grid} workgroups`;
  if (!group?.bindings) return `${name}: no valid bind group is set`;
  const written = new Set<CpuBuffer>();
  const read = new Set<CpuBuffer>();
  for (const [binding, kind] of layout.groups[0]?.entries ?? []) {
    const bound = group.bindings.get(binding);
    if (!bound) return `${name}: binding ${binding} is missing`;
    if (bound.buffer.problem) return `${name}: ${bound.buffer.problem}`;
    (kind === "storage" ? written : read).add(bound.buffer);
  }
  for (const b of written) {
    if (read.has(b)) return `${name}: the buffer "${b.label}" is bound for reading and for writing`;
  }
  for (const { slot, binding, name: buffer } of kernel.program.buffers) {
    const bytes = group.bindings.get(binding)?.size ?? 0;
    if (kernel.lengthOf(slot, bytes) < 1) {
      return `${name}: the binding of ${buffer} is too small, ${bytes} bytes`;
    }
  }
}

const sameGrid = (a: Call["grid"], b: Call["grid"]): boolean =>
  a[0] === b[0] && a[1] === b[1] && a[2] === b[2];

const SPLIT = 2 ** 32;

/** Arguments of a job: the grid (or zeros), a number, and the table of buffers. */
function argumentsOf(
  head: readonly number[],
  table: readonly (readonly [address: number, length: number])[],
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(4 + 4 * table.length);
  words.set(head);
  table.forEach(([address, length], slot) =>
    words.set([address % SPLIT, Math.floor(address / SPLIT), length], 4 + 4 * slot)
  );
  return words;
}

const addressOf = ({ buffer, offset }: Binding): number => buffer.address! + offset;

/** Adds a dispatch that has no problem. */
export function addDispatch(
  jobs: Jobs,
  { pipeline, group, grid }: Dispatch,
  memory: MemoryKind,
): void {
  const groups = grid[0] * grid[1] * grid[2];
  if (!groups) return;
  let call = group!.calls.get(pipeline!);
  if (!call || call.memory !== memory || !sameGrid(call.grid, grid)) {
    call = callOf(pipeline!.kernel!, group!.bindings!, grid, memory);
    group!.calls.set(pipeline!, call);
  }
  jobs.add(call, call.touched);
}

function callOf(
  kernel: Kernel,
  bindings: ReadonlyMap<number, Binding>,
  grid: Call["grid"],
  memory: MemoryKind,
): Call {
  const reads: Range[] = [];
  const writes: Range[] = [];
  const table: [number, number][] = [];
  for (const { slot, binding, writable } of kernel.program.buffers) {
    const bound = bindings.get(binding)!;
    const from = addressOf(bound);
    (writable ? writes : reads).push({ from, to: from + bound.size });
    table[slot] = [from, kernel.lengthOf(slot, bound.size)];
  }
  return {
    grid,
    memory,
    kernel: kernel.numberFor(grid, table.map(([, length]) => length), memory),
    groups: grid[0] * grid[1] * grid[2],
    heavy: kernel.entry.entry!.size.every((n) => n === 1),
    args: argumentsOf(grid, table),
    touched: { reads, writes },
    buffers: [...bindings.values()].map((b) => b.buffer),
  };
}

/** Adds copies. */
export class Copies {
  readonly #numbers = new Map<boolean, number>();
  constructor(readonly threads: Threads) {}

  add(jobs: Jobs, { from, fromOffset, to, toOffset, bytes }: Copy, memory: MemoryKind): void {
    let number = this.#numbers.get(memory.wide);
    if (number === undefined) {
      number = this.threads.add(new WebAssembly.Module(copyBytes(memory)), "copy");
      this.#numbers.set(memory.wide, number);
    }
    for (let done = 0; done < bytes; done += COPY_MOST) {
      const n = Math.min(COPY_MOST, bytes - done);
      const source = from.address! + fromOffset + done;
      const target = to.address! + toOffset + done;
      const args = argumentsOf([0, 0, 0, n], [[source, 0], [target, 0]]);
      jobs.add({ kernel: number, groups: Math.ceil(n / COPY_UNIT), heavy: false, args }, {
        reads: [{ from: source, to: source + n }],
        writes: [{ from: target, to: target + n }],
      });
    }
  }
}
