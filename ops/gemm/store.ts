/** Where values of a product go: stored through the fused epilogue, or first as parts that are joined in a fixed order. */
import {
  type AdapterProfile,
  type BufferUse,
  type Dispatch,
  type Epilogue,
  type Keeps,
  perItem,
  size,
  storageType,
} from "../../tensor/kernel.ts";
import type { Gemm } from "./problem.ts";

/** What the generator needs of a `KernelContext`. */
export interface GemmContext {
  readonly profile: AdapterProfile;
  readonly epilogue: Epilogue;
  readonly keeps: Keeps;
}

/** Scratch buffer 0 as the parts of a split product. */
export const partsOf = ({ width }: Epilogue): BufferUse => ({
  name: "part",
  ref: { scratch: 0 },
  access: "write",
  type: storageType("f32", width),
});

/** Most products that are added one after the other, where parts can be had: a longer sum loses digits. */
const LONGEST = 2 ** 13;

/** Bytes that parts may take for the sake of digits alone. */
const PARTS = 2 ** 22;

/** Into how many parts K falls so that none is longer than what f32 adds up well. */
export function exactSplits(gemms: readonly Gemm[], elements: number): number {
  const splits = Math.ceil(Math.max(...gemms.map((g) => g.segments * g.length)) / LONGEST);
  return splits * elements * 4 <= PARTS ? Math.max(1, splits) : 1;
}

/**
 * What a product's kernel stores into: parts, or the result. A result that is stored as it is is its own only part, and one
 * kernel does for both.
 */
export function targetsOf(splits: number, epilogue: Epilogue): readonly BufferUse[] {
  const part = partsOf(epilogue);
  if (splits > 1) return [part];
  return epilogue.plain ? [{ ...epilogue.buffers[0], name: part.name }] : epilogue.buffers;
}

/** WGSL of `put(m, n, z, split, value)`: stores four adjacent columns of a result, or of a part of one. */
export function storeFunction(
  g: Gemm,
  splits: number,
  elements: number,
  epilogue: Epilogue,
): string {
  const { width } = epilogue;
  const all = size(elements, "elements");
  const inner = size(g.n, "n");
  const store = (v: string, column: string) => {
    if (splits === 1 && !epilogue.plain) {
      return epilogue.store("index", v, { inner: g.n, row: "row", column });
    }
    return `part[${
      width === 4 ? `(split * ${all} + index) >> 2u` : `split * ${all} + index`
    }] = ${v};`;
  };
  const signature = "fn put(m: u32, n: u32, z: u32, split: u32, value: vec4<f32>)";
  const row = `let row = ${g.row("m", "z")};`;
  if (width === 4) {
    return `${signature} {
  if ((m < ${size(g.m, "m")}) & (n < ${inner})) {
    ${row}
    let index = row * ${inner} + n;
    ${store("value", "n")}
  }
}`;
  }
  return `${signature} {
  ${row}
  for (var q = 0u; q < 4u; q++) {
    if ((m < ${size(g.m, "m")}) & (n + q < ${inner})) {
      let index = row * ${inner} + n + q;
      ${store("value[q]", "n + q")}
    }
  }
}`;
}

/** Adds the parts of every element, first to last, and stores the sum through the epilogue. */
export function joinDispatch(
  label: string,
  part: BufferUse,
  splits: number,
  elements: number,
  { epilogue }: GemmContext,
): Dispatch {
  const { width } = epilogue;
  const steps = elements / width;
  return {
    label: `${label} (join)`,
    buffers: [{ ...part, access: "read" }, ...epilogue.buffers],
    ...perItem(
      { count: steps, name: "i" },
      `var sum = part[i];
  for (var s = 1u; s < ${size(splits)}; s++) { sum += part[s * ${size(steps)} + i]; }
  ${epilogue.store(width === 4 ? "i * 4u" : "i", "sum")}`,
    ),
  };
}
