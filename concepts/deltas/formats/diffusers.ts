/**
 * Trained weights under the model's own names in diffusers, with or without `unet.` before them, each token in a file
 * beside it. What `unet.load_state_dict(…, strict=False)` takes.
 */
import type { DeltaWeight } from "../delta.ts";
import { isLayer } from "./adapters/keys.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";
import { UNET, unetName } from "./names.ts";
import { filled, packWeight, readWeight } from "./weights.ts";

/** What the header of our own says. */
const KIND = "delta";

/** What whole UNets have, or at least the first or the last of their parts. */
const WHOLE = /^(unet\.)?(conv_in|conv_out|time_embedding\.linear_1)\./;

const isParameter = (name: string): boolean =>
  /\.(weight|bias)$/.test(name) && isLayer("unet", name.replace(/^unet\./, ""));

/** The format. */
export const diffusers: DeltaFormat = {
  name: "diffusers",
  title: "plain diffusers names",
  forms: ["weight"],
  containers: ["safetensors", "torch"],
  stem: "unet_delta",
  tokens: "beside",
  // A whole UNet is none, unless it says that it is what changed.
  matches: ({ root, metadata }) => {
    const names = [...root.keys()], said = metadata.kind === KIND;
    return names.length > 0 && names.every((n) => isParameter(n) && (said || !WHOLE.test(n)));
  },
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
    return { root, metadata: { format: "pt", kind: KIND } };
  },
};
