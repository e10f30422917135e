/**
 * `.delta.safetensors` of the AUTOMATIC1111 extension custom-diffusion-webui: what was added to each weight, under its
 * CompVis name; the header's `json` says of each whether it is whole or in factors (`.US`, `.Vh`).
 */
import { FileError } from "../../../files/errors.ts";
import { isObject, parseJsonObject } from "../../../files/json.ts";
import type { DeltaWeight } from "../delta.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";
import { compVisNames, pathsOfCompVis } from "./compvis_names.ts";
import { packFactors, readChange, readFactors } from "./weights.ts";

/** The format. */
export const a1111: DeltaFormat = {
  name: "a1111",
  title: "AUTOMATIC1111 extension (.delta.safetensors)",
  forms: ["change", "factors"],
  containers: ["safetensors"],
  stem: "moongate.delta",
  tokens: "beside, bare",
  matches: ({ metadata }) => /"entries"/.test(metadata.json ?? ""),
  async read(file, context) {
    const { entries } = parseJsonObject(file.metadata.json, file.path, "its header field json");
    if (!isObject(entries)) throw new FileError(file.path, "its header lists no entries");
    const paths = pathsOfCompVis(file.path, Object.keys(entries), context);
    const weights = new Map<string, DeltaWeight>();
    for (const [name, kind] of Object.entries(entries)) {
      const at = (suffix: string) => file.root.get(name + suffix);
      if (kind !== "delta" && kind !== "delta_factors") {
        throw new FileError(file.path, `its header calls "${name}" ${JSON.stringify(kind)}`);
      }
      weights.set(
        paths.get(name)!,
        kind === "delta"
          ? await readChange(file, name, at(""))
          : await readFactors(file, name, at(".US"), at(".Vh")),
      );
    }
    const read = new Set(
      Object.keys(entries).flatMap((name) => [name, `${name}.US`, `${name}.Vh`]),
    );
    const other = [...file.root.keys()].find((name) => !read.has(name));
    if (other === undefined) return bare(weights);
    throw new FileError(file.path, `holds "${other}", which is not among its header's entries`);
  },
  write(delta, context) {
    const root = new Map<string, Packed>();
    const entries: Record<string, string> = {};
    for (const [path, name] of compVisNames("the extension's", delta.weights.keys(), context)) {
      const w = delta.weights.get(path)!;
      if ("u" in w) {
        const { u, v } = packFactors(w);
        root.set(`${name}.US`, u).set(`${name}.Vh`, v);
        entries[name] = "delta_factors";
      } else if ("change" in w) {
        root.set(name, { shape: w.shape, data: w.change });
        entries[name] = "delta";
      }
    }
    return { root, metadata: { json: JSON.stringify({ meta: { version: "0.2.0" }, entries }) } };
  },
};
