/**
 * From products to dispatches: picks tiles by shape and adapter, splits K where one pass would leave cores idle or loop
 * for too long, and joins the parts in a fixed order. The fused epilogue runs where final values are stored.
 */
import {
  type AdapterProfile,
  type BufferUse,
  type Dispatch,
  type Epilogue,
  flatGroup,
  foldGrid,
  type KernelPlan,
  MAX_ITERATIONS,
  storageType,
} from "../../tensor/kernel.ts";
import { flopsOf, type Gemm } from "./problem.ts";
import { type GemmKernel, iterationsOf, registerKernel, type RegisterTile } from "./register.ts";
import { workgroupKernel, type WorkgroupTile } from "./workgroup.ts";
import { type Choice, chooseRegisterTile, chooseWorkgroupTile, lanesOf } from "./choose.ts";

/** What the generator needs of a `KernelContext`. */
export interface GemmContext {
  readonly profile: AdapterProfile;
  readonly epilogue: Epilogue;
}

/** Most products that are added one after the other, where parts can be had: a longer sum loses digits. */
const LONGEST = 2 ** 13;

/** Bytes that parts may take for the sake of digits alone. */
const PARTS = 2 ** 22;

/**
 * Plans products that together write one output of `size` elements (several where a strided convolution's input
 * gradient falls apart by parity). Tests force a tile.
 */
export function planGemm(
  gemms: readonly Gemm[],
  size: number,
  ctx: GemmContext,
  forced?: Choice<RegisterTile | WorkgroupTile>,
): KernelPlan {
  const { profile } = ctx;
  const lanes = lanesOf(profile);
  const choices = gemms.map((g): Choice<RegisterTile | WorkgroupTile> =>
    forced ?? (profile.software ? chooseRegisterTile(g, lanes) : chooseWorkgroupTile(g, profile))
  );
  let splits = Math.max(...choices.map((c) => c.splits));
  const exact = Math.ceil(Math.max(...gemms.map((g) => g.segments * g.length)) / LONGEST);
  if (!forced && exact * size * 4 <= PARTS) splits = Math.max(splits, exact);
  if (profile.software) {
    while (gemms.some((g) => iterationsOf(g, splits) > MAX_ITERATIONS)) splits++;
  }
  const { width } = ctx.epilogue;
  const part: BufferUse = {
    name: "part",
    ref: { scratch: 0 },
    access: "write",
    type: storageType("f32", width),
  };
  const storing = splits > 1 ? [part] : ctx.epilogue.buffers;
  const dispatches = gemms.map((g, i): Dispatch => {
    const put = storeFunction(g, splits, size, ctx.epilogue);
    const { tile } = choices[i];
    const kernel: GemmKernel = "along" in tile
      ? registerKernel(g, tile, lanes, splits, put)
      : workgroupKernel(g, tile, splits, put, profile.workgroupStorage);
    const buffers = [g.a.buffer, g.b.buffer, ...storing];
    return { label: g.label, buffers, ...kernel, flops: flopsOf(g) };
  });
  if (splits === 1) return { dispatches };
  return {
    dispatches: [...dispatches, joinDispatch(gemms[0].label, part, splits, size, ctx)],
    scratch: [splits * size * 4],
  };
}

/** WGSL of `put(m, n, z, split, value)`: stores four adjacent columns of a result, or of a part of one. */
function storeFunction(g: Gemm, splits: number, size: number, epilogue: Epilogue): string {
  const { width } = epilogue;
  const store = (v: string) => {
    if (splits === 1) return epilogue.store("index", v);
    return `part[${
      width === 4 ? `(split * ${size}u + index) >> 2u` : `split * ${size}u + index`
    }] = ${v};`;
  };
  const signature = "fn put(m: u32, n: u32, z: u32, split: u32, value: vec4<f32>)";
  if (width === 4) {
    return `${signature} {
  if (m < ${g.m}u & n < ${g.n}u) {
    let index = ${g.index("m", "n", "z")};
    ${store("value")}
  }
}`;
  }
  return `${signature} {
  for (var q = 0u; q < 4u; q++) {
    if (m < ${g.m}u & n + q < ${g.n}u) {
      let index = ${g.index("m", "(n + q)", "z")};
      ${store("value[q]")}
    }
  }
}`;
}

/** Adds the parts of every element, first to last, and stores the sum through the epilogue. */
function joinDispatch(
  label: string,
  part: BufferUse,
  splits: number,
  size: number,
  ctx: GemmContext,
): Dispatch {
  const { width } = ctx.epilogue;
  const steps = size / width;
  const grid = foldGrid(Math.ceil(steps / 64));
  return {
    label: `${label} (join)`,
    buffers: [{ ...part, access: "read" }, ...ctx.epilogue.buffers],
    grid,
    body: `@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = ${flatGroup(grid)} * 64u + t;
  if (i >= ${steps}u) { return; }
  var sum = part[i];
  for (var s = 1u; s < ${splits}u; s++) { sum += part[s * ${steps}u + i]; }
  ${ctx.epilogue.store(width === 4 ? "i * 4u" : "i", "sum")}
}`,
  };
}
