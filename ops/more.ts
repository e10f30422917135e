/**
 * The second door of the ops: those of few models, which `engine.ts` leaves out so that nobody loads them in vain. Images between
 * pixels and regions of them, spectra, numbers of fewer digits.
 */
export { affineGrid, gridSample, type GridSampleOptions } from "./sample/grid.ts";
export type { SampleMethod, SampleOutside } from "./sample/places.ts";
export {
  deformConv,
  type DeformConvOptions,
  roiAlign,
  type RoiAlignOptions,
} from "./sample/regions.ts";
export { causalConv1d, type CausalConvOptions } from "./signal/causal.ts";
export { fft, ifft, irfft, rfft } from "./signal/fft.ts";
export {
  blackman,
  type CosineOptions,
  generalCosine,
  hamming,
  hann,
  istft,
  stft,
  type StftOptions,
} from "./signal/stft.ts";
export {
  dequantize,
  fakeQuantize,
  type FloatFormat,
  type IntegerFormat,
  quantize,
  type QuantizeOptions,
  reducePrecision,
} from "./quantize/precision.ts";
