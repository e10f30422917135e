/**
 * From products to dispatches: picks tiles by shape and adapter, splits K where one pass would leave cores idle or lose
 * digits, and joins the parts in a fixed order. The fused epilogue runs where final values are stored.
 */
import type { Dispatch, KernelPlan } from "../../tensor/kernel.ts";
import { flopsOf, type Gemm } from "./problem.ts";
import { workgroupKernel } from "./workgroup.ts";
import {
  exactSplits,
  type GemmContext,
  joinDispatch,
  partsOf,
  storeFunction,
  targetsOf,
} from "./store.ts";
import { planOnCpu } from "./cpu_plan.ts";
import { type Choice, chooseWorkgroupTile } from "./choose.ts";

/**
 * Plans products that together write one output of `size` elements (several where a strided convolution's input
 * gradient falls apart by parity). Tests force a tile.
 */
export function planGemm(
  gemms: readonly Gemm[],
  size: number,
  ctx: GemmContext,
  forced?: Choice,
): KernelPlan {
  const { profile } = ctx;
  if (profile.cpu && !forced) return planOnCpu(gemms, size, ctx);
  const choices = gemms.map((g) => forced ?? chooseWorkgroupTile(g, profile));
  const splits = Math.max(...choices.map((c) => c.splits), forced ? 1 : exactSplits(gemms, size));
  const part = partsOf(ctx.epilogue);
  const storing = targetsOf(splits, ctx.epilogue);
  const dispatches = gemms.map((g, i): Dispatch => {
    const put = storeFunction(g, splits, size, ctx.epilogue);
    const kernel = workgroupKernel(g, choices[i].tile, splits, put, profile.workgroupStorage);
    const buffers = [g.a.buffer, g.b.buffer, ...storing];
    return { label: g.label, buffers, ...kernel, flops: flopsOf(g) };
  });
  if (splits === 1) return { dispatches };
  return {
    dispatches: [...dispatches, joinDispatch(gemms[0].label, part, splits, size, ctx)],
    scratch: [splits * size * 4],
  };
}
