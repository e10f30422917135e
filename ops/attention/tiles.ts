/**
 * Tilings of flash attention for GPUs: how many rows and columns of scores a workgroup holds at a time, how much of the
 * width it stages in workgroup memory, and which of the choices that fit an adapter is likely to be fastest.
 */
import type { AdapterProfile } from "../../tensor/kernel.ts";

/** Thread rows of every workgroup; the number of thread columns varies. */
export const TY = 16;
/** Columns of scores per thread. */
export const COLUMNS = 4;

/** Which of the three kernels a tiling is for. */
export type FlashKind = "forward" | "queryGrad" | "keyValueGrad";

/** One way to cut a problem into workgroups. */
export interface Tiling {
  /** Thread columns; a workgroup has TX · {@linkcode TY} threads. */
  readonly TX: number;
  /** Rows of scores per thread. */
  readonly RM: number;
  /** Vectors of four of the width that each thread accumulates. */
  readonly NJ: number;
  /** Vectors of the width staged at once, a multiple of TX. */
  readonly chunk: number;
  /** Number of chunks; with one, row tiles are loaded once and stay. */
  readonly chunks: number;
  /** Whether every matrix of the columns has a tile of its own (so none is loaded twice). */
  readonly ownColumns: boolean;
  /** Workgroup memory in bytes. */
  readonly bytes: number;
}

/** Rows of scores in a workgroup's tile. */
export const tileRows = (t: Tiling): number => TY * t.RM;
/** Columns of scores in a workgroup's tile. */
export const tileColumns = (t: Tiling): number => COLUMNS * t.TX;
/** Vectors between rows of a staged tile: odd, so that threads reading one column hit different banks. */
export const pitch = (vectors: number): number => vectors | 1;

/** Matrices with the rows of the tile, and with its columns, in each kernel. */
const MATRICES: Readonly<
  Record<FlashKind, { rows: number; columns: number; sums: number; products: number }>
> = {
  forward: { rows: 1, columns: 2, sums: 1, products: 2 },
  queryGrad: { rows: 2, columns: 2, sums: 1, products: 3 },
  keyValueGrad: { rows: 2, columns: 2, sums: 2, products: 4 },
};

/** Workgroup memory of a unit, threads that it needs to hide what they wait for, and most that it runs with so many registers. */
const UNIT = { bytes: 98_304, hiding: 320, threads: 480 } as const;

/** Vectors of accumulators per thread beyond which a kernel would spill registers. */
const MAX_ACCUMULATORS = 20;

/**
 * The tiling to use for rows of `vectors` · 4 numbers, or undefined when none fits the adapter.
 *
 * @param rows rows of the problem on the tile's own side: tiles much taller than that would idle
 */
export function chooseTiling(
  kind: FlashKind,
  vectors: number,
  rows: number,
  profile: AdapterProfile,
): Tiling | undefined {
  let best: { tiling: Tiling; cost: number } | undefined;
  for (const TX of [8, 10, 16]) {
    if (TX * TY > profile.maxInvocations) continue;
    const NJ = Math.ceil(vectors / TX);
    for (const RM of [4, 2, 1]) {
      if (RM > 1 && TY * RM / 2 >= rows) continue;
      for (const chunk of chunksOf(TX, NJ)) {
        for (const ownColumns of [true, false]) {
          const chunks = Math.ceil(NJ * TX / chunk);
          if (ownColumns && (chunks > 1 || kind === "forward")) continue;
          const shape = { TX, RM, NJ, chunk, chunks, ownColumns };
          const tiling: Tiling = { ...shape, bytes: bytesOf(kind, shape) };
          if (tiling.bytes > profile.workgroupStorage) continue;
          const cost = costOf(kind, vectors, tiling);
          if (!best || cost < best.cost) best = { tiling, cost };
        }
      }
    }
  }
  return best?.tiling;
}

const chunksOf = (TX: number, NJ: number): number[] =>
  [NJ, Math.ceil(NJ / 2), 4, 2, 1].filter((m, i, all) => m <= NJ && all.indexOf(m) === i).map((m) =>
    m * TX
  );

/** Workgroup memory of a tiling: staged tiles, the tile of weights, and partial results. */
function bytesOf(kind: FlashKind, t: Omit<Tiling, "bytes">): number {
  const { rows, columns } = MATRICES[kind];
  const BR = TY * t.RM;
  const BC = COLUMNS * t.TX;
  const rowTiles = t.chunks === 1 ? rows : 1;
  const columnTiles = t.ownColumns ? columns : 1;
  const staged = (rowTiles * BR + columnTiles * BC) * pitch(t.chunk);
  const weights = BR * pitch(t.TX);
  const partial = kind === "forward" ? BR * t.TX : kind === "keyValueGrad" ? 2 * BC : 0;
  return (staged + weights) * 16 + partial * 4;
}

/**
 * Estimated time per score. Counted in issue slots: a vector multiply-add takes 4 of them, a vector from workgroup
 * memory about 4 (a warp reads 128 bytes a turn), one from global memory with its address and store about 16.
 */
function costOf(kind: FlashKind, vectors: number, t: Tiling): number {
  const { rows, columns, sums, products } = MATRICES[kind];
  const dots = products - sums;
  const accumulators = t.RM * (t.NJ * sums + 1);
  const spill = accumulators > MAX_ACCUMULATORS ? accumulators / MAX_ACCUMULATORS : 1;
  const dot = vectors * (4 * t.RM * COLUMNS + 4 * (t.RM + COLUMNS));
  const sum = t.TX * (16 * t.RM * t.NJ + 4 * (t.RM + 4 * t.NJ));
  const columnLoads = t.ownColumns ? columns : products;
  const rowLoads = t.chunks === 1 ? 0 : rows;
  const threads = t.TX * TY;
  const loads = 16 * t.chunk * t.chunks * (columnLoads * COLUMNS * t.TX + rowLoads * TY * t.RM) /
    threads;
  const barriers = 40 * (2 * products * t.chunks + 2);
  // Workgroups that a unit runs at once: one that is alone leaves it idle at every barrier.
  const resident = Math.max(
    1,
    Math.min(Math.floor(UNIT.bytes / t.bytes), Math.floor(UNIT.threads / threads)),
  );
  const idle = Math.max(1, (UNIT.hiding / (resident * threads)) ** 0.5);
  return idle * spill * (dots * dot + sums * sum + loads + barriers) / (t.RM * COLUMNS);
}
