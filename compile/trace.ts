/** Trace → simplify → fuse → lower → plan: everything about a program that is known before anything is allocated. */
import { type Node, tapeOf, type Tensor } from "../tensor/tensor.ts";
import type { Spec } from "../tensor/shape.ts";
import type { AdapterProfile } from "../tensor/kernel.ts";
import { fuse } from "./fuse.ts";
import type { LoweredDispatch } from "./lower.ts";
import { lowerAll } from "./lower_all.ts";
import { bytesOf, inPieces, largestPiece, pieceCount } from "./pieces.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import { simplify } from "./simplify.ts";

/** One result of a program: what it is, as tracing said, and the tensor in whose memory it lies. */
export interface Result {
  /** A written or passed-through tensor with the same elements in order; its own shape may be another. */
  readonly memory: Tensor;
  /** Shape and element type of the result itself. */
  readonly spec: Spec;
}

/** A program that could run: its tape, its dispatches and its memory. */
export interface Blueprint {
  /** @internal Nodes in order. */
  readonly tape: readonly Node[];
  /** @internal Constants, those of loops' bodies too. */
  readonly constants: readonly Node[];
  /** @internal What is replayed. */
  readonly dispatches: readonly LoweredDispatch[];
  /** @internal Where everything lies. */
  readonly memory: MemoryPlan;
  /** @internal The results, in the order of tracing; several may share one memory. */
  readonly results: readonly Result[];
  /** For each tensor that holds a result, the donated argument whose memory it takes. */
  readonly donations: ReadonlyMap<Tensor, Tensor>;
}

/** Options of {@linkcode blueprint}. */
export interface BlueprintOptions {
  readonly profile: AdapterProfile;
  /** Fuse elementwise work (on by default); off, every op is its own kernel. */
  readonly fuse?: boolean;
  /** Arguments that come anew with each run, as what is uploaded or donated does. Default: every argument. */
  readonly given?: readonly Tensor[];
}

/**
 * Draws up a program from traced results.
 *
 * @param results traced result tensors
 * @param donated argument tensors whose memory results of the same spec may take, in order
 */
export function blueprint(
  results: readonly Tensor[],
  donated: readonly Tensor[],
  options: BlueprintOptions,
): Blueprint {
  const simple = simplify(results);
  const tape = tapeOf(simple);
  const { profile } = options;
  const leaves = () => tape.filter((n) => n.op.name === "input").flatMap((n) => n.outputs);
  const given = options.given ?? leaves();
  const maxPiece = largestPiece(profile);
  const fused = fuse(tape, simple, {
    maxBuffers: Math.min(profile.maxStorageBuffers, 12),
    buffersOf: (t) => pieceCount(bytesOf(t), maxPiece),
    enabled: options.fuse ?? true,
  });
  const dispatches = lowerAll(fused.steps, profile, new Set(given))
    .map((d) => inPieces(d, profile));
  const written = new Set(fused.steps.flatMap((s) => s.outputs));
  const donations = pairDonations(fused.results, donated, written);
  const memory = planMemory({
    dispatches,
    results: fused.results,
    donations,
    maxSlab: profile.maxBuffer,
    maxPiece,
  });
  const held = results.map(({ spec }, i): Result => ({ memory: fused.results[i], spec }));
  return { tape, constants: fused.constants, dispatches, memory, results: held, donations };
}

/** Gives each tensor that is written for a result the first unused donated argument of the same spec. */
function pairDonations(
  results: readonly Tensor[],
  donated: readonly Tensor[],
  written: ReadonlySet<Tensor>,
) {
  const pairs = new Map<Tensor, Tensor>();
  const free = new Map<string, Tensor[]>();
  const key = (t: Tensor) => `${t.dtype}${t.size}`;
  // An argument that is itself a result keeps its memory.
  for (const t of donated) {
    if (!results.includes(t)) free.set(key(t), [...free.get(key(t)) ?? [], t]);
  }
  for (const r of results) {
    if (!written.has(r) || pairs.has(r)) continue;
    const argument = free.get(key(r))?.shift();
    if (argument) pairs.set(r, argument);
  }
  return pairs;
}
