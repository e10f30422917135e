/**
 * How one library is timed in a process of its own: many operations are issued, then one wait for the queue.
 *
 * Why many: a single wait costs over 10 ms in Deno 2.9, which sleeps between two looks at the queue, whatever the
 * adapter. Batches are grown until they are long against that, and the empty wait is taken off.
 */
import { type Case, CASES, deviation, type Operands, operandsOf } from "./cases.ts";
import { expectedOf } from "./reference.ts";
import { figures } from "../numerics/quantities.ts";

/** A case in one library: the operands are on the device, the operation can be issued. */
export interface Prepared<T> {
  /** Issues the operation once; need not wait for it. */
  issue(): T | Promise<T>;
  /** Returns when all that was issued has run. Needed where the library holds work back; else {@linkcode fence} does. */
  finish?(results: readonly T[]): Promise<void>;
  /** Every output, flat and in the case's layout. */
  read(result: T): Promise<ArrayLike<number>[]>;
  /** Gives the memory of a result back. */
  release?(result: T): void;
  /** Results must be kept until the queue ran; else they are released as soon as they are issued. */
  readonly keep?: boolean;
}

/** A library under measurement. */
export interface Peer {
  readonly name: string;
  /** Opens the adapter; returns how a case is prepared (undefined: the library has no such operation). */
  start(): Promise<(c: Case, operands: Operands) => Promise<Prepared<unknown> | undefined>>;
}

/** What a process says about one case, as one line of JSON. */
export interface Outcome {
  readonly peer: string;
  readonly case: string;
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

/** Results further from the reference than this are not measured. */
const TOLERANCE = 1e-4;
const BATCHES = 5;
/** Aimed length of a batch in milliseconds. */
const BATCH_MS = 300;
/** Most operations in a batch; fewer where results have to be kept. */
const MOST = 5000;
const MOST_KEPT = 64;

/** Marks the line of an {@linkcode Outcome} among whatever a library prints. */
export const MARK = "outcome ";

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

/** Grows the batch until it is long enough (which warms everything up), then times it. */
async function time<T>(prepared: Prepared<T>): Promise<{ ms: number[]; issued: number }> {
  const idle = await emptyFence();
  const most = prepared.keep ? MOST_KEPT : MOST;
  let n = 1;
  for (let busy = 0; busy < 0.7 * BATCH_MS;) {
    busy = await batch(prepared, n) - idle;
    if (n === most || busy >= 0.7 * BATCH_MS) break;
    n = Math.min(most, Math.ceil(n * Math.min(8, Math.max(1.5, BATCH_MS / Math.max(1, busy)))));
  }
  await batch(prepared, n);
  const ms: number[] = [];
  for (let i = 0; i < BATCHES; i++) ms.push((await batch(prepared, n) - idle) / n);
  return { ms, issued: n };
}

async function measure(
  prepare: Awaited<ReturnType<Peer["start"]>>,
  c: Case,
): Promise<Omit<Outcome, "peer" | "case">> {
  const operands = operandsOf(c);
  const prepared = await prepare(c, operands);
  if (!prepared) return {};
  const first = await prepared.issue();
  await prepared.finish?.([first]);
  const error = deviation(await prepared.read(first), expectedOf(c, operands));
  prepared.release?.(first);
  if (!(error < TOLERANCE)) return { error, failure: `wrong by ${figures(error)}` };
  return { error, ...await time(prepared) };
}

/** The main function of a library's process: measures the cases named as arguments (all without any). */
export async function runPeer(peer: Peer): Promise<never> {
  const chosen = Deno.args.length ? CASES.filter((c) => Deno.args.includes(c.name)) : CASES;
  const say = (c: Case, outcome: Omit<Outcome, "peer" | "case">) =>
    console.log(MARK + JSON.stringify({ peer: peer.name, case: c.name, ...outcome }));
  try {
    const prepare = await peer.start();
    for (const c of chosen) {
      say(c, { ...await measure(prepare, c), adapter: adapterName });
    }
  } catch (e) {
    for (const c of chosen) say(c, { failure: e instanceof Error ? e.message : String(e) });
  }
  // Some libraries keep workers or timers alive.
  Deno.exit(0);
}
