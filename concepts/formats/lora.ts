/**
 * Low-rank adapters, as everything that loads Stable Diffusion takes them: `W0 + (alpha / rank) · up · down`.
 *
 * Two spellings: PEFT's, which diffusers writes (`unet.….to_k.lora_A.weight`), and kohya's, which ComfyUI and
 * AUTOMATIC1111 read (`lora_unet_…_to_k.lora_down.weight`, with `alpha`). Here alpha is always the rank, so that strength
 * 1 is what was trained.
 */
import { FileError } from "../../files/errors.ts";
import type { DeltaWeight, FactoredChange } from "../delta.ts";
import { type DeltaFile, isLeaf, readFinite } from "./content.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";
import { fromUnderscores, UNET, unetName } from "./names.ts";
import { packFactors, readFactors } from "./weights.ts";

/** How one spelling calls the parts of an adapter. */
interface Spelling {
  readonly down: string;
  readonly up: string;
  /** Name of a weight's module from its path, and the path from the name; undefined where it is none of the UNet's. */
  module(path: string): string;
  path(module: string): string | undefined;
}

const WEIGHT = ".weight";

const peft: Spelling = {
  down: ".lora_A.weight",
  up: ".lora_B.weight",
  module: (path) => path.slice(0, -WEIGHT.length),
  path: (module) => module.startsWith(UNET) ? module + WEIGHT : undefined,
};

const KOHYA = "lora_unet_";

const kohyas: Spelling = {
  down: ".lora_down.weight",
  up: ".lora_up.weight",
  module: (path) => KOHYA + path.slice(UNET.length, -WEIGHT.length).replaceAll(".", "_"),
  path: (module) =>
    module.startsWith(KOHYA)
      ? UNET + fromUnderscores(module.slice(KOHYA.length)) + WEIGHT
      : undefined,
};

function loraFormat(
  name: "lora" | "kohya",
  title: string,
  stem: string,
  spelling: Spelling,
): DeltaFormat {
  const { up, down, module, path } = spelling;
  return {
    name,
    title,
    stem,
    forms: ["factors"],
    containers: ["safetensors"],
    tokens: "beside, bare",
    matches: ({ root }) => [...root.keys()].some((key) => key.endsWith(up)),
    async read(file) {
      const weights = new Map<string, DeltaWeight>();
      for (const key of file.root.keys()) {
        if (!key.endsWith(up)) continue;
        const found = key.slice(0, -up.length), to = path(found);
        if (to === undefined) {
          throw new FileError(
            file.path,
            `changes "${found}", and only adapters of a UNet are read`,
          );
        }
        weights.set(to, await readAdapter(file, found, spelling));
      }
      return bare(weights);
    },
    write(delta, context) {
      const root = new Map<string, Packed>();
      for (const [path, w] of delta.weights) {
        unetName("LoRA", path, context);
        const { u, v } = packFactors(w as FactoredChange), base = module(path);
        const rank = v.shape[0];
        if (!rank) continue; // No change at all: loaders know no adapters of rank 0.
        root.set(base + down, v).set(base + up, u);
        if (name === "kohya") root.set(`${base}.alpha`, { shape: [], data: Float32Array.of(rank) });
      }
      return { root, metadata: { format: "pt" } };
    },
  };
}

async function readAdapter(
  file: DeltaFile,
  module: string,
  { up, down }: Spelling,
): Promise<DeltaWeight> {
  const left = file.root.get(module + up), right = file.root.get(module + down);
  const alpha = file.root.get(`${module}.alpha`);
  const rank = isLeaf(right) ? right.shape[0] : 0;
  const [alphaValue = rank] = isLeaf(alpha) ? await readFinite(file, `${module}.alpha`, alpha) : [];
  const scale = rank ? alphaValue / rank : 1;
  return await readFactors(file, module, left, right, scale);
}

/** PEFT's spelling. */
export const lora = loraFormat(
  "lora",
  "LoRA as diffusers and PEFT have it (pytorch_lora_weights)",
  "pytorch_lora_weights",
  peft,
);

/** Kohya's spelling. */
export const kohya = loraFormat(
  "kohya",
  "LoRA as kohya, ComfyUI and AUTOMATIC1111 have it",
  "moongate_lora",
  kohyas,
);
