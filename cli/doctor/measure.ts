/**
 * How fast a device is, in a few seconds: one product, one copy, and what it costs to ask for anything at all. Enough to see
 * whether a machine does what it should; `deno task bench` measures.
 */
import { compile } from "../../compile/compile.ts";
import { wakeThreads } from "../../device/cpu.ts";
import type { Device } from "../../device/device.ts";
import { BufferUsage } from "../../device/usage.ts";
import { sin } from "../../ops/elementwise/trigonometry.ts";
import { matmul } from "../../ops/matmul.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What was measured. */
export interface Measured {
  /** Side of the square matrices, and operations a second. */
  readonly product: { readonly size: number; readonly perSecond: number };
  /** Bytes of the copy, and bytes a second, counted once for reading and once for writing. */
  readonly copy: { readonly bytes: number; readonly perSecond: number };
  /** Seconds for one more dispatch in work that is handed over at once. */
  readonly dispatch: number;
  /** Seconds from handing over the least work that there is to its number on the host. */
  readonly thereAndBack: number;
  /** Seconds till all threads have woken up and answered; undefined where the host's is the only one. */
  readonly wake?: number;
}

/** Side of the matrices; bytes of the copy; dispatches in a row. */
const SIZE = 1024, BYTES = 64 * 2 ** 20, CHAIN = 200;
/** Seconds that a lot of calls takes at least, and that one figure is measured for; the most calls of a lot. */
const LOT = 0.05, EACH = 0.3, MOST = 2000;
/** How often a single wait is measured; milliseconds after which threads without work are asleep. */
const TRIES = 20, REST = 5;

/** Measures. What is allocated for it is freed again. */
export async function measure(device: Device): Promise<Measured> {
  const product = await measureProduct(device);
  return {
    product: { size: SIZE, perSecond: 2 * SIZE ** 3 / product },
    copy: { bytes: BYTES, perSecond: 2 * BYTES / await measureCopy(device) },
    ...await measureDispatch(device),
    wake: await measureWake(device),
  };
}

async function measureProduct(device: Device): Promise<number> {
  const values = Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i));
  const a = device.upload(values, [SIZE, SIZE]), b = device.upload(values, [SIZE, SIZE]);
  const product = compile(device, (a: Tensor, b: Tensor) => matmul(a, b));
  try {
    return await perCall(device, () => void product(a, b));
  } finally {
    product.free();
    device.free(a, b);
  }
}

async function measureCopy(device: Device): Promise<number> {
  const { gpu } = device;
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => gpu.createBuffer({ size: BYTES, usage }));
  // Memory that nothing was written to costs nothing to read.
  for (const buffer of [from, to]) gpu.queue.writeBuffer(buffer, 0, new Uint8Array(BYTES).fill(1));
  try {
    return await perCall(device, () => {
      const encoder = gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(from, 0, to, 0, BYTES);
      gpu.queue.submit([encoder.finish()]);
    });
  } finally {
    from.destroy();
    to.destroy();
  }
}

/** A chain of dispatches that wait for one another, against one alone. */
async function measureDispatch(device: Device) {
  const x = device.upload(new Float32Array(64));
  const chain = (n: number) =>
    compile(device, (x: Tensor) => {
      for (let i = 0; i < n; i++) x = sin(x);
      return x;
    }, { fuse: false });
  const one = chain(1), many = chain(CHAIN);
  try {
    const [short, long] = [
      await perCall(device, () => void one(x)),
      await perCall(device, () => void many(x)),
    ];
    const thereAndBack = await least(async () => void await device.read(one(x)));
    return { dispatch: Math.max(0, long - short) / (CHAIN - 1), thereAndBack };
  } finally {
    one.free();
    many.free();
    device.free(x);
  }
}

async function measureWake(device: Device): Promise<number | undefined> {
  const times: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    await new Promise((done) => setTimeout(done, REST));
    const seconds = await wakeThreads(device);
    if (seconds === undefined) return undefined;
    times.push(seconds);
  }
  return Math.min(...times);
}

/**
 * Seconds of one call among many that are handed over at once, without the wait for them; the fastest lot.
 *
 * @param each seconds that are spent on it, once lots are long enough
 */
export async function perCall(
  device: Device,
  issue: () => void,
  each: number = EACH,
): Promise<number> {
  const idle = await least(() => device.finished());
  const lot = async (n: number) => {
    const took = await time(async () => {
      for (let i = 0; i < n; i++) issue();
      await device.finished();
    });
    return Math.max(1e-9, took - idle);
  };
  await lot(1); // Compiles.
  let n = 1, took = await lot(n);
  while (took < LOT && n < MOST) {
    n = Math.min(MOST, Math.ceil(n * Math.min(8, 1.2 * LOT / took)));
    took = await lot(n);
  }
  const until = performance.now() + 1000 * each;
  do took = Math.min(took, await lot(n)); while (performance.now() < until);
  await device.settled();
  return took / n;
}

/** Seconds of the fastest of some runs. */
async function least(run: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < TRIES; i++) times.push(await time(run));
  return Math.min(...times);
}

async function time(run: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await run();
  return (performance.now() - began) / 1000;
}
