/**
 * From products to dispatches: picks tiles by shape and adapter, splits K where one pass would leave cores idle or loop
 * for too long, and joins the parts in a fixed order. The fused epilogue runs where final values are stored.
 */
import { type Dispatch, type KernelPlan, MAX_ITERATIONS } from "../../tensor/kernel.ts";
import { flopsOf, type Gemm } from "./problem.ts";
import { type GemmKernel, iterationsOf, registerKernel, type RegisterTile } from "./register.ts";
import { workgroupKernel, type WorkgroupTile } from "./workgroup.ts";
import {
  exactSplits,
  type GemmContext,
  joinDispatch,
  partsOf,
  storeFunction,
  targetsOf,
} from "./store.ts";
import { planOnCpu } from "./cpu_plan.ts";
import { type Choice, chooseRegisterTile, chooseWorkgroupTile, lanesOf } from "./choose.ts";

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
  if (profile.cpu && !forced) return planOnCpu(gemms, size, ctx);
  const lanes = lanesOf(profile);
  const choices = gemms.map((g): Choice<RegisterTile | WorkgroupTile> =>
    forced ?? (profile.software ? chooseRegisterTile(g, lanes) : chooseWorkgroupTile(g, profile))
  );
  let splits = Math.max(...choices.map((c) => c.splits), forced ? 1 : exactSplits(gemms, size));
  if (profile.software) {
    while (gemms.some((g) => iterationsOf(g, splits) > MAX_ITERATIONS)) splits++;
  }
  const part = partsOf(ctx.epilogue);
  const storing = targetsOf(splits, ctx.epilogue);
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
