/** Which parameters a model of a given config has, without loading or computing anything. */
import {
  type ClipConfig,
  clipSpecs,
  type ClipVisionConfig,
  clipVisionSpecs,
} from "./clip/vision.ts";
import { type ClipTextConfig, clipTextSpecs } from "./clip/text.ts";
import type { ParameterSpecs } from "./params.ts";
import { type UNetConfig, unetSpecs } from "./unet/unet.ts";
import { type VaeConfig, vaeSpecs } from "./vae/vae.ts";
import { type VitConfig, vitSpecs } from "./vit.ts";

/** The config of any model. */
export type ModelConfig =
  | UNetConfig
  | VaeConfig
  | ClipTextConfig
  | ClipVisionConfig
  | ClipConfig
  | VitConfig;

/** Expected names and PyTorch shapes of a model's parameters. */
export function parameterSpecs(config: ModelConfig): ParameterSpecs {
  switch (config.kind) {
    case "unet":
      return unetSpecs(config);
    case "vae":
      return vaeSpecs(config);
    case "clip_text":
      return clipTextSpecs(config);
    case "clip_vision":
      return clipVisionSpecs(config);
    case "clip":
      return clipSpecs(config);
    case "vit":
      return vitSpecs(config);
  }
}
