/**
 * Trained weights under the model's own names in diffusers, with or without `unet.` before them, each token in a file
 * beside it. What `unet.load_state_dict(…, strict=False)` takes.
 */
import type { DeltaWeight } from "../delta.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";
import { UNET, unetName } from "./names.ts";
import { filled, packWeight, readWeight } from "./weights.ts";

const CROSS_ATTENTION =
  /^(unet\.)?(down_blocks|mid_block|up_blocks)\..*\.attn2\.to_\w+(\.0)?\.(weight|bias)$/;

/** The format. */
export const diffusers: DeltaFormat = {
  name: "diffusers",
  title: "plain diffusers names",
  forms: ["weight"],
  containers: ["safetensors", "torch"],
  stem: "unet_delta",
  tokens: "beside",
  // A whole UNet has other parameters, too, and is none.
  matches: ({ root }) =>
    root.size > 0 && [...root.keys()].every((name) => CROSS_ATTENTION.test(name)),
  async read(file) {
    const weights = new Map<string, DeltaWeight>();
    for (const [name, content] of filled(file.root)) {
      const path = name.startsWith(UNET) ? name : UNET + name;
      weights.set(path, await readWeight(file, name, content));
    }
    return bare(weights);
  },
  write(delta, context) {
    const root = new Map<string, Packed>();
    for (const [path, w] of delta.weights) {
      const name = unetName("plain diffusers", path, context);
      root.set(name, packWeight(name, w));
    }
    return { root, metadata: { format: "pt" } };
  },
};
