/**
 * The sizes of one attention problem, and the few pieces of WGSL that all of its kernels share. Heads lie interleaved as
 * linear layers give them, so a kernel finds row t of head h of sample b at ((b·T + t)·H + h)·D, and nothing has to be
 * transposed before or after.
 */
import { isFloat } from "../../tensor/dtype.ts";
import { ShapeError, show, type Spec } from "../../tensor/shape.ts";
import { type BufferUse, storageType } from "../../tensor/kernel.ts";
import { MINUS_INFINITE } from "../elementwise/nan.ts";

/** Static attributes of the forward op. */
export interface AttentionAttrs {
  /** Query t attends to keys 0 … t only. */
  readonly causal: boolean;
  /** Factor on the scores before the softmax. */
  readonly scale: number;
}

/** An input that the backward op can differentiate by. */
export type Operand = "q" | "k" | "v";

/** Static attributes of the backward op. */
export interface AttentionGradAttrs extends AttentionAttrs {
  /** The gradients to compute, in the order of the op's outputs. */
  readonly wanted: readonly Operand[];
}

/** Extents of q [B, T, H, D] and of k and v [B, S, H, D], with the attributes. */
export interface Problem extends AttentionAttrs {
  readonly B: number;
  readonly T: number;
  readonly S: number;
  readonly H: number;
  readonly D: number;
}

/** Checks the shapes of q, k and v. Throws `ShapeError`. */
export function problemOf(op: string, inputs: readonly Spec[], attrs: AttentionAttrs): Problem {
  const [q, k, v] = inputs;
  const given = `q is ${show(q)}, k is ${show(k)}, v is ${show(v)}`;
  if ([q, k, v].some((s) => s.shape.length !== 4)) {
    throw new ShapeError(op, `expected q [B,T,H,D], k and v [B,S,H,D]; ${given}`);
  }
  if ([q, k, v].some((s) => !isFloat(s.dtype))) {
    throw new ShapeError(op, `q, k and v must be real numbers; ${given}`);
  }
  if (k.shape.some((d, i) => d !== v.shape[i])) {
    throw new ShapeError(op, `k and v must have one shape; ${given}`);
  }
  const [B, T, H, D] = q.shape;
  const [kB, S, kH, kD] = k.shape;
  if (B !== kB || H !== kH || D !== kD) {
    throw new ShapeError(op, `q and k must agree in batch, heads and width; ${given}`);
  }
  if (!Number.isFinite(Math.fround(attrs.scale))) {
    throw new ShapeError(op, `scale must be finite, not ${attrs.scale}`);
  }
  return { B, T, S, H, D, causal: attrs.causal, scale: attrs.scale };
}

/** Inputs of the two ops by name, in their order. */
export const INPUTS = ["q", "k", "v", "g", "lse", "delta"] as const;
/** Name of an input. */
export type InputName = typeof INPUTS[number];

/** A binding for an input, named by its letter in capitals; `lse` and `delta` are read one by one. */
export function inputUse(name: InputName, specs: readonly Spec[], width: 1 | 4): BufferUse {
  const input = INPUTS.indexOf(name);
  const w = name === "lse" || name === "delta" ? 1 : width;
  return {
    name: name.toUpperCase(),
    ref: { input },
    access: "read",
    type: storageType(specs[input].dtype, w),
  };
}

/** WGSL type of one step of `width` values in arithmetic. */
export const valueType = (width: 1 | 4): string => width === 4 ? "vec4<f32>" : "f32";

/** Concatenates what `make` gives for 0 … n−1. */
export const repeat = (n: number, make: (i: number) => string, separator = "\n"): string =>
  Array.from({ length: n }, (_, i) => make(i)).join(separator);

/** The score of what is masked: its weight is 0 beside any other score. */
export const MASKED = MINUS_INFINITE;
/** Where a running maximum begins; finite, since infinities of one sign subtract to NaN. */
export const LOWEST = "-3.4028234e38";

/** The signature of every kernel's entry point. */
export const entry = (workgroup: number): string =>
  `@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {`;

/** A value in arithmetic as what a buffer of this dtype stores. */
export function stored(value: string, dtype: string, width: 1 | 4): string {
  if (dtype !== "f16") return value;
  return width === 4 ? `vec4<f16>(${value})` : `f16(${value})`;
}
