/**
 * The device's memory: one linear memory for all buffers, since kernels and threads see one. It grows as it is needed, and
 * moves to addresses of 64 bits where 4 GiB are not enough and the engine has them.
 */
import { features } from "./wasm/features.ts";
import type { MemoryKind } from "./wasm/module.ts";

const PAGE = 65_536;
/** What lies below: zeros that checked reads go to, and the list of jobs. */
export const RESERVED = { zeros: 0, jobs: 1 << 20, end: 6 << 20 } as const;
/** Addresses and lengths of what is allocated are multiples of this. */
const GRAIN = 256;
/** Most pages with addresses of 32 and of 64 bits: what engines take. */
const PAGES = { narrow: 65_536, wide: 262_144 } as const;

interface Range {
  at: number;
  bytes: number;
}

/** Bytes that one device can hold, with what the engine has. */
export const capacity = (): number =>
  (features().wide ? PAGES.wide : PAGES.narrow) * PAGE - RESERVED.end;

/** Memory that gives out ranges and takes them back. */
export class LinearMemory {
  #memory: WebAssembly.Memory;
  #kind: MemoryKind;
  #bytes: Uint8Array<ArrayBuffer>;
  /** Free ranges by address; neighbours are joined. */
  readonly #free: Range[] = [];
  /** Bytes that the memory has, and from where on nothing was ever used. */
  #size: number;
  #used: number = RESERVED.end;
  /** What grows: the memory, or the one that everything moves to when what is under way is over. */
  #top: readonly [memory: WebAssembly.Memory, kind: MemoryKind];
  /** Runs something when nothing uses the memory. */
  whenIdle: (f: () => void) => void = (f) => f();

  /** @param narrow pages up to which addresses have 32 bits. For tests, which have no 4 GiB to spend */
  constructor(readonly shared: boolean, readonly narrow: number = PAGES.narrow) {
    [this.#memory, this.#kind] = this.#top = create(shared, false, RESERVED.end / PAGE);
    this.#bytes = bytesOf(this.#memory);
    this.#size = RESERVED.end;
  }

  /** The memory as kernels import it. */
  get memory(): WebAssembly.Memory {
    return this.#memory;
  }
  /** What it is. It changes once, when it moves to 64 bits. */
  get kind(): MemoryKind {
    return this.#kind;
  }
  /** All bytes. Not to be kept: they move when it grows. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#bytes.buffer !== this.#memory.buffer) this.#bytes = bytesOf(this.#memory);
    return this.#bytes;
  }

  /** Room for so many bytes, all 0; undefined where there is none. */
  allocate(bytes: number): number | undefined {
    const wanted = rounded(bytes);
    const i = this.#free.findIndex((r) => r.bytes >= wanted);
    if (i >= 0) {
      const range = this.#free[i];
      const { at } = range;
      if (range.bytes === wanted) this.#free.splice(i, 1);
      else {
        range.at += wanted;
        range.bytes -= wanted;
      }
      this.bytes.fill(0, at, at + wanted);
      return at;
    }
    const last = this.#free.at(-1);
    const at = last && last.at + last.bytes === this.#used ? last.at : this.#used;
    if (!this.#reach(at + wanted)) return undefined;
    if (at !== this.#used) {
      this.#free.pop();
      this.bytes.fill(0, at, this.#used);
    }
    this.#used = at + wanted;
    return at;
  }

  /** Takes a range back. */
  free(at: number, bytes: number): void {
    const range = { at, bytes: rounded(bytes) };
    let i = this.#free.findIndex((r) => r.at > at);
    if (i < 0) i = this.#free.length;
    this.#free.splice(i, 0, range);
    for (const k of [i, i - 1]) {
      const [a, b] = [this.#free[k], this.#free[k + 1]];
      if (a && b && a.at + a.bytes === b.at) {
        a.bytes += b.bytes;
        this.#free.splice(k + 1, 1);
      }
    }
  }

  /** Grows to at least so many bytes. */
  #reach(end: number): boolean {
    if (end <= this.#size) return true;
    const [, { wide, pages }] = this.#top;
    const most = wide ? pages : Math.min(this.narrow, pages);
    if (end > most * PAGE && !this.#widen()) return false;
    const [memory, kind] = this.#top;
    // Growing costs a system call and new views: it is done in large steps, and in small ones near the end.
    for (const wanted of [Math.max(end, this.#size * 1.25), end]) {
      const pages = Math.min(Math.ceil(wanted / PAGE), kind.pages);
      if (pages * PAGE < end) continue;
      const more = pages - this.#size / PAGE;
      try {
        memory.grow((kind.wide ? BigInt(more) : more) as number);
      } catch {
        continue;
      }
      this.#size = pages * PAGE;
      return true;
    }
    return false;
  }

  /** Moves everything to a memory with addresses of 64 bits: at once, or when threads have done what they are at. */
  #widen(): boolean {
    if (this.#top[1].wide || !features().wide) return false;
    try {
      const top = this.#top = create(this.shared, true, this.#size / PAGE);
      this.whenIdle(() => {
        bytesOf(top[0]).set(this.bytes);
        [this.#memory, this.#kind] = top;
      });
      return true;
    } catch {
      return false;
    }
  }
}

const rounded = (bytes: number): number => Math.max(GRAIN, Math.ceil(bytes / GRAIN) * GRAIN);

const bytesOf = (m: WebAssembly.Memory): Uint8Array<ArrayBuffer> =>
  new Uint8Array(m.buffer as ArrayBuffer);

/** A memory with as high a limit as the engine grants: what is reserved is address space, not memory. */
function create(shared: boolean, wide: boolean, initial: number): [WebAssembly.Memory, MemoryKind] {
  const n = (pages: number) => (wide ? BigInt(pages) : pages) as number;
  let refusal: unknown;
  for (let pages: number = wide ? PAGES.wide : PAGES.narrow; pages >= 4096; pages /= 2) {
    const wanted = {
      initial: n(initial),
      maximum: n(pages),
      shared,
      ...wide ? { address: "i64" } : {},
    };
    try {
      return [new WebAssembly.Memory(wanted), { shared, wide, pages }];
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}
