/**
 * The complete WGSL of a program's dispatches: declarations of what they bind, and their bodies. What shares memory is
 * bound once.
 */
import { Tensor } from "../tensor/tensor.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import type { LoweredDispatch, LoweredUse, Scratch } from "./lower.ts";
import { packed } from "./packed.ts";
import { SIZES_BYTES, withData, withLiterals } from "../tensor/sizes.ts";
import { bytesOf } from "./pieces.ts";
import type { Blueprint } from "./trace.ts";
import type { DeviceStorage } from "../device/buffers.ts";
import type { Device } from "../device/device.ts";
import type { Kernel } from "../device/pipelines.ts";

/** A dispatch as it is compiled. */
export interface WrittenKernel {
  readonly code: string;
  /** What is bound, in the order of the binding numbers. */
  readonly bindings: readonly LoweredUse[];
  /** Numbers that the dispatch is given as data, in a uniform binding behind those; undefined where there is none. */
  readonly sizes?: Uint32Array<ArrayBuffer>;
}

/**
 * Whether numbers that move with shapes are data, so that one kernel serves many shapes, or literals. GPUs take their time
 * to compile; the CPU device compiles in a moment, and tells from literals that an index is inside of its buffer.
 */
export const sizesAreData = ({ cpu }: AdapterProfile): boolean => !cpu;

/** Bytes of the numbers that a program's dispatches are given as data: once for all that are written alike. */
export const sizesBytes = ({ dispatches }: Blueprint, profile: AdapterProfile): number =>
  sizesAreData(profile) ? new Set(dispatches.map((d) => d.body)).size * SIZES_BYTES : 0;

/** The memory that a value lies in, following results that are written in place. */
export const rootOf = ({ memory }: Blueprint, m: Tensor | Scratch): Tensor | Scratch =>
  m instanceof Tensor ? memory.inPlace.get(m) ?? m : m;

/** The kernel of each dispatch of a program. */
export function kernelsOf(program: Blueprint, profile: AdapterProfile): WrittenKernel[] {
  const same = (a: LoweredUse, b: LoweredUse) =>
    rootOf(program, a.memory) === rootOf(program, b.memory);
  return program.dispatches.map((d) => wgslOf(d, same, profile));
}

/** Bytes of a binding for so many. */
export const bindingSize = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

/** What a device is asked to compile for a program. */
export const asked = ({ dispatches }: Blueprint, kernels: readonly WrittenKernel[]): Kernel[] =>
  kernels.map(({ code, bindings, sizes }, i) => ({
    code,
    access: [...bindings.map((b) => b.access), ...(sizes ? ["sizes" as const] : [])],
    label: dispatches[i].label,
    use: {
      grid: dispatches[i].grid,
      sizes: bindings.map((b) => bindingSize(b.window?.bytes ?? bytesOf(b.memory))),
    },
  }));

/** A call of a function is no constant expression, so that a compiler takes the bits of infinity and NaN as they are. */
const FROM_BITS = "fn from_bits(bits: u32) -> f32 { return bitcast<f32>(bits); }";

/**
 * The complete WGSL of a dispatch; buffers that share memory become one binding.
 *
 * @param profile says whether shaders may use f16, which is read and written as halves of words otherwise
 */
export function wgslOf(
  d: LoweredDispatch,
  same: (a: LoweredUse, b: LoweredUse) => boolean,
  profile: AdapterProfile,
): WrittenKernel {
  const bindings: LoweredUse[] = [];
  const sized = sizesAreData(profile) ? withData(d.body) : undefined;
  let body = sized?.text ?? withLiterals(d.body);
  for (const use of d.buffers) {
    // Pieces of one memory are as good as memories of their own.
    const here = (b: LoweredUse) => same(b, use) && b.window?.offset === use.window?.offset;
    const i = bindings.findIndex((b) => here(b) && b.type === use.type);
    if (i < 0) {
      // Read in two ways, one memory takes two bindings; WebGPU only forbids that where one of them writes.
      const other = bindings.find(here);
      if (other && (other.access === "write" || use.access === "write")) {
        throw new Error(`${d.label}: one buffer is used as ${other.type} and as ${use.type}`);
      }
      bindings.push(use);
      continue;
    }
    // Invocations run in any order: only an elementwise kernel reads exactly the element that it writes.
    if (use.access !== bindings[i].access && d.step.kind !== "map") {
      throw new Error(
        `${d.label}: ${bindings[i].name} and ${use.name} are one memory, read and written`,
      );
    }
    if (use.access === "write") bindings[i] = { ...bindings[i], access: "write" };
    body = body.replace(new RegExp(`\\b${use.name}\\b`, "g"), bindings[i].name);
  }
  if (/\bfrom_bits\(/.test(body)) body = `${FROM_BITS}\n${body}`;
  const uses16 = /\bf16\b/.test(bindings.map((b) => b.type).join() + body);
  const words = uses16 && !profile.f16 ? packed(d.label, bindings, body) : undefined;
  const declared = bindings.map((b, i) =>
    `@group(0) @binding(${i}) var<storage, ${
      b.access === "write" ? "read_write" : "read"
    }> ${b.name}: array<${words?.types[i] ?? b.type}>;`
  );
  const sizes = sized?.words.length ? sized.words : undefined;
  if (sizes) {
    declared.push(
      sized!.structure,
      `@group(0) @binding(${bindings.length}) var<uniform> sizes: Sizes;`,
    );
  }
  const header = declared.join("\n");
  const code = words
    ? `${header}\n${words.helpers}\n${words.body}\n`
    : `${uses16 ? "enable f16;\n" : ""}${header}\n${body}\n`;
  return { code, bindings, sizes };
}

/**
 * The numbers that a program's dispatches are given as data, all in one buffer that is written once; on devices where they are
 * literals there are none.
 */
export class DispatchSizes {
  readonly #storage: DeviceStorage | undefined;
  /** Where those of each dispatch lie; undefined where it has none. */
  readonly #places: readonly (number | undefined)[];

  constructor(
    readonly device: Device,
    dispatches: readonly { readonly body: string }[],
    kernels: readonly WrittenKernel[],
  ) {
    const slots = new Map(dispatches.map(({ body }) => [body, 0]));
    [...slots.keys()].forEach((body, slot) => slots.set(body, slot * SIZES_BYTES));
    this.#places = kernels.map(({ sizes }, i) => sizes && slots.get(dispatches[i].body));
    if (!sizesAreData(device.profile) || !slots.size) return;
    const words = new Uint32Array(slots.size * SIZES_BYTES / 4);
    kernels.forEach(({ sizes }, i) => sizes && words.set(sizes, this.#places[i]! / 4));
    this.#storage = device.buffers.allocate(words.byteLength, "sizes");
    device.buffers.write(this.#storage, words);
  }

  /** Bytes that they take. */
  get bytes(): number {
    return this.#storage?.bytes ?? 0;
  }

  /** What a bind group has of them for a dispatch: at most one entry. */
  entries(dispatch: number, binding: number): GPUBindGroupEntry[] {
    const offset = this.#places[dispatch];
    if (offset === undefined) return [];
    return [{ binding, resource: { buffer: this.#storage!.buffer, offset, size: SIZES_BYTES } }];
  }

  /** Gives back their memory. */
  free(): void {
    if (this.#storage) this.device.buffers.free(this.#storage);
  }
}
