/** What the verbs that make pictures have in common to be asked for. */
import type { SamplerName } from "../../diffusion/samplers/names.ts";
import type { DeviceRequest } from "./device.ts";

/** A delta to sample with. */
export interface DeltaRequest {
  /** File or folder, of any format. */
  path: string;
  /** Multiple of its changes; 1 is what was trained. */
  strength: number;
}

/** What all verbs that sample are asked for. */
export interface SampledRequest extends DeviceRequest {
  /** The model's folder. */
  model: string;
  /** Deltas, in any order. */
  deltas: DeltaRequest[];
  /** What should not be in the picture. */
  negative: string;
  /** Pictures for each prompt. */
  count: number;
  /** Sampling steps; undefined: the model's default. */
  steps?: number;
  /** Classifier-free guidance scale; undefined: the model's default. */
  guidance?: number;
  /** The sampler; undefined: the model's default. */
  sampler?: SamplerName;
  /** How much of DDIM's noise is fresh: 1 makes it DDPM; undefined: the model's default. */
  eta?: number;
  /** Width and height in pixels where those are not given; undefined: the model's own. */
  size?: number;
  /** In pixels. */
  width?: number;
  /** In pixels. */
  height?: number;
  /** Pictures sampled at once. */
  batch: number;
  /** Element type of the weights; undefined: f32, or f16 where `memory` asks for it. */
  precision?: "f32" | "f16";
  /** Element type of activations; f32 where left out. */
  activations?: "f32" | "f16";
  /** Bytes of GPU memory to stay within, weights included; undefined: no limit. */
  memory?: number;
  /** Random seed. */
  seed: number;
  /** The folder that the pictures go to. */
  out: string;
  /** Replace what is there already. */
  overwrite?: boolean;
  /** The file that prompts came from. */
  promptsFrom?: string;
}
