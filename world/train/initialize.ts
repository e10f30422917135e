/**
 * Where training starts: random weights from a seed, distributed as diffusers (PyTorch's own layers) and transformers'
 * CLIP draw them. The names of parameters say what they are.
 */
import type { Named } from "../../autograd/optimizer.ts";
import type { ClipConfig, ClipVisionConfig } from "../../models/clip/vision.ts";
import { engineShape, type ParameterSpec, type ParameterSpecs } from "../../models/params.ts";
import { tensor } from "../../ops/leaf.ts";
import { foldIn, hostNormal, hostUniform, keyFromSeed } from "../../ops/random.ts";
import { sizeOf } from "../../tensor/shape.ts";

/** How a parameter is drawn: all the same, uniform in ±bound, or normal. */
export type Draw =
  | { readonly constant: number }
  | { readonly bound: number }
  | { readonly deviation: number };

/** Decides by name how a parameter is drawn. */
export type Scheme = (path: string, specs: ParameterSpecs) => Draw;

/** Every parameter, drawn: host values in the engine's layout. */
export function initialize(specs: ParameterSpecs, seed: number, scheme: Scheme): Named {
  const root = keyFromSeed(seed);
  return Object.fromEntries(
    [...specs].map(([path, spec], i) => {
      const shape = engineShape(spec), size = sizeOf(shape), key = foldIn(root, i);
      const draw = scheme(path, specs);
      const values = "constant" in draw
        ? new Float32Array(size).fill(draw.constant)
        : "bound" in draw
        ? Float32Array.from(hostUniform(key, size), (u) => (2 * u - 1) * draw.bound)
        : Float32Array.from(hostNormal(key, size), (n) => n * draw.deviation);
      return [path, tensor(values, shape)];
    }),
  );
}

/**
 * PyTorch's layers: weights and biases of convolutions and linear layers uniform in ±1/√(fan in) (He et al. 2015 with
 * a = √5), norms the identity.
 */
export const torchLayers: Scheme = (path, specs) => {
  const weight = specs.get(path.replace(/bias$/, "weight"))!;
  if (weight.shape.length < 2) return { constant: path.endsWith(".weight") ? 1 : 0 };
  return { bound: 1 / Math.sqrt(sizeOf(weight.shape.slice(1))) };
};

/** Transformers' `CLIPPreTrainedModel._init_weights` with its factors 1 and range 0.02. */
export function clipScheme({ text, vision }: ClipConfig): Scheme {
  return (path, specs) => {
    if (path.endsWith(".bias")) return { constant: 0 };
    const { width, layers } = path.startsWith("vision_model.") ||
        path.startsWith("visual_projection")
      ? vision
      : text;
    const thin = Math.sqrt(2 * layers);
    const known: [part: string, deviation: number][] = [
      ["class_embedding", width ** -0.5],
      ["_embedding.weight", 0.02],
      ["_projection.weight", width ** -0.5],
      [".out_proj.weight", width ** -0.5],
      ["_proj.weight", width ** -0.5 / thin],
      [".fc1.weight", (2 * width) ** -0.5],
      [".fc2.weight", width ** -0.5 / thin],
    ];
    const found = known.find(([part]) => path.endsWith(part));
    return found ? { deviation: found[1] } : torchLayers(path, specs);
  };
}

/** The heads of a classifier; its tower comes from CLIP. */
export function initializeHeads(config: ClipVisionConfig, seed: number): Named {
  const specs = new Map<string, ParameterSpec>();
  for (const [head, { length }] of Object.entries(config.labels)) {
    specs.set(`heads.${head}.weight`, { shape: [length, config.width], layout: "plain" });
    specs.set(`heads.${head}.bias`, { shape: [length], layout: "plain" });
  }
  return initialize(specs, seed, torchLayers);
}
