/**
 * A compiled program on a device: its memory, its bind groups, and the replay. Running it writes one upload, encodes
 * the recorded dispatches and submits; it never waits for the GPU.
 */
import type { Tensor } from "../tensor/tensor.ts";
import { byteSize, show, type Spec } from "../tensor/shape.ts";
import type { HostArray } from "../tensor/dtype.ts";
import { arrayTensor } from "../ops/leaf.ts";
import type { Device } from "../device/device.ts";
import { DeviceStorage } from "../device/buffers.ts";
import { DeviceError } from "../device/errors.ts";
import { checkAll, Health, unproven } from "../device/health.ts";
import type { Pipeline } from "../device/pipelines.ts";
import { Due } from "./due.ts";
import type { Blueprint } from "./trace.ts";
import type { LoweredDispatch, LoweredUse, Scratch, Window } from "./lower.ts";
import { ALIGN, boundRange } from "./pieces.ts";
import { asked, bindingSize, DispatchSizes, kernelsOf, rootOf } from "./kernels.ts";

/** One argument of a call: memory on the device, or host data to upload. */
export type Argument = DeviceStorage | HostArray;

/**
 * Dispatches per submit: a GPU starts on the first while the rest are encoded. The CPU device's threads are woken once
 * for each.
 */
const perSubmit = (cpu: boolean) => cpu ? Infinity : 200;

interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

interface Recorded {
  readonly dispatch: LoweredDispatch;
  readonly pipeline: Pipeline;
  readonly bindings: readonly LoweredUse[];
  /** Its place among the dispatches. */
  readonly number: number;
  group: GPUBindGroup | undefined;
  /** Arguments that the bind group depends on. */
  readonly positions: readonly number[];
}

/** Replays a blueprint. Made by `compile()`. */
export class Program {
  readonly #slabs: GPUBuffer[];
  readonly #uploads: {
    readonly at: Map<number, number>;
    readonly host: ArrayBuffer;
    readonly buffer?: GPUBuffer;
  };
  readonly #constants = new Map<Tensor, DeviceStorage>();
  /** Numbers that dispatches are given, as kernels read them. */
  readonly #sizes: DispatchSizes;
  readonly #bound: (DeviceStorage | undefined)[];
  readonly #recorded: Recorded[];
  readonly #due: Due<Recorded>;
  /** Positions whose values were copied for this run. */
  #copied = new Set<number>();
  readonly #private = new Map<number, DeviceStorage>();
  /** Positions of donated arguments whose memory goes to a result. */
  readonly #taken: ReadonlySet<number>;
  readonly #health = new Health();
  /** The kernels that the GPU has not taken yet: none after the first run has gone well. */
  #kernels: Health[] = [];
  #generation = 0;
  #ran = false;

  /**
   * @param inputs argument tensors by position
   * @param hosted positions whose values come from the host at each call
   * @param donated positions whose memory the program may take
   */
  constructor(
    readonly device: Device,
    readonly blueprint: Blueprint,
    readonly inputs: readonly Tensor[],
    readonly hosted: ReadonlySet<number>,
    readonly donated: ReadonlySet<number>,
  ) {
    const { buffers } = device;
    const given = new Set([
      ...blueprint.donations.values(),
      ...blueprint.results.map((r) => r.memory),
    ]);
    this.#taken = new Set([...donated].filter((p) => given.has(inputs[p])));
    this.#slabs = blueprint.memory.slabs.map((bytes, i) =>
      buffers.create(bytes, `slab ${i}`, this.#health)
    );
    let bytes = 0;
    const at = new Map<number, number>();
    for (const p of [...hosted].filter((p) => !donated.has(p))) {
      at.set(p, bytes);
      bytes += Math.ceil(byteSize(inputs[p].spec) / ALIGN) * ALIGN;
    }
    this.#uploads = {
      at,
      host: new ArrayBuffer(bytes),
      buffer: bytes ? buffers.create(bytes, "step data", this.#health) : undefined,
    };
    for (const node of blueprint.constants) {
      const [out] = node.outputs;
      const storage = buffers.allocate(byteSize(out.spec), "constant");
      buffers.write(storage, (node.attrs as { data: HostArray }).data);
      this.#constants.set(out, storage);
    }
    this.#bound = new Array(inputs.length).fill(undefined);
    const written = kernelsOf(blueprint, device.profile);
    this.#sizes = new DispatchSizes(device, blueprint.dispatches, written);
    const pipelines = device.pipelines.all(asked(blueprint, written));
    this.#recorded = blueprint.dispatches.map((dispatch, i) => {
      const { bindings } = written[i];
      const positions = bindings.flatMap((b) => {
        const p = this.inputs.indexOf(this.#root(b.memory) as Tensor);
        return p >= 0 ? [p] : [];
      });
      return { dispatch, pipeline: pipelines[i], bindings, number: i, group: undefined, positions };
    });
    this.#due = new Due(this.#recorded);
    this.#kernels = unproven(this.#recorded.map((r) => r.pipeline.health));
    const { buffer } = this.#uploads;
    buffers.destroyWith(this, [...this.#slabs, ...buffer ? [buffer] : []]);
  }

  /** Bytes that this program holds: slabs, step data and constants. */
  get bytes(): number {
    const constants = [...this.#constants.values()].reduce(
      (n, s) => n + Math.max(16, s.buffer.size),
      0,
    );
    return this.#slabs.reduce((n, b) => n + b.size, 0) + (this.#uploads.buffer?.size ?? 0) +
      constants + this.#sizes.bytes;
  }

  /** Runs once. Results are valid until the next run, except those in donated memory, which stay. */
  run(args: readonly Argument[]): Tensor[] {
    this.begin(args);
    this.device.work.flush();
    this.#kernels = unproven(this.#kernels);
    // Until a run has gone well, whatever the GPU refuses is this program's; afterwards nothing can be new.
    if (this.#ran && this.#health.proven) this.#encode();
    else this.device.guarded("running a program", () => this.#encode(), this.#health);
    this.#ran = true;
    return this.#finish(this.#generation);
  }

  /** Binds and uploads the arguments of a run, whose dispatches the caller then replays from {@linkcode recorded}. */
  begin(args: readonly Argument[]): void {
    this.device.check();
    checkAll([...this.#kernels, this.#health]);
    // Results of the last run are still good while arguments are taken: what this run overwrites is copied first.
    this.#bind(args);
    this.#generation++;
    if (!this.#uploads.buffer) return;
    this.device.work.write(this.#uploads.buffer, 0, this.#uploads.host);
  }

  /** The memory in which a tensor lies now, piece by piece, for reading it between dispatches. */
  memoryOf(t: Tensor): DeviceStorage[] {
    return this.#ranges(this.#root(t)).map(({ buffer, offset, bytes }) =>
      new DeviceStorage(buffer, offset, bytes, false)
    );
  }

  /** Gives back all memory of the program; its results go with it. */
  free(): void {
    this.#generation++;
    this.device.buffers.keepFrom(this);
    this.#slabs.forEach((b) => this.device.buffers.destroy(b));
    if (this.#uploads.buffer) this.device.buffers.destroy(this.#uploads.buffer);
    this.#sizes.free();
    for (const s of [...this.#constants.values(), ...this.#private.values()]) {
      this.device.buffers.free(s);
    }
  }

  /** The dispatches with their pipelines and current bind groups, for profiling and debugging. */
  recorded(): readonly {
    dispatch: LoweredDispatch;
    pipeline: GPUComputePipeline;
    group: GPUBindGroup;
  }[] {
    this.#due.forget();
    return this.#recorded.map((r) => ({
      dispatch: r.dispatch,
      pipeline: r.pipeline.pipeline,
      group: this.#group(r),
    }));
  }

  #root(m: Tensor | Scratch): Tensor | Scratch {
    return rootOf(this.blueprint, m);
  }

  #bind(args: readonly Argument[]): void {
    const changed = new Set<number>();
    this.#copied.clear();
    // Memory that a result takes is that result's alone: whoever else was given it reads a copy.
    const taken = new Map<GPUBuffer, number>();
    for (const p of this.#taken) {
      const arg = args[p];
      if (arg instanceof DeviceStorage && !taken.has(arg.buffer)) taken.set(arg.buffer, p);
    }
    args.forEach((arg, p) => {
      const spec = this.inputs[p].spec;
      const storage = arg instanceof DeviceStorage
        ? this.#accept(arg, p, (taken.get(arg.buffer) ?? p) !== p)
        : this.#upload(arg, p, spec);
      if (storage === undefined) return;
      const before = this.#bound[p];
      if (storage !== arg) this.#copied.add(p);
      if (before?.buffer === storage.buffer && before.offset === storage.offset) {
        this.#bound[p] = storage;
        return;
      }
      this.#bound[p] = storage;
      changed.add(p);
    });
    if (!changed.size) return;
    for (const r of this.#recorded) {
      if (r.positions.some((p) => changed.has(p))) r.group = undefined;
    }
  }

  /** Device memory as an argument; memory that this program would overwrite while reading is copied first. */
  #accept(storage: DeviceStorage, p: number, shared: boolean): DeviceStorage {
    storage.check(() => this.#nameOf(p));
    if (!this.device.buffers.has(storage.buffer)) {
      throw new DeviceError(`${this.#nameOf(p)} lies on another device than the program`);
    }
    const foreign = storage.owned ||
      (!this.donated.has(p) && !this.#slabs.includes(storage.buffer));
    return foreign && !shared ? storage : this.#copyIn(storage, p);
  }

  /** What messages call an argument; behind those of the call come the tensors that the function closed over. */
  #nameOf(p: number): string {
    const { node, spec } = this.inputs[p];
    return node.op.name === "input"
      ? `a compiled function's argument ${(node.attrs as { name: string }).name}, ${show(spec)},`
      : `a tensor that a compiled function closed over, ${show(spec)},`;
  }

  #copyIn(storage: DeviceStorage, p: number): DeviceStorage {
    const bytes = byteSize(this.inputs[p].spec);
    const { buffers } = this.device;
    let own = this.#taken.has(p) ? undefined : this.#private.get(p);
    own ??= buffers.allocate(bytes, "argument");
    if (this.#taken.has(p)) buffers.made(own);
    else this.#private.set(p, own);
    this.device.work.copy(storage.buffer, storage.offset, own.buffer, 0, bytes);
    return own;
  }

  #upload(data: HostArray, p: number, spec: Spec): DeviceStorage | undefined {
    const at = this.#uploads.at.get(p);
    if (at === undefined) {
      // A donated host value becomes device memory that the result will own.
      const { buffers } = this.device;
      const storage = buffers.made(buffers.allocate(byteSize(spec), "argument"));
      buffers.write(storage, data);
      return storage;
    }
    new Uint8Array(this.#uploads.host, at).set(
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
    return undefined;
  }

  #encode(): void {
    const { work } = this.device;
    const due = this.#due.next(this.#bound, this.#copied);
    const step = Math.min(perSubmit(this.device.profile.cpu), Math.max(1, due.length));
    for (let i = 0; i < due.length; i += step) {
      const encoder = this.device.gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const r of due.slice(i, i + step)) {
        pass.setPipeline(r.pipeline.pipeline);
        pass.setBindGroup(0, this.#group(r));
        pass.dispatchWorkgroups(...r.dispatch.grid);
      }
      pass.end();
      work.submit([encoder.finish()]);
    }
  }

  #group(r: Recorded): GPUBindGroup {
    return r.group ??= this.device.guarded(
      `binding buffers of ${r.dispatch.label}`,
      () =>
        this.device.gpu.createBindGroup({
          layout: r.pipeline.layout,
          entries: [
            ...r.bindings.map((b, binding) => {
              const { buffer, offset, bytes } = this.#range(this.#root(b.memory), b.window);
              return { binding, resource: { buffer, offset, size: bindingSize(bytes) } };
            }),
            ...this.#sizes.entries(r.number, r.bindings.length),
          ],
        }),
      this.#health,
    );
  }

  /** Where a value lies, or a piece of it. */
  #range(m: Tensor | Scratch, window?: Window): Range {
    const { buffer, offset, bytes } = boundRange(this.#ranges(m), window);
    return { buffer, offset, bytes };
  }

  /** The ranges in which a value lies one after the other: one, unless it is in pieces. */
  #ranges(m: Tensor | Scratch): readonly (Range & { readonly from: number })[] {
    const places = this.blueprint.memory.places.get(m);
    if (places) {
      return places.map(({ slab, ...place }) => ({ ...place, buffer: this.#slabs[slab] }));
    }
    return [{ ...this.#given(m as Tensor), from: 0 }];
  }

  /** Where a constant lies, or an argument. */
  #given(t: Tensor): Range {
    const constant = this.#constants.get(t);
    if (constant) return constant;
    const p = this.inputs.indexOf(t);
    if (p < 0) throw new DeviceError("a buffer of the program was never planned");
    const at = this.#uploads.at.get(p);
    if (at === undefined) return this.#bound[p]!;
    return { buffer: this.#uploads.buffer!, offset: at, bytes: byteSize(this.inputs[p].spec) };
  }

  /** Wraps the results: donated memory changes hands, the rest is lent until the next run. */
  #finish(generation: number): Tensor[] {
    const { results, donations, memory } = this.blueprint;
    const stale = () =>
      this.#generation === generation
        ? undefined
        : "the compiled function that made it ran again or was freed: keep a copy with evaluate(device, t)";
    const copies: [Range, DeviceStorage][] = [];
    const healths = [...this.#kernels, this.#health];
    for (const storage of this.#bound) if (storage) healths.push(...storage.healths);
    const hangsOn = unproven(healths);
    const handle = (r: Tensor): DeviceStorage => {
      const argument = donations.get(r);
      if (!argument) {
        const p = this.inputs.indexOf(r);
        if (p >= 0 && this.#bound[p]) {
          const s = this.#bound[p];
          // The program's own copy is overwritten by the next run.
          if (s === this.#private.get(p)) {
            return new DeviceStorage(s.buffer, s.offset, s.bytes, false, stale, hangsOn);
          }
          return s.owned && this.donated.has(p) ? this.#handOver(p, s.healths) : s;
        }
        const { buffer, offset, bytes } = this.#range(r);
        return new DeviceStorage(buffer, offset, bytes, false, stale, hangsOn);
      }
      const taken = this.#handOver(this.inputs.indexOf(argument), hangsOn);
      if (!memory.inPlace.has(r)) copies.push([this.#range(r), taken]);
      return taken;
    };
    // Results that are the same memory share one handle: donated memory changes hands once.
    const handles = new Map<Tensor, DeviceStorage>();
    for (const { memory: r } of results) if (!handles.has(r)) handles.set(r, handle(r));
    const { work } = this.device;
    for (const [from, to] of copies) {
      work.copy(from.buffer, from.offset, to.buffer, to.offset, Math.ceil(to.bytes / 4) * 4);
    }
    work.pause();
    return results.map((r) => arrayTensor(handles.get(r.memory)!, r.spec));
  }

  /** Ends the caller's handle on a donated argument and makes a new one for the same memory. */
  #handOver(p: number, hangsOn: readonly Health[]): DeviceStorage {
    const taken = this.device.buffers.handOver(
      this.#bound[p]!,
      hangsOn,
      "its memory was donated to a compiled function: what that returned lies there now",
    );
    this.#bound[p] = taken;
    return taken;
  }
}
