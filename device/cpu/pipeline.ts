/** A kernel as a pipeline: checked when it is created, compiled for the grid and the lengths that it first runs with. */
import { checked } from "./wgsl/check.ts";
import { WgslError } from "./wgsl/error.ts";
import type { Access, Func, Program, Store } from "./wgsl/tree.ts";
import { strideOf } from "./wgsl/tree.ts";
import type { Features } from "./wasm/features.ts";
import { kernelBytes } from "./wasm/kernel.ts";
import type { MemoryKind } from "./wasm/module.ts";
import { type Findings, findings } from "./wgsl/ranges.ts";

/** Most invocations in a workgroup, as WebGPU's limits name them. */
export const WORKGROUP = { invocations: 1024, x: 1024, y: 1024, z: 64 } as const;

/**
 * What came of the texts that this process's devices were last given. Programs, runs of verbs and tests open devices one after
 * the other, and most of the time until their first step is checking and compiling the same kernels; the engine's own cache
 * of compiled code forgets them with the device. The text that was used longest ago goes first.
 */
const KEPT = 512;
const kept = new Map<string, Program>();

/** What is known of an entry point, for as long as its program is: by grid, and by what its module is made for. */
interface Known {
  readonly findings: Map<string, Findings>;
  readonly modules: Map<string, WebAssembly.Module>;
}
const known = new WeakMap<Func, Known>();

function programOf(code: string): Program {
  const program = kept.get(code) ?? checked(code);
  kept.delete(code);
  kept.set(code, program);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
  return program;
}

/** A text that may be a module. */
export class ShaderModule {
  readonly program: Program | undefined;
  readonly error: Error | undefined;
  constructor(readonly label: string, code: string) {
    try {
      this.program = programOf(code);
    } catch (error) {
      // What was written there says more than its number: the author of a kernel may have written a part of it.
      const line = error instanceof WgslError ? code.split("\n")[error.line - 1]?.trim() : "";
      this.error = line ? new Error(`${(error as Error).message}, in: ${line}`) : error as Error;
    }
  }
}

/** Compiles one kernel, once for each way of calling it that differs. */
export class Kernel {
  readonly #known: Known;
  readonly #numbers = new Map<string, number>();

  /** @param add registers a compiled module and gives its number */
  constructor(
    readonly label: string,
    readonly program: Program,
    readonly entry: Func,
    readonly how: { readonly features: Features; readonly careful: boolean },
    readonly add: (m: WebAssembly.Module) => number,
  ) {
    this.#known = known.get(entry) ?? { findings: new Map(), modules: new Map() };
    known.set(entry, this.#known);
  }

  /** Number of the compiled kernel for this grid and these lengths of the buffers, in elements. */
  numberFor(grid: readonly number[], lengths: readonly number[], memory: MemoryKind): number {
    const call = `${memory.wide ? "wide" : ""}${grid};${lengths}`;
    let number = this.#numbers.get(call);
    if (number !== undefined) return number;
    const known = this.#known;
    let found = known.findings.get(`${grid}`);
    if (!found) known.findings.set(`${grid}`, found = findings(this.entry, grid));
    const unsure = new Set<Access | Store>();
    const marks: number[] = [];
    let place = 0;
    for (const [access, { lo, hi }] of found.indices) {
      if (this.how.careful || lo < 0 || hi >= lengths[access.buffer.slot]) {
        unsure.add(access);
        marks.push(place);
      }
      place++;
    }
    // Other lengths that leave the same accesses unsure give the same module.
    const build = `${memory.wide ? "wide" : ""}${grid}:${marks}`;
    number = this.#numbers.get(build);
    if (number === undefined) {
      const { program, entry, how: { features } } = this;
      const { shared, pages } = memory;
      const way = `${build};${shared ? pages : "own"};${Object.values(features)}`;
      let module = known.modules.get(way);
      if (!module) {
        const bytes = kernelBytes({ program, entry, findings: found, unsure, memory, features });
        known.modules.set(way, module = new WebAssembly.Module(bytes));
      }
      number = this.add(module);
      this.#numbers.set(build, number);
    }
    this.#numbers.set(call, number);
    return number;
  }

  /** Elements of a binding of so many bytes. */
  lengthOf(slot: number, bytes: number): number {
    return Math.floor(bytes / strideOf(this.program.buffers[slot].element));
  }
}

/** The entry point of a module, or an error that says what is wrong with it. */
export function entryOf(module: ShaderModule, name: string | undefined): Func {
  if (!module.program) throw module.error ?? new Error("the module is invalid");
  const entries = module.program.functions.filter((f) => f.entry);
  const entry = name === undefined && entries.length === 1
    ? entries[0]
    : entries.find((f) => f.name === name);
  if (!entry) {
    const there = entries.length ? `; there is ${entries.map((f) => f.name).join(", ")}` : "";
    throw new Error(`the module has no entry point "${name ?? "main"}"${there}`);
  }
  const [x, y, z] = entry.entry!.size;
  if (x > WORKGROUP.x || y > WORKGROUP.y || z > WORKGROUP.z || x * y * z > WORKGROUP.invocations) {
    throw new Error(`a workgroup of ${x} × ${y} × ${z} invocations is too large`);
  }
  return entry;
}
