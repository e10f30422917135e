/** Lists of jobs that were put together before: a program submits the same dispatches at each of its runs. */
import type { Command } from "./encoder.ts";
import type { CpuBuffer } from "./objects.ts";
import type { JobList } from "./threads.ts";
import type { MemoryKind } from "./wasm/module.ts";

/** The last few submits of dispatches alone. */
export class Replays {
  /** A training step and a sampler take turns with a few others. */
  static readonly #most = 8;
  /** Fewer dispatches are put together in a moment, and would take the place of a program's. */
  static readonly #least = 16;
  #kept: {
    readonly commands: readonly Command[];
    readonly lists: readonly JobList[];
    readonly kind: MemoryKind;
    readonly buffers: readonly CpuBuffer[];
  }[] = [];

  /** The lists of the same commands, if they were kept and the memory is still of this kind. */
  find(commands: readonly Command[], kind: MemoryKind): readonly JobList[] | undefined {
    const found = this.#kept.find((r) => r.kind === kind && same(r.commands, commands));
    return found?.buffers.some((b) => b.problem) ? undefined : found?.lists;
  }

  /** Keeps lists in place of the oldest, where they are long. */
  keep(commands: readonly Command[], lists: readonly JobList[], kind: MemoryKind): void {
    if (commands.length < Replays.#least) return;
    const groups = commands.map((c) => c.kind === "dispatch" ? c.group : undefined);
    const bound = groups.flatMap((g) => [...g?.bindings?.values() ?? []]);
    const buffers = [...new Set(bound.map((b) => b.buffer))];
    this.#kept = [{ commands, lists, kind, buffers }, ...this.#kept]
      .filter((r) => !r.buffers.some((b) => b.destroyed)).slice(0, Replays.#most);
  }
}

function same(a: readonly Command[], b: readonly Command[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i], b[i]];
    if (x.kind !== "dispatch" || y.kind !== "dispatch") return false;
    if (x.pipeline !== y.pipeline || x.group !== y.group) return false;
    if (x.grid[0] !== y.grid[0] || x.grid[1] !== y.grid[1] || x.grid[2] !== y.grid[2]) return false;
  }
  return true;
}
