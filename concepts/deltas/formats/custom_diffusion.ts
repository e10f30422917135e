/**
 * diffusers' `pytorch_custom_diffusion_weights`: the weights of attention processors, each token in a file beside it.
 *
 * The pickle also lists the processors of self-attention, which have no weights: diffusers' loader counts them, and takes
 * no file without. The safetensors file can't hold empty entries, so that loader takes none; everything else does.
 */
import { FileError } from "../../../files/errors.ts";
import type { DeltaWeight } from "../delta.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";
import { UNET, unetName } from "./names.ts";
import { filled, packWeight, readTrained } from "./weights.ts";

const PROCESSED = /\.processor\.(to_[qkv]|to_out)_custom_diffusion\./;

/** The format. */
export const customDiffusion: DeltaFormat = {
  name: "diffusers-custom",
  title: "diffusers Custom Diffusion (pytorch_custom_diffusion_weights)",
  forms: ["weight"],
  containers: ["safetensors", "torch"],
  stem: "pytorch_custom_diffusion_weights",
  tokens: "beside",
  matches: ({ root }) => [...root.keys()].some((name) => PROCESSED.test(name)),
  async read(file) {
    const weights = new Map<string, DeltaWeight>();
    for (const [name, content] of filled(file.root)) {
      if (!PROCESSED.test(name)) {
        throw new FileError(file.path, `holds "${name}", which is no weight of Custom Diffusion`);
      }
      weights.set(UNET + name.replace(PROCESSED, ".$1."), await readTrained(file, name, content));
    }
    return bare(weights);
  },
  write(delta, context) {
    const root = new Map<string, Packed>();
    const idle = new Set<string>();
    for (const [path, w] of delta.weights) {
      const name = unetName("diffusers' Custom Diffusion", path, context);
      const processed = name.replace(
        /\.attn2\.(to_[qkv]|to_out)\./,
        ".attn2.processor.$1_custom_diffusion.",
      );
      if (processed === name) {
        throw new FileError(
          context.name ?? "the delta",
          `changes "${path}", and diffusers' Custom Diffusion files hold cross-attention only`,
          "Write it as moongate or diffusers",
        );
      }
      root.set(processed, packWeight(name, w));
      const [block] = processed.split(".attn2.processor.");
      idle.add(`${block}.attn1.processor`);
    }
    for (const name of idle) root.set(name, new Map());
    return { root, metadata: { format: "pt" } };
  },
};
