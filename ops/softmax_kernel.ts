/** The kernels of softmax and its kin: passes over rows, the maximum first (`rows.ts`). */
import type { KernelContext, KernelPlan } from "../tensor/kernel.ts";
import { sizeOf } from "../tensor/shape.ts";
import { type RowKernel, rowKernel, type RowPhase, rowType } from "./rows.ts";

/** A kernel over the rows of the inputs, which it reads as operands in their order. */
function overRows(
  label: string,
  { inputs, profile }: KernelContext<undefined>,
  part: (length: number) => Partial<RowKernel> & Pick<RowKernel, "phases">,
): KernelPlan {
  const [{ shape }] = inputs;
  const length = shape.at(-1)!;
  const spec: RowKernel = {
    ...{ label, length, rows: sizeOf(shape) / length, buffers: [] },
    operands: inputs.map(({ dtype }, input) => ({ name: `xs${input}`, dtype, input })),
    ...part(length),
  };
  return { dispatches: [rowKernel(spec, profile)] };
}

const maximum: RowPhase = { folds: [{ name: "top", join: "max", value: ([x]) => x }] };
/** What is taken off: the maximum, but nothing where that is infinite, since ∞ − ∞ is no number. */
const finiteMaximum: RowPhase = {
  ...maximum,
  then: "let shift = select(top, 0.0, (bitcast<u32>(top) & 0x7fffffffu) == 0x7f800000u);",
};
const exponentials = (length: number, off = "top"): RowPhase => ({
  update: ([x]) => [`exp(${x} - ${rowType(length)}(${off}))`],
  folds: [{ name: "total", join: "add", value: ([x]) => x }],
  costly: true,
});

/** e^(x − top) / Σ of each row. */
export const softmaxKernel = (ctx: KernelContext<undefined>): KernelPlan =>
  overRows("softmax", ctx, (length) => ({
    phases: [maximum, { ...exponentials(length), then: "let share = 1.0 / total;" }],
    map: { value: ([e]) => `${e} * share`, epilogue: ctx.epilogue },
  }));

/** y·(g − Σ g·y) of each row. */
export const softmaxGradKernel = (ctx: KernelContext<undefined>): KernelPlan =>
  overRows("softmaxGrad", ctx, (length) => ({
    phases: [{ folds: [{ name: "inner", join: "add", value: ([y, g]) => `${y} * ${g}` }] }],
    map: {
      value: ([y, g]) => `${y} * (${g} - ${rowType(length)}(inner))`,
      epilogue: ctx.epilogue,
    },
  }));

/** shift + log Σ e^(x − shift) of each row. */
export const logSumExpKernel = (ctx: KernelContext<undefined>): KernelPlan =>
  overRows("logSumExp", ctx, (length) => ({
    buffers: [{ name: "sums", ref: { output: 0 }, access: "write", type: "f32" }],
    phases: [finiteMaximum, exponentials(length, "shift")],
    finish: "sums[row] = shift + log(total);",
  }));

/** (x − top) − log Σ of each row. */
export const logSoftmaxKernel = (ctx: KernelContext<undefined>): KernelPlan =>
  overRows("logSoftmax", ctx, (length) => ({
    phases: [maximum, {
      update: ([x]) => [`${x} - ${rowType(length)}(top)`],
      folds: [{ name: "total", join: "add", value: ([x]) => `exp(${x})` }],
      then: "let share = log(total);",
    }],
    map: { value: ([x]) => `${x} - share`, epilogue: ctx.epilogue },
  }));
