/** Models and devices as arguments: what they have to have, for `expectKinds`. */
import { having, type Kind } from "../tensor/kinds.ts";

/** A device. */
export const DEVICE: Kind = having("a device, as gpu() opens it", "profile", "buffers");

/** A diffusion model. */
export const MODEL: Kind = having(
  "a model, as loadPipeline gives it",
  "device",
  "config",
  "params",
);
