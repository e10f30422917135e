/**
 * How one library is timed in a process of its own: many operations are issued, then one wait for the queue. The process
 * makes a case ready, says how good its answer is, and then times a batch whenever it is told to, so that libraries can
 * take turns batch by batch.
 *
 * Why many: a single wait costs over 10 ms in Deno 2.9, which sleeps between two looks at the queue, whatever the
 * adapter. Batches are grown until they are long against that, and the empty wait is taken off.
 */
import { answer, asked } from "./child.ts";
import { type Case, CASES, isModelCase, rightResults } from "./cases/all.ts";
import { deviation, type Operands, operandsOf } from "./cases/case.ts";
import { modelOperands } from "./cases/miniature.ts";
import { sizeOf } from "../tensor/shape.ts";
import { figures } from "../numerics/quantities.ts";

/** A case in one library: the operands are on the device, the operation can be issued. */
export interface Prepared<T> {
  /** Issues the operation once; need not wait for it. */
  issue(): T | Promise<T>;
  /** Returns when all that was issued has run. Needed where the library holds work back or no GPU does it. */
  finish?(results: readonly T[]): Promise<void>;
  /** Every output, flat and in the case's layout. */
  read(result: T): Promise<ArrayLike<number>[]>;
  /** Gives the memory of a result back. */
  release?(result: T): void;
  /** Results must be kept until the queue ran; else they are released as soon as they are issued. */
  readonly keep?: boolean;
  /** Issues so many operations, waits for them and says how many milliseconds that took: another process does it all. */
  batch?(n: number): Promise<number>;
}

/** A library under measurement. */
export interface Peer {
  /** Its name and version, and what it computes with: "@tensorflow/tfjs 4.22.0, 2 threads". */
  readonly library: string;
  /** Opens the device; returns how a case is prepared (undefined: the library has no such operation). */
  start(): Promise<(c: Case, operands: Operands) => Promise<Prepared<unknown> | undefined>>;
}

/** What is known of one library and case. */
export interface Outcome {
  readonly peer: string;
  readonly case: string;
  readonly library?: string;
  /** Milliseconds per operation, for each batch. Missing where the library lacks the operation or failed. */
  readonly ms?: readonly number[];
  /** Operations in a batch. */
  readonly issued?: number;
  /** Largest error relative to the largest value; see `deviation`. */
  readonly error?: number;
  /** Why there is no measurement, when the library has the operation. */
  readonly failure?: string;
  readonly adapter?: string;
}

/** What a library's process says first; batches follow when it is told to time them. */
export type Ready = Omit<Outcome, "peer" | "case" | "ms">;

/** Results further from the reference than this are not measured. */
const TOLERANCE = 1e-4;
/** Aimed length of a batch in milliseconds: on a GPU long against the wait for it. */
const BATCH_MS = 300;
/** Milliseconds that a case runs before it is timed: engines compile anew what runs often, each kernel after some runs. */
const WARM_MS = 1000;
const CPU_BATCH_MS = 100;
/** Most operations in a batch; fewer where results have to be kept. */
const MOST = 5000;
const MOST_KEPT = 64;

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

/** Libraries open their devices themselves; the last one opened is where the queue is waited for. */
let device: GPUDevice | undefined;
let adapterName: string | undefined;
if (typeof GPUAdapter !== "undefined") {
  const open = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor?: GPUDeviceDescriptor) {
    adapterName = this.info.description || this.info.vendor;
    return device = await open.call(this, descriptor);
  };
}

/** The GPU device that the library opened. */
export function openedDevice(): GPUDevice {
  if (!device) throw new Error("no GPU device was opened");
  return device;
}

let probes: { owner: GPUDevice; from: GPUBuffer; to: GPUBuffer } | undefined;

/** Returns when everything that was submitted has run: a copy of four bytes behind it is read back. */
export async function fence(): Promise<void> {
  const owner = openedDevice();
  if (probes?.owner !== owner) {
    const { COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    probes = {
      owner,
      from: owner.createBuffer({ size: 4, usage: COPY_SRC }),
      to: owner.createBuffer({ size: 4, usage: COPY_DST | MAP_READ }),
    };
  }
  const encoder = owner.createCommandEncoder();
  encoder.copyBufferToBuffer(probes.from, 0, probes.to, 0, 4);
  owner.queue.submit([encoder.finish()]);
  await probes.to.mapAsync(GPUMapMode.READ);
  probes.to.unmap();
}

/** Milliseconds that a wait for an idle queue takes. */
async function emptyFence(): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await fence();
    times.push(performance.now() - start);
  }
  return median(times);
}

/** Milliseconds from issuing `n` operations until all of them have run. */
async function batch<T>(prepared: Prepared<T>, n: number): Promise<number> {
  if (prepared.batch) return await prepared.batch(n);
  const results: T[] = [];
  const start = performance.now();
  for (let i = 0; i < n; i++) {
    const result = await prepared.issue();
    if (prepared.keep || i === n - 1) results.push(result);
    else prepared.release?.(result);
  }
  await (prepared.finish ?? fence)(results);
  const ms = performance.now() - start;
  for (const result of results) prepared.release?.(result);
  return ms;
}

/** Warms everything up, grows the batch until it is long enough, and then times one whenever it is told to. */
async function timed<T>(prepared: Prepared<T>) {
  for (const since = performance.now(); performance.now() - since < WARM_MS;) {
    await batch(prepared, 1);
  }
  const idle = onCpu() ? 0 : await emptyFence();
  const enough = onCpu() ? CPU_BATCH_MS : BATCH_MS;
  const most = prepared.keep ? MOST_KEPT : MOST;
  let n = 1;
  for (let busy = 0; busy < 0.7 * enough;) {
    busy = await batch(prepared, n) - idle;
    if (n === most || busy >= 0.7 * enough) break;
    n = Math.min(most, Math.ceil(n * Math.min(8, Math.max(1.5, enough / Math.max(1, busy)))));
  }
  await batch(prepared, n);
  return { issued: n, again: async () => (await batch(prepared, n) - idle) / n };
}

/** What every library gets. */
export const given = (c: Case): Operands => isModelCase(c) ? modelOperands(c) : operandsOf(c);

/** Makes a case ready; nothing to time where the library lacks it or is wrong. */
async function ready(peer: Peer, c: Case): Promise<Ready & { again?: () => Promise<number> }> {
  const operands = given(c);
  const prepare = await peer.start();
  const prepared = await prepare(c, operands);
  // Some know their version or their threads only now.
  const about = { library: peer.library, ...(!onCpu() && { adapter: adapterName }) };
  if (!prepared) return about;
  const first = await prepared.issue();
  await prepared.finish?.([first]);
  const right = rightResults(c);
  const sizes = isModelCase(c)
    ? right.map(({ length }) => length)
    : c.results.map(({ shape }) => sizeOf(shape));
  const error = deviation(sizes, await prepared.read(first), right);
  prepared.release?.(first);
  if (!(error < TOLERANCE)) return { ...about, error, failure: `wrong by ${figures(error)}` };
  return { ...about, error, ...await timed(prepared) };
}

/** The main function of a library's process: makes the case named first ready, and times a batch for each line it is sent. */
export async function runPeer(peer: Peer): Promise<never> {
  const c = CASES.find(({ name }) => name === Deno.args[0]);
  if (!c) throw new Error(`"${Deno.args[0]}" is no case`);
  try {
    const { again, ...said } = await ready(peer, c);
    answer(said satisfies Ready);
    if (again) { for await (const _ of asked()) answer(await again()); }
  } catch (e) {
    answer({ failure: e instanceof Error ? e.message : String(e) } satisfies Ready);
  }
  // Some libraries keep workers or timers alive.
  Deno.exit(0);
}

/** What follows `--name=` on a library's command line. */
export function option(name: string): string | undefined {
  const prefix = `--${name}=`;
  return Deno.args.find((arg) => arg.startsWith(prefix))?.slice(prefix.length);
}

/** Where a library is to compute: its process is told so by `--device=`. */
export const onCpu = (): boolean => option("device") === "cpu";
