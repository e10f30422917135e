/**
 * CompVis `delta_epoch=*.ckpt`: `state_dict` holds the cross-attention's keys and values under the checkpoint's names,
 * and the new tokens' rows as one matrix `embed`, without saying what they are called. Compressed: factors u, v. Ours say
 * it beside, in a dictionary `modifier_token` as Adobe has it, which the authors' tools don't look at.
 */
import { COMPVIS } from "../../../files/models/compvis_names.ts";
import { FileError } from "../../../files/errors.ts";
import type { DeltaToken, DeltaWeight } from "../delta.ts";
import { type Dict, isDict, isLeaf, readFinite } from "./content.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";
import { compVisNames, isInTransformer, pathsOfCompVis } from "./compvis_names.ts";
import { filled, packWeight, readWeight } from "./weights.ts";

/** Keys and values attend to the prompt, so their second extent is an embedding's. */
const KEYS_AND_VALUES = /attn2\.to_[kv]\.weight$/;

/** Tokens of files that do not name them: `<new1>`, `<new2>`, … as the authors' tools call them. */
export const numbered = (count: number): DeltaToken[] =>
  Array.from({ length: count }, (_, i) => ({
    token: `<new${i + 1}>`,
    className: "",
    initializer: "",
  }));

/** The format. */
export const compvis: DeltaFormat = {
  name: "compvis",
  title: "CompVis delta checkpoint (delta_epoch=*.ckpt)",
  forms: ["weight", "factors"],
  containers: ["torch"],
  stem: "delta_epoch=000000",
  tokens: "inside",
  matches({ root }) {
    const state = root.get("state_dict");
    const names = isDict(state) ? [...state.keys()] : [];
    // A whole checkpoint has more than transformers.
    return names.some((n) => n.startsWith(COMPVIS)) &&
      names.every((n) => n === "embed" || isInTransformer(n));
  },
  async read(file, context) {
    const state = new Map(filled(file.root.get("state_dict") as Dict));
    const embed = state.get("embed");
    state.delete("embed");
    const weights = new Map<string, DeltaWeight>();
    for (const [name, path] of pathsOfCompVis(file.path, state.keys(), context)) {
      weights.set(path, await readWeight(file, name, state.get(name)));
    }
    if (embed === undefined) return bare(weights);
    const width = [...weights].find(([n]) => KEYS_AND_VALUES.test(n))?.[1].shape[1] ?? 0;
    const rows = await readFinite(file, "embed", embed);
    // Converted files hold it flat.
    if (!width || !isLeaf(embed) || !rows.length || rows.length % width) {
      throw new FileError(
        file.path,
        `holds ${rows.length} numbers of embeddings of width ${width}`,
      );
    }
    const count = rows.length / width, said = file.root.get("modifier_token");
    const names = isDict(said) ? [...said.keys()] : [];
    return {
      ...bare(weights),
      tokens: numbered(count).map((token, i) => ({
        ...token,
        ...(names.length === count && { token: names[i] }),
      })),
      embeddings: Array.from({ length: count }, (_, i) => rows.slice(i * width, (i + 1) * width)),
    };
  },
  write(delta, context) {
    const state = new Map<string, Packed>(), root = new Map([["state_dict", state]]);
    for (const [path, name] of compVisNames("CompVis", delta.weights.keys(), context)) {
      state.set(name, packWeight(path, delta.weights.get(path)!));
    }
    if (delta.embeddings2) {
      throw new FileError(
        context.name ?? "the delta",
        "is of a model with two text encoders",
        "Write it as adobe",
      );
    }
    if (delta.embeddings.length) {
      const width = delta.embeddings[0].length;
      const data = new Float32Array(delta.embeddings.length * width);
      delta.embeddings.forEach((row, i) => data.set(row, i * width));
      state.set("embed", { shape: [delta.embeddings.length, width], data });
      root.set(
        "modifier_token",
        new Map(delta.tokens.map(({ token }, i) => [
          token,
          { shape: [width], data: delta.embeddings[i] },
        ])),
      );
    }
    return { root };
  },
};
