/**
 * A program that anybody may run, of any values: it owns nothing but its kernels. What it computes is written straight into
 * memory of the caller's, what lies between is borrowed for a run, and nothing is awaited.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { byteSize, show } from "../../tensor/shape.ts";
import type { HostArray } from "../../tensor/dtype.ts";
import type { DeviceStorage } from "../../device/buffers.ts";
import type { Device } from "../../device/device.ts";
import { Health, unproven } from "../../device/health.ts";
import type { Pipeline } from "../../device/pipelines.ts";
import { asked, bindingSize, DispatchSizes, kernelsOf, rootOf } from "../kernels.ts";
import type { LoweredUse, Scratch, Window } from "../lower.ts";
import { replayed } from "../loops/turns.ts";
import { boundRange } from "../pieces.ts";
import { type Blueprint, blueprint } from "../trace.ts";
import { input } from "../../ops/leaf.ts";
import { HostData } from "./host_data.ts";
import { lift, type Split } from "./tape.ts";

/** Where a value lies at a run: the how-manieth of what, and where in it. */
interface Source {
  readonly of: "argument" | "data" | "result" | "slab" | "constant";
  readonly at: number;
  readonly offset: number;
  readonly bytes: number;
}

interface Step {
  readonly label: string;
  readonly number: number;
  readonly pipeline: Pipeline;
  readonly grid: readonly [number, number, number];
  readonly bindings: readonly { readonly source: Source; readonly size: number }[];
  /** Bind groups of late. */
  readonly groups: Group[];
}

/** A bind group, and what it binds. */
interface Group {
  readonly group: GPUBindGroup;
  readonly buffers: readonly GPUBuffer[];
  readonly offsets: readonly number[];
}

/** Bind groups that a dispatch keeps: a loop takes turns with a few buffers. */
const GROUPS = 4;

/** Buffers of one run. */
type Bound = Readonly<
  Record<Source["of"], readonly { readonly buffer: GPUBuffer; readonly offset: number }[]>
>;

/** A program of results that are computed now. */
export class Single {
  readonly #blueprint: Blueprint;
  readonly #steps: readonly Step[];
  readonly #order: readonly Step[];
  readonly #results: readonly {
    readonly source: Source;
    /** Whether it is written where the caller wants it; else it is copied there: it is an argument, or another result too. */
    readonly inPlace: boolean;
    readonly name: string;
  }[];
  readonly #constants: readonly DeviceStorage[];
  readonly #sizes: DispatchSizes;
  readonly #data: HostData;
  readonly #health = new Health();
  #kernels: Health[];
  #ran = false;

  /** @param fuse whether elementwise work shares kernels */
  constructor(readonly device: Device, wanted: readonly Tensor[], tape: Split, fuse: boolean) {
    const { inputs, results } = lift(wanted, tape);
    // Memory that the caller gives for each result: a program writes results into what is donated.
    const given = wanted.map(({ spec }, i) => input(spec, inputs.length + i));
    const drawn = blueprint(results, given, { profile: device.profile, fuse, given: inputs });
    this.#blueprint = drawn;
    this.#data = new HostData(device, tape.hosted.map((t) => t.spec));
    const constants = drawn.constants.map((n) => n.outputs[0]);
    this.#constants = drawn.constants.map(({ attrs, outputs: [{ spec }] }) => {
      const storage = device.buffers.allocate(byteSize(spec), "constant");
      device.buffers.write(storage, (attrs as { data: HostArray }).data);
      return storage;
    });
    const places = new Map<Tensor, Source>();
    const put = (t: Tensor, of: Source["of"], at: number, offset = 0) =>
      places.set(t, { of, at, offset, bytes: byteSize(t.spec) });
    inputs.forEach((t, i) => {
      const k = i - tape.arrays.length;
      if (k < 0) put(t, "argument", i);
      else put(t, "data", this.#data.places[k].at, this.#data.places[k].offset);
    });
    constants.forEach((t, i) => put(t, "constant", i));
    given.forEach((t, i) => put(t, "result", i));
    const sourceOf = (m: Tensor | Scratch, window?: Window): Source => {
      const root = rootOf(drawn, m);
      const pieces = drawn.memory.places.get(root)?.map(({ slab, ...place }) => ({
        ...{ of: "slab" as const, at: slab },
        ...place,
      }));
      const { of, at, offset, bytes } = boundRange(
        pieces ?? [{ ...places.get(root as Tensor)!, from: 0 }],
        window,
      );
      return { of, at, offset, bytes };
    };
    const written = kernelsOf(drawn, device.profile);
    const pipelines = device.pipelines.all(asked(drawn, written));
    this.#sizes = new DispatchSizes(device, drawn.dispatches, written);
    const bind = ({ memory, window }: LoweredUse) => {
      const source = sourceOf(memory, window);
      return { source, size: bindingSize(source.bytes) };
    };
    this.#steps = drawn.dispatches.map(({ label, grid }, number) => ({
      label,
      number,
      pipeline: pipelines[number],
      grid,
      bindings: written[number].bindings.map(bind),
      groups: [],
    }));
    this.#order = replayed(this.#steps, ({ number }) => drawn.dispatches[number]);
    const taken = new Set<number>();
    this.#results = drawn.results.map(({ memory, spec }) => {
      const source = sourceOf(memory);
      const inPlace = source.of === "result" && !taken.has(source.at);
      if (inPlace) taken.add(source.at);
      return { source, inPlace, name: `a result ${show(spec)}` };
    });
    this.#kernels = unproven(this.#steps.map((s) => s.pipeline.health));
  }

  /** How much there is of it: its kernels, and itself. */
  get length(): number {
    return this.#steps.length + 1;
  }

  /** Bytes of values that its own kernels are made with. */
  get constantBytes(): number {
    return this.#constants.reduce((n, { buffer }) => n + buffer.size, 0);
  }

  /** Whether the GPU refused a part of it. */
  get refused(): boolean {
    return !!this.#health.refusal || this.#kernels.some((h) => h.refusal);
  }

  /** Counts what it is given for kernels as in use (-1), or as kept for reuse (1). */
  setAside(sign: 1 | -1): void {
    this.device.buffers.setAside(sign * (this.#sizes.bytes + this.constantBytes));
  }

  /** Computes the results of these values, each into memory of its own. */
  run(values: readonly DeviceStorage[], hosted: readonly HostArray[]): DeviceStorage[] {
    const { device, device: { buffers, work } } = this;
    device.check();
    if (this.#kernels.length) this.#kernels = unproven(this.#kernels);
    const data = this.#data.write(hosted);
    const slabs = this.#blueprint.memory.slabs.map((bytes) => ({
      buffer: buffers.take(bytes, "what lies between"),
      offset: 0,
    }));
    const hangsOn = [
      ...this.#kernels,
      this.#health,
      ...slabs.map(({ buffer }) => buffers.healthOf(buffer)),
      ...values.flatMap((v) => v.healths),
    ];
    const results = this.#results.map(({ source, name }) =>
      buffers.allocate(source.bytes, name, hangsOn)
    );
    const places: DeviceStorage[] = [];
    this.#results.forEach(({ source, inPlace }, i) => {
      if (inPlace) places[source.at] = results[i];
    });
    const bound: Bound = {
      argument: values,
      result: places,
      slab: slabs,
      data: data.map((buffer) => ({ buffer, offset: 0 })),
      constant: this.#constants,
    };
    if (this.#ran) this.#encode(bound, results);
    else {
      // Until a run has gone well, whatever the GPU refuses is this program's; afterwards nothing can be new.
      work.flush();
      device.guarded("running a program", () => {
        this.#encode(bound, results);
        work.flush();
      }, this.#health);
      this.#ran = true;
    }
    slabs.forEach(({ buffer }) => buffers.recycle(buffer));
    this.#data.release(data);
    work.pause();
    return results;
  }

  /** Gives back what its kernels are given. */
  free(): void {
    this.device.work.flush(); // What is collected may be of its kernels.
    this.#sizes.free();
    this.#data.free();
    for (const s of this.#constants) this.device.buffers.free(s);
  }

  #encode(bound: Bound, results: readonly DeviceStorage[]): void {
    const { work } = this.device;
    for (const step of this.#order) {
      const { group, buffers } = this.#group(step, bound);
      work.dispatch(step.pipeline.pipeline, group, step.grid, buffers);
    }
    this.#results.forEach(({ source, inPlace }, i) => {
      if (!source.bytes || inPlace) return;
      const { buffer, offset } = bound[source.of][source.at];
      work.copy(buffer, offset + source.offset, results[i].buffer, 0, source.bytes);
    });
  }

  #group({ groups, bindings, pipeline, number }: Step, bound: Bound): Group {
    const known = groups.find(({ buffers, offsets }) =>
      bindings.every(({ source: { of, at } }, i) =>
        buffers[i] === bound[of][at].buffer && offsets[i] === bound[of][at].offset
      )
    );
    if (known) return known;
    const places = bindings.map(({ source: { of, at } }) => bound[of][at]);
    const group = this.device.gpu.createBindGroup({
      layout: pipeline.layout,
      entries: [
        ...bindings.map(({ source, size }, binding) => {
          const { buffer, offset } = places[binding];
          return { binding, resource: { buffer, offset: offset + source.offset, size } };
        }),
        ...this.#sizes.entries(number, bindings.length),
      ],
    });
    const made = {
      group,
      buffers: places.map((p) => p.buffer),
      offsets: places.map((p) => p.offset),
    };
    groups.unshift(made);
    if (groups.length > GROUPS) groups.pop();
    return made;
  }
}
