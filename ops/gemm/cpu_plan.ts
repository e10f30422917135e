/** From products to dispatches on the CPU device: a copy of the left operand where that pays, packing, the product, a join. */
import { type BufferUse, type Dispatch, type KernelPlan, perItem } from "../../tensor/kernel.ts";
import { chooseCpu, type CpuChoice, cpuKernel, packedBytes, packKernel } from "./cpu_kernel.ts";
import { flopsOf, type Gemm, type Operand } from "./problem.ts";
import {
  exactSplits,
  type GemmContext,
  joinDispatch,
  partsOf,
  storeFunction,
  targetsOf,
} from "./store.ts";

/** Plans products that together write one output of `size` elements. Tests force a choice. */
export function planOnCpu(
  gemms: readonly Gemm[],
  size: number,
  ctx: GemmContext,
  forced?: CpuChoice,
): KernelPlan {
  const chosen = gemms.map((g) => forced ?? chooseCpu(g));
  const splits = Math.max(...chosen.map((c) => c.splits), forced ? 1 : exactSplits(gemms, size));
  const scratch: number[] = splits > 1 ? [splits * size * 4] : [];
  const part = partsOf(ctx.epilogue);
  const storing = targetsOf(splits, ctx.epilogue);
  const dispatches: Dispatch[] = [];
  const image = gemms[0].a.copy;
  const framed = image && scratch.push(image.bytes) - 1;
  if (image) dispatches.push(copyImage(gemms[0].label, image, framed!));
  gemms.forEach((g, i) => {
    const choice = { ...chosen[i], splits };
    const { buffer } = g.a.narrow;
    const a: BufferUse = framed === undefined ? buffer : { ...buffer, ref: { scratch: framed } };
    let b = g.b.buffer;
    if (choice.packed) {
      b = { name: "panel", ref: { scratch: scratch.length }, access: "read", type: "vec4<f32>" };
      const bytes = packedBytes(g, choice.tile);
      scratch.push(bytes);
      dispatches.push({
        label: `${g.label} (pack)`,
        buffers: [g.b.buffer, { ...b, access: "write" }],
        ...packKernel(g, choice.tile),
        once: "input" in g.b.buffer.ref && ctx.keeps(g.b.buffer.ref.input, bytes),
      });
    }
    const put = storeFunction(g, splits, size, ctx.epilogue);
    dispatches.push({
      label: g.label,
      buffers: [a, b, ...storing],
      ...cpuKernel(g, choice, put),
      flops: flopsOf(g),
    });
  });
  if (splits > 1) dispatches.push(joinDispatch(gemms[0].label, part, splits, size, ctx));
  return { dispatches, scratch };
}

function copyImage(label: string, image: NonNullable<Operand["copy"]>, scratch: number): Dispatch {
  const { name, steps, type, body } = image.code;
  return {
    label: `${label} (${name})`,
    buffers: [image.source, { name: "framed", ref: { scratch }, access: "write", type }],
    ...perItem({ count: steps, name: "i" }, body),
  };
}
