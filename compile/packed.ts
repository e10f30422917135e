/**
 * f16 storage on adapters whose shaders have no f16: two numbers to a word, read by `unpack2x16float` and written by
 * `pack2x16float`, which every WebGPU has. Kernels are written for buffers of f16, always compute in f32, and become
 * these here, by their text: no kernel knows of it, and memory is the same to the byte.
 */
import type { BufferUse } from "../tensor/kernel.ts";
import { withAccesses } from "./accesses.ts";

const HALVES = /^(?:f16|vec4<f16>)$/;

/** What matters here of a buffer that is bound. */
type Bound = Pick<BufferUse, "name" | "access" | "type">;

/** A dispatch's WGSL for buffers of words in place of those of f16. */
export interface Packed {
  /** Functions that the body calls. */
  readonly helpers: string;
  readonly body: string;
  /** What each buffer is declared as. */
  readonly types: readonly string[];
}

/**
 * Rewrites a kernel so that it needs no f16.
 *
 * @throws Error where it stores f16 one by one: neighbours share a word, and would overwrite each other
 */
export function packed(label: string, bindings: readonly Bound[], body: string): Packed {
  const halves = bindings.filter((b) => HALVES.test(b.type));
  const single = halves.find((b) => b.type === "f16" && b.access === "write");
  if (single) {
    throw new Error(
      `${label}: stores f16 numbers one by one, which takes an adapter with shader-f16; use f32`,
    );
  }
  const helpers = halves.map(({ name, type }) =>
    type === "f16"
      ? `fn ${name}_at(i: u32) -> f32 { return unpack2x16float(${name}[i >> 1u])[i & 1u]; }`
      : `fn ${name}_at(i: u32) -> vec4<f32> {
  let pair = ${name}[i];
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}`
  );
  if (halves.some((b) => b.access === "write")) {
    helpers.push(`fn four_halves(v: vec4<f32>) -> vec2<u32> {
  return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}`);
  }
  return {
    helpers: helpers.join("\n"),
    body: halves.reduce(
      (text, b) =>
        withAccesses(text, b, {
          read: (index) => `${b.name}_at(${index})`,
          write: (index, value) => `${b.name}[${index}] = ${value}`,
        }),
      body,
    )
      .replaceAll("vec4<f16>()", "vec2<u32>()").replaceAll("vec4<f16>(", "four_halves(")
      // What is left is the type of what functions store.
      .replaceAll("vec4<f16>", "vec2<u32>"),
    types: bindings.map((b) =>
      b.type === "f16" ? "u32" : b.type === "vec4<f16>" ? "vec2<u32>" : b.type
    ),
  };
}
