/** The few ops that walks over a tape need: `tensor/batch.ts` and `tensor/forward.ts` stand below the ops and get them from here. */
import type { Tools } from "../tensor/op.ts";
import { expand } from "./broadcast.ts";
import { add } from "./elementwise/arithmetic.ts";
import { input, literal } from "./leaf.ts";

/** See {@linkcode Tools}. */
export const TOOLS: Tools = {
  add,
  expand,
  hole: (spec) => input(spec, -1, "x"),
  zeros: ({ shape, dtype }) => expand(literal(0, dtype), shape),
};
