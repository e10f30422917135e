/**
 * The authors' diffusers trainer, `delta.bin`: `unet` holds weights by their diffusers names (compressed: factors u, v),
 * `modifier_token` an embedding a token (two for SDXL), `text_encoder` its weights where they were trained.
 */
import { FileError } from "../../../files/errors.ts";
import type { Delta, DeltaToken, DeltaWeight } from "../delta.ts";
import { type Content, isDict, isLeaf, isList, readFinite } from "./content.ts";
import type { DeltaFormat, Packed } from "./format.ts";
import { filled, packWeight, readWeight } from "./weights.ts";

const COMPONENTS = ["unet", "text_encoder", "text_encoder_2"];

/** The format. */
export const adobe: DeltaFormat = {
  name: "adobe",
  title: "Adobe delta (delta.bin)",
  forms: ["weight", "factors"],
  containers: ["torch"],
  stem: "delta",
  tokens: "inside",
  matches: ({ root }) => isDict(root.get("unet")),
  async read(file) {
    const weights = new Map<string, DeltaWeight>();
    for (const [name, content] of filled(file.root)) {
      if ([...COMPONENTS, "modifier_token"].includes(name)) continue;
      throw new FileError(
        file.path,
        `holds "${name}" (${
          isLeaf(content) ? "a tensor" : "several"
        }), which no delta of Adobe's has`,
      );
    }
    for (const component of COMPONENTS) {
      const dict = file.root.get(component);
      if (!isDict(dict)) continue;
      for (const [name, content] of filled(dict)) {
        if (name.endsWith("position_ids")) continue;
        weights.set(
          `${component}.${fullName(component, name)}`,
          await readWeight(file, name, content),
        );
      }
    }
    const tokens: DeltaToken[] = [], embeddings: Float32Array[][] = [[], []];
    const named = file.root.get("modifier_token");
    for (const [token, content] of isDict(named) ? named : []) {
      tokens.push({ token, className: "", initializer: "" });
      for (const [i, part] of vectors(content).entries()) {
        embeddings[i]?.push(await readFinite(file, token, part));
      }
    }
    const two = embeddings[1].length > 0;
    if (embeddings[0].length !== tokens.length || two && embeddings[1].length !== tokens.length) {
      throw new FileError(file.path, "does not hold one embedding for each of its tokens");
    }
    const delta: Delta = { base: "", tokens, embeddings: embeddings[0], weights, notes: {} };
    return two ? { ...delta, embeddings2: embeddings[1] } : delta;
  },
  write(delta, { name: called = "the delta" }) {
    const root = new Map<string, Map<string, Packed>>([["unet", new Map()]]);
    for (const [path, w] of delta.weights) {
      const component = COMPONENTS.find((c) => path.startsWith(`${c}.`));
      if (!component) {
        throw new FileError(called, `changes "${path}", of no part that Adobe has`);
      }
      const name = path.slice(component.length + 1);
      const dict = root.get(component) ?? new Map<string, Packed>();
      root.set(component, dict.set(name, packWeight(name, w)));
    }
    const vector = (data: Float32Array) => ({ shape: [data.length], data });
    root.set(
      "modifier_token",
      new Map(delta.tokens.map(({ token }, i) => {
        const second = delta.embeddings2?.[i];
        const first = vector(delta.embeddings[i]);
        return [token, second ? [first, vector(second)] : first];
      })),
    );
    return { root };
  },
};

/** A parameter's name; transformers 5 leaves out in memory what text encoders have before theirs. */
const fullName = (component: string, name: string): string =>
  component === "unet" || /^text_(model|projection)\./.test(name) ? name : `text_model.${name}`;

/** One embedding, or one for each text encoder. */
const vectors = (content: Content): readonly Content[] =>
  isLeaf(content) ? [content] : isList(content) ? content : [];
