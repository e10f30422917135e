/**
 * What the model trains on: a set of renders, each named by its seed, with captions and labels. Pictures are drawn once
 * and kept as bytes (a render costs more than a training step's share of a GPU), on all cores where there are many.
 */
import {
  captionOf,
  coverOf,
  kindScene,
  PATCH,
  randomScene,
  renderScene,
  Rng,
  type Scene,
} from "../mod.ts";
import { tensor } from "../../ops/leaf.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { labelsOf } from "../export_dataset.ts";

/** Renders with captions and labels. */
export interface Pictures {
  /** How many. */
  readonly count: number;
  /** Side in pixels. */
  readonly size: number;
  /** RGB, `[count, size, size, 3]`. */
  readonly bytes: Uint8Array;
  /** How many pixels of each patch show a thing, `[count, size / PATCH, size / PATCH]`: see `coverOf`. */
  readonly cover: Uint8Array;
  /** Five captions each: four with words left out, and the full one. */
  readonly captions: readonly (readonly string[])[];
  /** Label numbers by head: see `labelsOf`; and `kind`, the number of the kind that is shown, where one is. */
  readonly labels: readonly Readonly<Record<string, number>>[];
}

/** Options of {@linkcode renderPictures}. */
export interface RenderOptions {
  readonly count: number;
  /** Side in pixels. */
  readonly size: number;
  /** Seed of the first picture. Default 1,000,000: those below are for tests. */
  readonly first?: number;
  /** Show so many made-up kinds, one a picture and in turn. */
  readonly kinds?: number;
  /** Threads; 0 draws in this one. Default: one for each core, where it pays. */
  readonly workers?: number;
  /** Called with the number of pictures drawn. */
  readonly onProgress?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/** A share of the work of a thread. */
export interface RenderTask {
  readonly bytes: Uint8Array;
  readonly cover: Uint8Array;
  readonly size: number;
  /** Seed of the first picture of the set. */
  readonly first: number;
  /** Made-up kinds that the set shows. */
  readonly kinds?: number;
  readonly from: number;
  readonly to: number;
}

/** Pictures that a thread draws between two messages. */
const SHARE = 32;

/** The scene of picture i of a set. */
const sceneOf = ({ first, kinds }: Pick<RenderTask, "first" | "kinds">, i: number): Scene =>
  kinds === undefined ? randomScene(first + i) : kindScene(i % kinds, first + i);

/** Draws pictures `from` to `to` of a set into their places. */
export function renderShare(task: RenderTask): void {
  const { bytes, cover, size, from, to } = task;
  const each = size * size * 3, patches = (size / PATCH) ** 2;
  for (let i = from; i < to; i++) {
    const scene = sceneOf(task, i), picture = renderScene(scene, size);
    bytes.set(picture, i * each);
    cover.set(coverOf(scene, picture, size), i * patches);
  }
}

/** Draws the set: picture i is that of seed `first + i`. */
export async function renderPictures(options: RenderOptions): Promise<Pictures> {
  const { count, size, first = 1_000_000, kinds, signal } = options;
  const threads = options.workers ?? (count > 500 ? navigator.hardwareConcurrency : 0);
  const shared = (each: number) => new Uint8Array(new SharedArrayBuffer(count * each));
  const bytes = shared(size * size * 3), cover = shared((size / PATCH) ** 2);
  const shares = Array.from({ length: Math.ceil(count / SHARE) }, (_, i): RenderTask => ({
    bytes,
    cover,
    size,
    first,
    kinds,
    from: i * SHARE,
    to: Math.min(count, (i + 1) * SHARE),
  }));
  let done = 0;
  const finished = (share: RenderTask) => {
    signal?.throwIfAborted();
    options.onProgress?.(done += share.to - share.from);
  };
  if (threads === 0) {
    for (const share of shares) {
      renderShare(share);
      finished(share);
    }
  } else {
    await inParallel(shares, threads, finished);
  }
  const scenes = Array.from({ length: count }, (_, i) => sceneOf({ first, kinds }, i));
  return {
    count,
    size,
    bytes,
    cover,
    captions: scenes.map((scene, i) => {
      const rng = new Rng((first + i) ^ 0x5eed);
      return [...[0, 1, 2, 3].map(() => captionOf(scene, rng)), captionOf(scene)];
    }),
    labels: scenes.map((scene, i) =>
      kinds === undefined ? labelsOf(scene) : { ...labelsOf(scene), kind: i % kinds }
    ),
  };
}

async function inParallel(
  shares: RenderTask[],
  threads: number,
  finished: (share: RenderTask) => void,
): Promise<void> {
  const queue = shares.toReversed();
  const workers = Array.from(
    { length: Math.min(threads, shares.length) },
    () => new Worker(new URL("./render_worker.ts", import.meta.url), { type: "module" }),
  );
  const drain = async (worker: Worker) => {
    for (let share = queue.pop(); share; share = queue.pop()) {
      const answer = Promise.withResolvers<void>();
      worker.onmessage = () => answer.resolve();
      worker.onerror = (event) => {
        event.preventDefault();
        answer.reject(new Error(`drawing pictures failed: ${event.message}`));
      };
      worker.postMessage(share);
      await answer.promise;
      finished(share);
    }
  };
  try {
    await Promise.all(workers.map(drain));
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** The chosen pictures as numbers in [−1, 1], `[n, size, size, 3]`. */
export function pixelsOf({ bytes, size }: Pictures, chosen: readonly number[]): Float32Array {
  const each = size * size * 3;
  const out = new Float32Array(chosen.length * each);
  chosen.forEach((index, i) => {
    const from = bytes.subarray(index * each, (index + 1) * each);
    for (let k = 0; k < each; k++) out[i * each + k] = from[k] / 127.5 - 1;
  });
  return out;
}

/** Weights of the chosen pictures' patches: 1 where the place shows, 1 + `extra` where a thing does, `[n, h, w, 1]`. */
export function coverWeights(
  { cover, size }: Pick<Pictures, "cover" | "size">,
  chosen: readonly number[],
  extra: number,
): Tensor {
  const side = size / PATCH, patches = side * side;
  const data = new Float32Array(chosen.length * patches);
  chosen.forEach((index, i) => {
    const counts = cover.subarray(index * patches, (index + 1) * patches);
    counts.forEach((n, k) => data[i * patches + k] = 1 + extra * n / PATCH ** 2);
  });
  return tensor(data, [chosen.length, side, side, 1]);
}
