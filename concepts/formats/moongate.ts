/**
 * Our own delta files: one self-describing safetensors file. Trained weights lie under their paths, differences under
 * `<path>.change`, factors under `<path>.u` and `<path>.v`, each new token's embedding under `token.<name>` (and
 * `token_2.<name>`); the header says which model they belong to, what the tokens stand for and how they were trained.
 */
import { FileError } from "../../files/errors.ts";
import { isObject } from "../../files/json.ts";
import type { Delta, DeltaToken, DeltaWeight } from "../delta.ts";
import { formOf } from "../changes.ts";
import { type DeltaFile, readFinite } from "./content.ts";
import type { DeltaFormat, Packed } from "./format.ts";
import { packFactors, readChange, readFactors, readTrained } from "./weights.ts";

const FORMAT = "moongate-delta";

/** Version 1 has trained weights only; a file is of the lowest version that can hold what is in it. */
const VERSION = 2;

const TOKEN = "token.", TOKEN_2 = "token_2.";

/** The format. */
export const moongate: DeltaFormat = {
  name: "moongate",
  title: "moongate delta",
  forms: ["weight", "change", "factors"],
  containers: ["safetensors"],
  stem: "delta",
  tokens: "inside",
  matches: ({ metadata }) => metadata.format === FORMAT,
  async read(file) {
    const { metadata, root, path } = file;
    if (![1, VERSION].includes(Number(metadata.version))) {
      throw new FileError(
        path,
        `is of delta version ${metadata.version}`,
        `This moongate reads versions up to ${VERSION}; update it`,
      );
    }
    const tokens = parse(path, "tokens", metadata.tokens, isTokens);
    const vectors = (prefix: string) =>
      Promise.all(
        tokens.map(({ token }) => readFinite(file, prefix + token, root.get(prefix + token))),
      );
    const delta: Delta = {
      base: metadata.base ?? "",
      tokens,
      embeddings: await vectors(TOKEN),
      weights: await readWeights(file),
      notes: parse(path, "notes", metadata.notes, isObject),
    };
    const two = tokens.length && root.has(TOKEN_2 + tokens[0].token);
    return two ? { ...delta, embeddings2: await vectors(TOKEN_2) } : delta;
  },
  write(delta) {
    const root = new Map<string, Packed>();
    let version = 1;
    for (const [path, w] of delta.weights) {
      if (formOf(w) !== "weight") version = VERSION;
      if ("data" in w) root.set(path, w);
      else if ("change" in w) root.set(`${path}.change`, { shape: w.shape, data: w.change });
      else {
        const { u, v } = packFactors(w);
        root.set(`${path}.u`, u).set(`${path}.v`, v);
      }
    }
    delta.tokens.forEach(({ token }, i) => {
      const put = (prefix: string, data: Float32Array) =>
        root.set(prefix + token, { shape: [data.length], data });
      put(TOKEN, delta.embeddings[i]);
      if (delta.embeddings2) put(TOKEN_2, delta.embeddings2[i]);
    });
    const metadata = {
      format: FORMAT,
      version: String(version),
      base: delta.base,
      tokens: JSON.stringify(delta.tokens),
      notes: JSON.stringify(delta.notes),
    };
    return { root, metadata };
  },
};

async function readWeights(file: DeltaFile): Promise<Map<string, DeltaWeight>> {
  const { root } = file, weights = new Map<string, DeltaWeight>();
  for (const [name, content] of root) {
    if (name.startsWith(TOKEN) || name.startsWith(TOKEN_2)) continue;
    const [, path, kind] = /^(.*\.(?:weight|bias))\.(change|u|v)$/.exec(name) ?? [];
    if (!kind) weights.set(name, await readTrained(file, name, content));
    else if (kind === "change") weights.set(path, await readChange(file, name, content));
    else if (!weights.has(path)) {
      const [u, v] = [root.get(`${path}.u`), root.get(`${path}.v`)];
      weights.set(path, await readFactors(file, path, u, v));
    }
  }
  return weights;
}

const isTokens = (value: unknown): value is DeltaToken[] =>
  Array.isArray(value) &&
  value.every((t) =>
    isObject(t) && [t.token, t.className, t.initializer].every((text) => typeof text === "string")
  );

/** A field of the header as what it must be. */
function parse<T>(
  file: string,
  field: string,
  text: string | undefined,
  is: (value: unknown) => value is T,
): T {
  try {
    const value = JSON.parse(text ?? "");
    if (is(value)) return value;
  } catch {
    // Said below.
  }
  throw new FileError(
    file,
    `its header field "${field}" is missing, or not what it should be`,
    "The file is damaged",
  );
}
