/** All cases, and the right results of each: PyTorch's in float64, which `bench/peers/pytorch.ts` writes. */
import golden from "../../tests/golden/bench.json" with { type: "json" };
import type { OpCase } from "./case.ts";
import { type ModelCase, MODELS } from "./miniature.ts";
import { OPS } from "./ops.ts";
import { TRAINING } from "./training.ts";

export type Case = OpCase | ModelCase;

export const CASES: readonly Case[] = [...OPS, ...TRAINING, ...MODELS];

/** Whether a case takes the miniature: its rivals are PyTorch and diffusers. */
export const isModelCase = (c: Case): c is ModelCase => c.kind !== "op";

/** Values of each result at the places that are compared (`placesOf`). */
export function rightResults(c: Case): number[][] {
  const found = (golden as Record<string, number[][]>)[c.name];
  if (!found) {
    throw new Error(`tests/golden/bench.json has no ${c.name}; see bench/peers/pytorch.ts`);
  }
  return found;
}
