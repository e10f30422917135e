/**
 * The tensor library alone: devices, tensors, ops, derivatives, compiled programs. All of it is in `mod.ts` as well, with the
 * models and the method on top; this is for who wants those ten-odd lines of a network and nothing else.
 *
 * @module
 */

// The machine.
export { type Backend, gpu, type GpuOptions } from "./device/adapter.ts";
export type { WantedDevice } from "./device/choice.ts";
export type { CpuOptions, CpuThreads } from "./device/cpu.ts";
export type { BufferOptions } from "./device/largest.ts";
export { type AdapterFacts, type CpuFacts, Device } from "./device/device.ts";
export { Guard } from "./device/guard.ts";
export type { CompileProgress } from "./device/pipelines.ts";
export { AdapterError, DeviceError, OutOfMemoryError } from "./device/errors.ts";
export { MemoryError } from "./device/memory.ts";
export { BindingError } from "./compile/errors.ts";
export type { ProgramBytes } from "./compile/estimate.ts";

// Tensors and trees of them.
export type { DType, HostArray } from "./tensor/dtype.ts";
export type { NestedNumbers, NumberArray, TensorData } from "./tensor/host.ts";
export type { AxisList } from "./tensor/arguments.ts";
export { type Shape, ShapeError, type Spec } from "./tensor/shape.ts";
export type { AdapterProfile } from "./tensor/kernel.ts";
export { Tensor } from "./tensor/tensor.ts";
export { type Branch, flatten, mapTree, type Tree, unflatten, zipTrees } from "./tensor/tree.ts";

// Programs.
export {
  compile,
  type Compiled,
  type CompileOptions,
  evaluate,
  type Leaf,
} from "./compile/compile.ts";
export {
  type DebugOptions,
  type DebugReport,
  debugRun,
  type Problem,
} from "./compile/inspect/debug.ts";
export { explain } from "./compile/inspect/explain.ts";
export type { Blueprint } from "./compile/trace.ts";
export {
  type DispatchProfile,
  type Profile,
  profile,
  type ProfileOptions,
  profileTable,
} from "./compile/inspect/profile.ts";

// Derivatives, masks, optimizers.
export { checkpoint } from "./autograd/checkpoint.ts";
export { customVjp, type VjpRule } from "./autograd/custom_vjp.ts";
export { grad, type ValueAndGrad, valueAndGrad, vjp } from "./autograd/grad.ts";
export { hessian, type Jacobian, jacobian, type JacobianOptions } from "./autograd/jacobian.ts";
export { hvp, jvp, type ValueAndTangent } from "./autograd/jvp.ts";
export { Mask, mask, type Rows, rows, type Selection, type Trained } from "./autograd/mask.ts";
export {
  adamInit,
  type AdamOptions,
  type AdamState,
  adamw,
  clipByGlobalNorm,
  type MomentOptions,
  type Moments,
  type Named,
  sgd,
} from "./autograd/optimizer.ts";

// Ops of your own.
export {
  defineMap,
  defineOp,
  type ManyOut,
  type OneOut,
  type OwnArguments,
  type OwnAttrs,
  type OwnMap,
  type OwnOp,
} from "./ops/own/define.ts";
export type { ElementCode, OwnContext, OwnPass, PassesKernel } from "./ops/own/kernel.ts";
export { type Batch, MissingRule, type Node, type Op, type Tools, type Wgsl } from "./tensor/op.ts";

// Loops and choices.
export { cond, whileLoop, type WhileOptions } from "./autograd/choice.ts";
export { type LoopOptions, scan } from "./autograd/scan.ts";

// One function for many examples.
export { type Axes, vmap, type VmapOptions } from "./autograd/vmap.ts";

// Ops.
export * from "./ops/mod.ts";
